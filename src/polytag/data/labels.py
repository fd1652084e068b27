"""The positive cells of a label matrix, found quickly by row and by label.

Everything that looks at labels (imbalance measures, stratification, the label-aware selectors, the label graph of CLIF) needs the same two
lists: the labels of a row and the rows of a label. They are made once, without SciPy, from whatever kind of matrix came.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from polytag.errors import DataError
from polytag.types import Array, ArrayLike


@dataclass(frozen=True)
class LabelIndex:
    """Rows and columns of the ones in Y (n, q), as two compressed lists.

    Attributes:
        n: Number of rows.
        q: Number of labels.
        row_starts: Shape (n + 1,); the labels of row i are ``columns[row_starts[i]:row_starts[i + 1]]``, ascending.
        columns: Shape (positives,).
        column_starts: Shape (q + 1,); the rows of label j are ``rows[column_starts[j]:column_starts[j + 1]]``, ascending.
        rows: Shape (positives,).

    Cost: O(n q) to build from a dense matrix, O(positives) from a CSR one; memory O(positives).
    """

    n: int
    q: int
    row_starts: Array
    columns: Array
    column_starts: Array
    rows: Array

    @classmethod
    def from_labels(cls, y: ArrayLike) -> Self:
        """Index a label matrix: NumPy, SciPy sparse or torch; a cell counts when it equals 1, so unknown (NaN) cells do not.

        Raises:
            DataError: ``y`` is not two-dimensional, or holds something else than 0, 1 and NaN.
        """
        if len(y.shape) != 2:
            raise DataError(f"expected labels of shape (n, q), but got shape {tuple(y.shape)}; use y.reshape(-1, 1) for one label")
        n, q = int(y.shape[0]), int(y.shape[1])
        rows, columns = _positive_cells(y)
        row_starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
        by_label = np.argsort(columns, kind="stable")
        column_starts = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=q))])
        return cls(n, q, row_starts, columns, column_starts, rows[by_label])

    @property
    def counts(self) -> Array:
        """Number of positives of each label, shape (q,), int64."""
        return np.diff(self.column_starts)

    @property
    def sizes(self) -> Array:
        """Number of labels of each row, shape (n,), int64."""
        return np.diff(self.row_starts)

    def labels_of(self, row: int) -> Array:
        """Return the labels of one row, ascending."""
        return self.columns[self.row_starts[row] : self.row_starts[row + 1]]

    def rows_of(self, column: int) -> Array:
        """Return the rows of one label, ascending."""
        return self.rows[self.column_starts[column] : self.column_starts[column + 1]]

    def cooccurrence(self) -> Array:
        """Count pairs: ``C[j, k]`` rows have both labels, ``C[j, j]`` have label j. Shape (q, q), int64.

        Cost: O(sum of squared row sizes), never O(n q^2).
        """
        sizes = self.sizes
        counts = np.zeros(self.q * self.q, dtype=np.int64)
        for size in np.unique(sizes[sizes > 0]):
            starts = self.row_starts[:-1][sizes == size]
            for block in np.array_split(starts, 1 + len(starts) * int(size) ** 2 // 2**22):
                labels = self.columns[block[:, None] + np.arange(size)]
                pairs = labels[:, :, None] * self.q + labels[:, None, :]
                counts += np.bincount(pairs.ravel(), minlength=len(counts))
        return counts.reshape(self.q, self.q)


def _positive_cells(y: ArrayLike) -> tuple[Array, Array]:
    """Return (rows, columns) of the ones, sorted by row, then column."""
    if hasattr(y, "tocsr"):
        cells = y.tocsr().tocoo()
        rows, columns, values = np.asarray(cells.row), np.asarray(cells.col), np.asarray(cells.data)
        _check_binary(values)
        order = np.lexsort((columns, rows))
        kept = order[values[order] == 1]
        return rows[kept].astype(np.int64), columns[kept].astype(np.int64)
    dense = y.detach().cpu().numpy() if hasattr(y, "detach") else np.asarray(y)
    _check_binary(dense)
    rows, columns = np.nonzero(dense == 1)
    return rows.astype(np.int64), columns.astype(np.int64)


def _check_binary(values: Array) -> None:
    if values.dtype == bool:
        return
    if not np.issubdtype(values.dtype, np.number):
        raise DataError(f"expected labels of a numeric type, but got {values.dtype}")
    odd = (values != 0) & (values != 1) & (values == values)  # NaN is a legal "unknown"
    if odd.any():
        raise DataError(f"expected labels that are 0, 1 or NaN (unknown), but got {values[odd].flat[0]!r}")
