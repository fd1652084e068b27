"""Metrics of label sets, instance by instance: does the predicted set equal, meet or miss the true one?"""

from typing import Any

import numpy as np

from polytag.metrics.outcome import Outcome
from polytag.metrics.spec import Detail, Undefined, mean_of, metric, quotient
from polytag.types import Array, ArrayLike


def _counts(outcome: Outcome) -> tuple[Array, Array, Array]:
    """Return (right, predicted, true) of each instance."""
    return outcome.sets.right_by_row, outcome.sets.predicted_by_row, outcome.cells.row_sizes


@metric("example_f1", needs="labels")
def example_f1(Y: Any, labels: ArrayLike | None = None, *, undefined: Undefined = "skip", beta: float = 1.0) -> Detail:
    """Harmonic mean of precision and recall of each instance's label set; mean over instances.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        undefined: What an instance with no label and none predicted counts for: ``"zero"`` is scikit-learn's default.
        beta: Recall counts ``beta`` times as much as precision.

    Example:
        >>> example_f1([[1, 1, 0]], [[1, 0, 0]])
        0.6666666666666666
    """
    right, predicted, true = _counts(Outcome.of(Y, labels=labels))
    return mean_of(quotient((1 + beta**2) * right, predicted + beta**2 * true), undefined)


@metric("example_precision", needs="labels")
def example_precision(Y: Any, labels: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Share of an instance's predicted labels that are true; mean over instances.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        undefined: What an instance with nothing predicted counts for.
    """
    right, predicted, _ = _counts(Outcome.of(Y, labels=labels))
    return mean_of(quotient(right, predicted), undefined)


@metric("example_recall", needs="labels")
def example_recall(Y: Any, labels: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Share of an instance's true labels that are predicted; mean over instances.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        undefined: What an instance without labels counts for.
    """
    right, _, true = _counts(Outcome.of(Y, labels=labels))
    return mean_of(quotient(right, true), undefined)


@metric("jaccard", needs="labels")
def jaccard(Y: Any, labels: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Overlap of the true and the predicted set, ``|both| / |either|``; mean over instances.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        undefined: What an instance with no label and none predicted counts for.
    """
    right, predicted, true = _counts(Outcome.of(Y, labels=labels))
    return mean_of(quotient(right, predicted + true - right), undefined)


@metric("subset_accuracy", needs="labels")
def subset_accuracy(Y: Any, labels: ArrayLike | None = None) -> Detail:
    """Share of instances whose label set is predicted without any error.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
    """
    outcome = Outcome.of(Y, labels=labels)
    right, predicted, true = _counts(outcome)
    same = (right == predicted) & (right == true)
    return mean_of(np.where(outcome.cells.row_known > 0, same.astype(np.float64), np.nan))


@metric("hamming_loss", needs="labels", direction="min")
def hamming_loss(Y: Any, labels: ArrayLike | None = None) -> Detail:
    """Share of wrong cells. The terms are each instance's share; the value weighs instances by their known cells.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
    """
    outcome = Outcome.of(Y, labels=labels)
    right, predicted, true = _counts(outcome)
    wrong, known = predicted + true - 2 * right, outcome.cells.row_known
    terms = quotient(wrong, known)
    return Detail(float(quotient(wrong.sum(), known.sum())[0]), terms, int(np.count_nonzero(known)))
