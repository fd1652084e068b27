"""The nearest rows of some rows, exactly: a fast rough search finds all candidates, and their distances are then computed again with care.

Distances of blocks come from matrix products in float32 (``|a|^2 + |b|^2 - 2 a.b``), whose rounding error is bounded; every row that could
be among the nearest within this bound becomes a candidate. Distances of candidates are computed again in float64, as sums of squared
differences, and rounded to 40 bits, so that what is equally far on paper is equally far here. Features that are whole numbers need no
second look: their float32 products are exact.
"""

from typing import Any

import numpy as np

from polytag.errors import DataError
from polytag.types import Array, ArrayLike

_BLOCK = 2**24  # float32 numbers of distances held at a time: 64 MiB
_DENSE = 2**25  # float32 numbers up to which a sparse x is made dense at once (128 MiB), because dense products are faster


def nearest_rows(x: ArrayLike, rows: Array, k: int) -> Array:
    """Return the k nearest other rows of each given row, by (Euclidean distance, row number); shape (len(rows), k), int64.

    Args:
        x: Features (n, ...): NumPy, torch, or SciPy sparse; a large sparse x is never made dense.
        rows: Row numbers whose neighbours are wanted.
        k: How many; at most n - 1. A row is never its own neighbour, while equal rows are neighbours at distance 0.

    Raises:
        DataError: A feature is NaN or infinite.

    Cost: O(len(rows) n d) multiplications in float32 (products of the stored numbers only if x is sparse); memory of 64 MiB blocks.
    """
    if hasattr(x, "tocsr") and x.shape[0] * x.shape[1] <= _DENSE:
        x = x.toarray()
    table = _SparseTable(x) if hasattr(x, "tocsr") else _DenseTable(x)
    found = np.empty((len(rows), k), dtype=np.int64)
    size = max(1, _BLOCK // max(table.n, 1))
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        rough, bound = table.rough_distances(block)
        rough[np.arange(len(block)), block] = np.inf
        found[start : start + size] = _nearest(table, block, rough, bound, k)
    return found


def _nearest(table: "_Table", block: Array, rough: Array, bound: Array | None, k: int) -> Array:
    """Return the k nearest of a block of rows, given rough squared distances (b, n) and their largest error (b,); ``None``: exact."""
    limit = np.partition(rough, k - 1, axis=1)[:, k - 1].astype(np.float64)
    if bound is not None:
        limit = limit + 2 * bound
    at, candidates = np.nonzero(rough <= limit[:, None])
    distances = rough[at, candidates] if bound is None else _rounded(table.distances(block[at], candidates))
    order = np.lexsort((candidates, distances, at))
    counts = np.bincount(at, minlength=len(block))
    firsts = np.cumsum(counts) - counts
    nearest: Array = candidates[order[firsts[:, None] + np.arange(k)]]
    return nearest


class _DenseTable:
    """Rows of a dense matrix, moved to their mean (unless they are whole numbers) and rounded to float32 for the rough search."""

    def __init__(self, x: ArrayLike) -> None:
        x = x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)
        self.x = x.reshape(len(x), -1)
        self.n = len(x)
        _check_finite(self.x)
        whole = self.x.dtype.kind in "bui" or bool((self.x == np.rint(self.x)).all())
        largest = float(_squared_norms(self.x).max(initial=0.0))
        self.exact = whole and 4 * largest < 2**24
        centre = 0.0 if self.exact else self.x.mean(axis=0, dtype=np.float64)
        self._rounded = np.subtract(self.x, centre, dtype=np.float64).astype(np.float32) if not self.exact else self.x.astype(np.float32)
        self._norms = _squared_norms(self._rounded)
        self._slack = (self.x.shape[1] + 16) * 2.0**-24

    def rough_distances(self, block: Array) -> tuple[Array, Array | None]:
        rough = self._rounded[block] @ self._rounded.T
        rough *= -2
        rough += self._norms.astype(np.float32)
        rough += self._norms[block, None].astype(np.float32)
        if self.exact:
            return rough, None
        return rough, 2 * self._slack * (self._norms[block] + self._norms.max())

    def distances(self, left: Array, right: Array) -> Array:
        size = max(1, 2**22 // max(self.x.shape[1], 1))
        found = np.empty(len(left))
        for s in range(0, len(left), size):
            found[s : s + size] = _squared_norms(np.subtract(self.x[left[s : s + size]], self.x[right[s : s + size]], dtype=np.float64))
        return found


class _SparseTable:
    """Rows of a sparse matrix; products touch the stored numbers only, in float64."""

    def __init__(self, x: Any) -> None:
        self.x = x.tocsr().astype(np.float64)
        self.n = int(self.x.shape[0])
        _check_finite(self.x.data)
        self._norms = np.asarray(self.x.multiply(self.x).sum(axis=1), dtype=np.float64).reshape(-1)
        self.exact = bool((self.x.data == np.rint(self.x.data)).all()) and 4 * float(self._norms.max(initial=0.0)) < 2**24
        self._transposed = self.x.T.tocsr()
        self._slack = (int(np.diff(self.x.indptr).max(initial=0)) + 16) * 2.0**-52

    def rough_distances(self, block: Array) -> tuple[Array, Array | None]:
        rough: Array = (self.x[block] @ self._transposed).toarray()
        rough *= -2
        rough += self._norms
        rough += self._norms[block, None]
        return rough, None if self.exact else 2 * self._slack * (self._norms[block] + self._norms.max())

    def distances(self, left: Array, right: Array) -> Array:
        size = 2**16
        found = np.empty(len(left))
        for s in range(0, len(left), size):
            difference = self.x[left[s : s + size]] - self.x[right[s : s + size]]
            found[s : s + size] = np.asarray(difference.multiply(difference).sum(axis=1)).reshape(-1)
        return found


_Table = _DenseTable | _SparseTable


def _rounded(distances: Array) -> Array:
    """Return the numbers to 40 significant bits: the last bits depend on the order of summation and would break ties at random."""
    mantissa, exponent = np.frexp(distances)
    rounded: Array = np.ldexp(np.rint(mantissa * 2.0**40), exponent)
    return rounded


def _squared_norms(rows: Array) -> Array:
    norms: Array = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    return norms


def _check_finite(values: Array) -> None:
    if not np.isfinite(values).all():
        raise DataError("expected finite features to look for neighbours in, but some are NaN or infinite; fill them in first")
