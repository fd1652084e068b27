"""Truth beside prediction: the one object from which every metric reads, so that each ranking is made once."""

import copy
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from polytag.errors import ParameterError
from polytag.hierarchy import Hierarchy
from polytag.metrics.cells import Cells, as_hierarchy, dense, read_scores, read_threshold
from polytag.metrics.pairs import Pairs, count_pairs, positions, summarize
from polytag.types import Array, ArrayLike

T = TypeVar("T")
BLOCK = 2**21  # cells that are copied and sorted at a time: 16 MB of float64


class Sets(NamedTuple):
    """Counts of the predicted label sets: positives predicted, and those of them that are right."""

    predicted_by_row: Array
    predicted_by_column: Array
    right_by_row: Array
    right_by_column: Array


class Outcome:
    """What was true and what was predicted, prepared so that many metrics share the costly counts.

    Every metric takes an ``Outcome`` in the place of Y. Cells of Y that are NaN are unknown and take no part in any metric.

    Args:
        Y: Labels (n, q), dense or sparse; 0, 1 or NaN.
        scores: Scores (n, q), higher is more likely; float32 stays float32.
        labels: Predicted label sets (n, q), dense or sparse.
        threshold: Cut of the scores, ``score > threshold``: a number, one a label, or an object with ``values``; unused beside ``labels``.
        hierarchy: Which label implies which, a ``Hierarchy`` over the columns of Y; metrics of hierarchies need it.

    Cost: O(n q log q + n q log n) at first use of rankings; memory O(positives) besides blocks of
        some 64 MB (128 n bytes if that is more: fewer than 16 columns at a time would waste the reading).

    Example:
        >>> from polytag import metrics
        >>> outcome = metrics.Outcome([[1, 0], [0, 1]], [[0.9, 0.2], [0.4, 0.3]])
        >>> metrics.macro_auc(outcome), metrics.ranking_loss(outcome)
        (1.0, 0.5)
    """

    def __init__(
        self,
        Y: ArrayLike,
        scores: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        *,
        threshold: Any = None,
        hierarchy: Any = None,
    ) -> None:
        self.cells = Cells.from_labels(Y)
        shape = (self.cells.n, self.cells.q)
        self._scores = None if scores is None else read_scores(scores, shape)
        self._labels = labels
        self._threshold = None if threshold is None else read_threshold(threshold, shape[1])
        self._hierarchy = None if hierarchy is None else as_hierarchy(hierarchy, shape[1])
        self._memory: dict[Any, Any] = {}
        self.window = 6
        if labels is not None and tuple(labels.shape if hasattr(labels, "shape") else np.shape(labels)) != shape:
            raise ParameterError(f"expected predicted labels of the shape of Y, {shape}, but got {np.shape(labels)}")

    @classmethod
    def of(cls, Y: Any, scores: ArrayLike | None = None, labels: ArrayLike | None = None, *, hierarchy: Any = None) -> Self:
        """Return Y itself if it is an outcome already (under the hierarchy, if one is given), otherwise the outcome of these arrays."""
        if not isinstance(Y, cls):
            return cls(Y, scores, labels, hierarchy=hierarchy)
        return Y if hierarchy is None else Y.under(hierarchy)

    def under(self, hierarchy: Any) -> Self:
        """Return the same truth and predictions with a hierarchy over the labels."""
        if hierarchy is self._hierarchy:
            return self
        other = copy.copy(self)
        other._hierarchy = as_hierarchy(hierarchy, self.cells.q)
        other._memory = dict(self._memory) if self._hierarchy is None else {}
        return other

    def cut_at(self, threshold: Any) -> "Outcome":
        """Return the same truth and scores with the label sets ``score > threshold``."""
        other = copy.copy(self)
        other._labels, other._threshold, other._memory = None, read_threshold(threshold, self.cells.q), {}
        other.__dict__.pop("sets", None)
        return other

    @property
    def has_scores(self) -> bool:
        """Whether scores were given."""
        return self._scores is not None

    @property
    def has_sets(self) -> bool:
        """Whether label sets are known: given, or cut from the scores."""
        return self._labels is not None or (self.has_scores and self._threshold is not None)

    @property
    def has_hierarchy(self) -> bool:
        """Whether a hierarchy over the labels was given."""
        return self._hierarchy is not None

    @cached_property
    def has_probabilities(self) -> bool:
        """Whether all scores lie within [0, 1]."""
        return self._scores is not None and bool(self._scores.min() >= 0) and bool(self._scores.max() <= 1)

    @property
    def scores(self) -> Array:
        """Scores (n, q).

        Raises:
            ParameterError: None were given.
        """
        if self._scores is None:
            raise ParameterError("this metric ranks or calibrates scores, but none were given; pass scores of shape (n, q)")
        return self._scores

    @property
    def hierarchy(self) -> Hierarchy:
        """Which label implies which.

        Raises:
            ParameterError: No hierarchy was given.
        """
        if self._hierarchy is None:
            raise ParameterError(
                "this metric asks which label implies which, but no hierarchy was given; pass hierarchy=, such as that of the data set "
                "(dataset.hierarchy) or Hierarchy.from_edges(edges, names)"
            )
        return self._hierarchy

    @cached_property
    def by_label(self) -> Pairs:
        """Counts within each label, shape (q,)."""
        rows, columns = self.cells.by_column
        found, parts, start = self.scores[rows, columns], [], 0
        for lower, upper in blocks(self.cells.q, self.cells.n, least=16):
            values = np.array(self.scores[:, lower:upper].T, order="C")
            self._mask(values.T, slice(None), slice(lower, upper))
            values.sort(axis=1)
            sizes = self.cells.column_sizes[lower:upper]
            stop = start + int(sizes.sum())
            parts.append(count_pairs(values, found[start:stop], sizes, self.cells.column_known[lower:upper]))
            start = stop
        return Pairs(*(np.concatenate(part) for part in zip(*parts)))

    @cached_property
    def by_row(self) -> Pairs:
        """Counts within each instance, shape (n,)."""
        parts: list[Pairs] = []
        self._memory["window"] = self._sorted_rows(parts)
        return Pairs(*(np.concatenate(part) for part in zip(*parts)))

    @cached_property
    def overall(self) -> Pairs:
        """Counts over all cells at once, shape (1,)."""
        below, upto = self.places
        sizes, known = np.array([below.size]), np.array([self.cells.row_known.sum()])
        if not below.size:
            none = np.zeros(1, dtype=np.int64)
            return Pairs(sizes, known - sizes, none, none, np.zeros(1), none)
        return summarize(below, upto, sizes, known)

    @cached_property
    def places(self) -> tuple[Array, Array]:
        """How many cells score below, and how many up to and including, each positive cell, shape (1, positives), in ascending order."""
        own = np.sort(self.found)[None, :]
        below, upto = np.zeros(own.shape, dtype=np.int64), np.zeros(own.shape, dtype=np.int64)
        for lower, upper in blocks(self.cells.n, self.cells.q) if own.size else ():
            values = np.array(self.scores[lower:upper], order="C")
            self._mask(values, slice(lower, upper), slice(None))
            part = positions(np.sort(values, axis=None)[None, :], own)
            below += part[0]
            upto += part[1]
        return below, upto

    @cached_property
    def found(self) -> Array:
        """Scores of the positive cells, in the order of ``cells.rows``."""
        return np.asarray(self.scores[self.cells.rows, self.cells.columns])

    @cached_property
    def sets(self) -> Sets:
        """Counts of the predicted label sets.

        Raises:
            ParameterError: Neither ``labels`` nor ``threshold`` was given.
        """
        self._check_sets()
        by_row, by_column, right = self._count_sparse() if hasattr(self._labels, "tocsr") else self._count_dense()
        cells = self.cells
        right_by_row = np.bincount(cells.rows[right], minlength=cells.n)
        return Sets(by_row, by_column, right_by_row, np.bincount(cells.columns[right], minlength=cells.q))

    def predicted(self, members: int) -> Iterator[tuple[int, int, Array]]:
        """Yield first and last + 1 of blocks of instances, with the known cells that are predicted there as booleans.

        Args:
            members: What is counted for each instance; blocks are small enough for so many numbers.

        Raises:
            ParameterError: Neither ``labels`` nor ``threshold`` was given.
        """
        self._check_sets()
        if hasattr(self._labels, "tocsr"):
            whole = self.cells.matrix(*_chosen_cells(self.cells, self._labels))
            for lower, upper in blocks(self.cells.n, members):
                yield lower, upper, whole[lower:upper].toarray()
        else:
            yield from self._chosen(members)

    def remember(self, key: Any, compute: Callable[[], T]) -> T:
        """Return what was computed under this key before, or compute it now; for counts that several metrics share."""
        if key not in self._memory:
            self._memory[key] = compute()
        found: T = self._memory[key]
        return found

    def window_of(self, k: int) -> Array:
        """Return the k highest known scores of each instance in ascending order, shape (n, min(k, q)); missing ones are -inf."""
        k = min(k, self.cells.q)
        if k > self.window or "window" not in self._memory:
            self.window = max(k, self.window)
            self._memory["window"] = self._sorted_rows(None)
        window: Array = self._memory["window"]
        return window[:, window.shape[1] - k :]

    def _sorted_rows(self, parts: list[Pairs] | None) -> Array:
        """Sort the scores of each instance; return the highest ``window`` of them and count pairs into ``parts`` if it is given."""
        cells, width, start = self.cells, min(self.window, self.cells.q), 0
        window = np.empty((cells.n, width), dtype=self.scores.dtype)
        for lower, upper in blocks(cells.n, cells.q):
            values = np.array(self.scores[lower:upper], order="C")
            self._mask(values, slice(lower, upper), slice(None))
            values.sort(axis=1)
            sizes, known = cells.row_sizes[lower:upper], cells.row_known[lower:upper]
            window[lower:upper] = _highest(values, known, width)
            stop = start + int(sizes.sum())
            if parts is not None:
                parts.append(count_pairs(values, self.found[start:stop], sizes, known))
            start = stop
        return window

    def _mask(self, values: Array, rows: slice, columns: slice) -> None:
        """Put +inf in the place of unknown cells, so that sorting moves them to the end."""
        row, column = self.cells.unknown_rows, self.cells.unknown_columns
        if len(row):
            low, left = rows.start or 0, columns.start or 0
            inside = (row >= low) & (row < low + values.shape[0]) & (column >= left) & (column < left + values.shape[1])
            values[row[inside] - low, column[inside] - left] = np.inf

    def _check_sets(self) -> None:
        if not self.has_sets:
            raise ParameterError(
                "this metric compares label sets; pass labels (n, q), or scores with threshold= (labels are where score > threshold)"
            )

    def _chosen(self, members: int) -> Iterator[tuple[int, int, Array]]:
        """Yield blocks of instances with what is predicted there as booleans, unknown cells as False; for labels that are not sparse."""
        cells = self.cells
        given = None if self._labels is None else dense(self._labels, "labels")
        for lower, upper in blocks(cells.n, members):
            chosen = self.scores[lower:upper] > self._exact_threshold() if given is None else _as_bool(given[lower:upper])
            inside = (cells.unknown_rows >= lower) & (cells.unknown_rows < upper)
            if inside.any():
                chosen = chosen.copy()
                chosen[cells.unknown_rows[inside] - lower, cells.unknown_columns[inside]] = False
            yield lower, upper, chosen

    def _count_dense(self) -> tuple[Array, Array, Array]:
        cells = self.cells
        by_row, by_column = np.empty(cells.n, dtype=np.int64), np.zeros(cells.q, dtype=np.int64)
        right = np.empty(len(cells.rows), dtype=bool)
        starts = np.searchsorted(cells.rows, np.arange(cells.n + 1))
        for lower, upper, chosen in self._chosen(cells.q):
            by_row[lower:upper] = np.count_nonzero(chosen, axis=1)
            by_column += np.count_nonzero(chosen, axis=0)
            own = slice(starts[lower], starts[upper])
            right[own] = chosen[cells.rows[own] - lower, cells.columns[own]]
        return by_row, by_column, right

    def _count_sparse(self) -> tuple[Array, Array, Array]:
        cells, (rows, columns) = self.cells, _chosen_cells(self.cells, self._labels)
        right = np.isin(cells.rows * cells.q + cells.columns, rows * cells.q + columns, assume_unique=True)
        return np.bincount(rows, minlength=cells.n), np.bincount(columns, minlength=cells.q), right

    def _exact_threshold(self) -> Array:
        """Return the threshold in the type of the scores such that ``score > it`` says the same as in exact arithmetic."""
        assert self._threshold is not None
        cut = self._threshold.astype(self.scores.dtype)
        return np.where(cut > self._threshold, np.nextafter(cut, cut.dtype.type(-np.inf)), cut)


