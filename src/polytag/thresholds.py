"""From probabilities to label sets: above which probability a label is predicted.

Every rule has ``fit(proba, Y)`` (on validation rows, never on test rows) and ``predict(proba)``; the rule is strict, ``proba > cut``.
"""

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from jaxtyping import Bool, Float

from polytag.errors import DataError, ParameterError, UnknownNameError
from polytag.registry import unknown
from polytag.types import Array, ArrayLike

if TYPE_CHECKING:
    from polytag.hierarchy import Hierarchy

GRID = np.round(np.concatenate([np.arange(1, 11) / 100, np.arange(15, 100, 5) / 100]), 2)
"""The 27 cuts .01, .02 ... .10, .15, .20 ... .95 that MPVAE and its successors search."""


class Threshold(abc.ABC):
    """A rule that cuts probabilities, one cut a label.

    Attributes:
        values: The cut of each label, shape (q,), after ``fit``.
    """

    values: Float[np.ndarray, "q"]

    @staticmethod
    def named(rule: Any, hierarchy: "Hierarchy | None" = None) -> "Threshold":
        """Return a rule by name, from a number or an array of cuts, or the rule itself.

        Args:
            rule: ``"f1"``, ``"label_f1"``, ``"cardinality"`` or ``"level_f1"``; a number; one number a label; or ``{1: 0.5, 2: 0.6}``, one
                a level.
            hierarchy: Which label implies which, for the two rules that have a cut for each level; the others do not look at it.

        Raises:
            UnknownNameError: There is no such rule.
        """
        if isinstance(rule, Threshold):
            return rule
        if isinstance(rule, TopK):
            raise ParameterError(
                "expected a rule that cuts probabilities, but TopK has no cuts; call its predict(proba) on the probabilities"
            )
        if isinstance(rule, Mapping):
            return LevelCuts(rule, hierarchy)
        if not isinstance(rule, str):
            return Fixed(rule)
        if rule not in _RULES:
            raise UnknownNameError(unknown("threshold rule", rule, list(_RULES)))
        return LevelF1(hierarchy) if rule == "level_f1" else _RULES[rule]()

    @abc.abstractmethod
    def fit(self, proba: ArrayLike, Y: ArrayLike) -> Self:
        """Choose the cuts on probabilities (n, q) and true labels (n, q); unknown (NaN) cells take no part. Returns itself."""

    def predict(self, proba: ArrayLike) -> Bool[np.ndarray, "n q"]:
        """Return the predicted label sets, ``proba > values``, shape (n, q)."""
        if not hasattr(self, "values"):
            raise ParameterError(f"{type(self).__name__} has no cuts yet; call fit(proba, Y) on validation rows first")
        return np.asarray(_dense(proba, "probabilities") > self.values)


class Fixed(Threshold):
    """The same cut for all data: a number for all labels, or one a label.

    Args:
        cut: The cut or cuts; 0.5 on probabilities, 0 on logits.

    Example:
        >>> Fixed(0.5).fit(np.zeros((1, 2)), np.zeros((1, 2))).predict(np.array([[0.5, 0.7]]))
        array([[False,  True]])
    """

    def __init__(self, cut: float | ArrayLike = 0.5) -> None:
        self.cut = np.asarray(cut, dtype=np.float64)
        if self.cut.ndim > 1 or np.isnan(self.cut).any():
            raise ParameterError(f"expected a cut that is a number, or one number a label, but got {cut!r}")
        if self.cut.ndim == 1:
            self.values = self.cut

    def fit(self, proba: ArrayLike, Y: ArrayLike) -> Self:
        """Give every label its cut; nothing is learned."""
        q = proba.shape[1]
        if self.cut.shape not in ((), (q,)):
            raise ParameterError(f"expected one cut or {q} (one a label), but got {self.cut.shape[0]}")
        self.values = np.broadcast_to(self.cut, (q,)).copy()
        return self


