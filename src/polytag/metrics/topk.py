"""The k highest labels of each instance: precision, recall, nDCG and propensity-scored precision at k."""

from typing import Any, NamedTuple

import numpy as np

from polytag.errors import ParameterError
from polytag.metrics.cells import Cells
from polytag.metrics.outcome import Outcome
from polytag.metrics.spec import Detail, Metric, Undefined, mean_of, metric, quotient, variant
from polytag.types import Array, ArrayLike


class Hits(NamedTuple):
    """Positive cells among the k highest of their instance: place in ``cells.rows`` and rank from 0."""

    cells: Array
    ranks: Array


def hits(outcome: Outcome, k: int) -> Hits:
    """Return the positives that rank among the k highest of their instance; of equal scores the lower label number ranks first.

    Cost: O(positives + k * candidates); rows in which a candidate is tied are sorted stably.
    """
    if k < 1 or k != int(k):
        raise ParameterError(f"expected a whole k of at least 1, but got {k!r}")
    return outcome.remember(("hits", int(k)), lambda: _find_hits(outcome, int(k)))


def _find_hits(outcome: Outcome, k: int) -> Hits:
    cells, window = outcome.cells, outcome.window_of(k + 1)  # one more than k shows whether the last of the k is tied with the next
    candidates = np.flatnonzero(outcome.found >= window[cells.rows, max(0, window.shape[1] - k)])
    rows, own = cells.rows[candidates], outcome.found[candidates]
    higher, equal = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    for column in window.T:
        higher += column[rows] > own
        equal += column[rows] == own
    tied = equal > 1
    ranks = higher
    ranks[tied] = stable_ranks(outcome, rows[tied], cells.columns[candidates[tied]])
    inside = ranks < k
    return Hits(candidates[inside], ranks[inside])


