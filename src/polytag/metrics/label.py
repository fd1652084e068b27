"""Metrics of labels: each label judged over the instances (macro), or all cells judged together (micro)."""

from typing import Any, Literal

import numpy as np

from polytag.errors import ParameterError
from polytag.metrics.outcome import Outcome
from polytag.metrics.pairs import Pairs
from polytag.metrics.spec import Detail, Undefined, mean_of, metric, quotient
from polytag.types import Array, ArrayLike

Ties = Literal["half", "full", "none"]
_CREDIT = {"half": 0.5, "full": 1.0, "none": 0.0}


def _auc(pairs: Pairs, ties: Ties) -> Array:
    if ties not in _CREDIT:
        raise ParameterError(f"expected ties to be 'half', 'full' or 'none', but got {ties!r}")
    return quotient(pairs.wins + _CREDIT[ties] * pairs.ties, pairs.positives * pairs.negatives)


@metric("macro_auc", needs="scores")
def macro_auc(Y: Any, scores: ArrayLike | None = None, *, undefined: Undefined = "skip", ties: Ties = "half") -> Detail:
    """Chance that an instance with a label scores above one without it, ties counting one half; mean over the labels.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        undefined: What a label with no positive, or with no negative, counts for.
        ties: Credit of a tied pair: half, full or none.

    Cost: one sort of each column, O(n q log n).

    Example:
        >>> macro_auc([[1, 0], [0, 1], [0, 0]], [[0.9, 0.2], [0.3, 0.4], [0.9, 0.1]])
        0.875
        >>> macro_auc.terms([[1, 0], [0, 0]], [[0.9, 0.2], [0.3, 0.4]]).used
        1
    """
    return mean_of(_auc(Outcome.of(Y, scores).by_label, ties), undefined)


@metric("micro_auc", needs="scores")
def micro_auc(Y: Any, scores: ArrayLike | None = None, *, undefined: Undefined = "skip", ties: Ties = "half") -> Detail:
    """Chance that a positive cell scores above a negative one, over all n q cells at once; needs scores comparable over labels.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        undefined: The value if there is no positive, or no negative.
        ties: Credit of a tied pair: half, full or none.
    """
    return mean_of(_auc(Outcome.of(Y, scores).overall, ties), undefined)


@metric("macro_ap", needs="scores")
def macro_ap(Y: Any, scores: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Average precision of each label (area under its precision-recall steps, tied scores forming one step); mean over the labels.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        undefined: What a label without positives counts for.
    """
    pairs = Outcome.of(Y, scores).by_label
    return mean_of(quotient(pairs.precision, pairs.positives), undefined)


@metric("micro_ap", needs="scores")
def micro_ap(Y: Any, scores: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Average precision over all n q cells at once; needs scores comparable over labels.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        undefined: The value if there is no positive.
    """
    pairs = Outcome.of(Y, scores).overall
    return mean_of(quotient(pairs.precision, pairs.positives), undefined)


def _counts(outcome: Outcome) -> tuple[Array, Array, Array]:
    """Return (right, predicted, true) of each label."""
    return outcome.sets.right_by_column, outcome.sets.predicted_by_column, outcome.cells.column_sizes


@metric("macro_f1", needs="labels")
def macro_f1(Y: Any, labels: ArrayLike | None = None, *, undefined: Undefined = "skip", beta: float = 1.0) -> Detail:
    """Harmonic mean of precision and recall of each label, ``2 TP / (2 TP + FP + FN)``; mean over the labels.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        undefined: What a label that is neither true nor predicted anywhere counts for: ``"zero"`` is scikit-learn's default.
        beta: Recall counts ``beta`` times as much as precision.

    Example:
        >>> macro_f1([[1, 0], [1, 0]], [[1, 0], [0, 0]]), macro_f1([[1, 0], [1, 0]], [[1, 0], [0, 0]], undefined="zero")
        (0.6666666666666666, 0.3333333333333333)
    """
    right, predicted, true = _counts(Outcome.of(Y, labels=labels))
    return mean_of(quotient((1 + beta**2) * right, predicted + beta**2 * true), undefined)


@metric("micro_f1", needs="labels")
def micro_f1(Y: Any, labels: ArrayLike | None = None, *, undefined: Undefined = "skip", beta: float = 1.0) -> Detail:
    """Harmonic mean of precision and recall over all n q cells at once.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        undefined: The value if nothing is true and nothing predicted.
        beta: Recall counts ``beta`` times as much as precision.
    """
    right, predicted, true = (part.sum() for part in _counts(Outcome.of(Y, labels=labels)))
    return mean_of(quotient((1 + beta**2) * right, predicted + beta**2 * true), undefined)


@metric("macro_precision", needs="labels")
def macro_precision(Y: Any, labels: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Share of a label's predictions that are right; mean over the labels.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        undefined: What a label that is never predicted counts for.
    """
    right, predicted, _ = _counts(Outcome.of(Y, labels=labels))
    return mean_of(quotient(right, predicted), undefined)


@metric("micro_precision", needs="labels")
def micro_precision(Y: Any, labels: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Share of all predictions that are right.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        undefined: The value if nothing is predicted.
    """
    right, predicted, _ = _counts(Outcome.of(Y, labels=labels))
    return mean_of(quotient(right.sum(), predicted.sum()), undefined)


@metric("macro_recall", needs="labels")
def macro_recall(Y: Any, labels: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Share of a label's instances that are found; mean over the labels.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        undefined: What a label without positives counts for.
    """
    right, _, true = _counts(Outcome.of(Y, labels=labels))
    return mean_of(quotient(right, true), undefined)


@metric("micro_recall", needs="labels")
def micro_recall(Y: Any, labels: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Share of all true cells that are found.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        undefined: The value if nothing is true.
    """
    right, _, true = _counts(Outcome.of(Y, labels=labels))
    return mean_of(quotient(right.sum(), true.sum()), undefined)


@metric("accuracy", needs="labels")
def accuracy(Y: Any, labels: ArrayLike | None = None) -> Detail:
    """Share of instances on which a label is right; mean over the labels (without unknown cells ``1 - hamming_loss``).

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
    """
    outcome = Outcome.of(Y, labels=labels)
    right, predicted, true = _counts(outcome)
    wrong = predicted + true - 2 * right
    return mean_of(1 - quotient(wrong, np.asarray(outcome.cells.column_known)))