class GlobalF1(Threshold):
    """One cut for all labels, the one with the highest F1 on the rows it was fitted on; of equal ones the nearest to 0.5.

    Args:
        average: Which F1: ``"micro"`` or ``"macro"`` (a label that is neither true nor predicted counts 0).
        grid: The cuts that are tried; None tries every cut that makes a difference (micro only).

    Cost: O(n q log(grid)), without a grid O(n q log(n q)).
    """

    def __init__(self, average: Literal["micro", "macro"] = "micro", grid: ArrayLike | None = GRID) -> None:
        if average not in ("micro", "macro") or (grid is None and average == "macro"):
            raise ParameterError(f"expected average='micro', or average='macro' with a grid, but got average={average!r} and grid={grid!r}")
        self.average, self.grid = average, grid

    def fit(self, proba: ArrayLike, Y: ArrayLike) -> Self:
        """Choose the cut."""
        scores, labels = _pair(proba, Y)
        if self.grid is None:
            known = ~np.isnan(labels)
            cut = _best_cut(scores[known], labels[known] == 1)
        else:
            grid = _checked(self.grid)
            right, predicted, true = _counts(scores, labels, grid)
            if self.average == "micro":
                value = _f1(right.sum(axis=0), predicted.sum(axis=0), true.sum())
            else:
                value = _f1(right, predicted, true[:, None]).mean(axis=0)
            cut = _nearest(grid, value == value.max()) if value.max() > 0 else 0.5
        self.values = np.full(scores.shape[1], cut)
        return self


class LabelF1(Threshold):
    """For each label the cut with the highest F1 on the rows it was fitted on; 0.5 for a label without positives there.

    Args:
        grid: The cuts that are tried, of equal ones the nearest to 0.5 is taken; None tries every cut that makes a difference.

    Cost: O(n q log(grid)), without a grid O(n q log n).
    """

    def __init__(self, grid: ArrayLike | None = GRID) -> None:
        self.grid = grid

    def fit(self, proba: ArrayLike, Y: ArrayLike) -> Self:
        """Choose the cuts."""
        scores, labels = _pair(proba, Y)
        self.values = np.full(scores.shape[1], 0.5)
        if self.grid is None:
            for column in np.flatnonzero((labels == 1).any(axis=0)):
                known = ~np.isnan(labels[:, column])
                self.values[column] = _best_cut(scores[known, column], labels[known, column] == 1)
            return self
        grid = _checked(self.grid)
        right, predicted, true = _counts(scores, labels, grid)
        value = _f1(right, predicted, true[:, None])
        for column in np.flatnonzero(value.max(axis=1) > 0):
            self.values[column] = _nearest(grid, value[column] == value[column].max())
        return self


class _OfLevels(Threshold):
    """What rules with a cut for each level share: they predict a label only where all labels above it are predicted."""

    def __init__(self, hierarchy: "Hierarchy | None") -> None:
        self.hierarchy = hierarchy

    def predict(self, proba: ArrayLike) -> Bool[np.ndarray, "n q"]:
        """Return the predicted label sets, ``proba > values`` for the label and all above it, shape (n, q)."""
        return self._above().mend(super().predict(proba), "down")

    def _above(self) -> "Hierarchy":
        if self.hierarchy is None:
            raise ParameterError(
                f"{type(self).__name__} has a cut for each level of a hierarchy, but knows of none; pass hierarchy=, such as that of the "
                "data set (dataset.hierarchy)"
            )
        return self.hierarchy

    def _led(self, chosen: Array, level: int) -> Array:
        """Return whether all parents of each label of a level are chosen, shape (n, labels of the level)."""
        hierarchy = self._above()
        child, parent = hierarchy.edges[hierarchy.levels[hierarchy.edges[:, 0]] == level].T  # ordered by child
        if level == 1:
            return np.ones((len(chosen), len(hierarchy.by_level[0])), dtype=bool)
        return np.asarray(np.logical_and.reduceat(chosen[:, parent], np.unique(child, return_index=True)[1], axis=1))


