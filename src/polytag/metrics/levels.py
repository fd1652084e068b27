"""One level of a hierarchy at a time, the other labels left out; ``micro_f1_level_2`` and its kin exist for every level."""

from typing import Any

import numpy as np

from polytag.errors import ParameterError
from polytag.metrics.hierarchical_counts import Overlap, overlap
from polytag.metrics.outcome import Outcome
from polytag.metrics.spec import Detail, Undefined, mean_of, metric, quotient
from polytag.types import Array, ArrayLike


def _read(Y: Any, labels: ArrayLike | None, hierarchy: Any, level: int, close: bool) -> tuple[Overlap, Array, Array]:
    """Return the counts, the labels of the level as a mask, and how many of them are known of each instance."""
    outcome = Outcome.of(Y, labels=labels, hierarchy=hierarchy)
    depth = outcome.hierarchy.depth
    if not (level == int(level) and 1 <= level <= depth):
        raise ParameterError(f"expected a level from 1 (the top) to {depth}, the depth of the hierarchy, but got {level!r}")
    here = outcome.hierarchy.levels == level
    unknown = np.bincount(outcome.cells.unknown_rows[here[outcome.cells.unknown_columns]], minlength=outcome.cells.n)
    return overlap(outcome, close), here, here.sum() - unknown


@metric("level_accuracy", needs="labels")
def level_accuracy(Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None, level: int = 1, close: bool = False) -> Detail:
    """Share of instances whose labels of one level are exactly the true ones; with one label a level, the accuracy of that level.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        hierarchy: Which label implies which.
        level: Which level, from 1 at the top.
        close: Add the ancestors of true and predicted labels first; otherwise a level is judged by what was said about it alone.

    Example:
        >>> from polytag.hierarchy import Hierarchy
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")])
        >>> [level_accuracy([[1, 1, 0]], [[1, 0, 1]], hierarchy=h, level=level) for level in (1, 2)]
        [1.0, 0.0]
    """
    found, _, known = _read(Y, labels, hierarchy, level, close)
    return mean_of(np.where(known > 0, found.wrong_by_level[:, level - 1] == 0, np.nan))


@metric("level_micro_f1", needs="labels")
def level_micro_f1(
    Y: Any,
    labels: ArrayLike | None = None,
    *,
    hierarchy: Any = None,
    level: int = 1,
    close: bool = False,
    undefined: Undefined = "skip",
) -> Detail:
    """``micro_f1`` of the labels of one level.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        hierarchy: Which label implies which.
        level: Which level, from 1 at the top.
        close: Add the ancestors of true and predicted labels first.
        undefined: The value if nothing is true and nothing predicted on this level.
    """
    found, here, _ = _read(Y, labels, hierarchy, level, close)
    right, predicted, true = (part[here].sum() for part in (found.right_by_column, found.predicted_by_column, found.true_by_column))
    return mean_of(quotient(2 * right, predicted + true), undefined)


@metric("level_macro_f1", needs="labels")
def level_macro_f1(
    Y: Any,
    labels: ArrayLike | None = None,
    *,
    hierarchy: Any = None,
    level: int = 1,
    close: bool = False,
    undefined: Undefined = "skip",
) -> Detail:
    """``macro_f1`` of the labels of one level.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        hierarchy: Which label implies which.
        level: Which level, from 1 at the top.
        close: Add the ancestors of true and predicted labels first.
        undefined: What a label that is neither true nor predicted counts for.
    """
    found, here, _ = _read(Y, labels, hierarchy, level, close)
    right, predicted, true = (part[here] for part in (found.right_by_column, found.predicted_by_column, found.true_by_column))
    return mean_of(quotient(2 * right, predicted + true), undefined)