def blocks(groups: int, members: int, least: int = 1) -> Iterator[tuple[int, int]]:
    """Yield (first, last + 1) of blocks of groups that fit in memory, of ``least`` groups or more."""
    size = max(least, BLOCK // members)
    for lower in range(0, groups, size):
        yield lower, min(lower + size, groups)


def _highest(values: Array, known: Array, width: int) -> Array:
    """Return the last ``width`` known values of each sorted row; -inf where a row has fewer."""
    if known.min() == values.shape[1]:
        return values[:, values.shape[1] - width :]
    places = known[:, None] - width + np.arange(width)
    return np.where(places >= 0, np.take_along_axis(values, np.maximum(places, 0), axis=1), -np.inf)


def _chosen_cells(cells: Cells, labels: Any) -> tuple[Array, Array]:
    """Return (rows, columns) of the cells of sparse predicted labels that are known."""
    predicted = Cells.from_labels(labels, "labels")
    chosen = predicted.rows * cells.q + predicted.columns
    if len(cells.unknown_rows):
        chosen = np.setdiff1d(chosen, cells.unknown_rows * cells.q + cells.unknown_columns)
    rows, columns = np.divmod(chosen, cells.q)
    return rows, columns


def _as_bool(labels: Array) -> Array:
    """Return label sets as booleans; anything but 0 and 1 is refused."""
    if labels.dtype == bool:
        return labels
    chosen = np.asarray(labels == 1)
    if np.count_nonzero(chosen) + np.count_nonzero(labels == 0) != labels.size:
        odd = labels[(labels != 0) & (labels != 1)]
        raise ParameterError(
            f"expected predicted labels that are 0 or 1, but got {odd.flat[0].item()!r}; pass scores as scores, with threshold="
        )
    return chosen
