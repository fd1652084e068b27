"""Truth and prediction, checked and brought into the form that the metrics count on: lists of cells beside a dense matrix of scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy import sparse

from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.types import Array, ArrayLike


@dataclass(frozen=True)
class Cells:
    """The positive and the unknown cells of a label matrix (n, q); all other cells are negative.

    Attributes:
        n: Number of instances.
        q: Number of labels.
        rows: Instance of each positive cell, ascending.
        columns: Label of each positive cell, ascending within an instance.
        unknown_rows: Instance of each unknown (NaN) cell.
        unknown_columns: Label of each unknown cell.
    """

    n: int
    q: int
    rows: Array
    columns: Array
    unknown_rows: Array
    unknown_columns: Array

    @classmethod
    def from_labels(cls, y: ArrayLike, what: str = "Y") -> Self:
        """List the cells of a NumPy, SciPy sparse or torch matrix of 0, 1 and NaN.

        Raises:
            DataError: Not two-dimensional, empty, or something else than 0, 1 and NaN in it.
        """
        y = y if hasattr(y, "tocsr") else dense(y, what)
        if len(y.shape) != 2 or 0 in y.shape:
            raise DataError(f"expected {what} of shape (n, q) with at least one row and one label, but got shape {tuple(y.shape)}")
        n, q = int(y.shape[0]), int(y.shape[1])
        if hasattr(y, "tocsr"):
            matrix = y.tocsr()
            if not matrix.has_canonical_format:
                matrix = matrix.copy()
                matrix.sum_duplicates()
            where = np.repeat(np.arange(n), np.diff(matrix.indptr)) * q + matrix.indices
            values = matrix.data
        else:
            where, values = None, y.ravel()
        positive, unknown = _sort_out(values, what)
        if where is not None:
            positive, unknown = where[positive], where[unknown]
        return cls(n, q, *np.divmod(positive.astype(np.int64), q), *np.divmod(unknown.astype(np.int64), q))

    @cached_property
    def by_column(self) -> tuple[Array, Array]:
        """(rows, columns) of the positive cells, sorted by label, then instance."""
        columns, rows = np.divmod(np.sort(self.columns * self.n + self.rows), self.n)
        return rows, columns

    @cached_property
    def row_sizes(self) -> Array:
        """Number of positive labels of each instance, shape (n,)."""
        return np.bincount(self.rows, minlength=self.n)

    @cached_property
    def column_sizes(self) -> Array:
        """Number of positive instances of each label, shape (q,)."""
        return np.bincount(self.columns, minlength=self.q)

    @cached_property
    def row_known(self) -> Array:
        """Number of known cells of each instance, shape (n,)."""
        return self.q - np.bincount(self.unknown_rows, minlength=self.n)

    @cached_property
    def column_known(self) -> Array:
        """Number of known cells of each label, shape (q,)."""
        return self.n - np.bincount(self.unknown_columns, minlength=self.q)

    def matrix(self, rows: Array, columns: Array) -> Any:
        """Return the boolean CSR array (n, q) that is true at these cells, which ascend by row."""
        starts = np.searchsorted(rows, np.arange(self.n + 1))
        return sparse.csr_array((np.ones(len(rows), dtype=bool), columns, starts), shape=(self.n, self.q))


def dense(values: ArrayLike, what: str) -> Array:
    """Return a NumPy array on the CPU; torch types that NumPy lacks become float32, which holds them exactly."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point() and values.dtype.itemsize < 4:
            values = values.float()
        values = values.numpy()
    array = np.asarray(values)
    if array.dtype != bool and not np.issubdtype(array.dtype, np.number):
        raise DataError(f"expected numbers in {what}, but got the type {array.dtype}")
    return array


def read_scores(scores: ArrayLike, shape: tuple[int, int]) -> Array:
    """Return scores as float32 or float64 (as they came), checked for shape and NaN.

    Raises:
        DataError: Another shape than the labels have, or a NaN.
    """
    array = dense(scores.toarray() if hasattr(scores, "toarray") else scores, "scores")
    if array.shape != shape:
        raise DataError(f"expected scores of the shape of Y, {shape}, but got {array.shape}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    if np.isnan(array.min()):
        row, column = np.argwhere(np.isnan(array))[0]
        raise DataError(f"expected scores without NaN, but the score of row {row}, label {column} is NaN; has the training diverged?")
    return array


def read_threshold(threshold: Any, q: int) -> Array:
    """Return a threshold as float64, shape () or (q,): a number, one number a label, or an object whose ``values`` are that.

    Raises:
        DataError: Another shape, or NaN.
    """
    array = np.asarray(getattr(threshold, "values", threshold), dtype=np.float64)
    if array.shape not in ((), (q,)) or np.isnan(array).any():
        raise DataError(f"expected one threshold or {q} (one a label), without NaN, but got shape {array.shape}: {array}")
    return array


def as_hierarchy(hierarchy: Any, q: int | None = None) -> Hierarchy:
    """Return a hierarchy over q labels (any number for ``None``), given itself or as what its ``to_dict`` returned.

    Raises:
        ParameterError: It is something else, which does not say the order of the labels.
        DataError: It has another number of labels.
    """
    if not isinstance(hierarchy, Hierarchy | Mapping):
        raise ParameterError(
            f"expected a Hierarchy over the columns of Y, but got {type(hierarchy).__name__}; make one with "
            "Hierarchy.from_edges(edges, names), the names in the order of the columns"
        )
    return Hierarchy.of(hierarchy, q=q)


def _sort_out(values: Array, what: str) -> tuple[Array, Array]:
    """Return the places of ones and of NaN; refuse anything but 0, 1, NaN."""
    if values.dtype == bool:
        return np.flatnonzero(values), np.empty(0, dtype=np.int64)
    ones = np.flatnonzero(values == 1)
    if len(ones) + np.count_nonzero(values == 0) == len(values):
        return ones, np.empty(0, dtype=np.int64)
    nans = np.flatnonzero(values != values)
    odd = (values != 0) & (values != 1) & (values == values)
    if odd.any():
        raise DataError(f"expected 0, 1 or NaN (unknown) in {what}, but got {values[odd][0].item()!r}")
    return ones, nans
