"""The nearest training rows of some rows, exactly: a fast rough search finds all candidates, their distances are then computed with care.

Squared distances of a block come from one matrix product in float32, ``|a|^2 + |b|^2 - 2 a.b``, whose rounding error is bounded. Every
row that may be among the nearest within this bound is a candidate, and the distances of candidates are computed again in float64 as sums
of squared differences, rounded to 40 bits, so that what is equally far on paper is equally far here. Features that are small whole
numbers (bags of words) need no second look: their products are exact.
"""

from typing import Any

import numpy as np
from scipy import sparse

from polytag.types import Array

_BLOCK = 2**22  # distances held at a time: 16 MiB in float32
_DENSE = 2**25  # numbers of sparse rows that are made dense at most
_OFTEN = 1 / 20  # share of stored numbers above which dense products are faster, of a whole matrix or of a column


class NeighbourSearch:
    """Search among the rows of X, by Euclidean distance; of equally near rows the one with the lower number comes first.

    Args:
        X: Finite features (n, d), dense or CSR.

    Cost: O(m n d) multiplications in float32 for m rows; of stored numbers only if X is sparse. Memory of blocks besides a copy of X.
    """

    def __init__(self, X: Any) -> None:
        self.X = X
        self.n, self.d = X.shape

    def of_training_rows(self, k: int) -> Array:
        """Return the k nearest other rows of each row; a row is never its own neighbour, while rows equal to it are. Shape (n, k)."""
        return self._search(self.X, k, leave_out=True)

    def of(self, rows: Any, k: int) -> Array:
        """Return the k nearest training rows of each given row. Shape (m, k)."""
        return self._search(rows, k, leave_out=False)

    def _search(self, rows: Any, k: int, leave_out: bool) -> Array:
        pair = _pair(self.X, rows)
        found = np.empty((rows.shape[0], k), dtype=np.int64)
        size = max(1, _BLOCK // self.n)
        for start in range(0, len(found), size):
            block = np.arange(start, min(start + size, len(found)))
            rough, bound = pair.rough(block)
            if leave_out:
                rough[np.arange(len(block)), block] = np.inf
            found[block] = _nearest(pair, block, rough, bound, k)
        return found


def _nearest(pair: "_Pair", block: Array, rough: Array, bound: Array | None, k: int) -> Array:
    """Return the k nearest of a block of rows, given rough squared distances (b, n) and their largest error (b,); ``None``: exact."""
    limit = np.partition(rough, k - 1, axis=1)[:, k - 1]
    if bound is None:
        at, candidates = _without_late_ties(rough, limit, k)
        distances = rough[at, candidates]
    else:
        reach = np.nextafter((limit.astype(np.float64) + 2 * bound).astype(rough.dtype), np.inf, dtype=rough.dtype)
        at, candidates = np.nonzero(rough <= reach[:, None])
        distances = _rounded(pair.exact(block[at], candidates))
    order = np.lexsort((candidates, distances, at))
    counts = np.bincount(at, minlength=len(block))
    firsts = np.cumsum(counts) - counts
    nearest: Array = candidates[order[firsts[:, None] + np.arange(k)]]
    return nearest


def _without_late_ties(rough: Array, limit: Array, k: int) -> tuple[Array, Array]:
    """Return which cells are nearer than the k-th distance, and the first ones of those exactly as far, k cells a row."""
    at, candidates = np.nonzero(rough <= limit[:, None])
    if len(at) == k * len(rough):
        return at, candidates
    tied = rough[at, candidates] == limit[at]
    counts = np.bincount(at, minlength=len(rough))
    lasts = np.cumsum(counts)
    so_far = np.concatenate([[0], np.cumsum(tied)])
    before = so_far[lasts - counts]  # ties in earlier rows
    room = k - (counts - (so_far[lasts] - before))
    kept = ~tied | (so_far[1:] - before[at] <= room[at])
    return at[kept], candidates[kept]


class _DensePair:
    """Two dense sets of rows, moved to the mean of the first and scaled to at most 1 before they are rounded to float32."""

    def __init__(self, X: Array, rows: Array) -> None:
        self.X, self.rows = X, rows
        self.whole = _small_whole_numbers(X) and (rows is X or _small_whole_numbers(rows))
        if self.whole:
            self._x = X.astype(np.float32)
            self._rows = self._x if rows is X else rows.astype(np.float32)
        else:
            centre = X.mean(axis=0, dtype=np.float64)
            largest = max(float(np.abs(X - centre).max()), float(np.abs(rows - centre).max()))
            self._x = ((X - centre) / (largest or 1.0)).astype(np.float32)
            self._rows = self._x if rows is X else ((rows - centre) / (largest or 1.0)).astype(np.float32)
        self._x_norms, self._row_norms = _squared_norms(self._x), _squared_norms(self._rows)

    def rough(self, block: Array) -> tuple[Array, Array | None]:
        """Return squared distances (scaled) of a block of rows to all of X, and how wrong they can be."""
        rough: Array = self._rows[block] @ self._x.T
        rough *= -2
        rough += self._x_norms.astype(np.float32)
        rough += self._row_norms[block, None].astype(np.float32)
        if self.whole:
            return rough, None
        # rounding of the rows, of the d products and sums, and of the norms: each a few 2^-24 of |a|^2 + |b|^2
        return rough, (self.X.shape[1] + 16) * 2.0**-23 * (self._row_norms[block] + self._x_norms.max())

    def exact(self, left: Array, right: Array) -> Array:
        """Return squared distances of pairs (row, row of X) in float64."""
        size = max(1, 2**20 // self.X.shape[1])
        parts = [
            _squared_norms(np.subtract(self.rows[left[s : s + size]], self.X[right[s : s + size]], dtype=np.float64))
            for s in range(0, len(left), size)
        ]
        return np.concatenate(parts)


class _SparsePair:
    """Two sparse sets of rows; products touch the stored numbers only, except in the few columns that are stored often, which are dense."""

    def __init__(self, X: Any, rows: Any) -> None:
        self.X = sparse.csr_array(X, dtype=np.float64)
        self.rows = self.X if rows is X else sparse.csr_array(rows, dtype=np.float64)
        self.whole = _small_whole_numbers(self.X) and (rows is X or _small_whole_numbers(self.rows))
        dtype = np.float32 if self.whole else np.float64
        self._x_norms, self._row_norms = _stored_norms(self.X).astype(dtype), _stored_norms(self.rows).astype(dtype)
        counts = np.bincount(self.X.indices, minlength=self.X.shape[1])
        order = np.argsort(-counts, kind="stable")
        often = min(int((counts > _OFTEN * self.X.shape[0]).sum()), _DENSE // (self.X.shape[0] + self.rows.shape[0]))
        self._x_dense, self._rows_dense = (m[:, order[:often]].toarray().astype(dtype) for m in (self.X, self.rows))
        seldom = np.sort(order[often:])
        self._x_seldom = sparse.csr_array(self.X[:, seldom].T, dtype=dtype)
        self._rows_seldom = sparse.csr_array(self.rows[:, seldom], dtype=dtype)
        longest = max(int(np.diff(m.indptr).max(initial=0)) for m in (self.X, self.rows))
        self._slack = (longest + 16) * 2.0**-52

    def rough(self, block: Array) -> tuple[Array, Array | None]:
        """Return squared distances of a block of rows to all of X, and how wrong they can be."""
        rough: Array = (self._rows_seldom[block] @ self._x_seldom).toarray()
        rough += self._rows_dense[block] @ self._x_dense.T
        rough *= -2
        rough += self._x_norms
        rough += self._row_norms[block, None]
        return rough, None if self.whole else self._slack * (self._row_norms[block] + self._x_norms.max())

    def exact(self, left: Array, right: Array) -> Array:
        """Return squared distances of pairs (row, row of X)."""
        size = 2**16
        parts = [_stored_norms(self.rows[left[s : s + size]] - self.X[right[s : s + size]]) for s in range(0, len(left), size)]
        return np.concatenate(parts)


_Pair = _DensePair | _SparsePair


def _pair(X: Any, rows: Any) -> _Pair:
    if sparse.issparse(X) or sparse.issparse(rows):
        stored, size = (sum(m.nnz if sparse.issparse(m) else m.size for m in (X, rows)), (X.shape[0] + rows.shape[0]) * X.shape[1])
        if size > _DENSE or stored < _OFTEN * size:
            return _SparsePair(X, rows)
    dense = X.toarray() if sparse.issparse(X) else X
    if rows is X:
        return _DensePair(dense, dense)
    return _DensePair(dense, rows.toarray() if sparse.issparse(rows) else rows)


def _small_whole_numbers(X: Any) -> bool:
    """Say whether squared distances are whole numbers that float32 holds exactly: at most 2^24."""
    values = X.data if sparse.issparse(X) else X
    if not values.size or float(np.abs(values).max()) > 2**11 or not bool((values == np.rint(values)).all()):
        return not values.size
    norms = _stored_norms(X) if sparse.issparse(X) else _squared_norms(X)
    return bool(4 * float(norms.max()) < 2**24)


def _rounded(distances: Array) -> Array:
    """Return the numbers to 40 significant bits: the last bits depend on the order of summation and would break ties at random."""
    mantissa, exponent = np.frexp(distances)
    rounded: Array = np.ldexp(np.rint(mantissa * 2.0**40), exponent)
    return rounded


def _squared_norms(rows: Array) -> Array:
    norms: Array = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    return norms


def _stored_norms(rows: Any) -> Array:
    squares = rows.multiply(rows).sum(axis=1)
    return np.asarray(squares, dtype=np.float64).reshape(-1)