class LevelCuts(_OfLevels):
    """A given cut for each level of a hierarchy; a label is predicted only where all labels above it are.

    With cuts that rise from the top down, an unsure prediction stops at a parent.

    Args:
        cuts: The cut of each level, from the top: ``{1: 0.5, 2: 0.6}`` or an array of them.
        hierarchy: Which label implies which.

    Raises:
        ParameterError: There is not exactly one number for each level.

    Example:
        >>> from polytag.hierarchy import Hierarchy
        >>> h = Hierarchy.from_edges([("animal", "cat")])
        >>> LevelCuts({1: 0.5, 2: 0.8}, h).predict(np.array([[0.9, 0.7], [0.4, 0.9]]))
        array([[ True, False],
               [False, False]])
    """

    def __init__(self, cuts: Mapping[Any, float] | ArrayLike, hierarchy: "Hierarchy | None" = None) -> None:
        super().__init__(hierarchy)
        self.cuts = cuts
        if hierarchy is not None:
            self.values = self._of_each(hierarchy)

    def fit(self, proba: ArrayLike, Y: ArrayLike) -> Self:
        """Give every label the cut of its level; nothing is learned."""
        self.values = self._of_each(self._above())
        return self

    def _of_each(self, hierarchy: "Hierarchy") -> Array:
        levels = [str(level) for level in range(1, hierarchy.depth + 1)]
        given = self.cuts if isinstance(self.cuts, Mapping) else dict(enumerate(np.atleast_1d(self.cuts), start=1))
        cuts = {str(level): float(cut) for level, cut in given.items()}
        if set(cuts) != set(levels) or np.isnan(list(cuts.values())).any():
            raise ParameterError(f"expected a cut for each of the levels 1 to {hierarchy.depth}, but got {self.cuts!r}")
        return np.asarray(np.array([cuts[level] for level in levels])[hierarchy.levels - 1])


class LevelF1(_OfLevels):
    """For each level of a hierarchy the cut with the highest micro F1 of its labels; a label is predicted only where all above it are.

    Levels are cut one after the other from the top, so that the F1 of a level is that of what will be predicted, labels without a
    predicted parent left out. A level without positives in these rows is cut at 0.5; of equal cuts the nearest to 0.5 is taken.

    Args:
        hierarchy: Which label implies which.
        grid: The cuts that are tried.

    Cost: O(n q log(grid) + n edges).
    """

    def __init__(self, hierarchy: "Hierarchy | None" = None, grid: ArrayLike = GRID) -> None:
        super().__init__(hierarchy)
        self.grid = grid

    def fit(self, proba: ArrayLike, Y: ArrayLike) -> Self:
        """Choose the cuts."""
        scores, labels = _pair(proba, Y)
        hierarchy, grid = self._above(), _checked(self.grid)
        if hierarchy.q != scores.shape[1]:
            raise DataError(f"expected probabilities of the {hierarchy.q} labels of the hierarchy, but got {scores.shape[1]}")
        self.values = np.full(hierarchy.q, 0.5)
        chosen = np.zeros(scores.shape, dtype=bool)
        for level, here in enumerate(hierarchy.by_level, start=1):
            reached = np.where(self._led(chosen, level), scores[:, here], -np.inf)
            right, predicted, true = _counts(reached, labels[:, here], grid)
            value = _f1(right.sum(axis=0), predicted.sum(axis=0), true.sum())
            if value.max() > 0:
                self.values[here] = _nearest(grid, value == value.max())
            chosen[:, here] = reached > self.values[here]
        return self


class CardinalityMatched(Threshold):
    """The cut with which as many labels are predicted as are true on the rows it was fitted on.

    Args:
        per_label: One cut a label, which matches that label's frequency; otherwise one for all, which matches the mean number of labels.

    Cost: O(n q log n).

    Reference: Read, Pfahringer, Holmes, "Multi-label classification using ensembles of pruned sets", ICDM 2008 (PCut).
    """

    def __init__(self, per_label: bool = False) -> None:
        self.per_label = per_label

    def fit(self, proba: ArrayLike, Y: ArrayLike) -> Self:
        """Choose the cut or cuts."""
        scores, labels = _pair(proba, Y)
        known = ~np.isnan(labels)
        if not self.per_label:
            self.values = np.full(scores.shape[1], _matching_cut(scores[known], int((labels == 1).sum())))
            return self
        columns = zip(scores.T, labels.T, known.T)
        self.values = np.array([_matching_cut(score[here], int((label == 1).sum())) for score, label, here in columns])
        return self