def stable_ranks(outcome: Outcome, rows: Array, columns: Array) -> Array:
    """Rank cells (rows ascending) within their instances by falling score, then rising label number; unknown cells come last."""
    ranks = np.empty(len(rows), dtype=np.int64)
    q, cells = outcome.cells.q, outcome.cells
    affected, places = np.unique(rows, return_inverse=True)
    step = max(1, 2**21 // q)
    for lower in range(0, len(affected), step):
        part = affected[lower : lower + step]
        falling = -outcome.scores[part]
        if len(cells.unknown_rows):
            hidden = np.zeros(falling.shape, dtype=bool)
            inside = np.isin(cells.unknown_rows, part)
            hidden[np.searchsorted(part, cells.unknown_rows[inside]), cells.unknown_columns[inside]] = True
            order = np.lexsort((falling, hidden), axis=1)
        else:
            order = np.argsort(falling, axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.broadcast_to(np.arange(q), order.shape), axis=1)
        own = (places >= lower) & (places < lower + step)
        ranks[own] = rank[places[own] - lower, columns[own]]
    return ranks


def _prepare(Y: Any, scores: ArrayLike | None, k: int) -> Outcome:
    if isinstance(Y, Outcome):
        return Y
    outcome = Outcome(Y, scores)
    outcome.window = max(1, int(k)) + 1
    return outcome


def _known(outcome: Outcome, terms: Array) -> Array:
    """Leave out instances of which nothing is known."""
    return np.where(outcome.cells.row_known > 0, terms, np.nan)


@metric("precision_at_k", needs="scores")
def precision_at_k(Y: Any, scores: ArrayLike | None = None, *, k: int = 5) -> Detail:
    """Share of true labels among the k highest: ``hits / k``, averaged over all instances.

    The denominator is always k, and an instance without labels counts as 0. Of equal scores the lower label number ranks first.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        k: How many labels are shown.

    Example:
        >>> precision_at_k([[1, 0, 1]], [[0.9, 0.8, 0.1]], k=2)
        0.5
    """
    outcome = _prepare(Y, scores, k)
    inside = hits(outcome, k)
    return mean_of(_known(outcome, np.bincount(outcome.cells.rows[inside.cells], minlength=outcome.cells.n) / k))


@metric("recall_at_k", needs="scores")
def recall_at_k(Y: Any, scores: ArrayLike | None = None, *, k: int = 5, undefined: Undefined = "skip") -> Detail:
    """Share of an instance's labels that are among the k highest: ``hits / |Y_i|``, averaged over instances.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        k: How many labels are shown.
        undefined: What an instance without labels counts for.
    """
    outcome = _prepare(Y, scores, k)
    inside = hits(outcome, k)
    found = np.bincount(outcome.cells.rows[inside.cells], minlength=outcome.cells.n)
    return mean_of(quotient(found, outcome.cells.row_sizes), undefined)


@metric("ndcg_at_k", needs="scores")
def ndcg_at_k(Y: Any, scores: ArrayLike | None = None, *, k: int = 5) -> Detail:
    """Discounted gain of the k highest labels: hits weigh ``1 / log2(rank + 1)``, divided by the best possible sum.

    An instance without labels counts as 0. Of equal scores the lower label number ranks first.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        k: How many labels are shown.

    Differs: from scikit-learn's ``ndcg_score`` where scores are tied: that one averages over the orders of ties, or, with
        ``ignore_ties=True``, ranks the higher label number first.
    """
    outcome = _prepare(Y, scores, k)
    cells, inside = outcome.cells, hits(outcome, k)
    discount = 1 / np.log2(np.arange(2, min(k, cells.q) + 2))
    gain = np.bincount(cells.rows[inside.cells], weights=discount[inside.ranks], minlength=cells.n)
    ideal = np.concatenate([[1.0], np.cumsum(discount)])[np.minimum(cells.row_sizes, len(discount))]
    return mean_of(_known(outcome, gain / ideal))


@metric("psp_at_k", needs="scores")
def psp_at_k(
    Y: Any,
    scores: ArrayLike | None = None,
    *,
    k: int = 5,
    train_labels: ArrayLike | None = None,
    a: float = 0.55,
    b: float = 1.5,
    normalize: bool = True,
    undefined: Undefined = "skip",
) -> Detail:
    """Precision at k in which rare labels weigh more: ``sum of 1/p over the hits / the same for the best possible ranking``.

    ``1 / p_j = 1 + C (n_j + b)^-a`` with ``C = (log N - 1)(b + 1)^a``, where label j has ``n_j`` positives among N training rows.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        k: How many labels are shown.
        train_labels: The labels of the training rows, from which propensities come; ``None`` takes Y itself.
        a: Exponent; 0.5 for Wikipedia-like, 0.6 for Amazon-like sets.
        b: Shift; 0.4 and 2.6 there.
        normalize: Divide by the best possible sum (a ratio of sums over instances); otherwise by n k.
        undefined: The value if no instance has a label.

    Reference: Jain, Prabhu, Varma, "Extreme multi-label loss functions for recommendation, tagging, ranking & other missing label
        applications", KDD 2016.
    """
    outcome = _prepare(Y, scores, k)
    cells, inside = outcome.cells, hits(outcome, k)
    train = cells if train_labels is None else Cells.from_labels(train_labels, "train_labels")
    if train.q != cells.q:
        raise ParameterError(f"expected train_labels with {cells.q} labels, as Y has, but got {train.q}")
    weights = inverse_propensities(train.column_sizes, train.n, a, b)
    gain = np.bincount(cells.rows[inside.cells], weights=weights[cells.columns[inside.cells]], minlength=cells.n)
    if not normalize:
        return mean_of(_known(outcome, gain / k))
    order = np.argsort(-weights, kind="stable")
    place = np.argsort(order, kind="stable")
    best = np.sort(cells.rows * cells.q + place[cells.columns])
    starts = np.cumsum(cells.row_sizes) - cells.row_sizes
    best = best[np.arange(len(best)) - starts[cells.rows] < k]
    return mean_of(quotient(gain.sum(), weights[order[best % cells.q]].sum()), undefined)


def inverse_propensities(counts: Array, n: int, a: float = 0.55, b: float = 1.5) -> Array:
    """Return how much a label weighs by its rarity, ``1 + C (n_j + b)^-a``; never below 1, also for n < 3.

    Args:
        counts: Positives of each label among the training rows, shape (q,).
        n: Number of training rows.
        a: Exponent.
        b: Shift.
    """
    c = max(np.log(max(n, 1)) - 1, 0.0) * (b + 1) ** a
    return np.asarray(1 + c * (np.asarray(counts, dtype=np.float64) + b) ** -a)


def _at(general: Metric[...], k: int) -> Metric[...]:
    """Give the metric at one k its own name."""
    first = (general.__doc__ or "").splitlines()[0]
    return variant(f"{general.name.removesuffix('_k')}_{k}", general, f"``{general.name}`` with k = {k}. {first}", k=k)


precision_at_1, precision_at_3, precision_at_5 = (_at(precision_at_k, k) for k in (1, 3, 5))
recall_at_1, recall_at_3, recall_at_5 = (_at(recall_at_k, k) for k in (1, 3, 5))
ndcg_at_1, ndcg_at_3, ndcg_at_5 = (_at(ndcg_at_k, k) for k in (1, 3, 5))
psp_at_1, psp_at_3, psp_at_5 = (_at(psp_at_k, k) for k in (1, 3, 5))
