"""What a hierarchy says about given labels: which are implied, which are most specific, which contradict it."""

from typing import Any

import numpy as np
from scipy import sparse

from polytag.types import Array

_CELLS = 1 << 26
"""Cells of the bitmap that closing works with."""


def close(Y: Any, parents: Any, depth: int) -> Any:
    """Return Y with all ancestors of each positive added, in its form and type; other cells stay as they are.

    Args:
        Y: Labels (n, q), dense or sparse; 0, 1 or NaN.
        parents: CSR array (q, q): row = child, columns = its parents.
        depth: Number of levels.

    Cost: O(positives after closing times their parents) time; 64 MB beside the result. A few array operations for
        each level: tens of seconds for a chain of 100 000 labels.
    """
    closed = _closed(_positive(Y), parents, depth)
    if sparse.issparse(Y):
        unknown = _unknown(Y)
        filled = closed.astype(Y.dtype)
        return type(Y)(filled if unknown is None else filled + _nan(unknown - unknown.multiply(closed), Y.dtype))
    return np.where(closed.toarray(), np.ones((), dtype=Y.dtype), Y)


def leaves(Y: Any, parents: Any, depth: int) -> Any:
    """Return Y without the positives that have a descendant among the positives of the row, in its form and type."""
    positive = _positive(Y)
    above = _closed(sparse.csr_array(positive @ parents), parents, depth)
    if sparse.issparse(Y):
        unknown = _unknown(Y)
        left = sparse.csr_array(positive - positive.multiply(above)).astype(Y.dtype)
        left.eliminate_zeros()
        return type(Y)(left if unknown is None else left + _nan(unknown, Y.dtype))
    return np.where(above.toarray() & (Y == 1), np.zeros((), dtype=Y.dtype), Y)


def violations(Y: Any, parents: Any) -> Array:
    """Return for each row how many edges have the child without the parent, shape (n,), int64; an unknown parent violates nothing."""
    positive = _positive(Y)
    asked = sparse.csr_array(positive @ parents)
    held = _cells(Y, lambda values: values != 0)  # NaN too
    return np.asarray(asked.sum(axis=1) - asked.multiply(held).sum(axis=1)).ravel().astype(np.int64)


def _nan(cells: Any, dtype: Any) -> Any:
    """Return NaN in the cells that are not 0."""
    return cells.multiply(np.nan).astype(dtype)


def _positive(Y: Any) -> Any:
    """Return the positive cells as a CSR array of ones."""
    return _cells(Y, lambda values: values == 1)


def _unknown(Y: Any) -> Any:
    """Return the cells of a sparse Y that are NaN as a CSR array of ones; ``None`` if there are none."""
    found = _cells(Y, np.isnan)
    return found if found.nnz else None


def _cells(Y: Any, wanted: Any) -> Any:
    """Return the cells whose value is wanted, which zero is not, as a CSR array of ones."""
    if not sparse.issparse(Y):
        return sparse.csr_array(wanted(Y)).astype(np.int32)
    cells = sparse.csr_array(Y)
    found = sparse.csr_array((wanted(cells.data).astype(np.int32), cells.indices, cells.indptr), shape=cells.shape, copy=True)
    found.eliminate_zeros()
    return found


def _closed(positive: Any, parents: Any, depth: int) -> Any:
    """Return a boolean CSR array with ancestors added, a few array operations a level for each block of rows."""
    n, q = positive.shape
    rows = max(1, min(n, _CELLS // q))
    seen = np.zeros(rows * q, dtype=bool)
    blocks = [_closed_cells(positive[start : start + rows], parents, depth, seen) + start * q for start in range(0, n, rows)]
    cells = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int64)
    starts = np.searchsorted(cells, np.arange(n + 1, dtype=np.int64) * q)
    return sparse.csr_array((np.ones(len(cells), dtype=bool), cells % q, starts), shape=(n, q))


def _closed_cells(positive: Any, parents: Any, depth: int, seen: Array) -> Array:
    """Return the cells (row times q plus label) of a block and their ancestors in order; ``seen`` is false before and after."""
    n, q = positive.shape
    fresh = np.repeat(np.arange(n, dtype=np.int64) * q, np.diff(positive.indptr)) + positive.indices
    found = [fresh]
    seen[fresh] = True
    for _ in range(depth - 1):
        row, label = np.divmod(fresh, q)
        first, sizes = parents.indptr[label], parents.indptr[label + 1] - parents.indptr[label]
        place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes - first, sizes)
        above = np.repeat(row * q, sizes) + parents.indices[place]
        fresh = np.unique(above[~seen[above]])
        if not len(fresh):
            break
        seen[fresh] = True
        found.append(fresh)
    cells = np.unique(np.concatenate(found))
    seen[cells] = False
    return cells
