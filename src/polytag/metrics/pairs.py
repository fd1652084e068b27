"""How positives rank among all: the counts from which AUC, average precision, ranking loss and coverage follow.

A group is a label (its instances compete), an instance (its labels compete), or the whole matrix. In each group the scores are sorted once,
without carrying any index along (NumPy sorts plain numbers many times faster than it sorts with indices), and only the positives,
which are few, are looked up. Counts are integers, so ties and float64 scores are exact.
"""

from typing import NamedTuple

import numpy as np
import torch

from polytag.types import Array


class Pairs(NamedTuple):
    """Counts of each group, shape (groups,).

    Attributes:
        positives: Number of positives.
        negatives: Number of negatives.
        wins: Pairs (positive, negative) in which the positive scores higher.
        ties: Pairs with equal scores.
        precision: Sum over the positives of: share of positives among all that score at least as high.
        depth: Number of members that score at least as high as the lowest positive; 0 without positives.
    """

    positives: Array
    negatives: Array
    wins: Array
    ties: Array
    precision: Array
    depth: Array


def count_pairs(values: Array, found: Array, sizes: Array, known: Array) -> Pairs:
    """Count the pairs of a block of groups.

    Args:
        values: Scores, shape (groups, m), sorted in ascending order; unknown members are +inf.
        found: Scores of the positives, group after group.
        sizes: Number of positives of each group.
        known: Number of members that are not unknown, of each group.

    Cost: O(p log m) for p positives; memory O(p + groups m).
    """
    pairs = Pairs(sizes, known - sizes, *(np.zeros(len(sizes), dtype=t) for t in (np.int64, np.int64, np.float64, np.int64)))
    starts = np.cumsum(sizes) - sizes
    magnitude = np.frexp(sizes)[1]
    for power in np.unique(magnitude[sizes > 0]):  # groups of like size side by side: padding at most doubles them
        groups = np.flatnonzero(magnitude == power)
        width = int(sizes[groups].max())
        places = np.minimum(starts[groups, None] + np.arange(width), len(found) - 1)
        own = np.where(np.arange(width) < sizes[groups, None], found[places], np.inf)
        own.sort(axis=1)
        below, upto = positions(values if len(groups) == len(values) else values[groups], own)
        for whole, part in zip(pairs[2:], summarize(below, upto, sizes[groups], known[groups])[2:]):
            whole[groups] = part
    return pairs


def positions(values: Array, own: Array) -> tuple[Array, Array]:
    """Return how many of the sorted values (g, m) lie below, and how many up to and including, each of ``own`` (g, width)."""
    members, wanted = torch.from_numpy(values), torch.from_numpy(own)
    below = torch.searchsorted(members, wanted)
    following = torch.gather(members, 1, (below + 1).clamp_(max=values.shape[1] - 1))
    if values.shape[1] > 1 and bool(((following == wanted) & (below + 1 < values.shape[1])).any()):
        return below.numpy(), torch.searchsorted(members, wanted, right=True).numpy()
    present = torch.gather(members, 1, below.clamp(max=values.shape[1] - 1)) == wanted
    return below.numpy(), (below + present).numpy()


def summarize(below: Array, upto: Array, sizes: Array, known: Array) -> Pairs:
    """Sum up the positions of sorted positives (g, width), of which the first ``sizes`` of each group are real."""
    width = below.shape[1]
    order = np.arange(width)
    real = order < sizes[:, None]
    upto = np.minimum(upto, known[:, None])  # +inf stands for unknown members, but may be a score as well
    new = np.ones(below.shape, dtype=bool)
    np.not_equal(below[:, 1:], below[:, :-1], out=new[:, 1:])
    first, last = order, order + 1
    if not new[real].all():
        end = np.ones_like(new)
        end[:, :-1] = new[:, 1:]
        first = np.maximum.accumulate(np.where(new, order, 0), axis=1)
        last = np.minimum.accumulate(np.where(end, order + 1, width)[:, ::-1], axis=1)[:, ::-1]
        last = np.minimum(last, sizes[:, None])
    wins = below - first
    ties = upto - last - wins
    atleast = known[:, None] - below
    precision = np.where(real, (sizes[:, None] - first) / np.maximum(atleast, 1), 0.0)
    wins[~real], ties[~real] = 0, 0
    return Pairs(sizes, known - sizes, wins.sum(axis=1), ties.sum(axis=1), precision.sum(axis=1), np.where(sizes > 0, atleast[:, 0], 0))
