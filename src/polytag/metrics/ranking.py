"""Ranking metrics of instances: do the true labels of an instance stand above its other labels?"""

from typing import Any, Literal

import numpy as np

from polytag.errors import ParameterError
from polytag.metrics.outcome import Outcome
from polytag.metrics.spec import Detail, Undefined, mean_of, metric, quotient
from polytag.metrics.topk import hits
from polytag.types import Array, ArrayLike


def _known(outcome: Outcome, terms: Array) -> Array:
    """Leave out instances of which nothing is known."""
    return np.where(outcome.cells.row_known > 0, terms, np.nan)


@metric("example_auc", needs="scores")
def example_auc(Y: Any, scores: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Chance that a true label of an instance scores above a false one, ties counting one half; mean over instances.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        undefined: What an instance with no label, or with all, counts for.
    """
    pairs = Outcome.of(Y, scores).by_row
    return mean_of(quotient(pairs.wins + 0.5 * pairs.ties, pairs.positives * pairs.negatives), undefined)


@metric("ranking_loss", needs="scores", direction="min")
def ranking_loss(Y: Any, scores: ArrayLike | None = None, *, ties: float = 1.0, degenerate: Literal["zero", "skip"] = "zero") -> Detail:
    """Share of (true, false) label pairs in the wrong order, a tie counting as wrong; mean over all instances.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        ties: Error of a tied pair: 1, or 0.5 (then the loss is ``1 - example_auc`` on the same instances).
        degenerate: An instance with no label or with all has no pair: its loss is 0, or it is left out.

    Example:
        >>> ranking_loss([[1, 0, 0]], [[0.5, 0.9, 0.1]])
        0.5
    """
    if degenerate not in ("zero", "skip"):
        raise ParameterError(f"expected degenerate to be 'zero' or 'skip', but got {degenerate!r}")
    outcome = Outcome.of(Y, scores)
    pairs = outcome.by_row
    total = pairs.positives * pairs.negatives
    terms = quotient(total - pairs.wins - (1 - ties) * pairs.ties, total)
    return mean_of(terms if degenerate == "skip" else _known(outcome, np.where(total > 0, terms, 0.0)))


@metric("one_error", needs="scores", direction="min")
def one_error(Y: Any, scores: ArrayLike | None = None, *, empty: Literal["error", "skip"] = "error") -> Detail:
    """Share of instances whose highest label is false; of equal scores the lower label number is the highest.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        empty: An instance without labels is an error, or is left out.
    """
    if empty not in ("error", "skip"):
        raise ParameterError(f"expected empty to be 'error' or 'skip', but got {empty!r}")
    outcome = Outcome.of(Y, scores)
    terms = np.ones(outcome.cells.n)
    terms[outcome.cells.rows[hits(outcome, 1).cells]] = 0.0
    if empty == "skip":
        terms[outcome.cells.row_sizes == 0] = np.nan
    return mean_of(_known(outcome, terms))


@metric("coverage_error", needs="scores", range=(0.0, np.inf), direction="min")
def coverage_error(Y: Any, scores: ArrayLike | None = None) -> Detail:
    """How far down the ranking one must go to meet all true labels: mean rank of the lowest, counted from 1.

    The worst rank counts in a tie; an instance without labels counts as 0.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
    """
    outcome = Outcome.of(Y, scores)
    return mean_of(_known(outcome, outcome.by_row.depth.astype(np.float64)))


@metric("coverage", needs="scores", range=(-1.0, np.inf), direction="min")
def coverage(Y: Any, scores: ArrayLike | None = None, *, empty: Literal["minus", "zero"] = "minus") -> Detail:
    """Steps down the ranking beyond the first label: ``coverage_error - 1``.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        empty: An instance without labels counts as -1, as published codes have it, or as 0.

    Reference: Zhang, Zhou, "A review on multi-label learning algorithms", TKDE 2014.
    """
    if empty not in ("minus", "zero"):
        raise ParameterError(f"expected empty to be 'minus' or 'zero', but got {empty!r}")
    outcome = Outcome.of(Y, scores)
    return mean_of(_known(outcome, np.maximum(outcome.by_row.depth - 1.0, 0.0 if empty == "zero" else -1.0)))


@metric("coverage_norm", needs="scores", range=(-1.0, 1.0), direction="min")
def coverage_norm(Y: Any, scores: ArrayLike | None = None, *, empty: Literal["minus", "zero"] = "minus") -> Detail:
    """Coverage as a share of the labels: ``(coverage_error - 1) / q``.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        empty: An instance without labels counts as -1/q, as published codes have it, or as 0.
    """
    outcome = Outcome.of(Y, scores)
    return mean_of(coverage.terms(outcome, empty=empty).terms / outcome.cells.q)


@metric("lrap", needs="scores")
def lrap(Y: Any, scores: ArrayLike | None = None, *, empty: Literal["one", "skip"] = "one") -> Detail:
    """Label-ranking average precision: for each true label, the share of true labels among those that score at least as high.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        empty: An instance without labels counts as 1, or is left out.
    """
    if empty not in ("one", "skip"):
        raise ParameterError(f"expected empty to be 'one' or 'skip', but got {empty!r}")
    outcome = Outcome.of(Y, scores)
    terms = quotient(outcome.by_row.precision, outcome.by_row.positives)
    return mean_of(terms if empty == "skip" else _known(outcome, np.where(outcome.by_row.positives > 0, terms, 1.0)))