class TopK:
    """Predict the k most probable labels of every instance; of equal probabilities the lower label number comes first.

    Args:
        k: How many; None takes the mean number of labels of the rows it is fitted on, rounded, at least 1.
    """

    def __init__(self, k: int | None = None) -> None:
        if k is not None and (k < 1 or k != int(k)):
            raise ParameterError(f"expected a whole k of at least 1, or None, but got {k!r}")
        self.k = k
        self.count = k

    def fit(self, proba: ArrayLike, Y: ArrayLike) -> Self:
        """Choose k, unless it was given."""
        if self.k is None:
            _, labels = _pair(proba, Y)
            self.count = max(1, round(float((labels == 1).sum()) / len(labels)))
        return self

    def predict(self, proba: ArrayLike) -> Bool[np.ndarray, "n q"]:
        """Return the predicted label sets, shape (n, q)."""
        if self.count is None:
            raise ParameterError("TopK without k has to be fitted first: fit(proba, Y)")
        scores = _dense(proba, "probabilities")
        chosen = np.zeros(scores.shape, dtype=bool)
        np.put_along_axis(chosen, np.argsort(-scores, axis=1, kind="stable")[:, : self.count], True, axis=1)
        return chosen


_RULES: dict[str, type[Threshold]] = {"f1": GlobalF1, "label_f1": LabelF1, "cardinality": CardinalityMatched, "level_f1": LevelF1}


def _dense(values: ArrayLike, what: str) -> Array:
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    array = np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(f"expected {what} of shape (n, q), but got shape {array.shape}")
    return array


def _pair(proba: ArrayLike, Y: ArrayLike) -> tuple[Array, Array]:
    """Return scores and labels (NaN = unknown) as float64, checked against each other."""
    scores, labels = _dense(proba, "probabilities"), _dense(Y, "Y")
    if scores.shape != labels.shape:
        raise DataError(f"expected probabilities and Y of one shape, but got {scores.shape} and {labels.shape}")
    if np.isnan(scores).any():
        raise DataError("expected probabilities without NaN; has the training diverged?")
    return scores, labels


def _checked(grid: ArrayLike) -> Array:
    array = np.unique(np.asarray(grid, dtype=np.float64))
    if array.size == 0 or np.isnan(array).any():
        raise ParameterError(f"expected a grid of at least one cut, without NaN, but got {grid!r}")
    return array


def _counts(scores: Array, labels: Array, grid: Array) -> tuple[Array, Array, Array]:
    """Return right and predicted (q, grid), and true (q,), for every cut of an ascending grid at once."""
    q, bins = scores.shape[1], len(grid) + 1
    places = np.searchsorted(grid, scores, side="left") + bins * np.arange(q)  # how many cuts lie below the score
    above = []
    for cells in (labels == 1, ~np.isnan(labels)):
        histogram = np.bincount(places[cells], minlength=q * bins).reshape(q, bins)
        above.append(histogram[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:])
    return above[0], above[1], (labels == 1).sum(axis=0)


def _f1(right: Array, predicted: Array, true: Array) -> Array:
    return np.asarray(2 * right / np.maximum(predicted + true, 1))


def _nearest(grid: Array, best: Array) -> float:
    candidates = grid[best]
    return float(candidates[np.argmin(np.abs(candidates - 0.5))])


def _between(falling: Array, count: int) -> float:
    """Return a cut with exactly the first ``count`` of falling scores above it (the next one must be lower)."""
    if count == 0:
        return float(falling[0])
    upper = falling[count - 1]
    if count == len(falling):
        return float(np.nextafter(upper, -np.inf))
    middle = falling[count] + (upper - falling[count]) / 2
    return float(middle if middle < upper else falling[count])


def _best_cut(scores: Array, positive: Array) -> float:
    """Return the cut with the highest F1 among all that make a difference; 0.5 without positives."""
    if not positive.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    falling, right = scores[order], np.cumsum(positive[order])
    value = _f1(right, np.arange(1, len(falling) + 1), right[-1])
    value[:-1][falling[1:] == falling[:-1]] = -1  # no cut passes between equal scores
    return _between(falling, int(np.argmax(value)) + 1)


def _matching_cut(scores: Array, wanted: int) -> float:
    """Return the cut above which the number of scores is nearest to ``wanted``; of two equally near, the smaller number."""
    if scores.size == 0:
        return 0.5
    falling = -np.sort(-scores)
    counts = np.concatenate([[0], np.flatnonzero(falling[1:] < falling[:-1]) + 1, [len(falling)]])
    return _between(falling, int(counts[np.argmin(np.abs(counts - wanted))]))
