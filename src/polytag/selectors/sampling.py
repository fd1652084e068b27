"""Exact draws without replacement from a distribution that is known up to a bound, at a cost that does not grow with n.

All of them draw successively (Plackett-Luce): the k-th row has probability p(i) / (1 - sum of p over the rows before it), the law of
``numpy.random.Generator.choice(p=..., replace=False)`` and ``torch.multinomial``.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from polytag.types import Array

Sampler = Literal["auto", "rejection", "dense"]


class Proposals:
    """How many uniform proposals a draw needs on average: a running estimate that sizes the blocks and picks the faster path.

    Both paths are exact, so the estimate affects speed only; it is saved with a selector because it decides how much chance is consumed.

    Args:
        start: First guess of the proposals for one accepted row.
    """

    def __init__(self, start: float) -> None:
        self.made, self.accepted = max(start, 1.0), 1.0

    @property
    def per_row(self) -> float:
        """Proposals for one accepted row."""
        return self.made / self.accepted

    def observe(self, made: int, accepted: int) -> None:
        """Take note of a block; older blocks fade."""
        self.made, self.accepted = 0.9 * self.made + made, 0.9 * self.accepted + accepted

    def prefers_rejection(self, sampler: Sampler, n: int, k: int) -> bool:
        """Say whether rejection is the faster path (rule of thumb: n > 4 k times the proposals a row)."""
        return sampler == "rejection" or (sampler == "auto" and n > 4 * k * self.per_row)


class Categorical:
    """Draws with replacement from fixed weights, by searching their running sum.

    Args:
        weights: Unnormalised probabilities, shape (n,), with a positive sum.

    Cost: O(n) to build, O(log n) a draw; memory 8 n bytes.
    """

    def __init__(self, weights: Array) -> None:
        self._sums = np.cumsum(weights, dtype=np.float64)

    def draw(self, m: int, generator: np.random.Generator) -> Array:
        """Return m independent rows; one of weight zero never comes."""
        points = generator.random(m) * self._sums[-1]
        rows: Array = np.minimum(np.searchsorted(self._sums, points, side="right"), self._last)
        return rows

    @property
    def _last(self) -> int:
        """The last row with a positive weight: rounding may lift a point up to the total."""
        return int(np.searchsorted(self._sums, self._sums[-1], side="left"))


def by_rejection(k: int, propose: Callable[[int], tuple[Array, Array]], proposals: Proposals, budget: float) -> Array:
    """Draw up to k different rows by proposing blocks and thinning them.

    Args:
        k: Wanted length of the answer.
        propose: Takes m; returns (rows, accepted mask) of m independent proposals.
        proposals: Running estimate; sizes the blocks.
        budget: Give up after so many proposals; the answer may then be shorter than k.

    Returns:
        The rows, int64, in the order of their acceptance.

    Cost: O(k log k) expected, and the proposals that the rows need.
    """
    found: Array = np.empty(0, dtype=np.int64)
    made = 0
    while len(found) < k and made < budget:
        m = min(int(1.2 * (k - len(found)) * proposals.per_row) + 16, int(budget))
        rows, accepted = propose(m)
        kept = rows[accepted]
        proposals.observe(m, len(kept))
        made += m
        found = np.concatenate([found, kept])
        _, firsts = np.unique(found, return_index=True)
        if len(firsts) < len(found):
            found = found[np.sort(firsts)]
    return found[:k]


def by_keys(k: int, log_weights: Array, generator: np.random.Generator, chosen: Array | None = None) -> Array:
    """Draw up to k different rows by ranking all n by ``log w - log E`` with E exponential (Gumbel keys).

    Args:
        k: Wanted length of the answer, at most n.
        log_weights: Logarithms of the unnormalised probabilities, shape (n,).
        generator: Source of chance.
        chosen: Rows drawn before, which must not come again.

    Returns:
        ``chosen`` followed by new rows, int64, in the order of drawing.

    Cost: O(n + k log k).
    """
    before: Array = np.empty(0, dtype=np.int64) if chosen is None else np.asarray(chosen)
    keys = log_weights - np.log(generator.standard_exponential(len(log_weights)))
    keys[before] = -np.inf
    need = min(k, len(keys)) - len(before)
    if need <= 0:
        return before[:k]
    best = np.argpartition(keys, -need)[-need:]
    return np.concatenate([before, best[np.argsort(-keys[best], kind="stable")]])


def successively(
    k: int,
    n: int,
    propose: Callable[[int], tuple[Array, Array]],
    log_weights: Callable[[], Array],
    proposals: Proposals,
    generator: np.random.Generator,
    *,
    tries: float,
    sampler: Sampler = "auto",
) -> Int[Tensor, "k"]:
    """Draw k different rows out of n, or all n: by rejection where that is faster, else (or for what is missing then) by keys.

    Args:
        k: How many.
        n: Out of how many.
        propose: As for ``by_rejection``.
        log_weights: Makes the argument of ``by_keys``.
        proposals: Running estimate.
        generator: Source of chance.
        tries: Bound on the proposals that an accepted row needs on average; rejection gives up after 64 times that.
        sampler: ``"rejection"``, ``"dense"``, or ``"auto"`` for the faster one.
    """
    k, chosen = min(k, n), np.empty(0, dtype=np.int64)
    if proposals.prefers_rejection(sampler, n, k):
        chosen = by_rejection(k, propose, proposals, budget=64 * k * tries)
    return torch.from_numpy(chosen if len(chosen) == k else by_keys(k, log_weights(), generator, chosen))
