"""The nearest rows of some rows, exactly: a fast rough search finds all candidates, their distances are then computed with care.

Squared distances of a block come from one matrix product in float32, ``|a|^2 + |b|^2 - 2 a.b``, whose rounding error is bounded. Every
row that may be among the nearest within this bound is a candidate, and the distances of candidates are computed again in float64 as sums
of squared differences, rounded to 40 bits, so that what is equally far on paper is equally far here. Features that are small whole
numbers (bags of words) need no second look: their products are exact.
"""

from typing import Any

import numpy as np

from polytag.errors import DataError
from polytag.types import Array, ArrayLike

_BLOCK = 2**22  # distances held at a time: 16 MiB in float32
_DENSE = 2**25  # numbers of sparse rows that are made dense at most
_OFTEN = 1 / 20  # share of stored numbers above which dense products are faster, of a whole matrix or of a column


class NeighbourSearch:
    """Search among the rows of X, by Euclidean distance; of equally near rows the one with the lower number comes first.

    Args:
        X: Features (n, ...): NumPy, torch, or SciPy sparse; a large sparse X is never made dense.

    Raises:
        DataError: A feature is NaN or infinite.

    Cost: O(m n d) multiplications in float32 for m rows; of stored numbers only if X is sparse. Memory of blocks (16 MiB) besides a copy
        of X.

    Example:
        >>> search = NeighbourSearch(np.array([[0.0], [1.0], [2.0], [1.0]]))
        >>> search.of_training_rows(2)
        array([[1, 3],
               [3, 0],
               [1, 3],
               [1, 0]])
        >>> search.of(np.array([[1.0]]), 2)
        array([[1, 3]])
    """

    def __init__(self, X: ArrayLike) -> None:
        self.X = _features(X)
        self.n = int(self.X.shape[0])

    def of_training_rows(self, k: int, rows: Array | None = None) -> Array:
        """Return the k nearest other rows of each row; a row is never its own neighbour, while rows equal to it are.

        Args:
            k: How many; at most n - 1.
            rows: Numbers of the rows whose neighbours are wanted, shape (m,); ``None``: of all.

        Returns:
            Row numbers (m, k), int64, the nearest first.
        """
        return self._search(self.X, np.arange(self.n) if rows is None else np.asarray(rows), k, leave_out=True)

    def of(self, rows: ArrayLike, k: int) -> Array:
        """Return the k nearest rows of X, at most n, of each given row (m, ...). Shape (m, k)."""
        rows = _features(rows)
        return self._search(rows, np.arange(rows.shape[0]), k, leave_out=False)

    def _search(self, rows: Any, wanted: Array, k: int, leave_out: bool) -> Array:
        found = np.empty((len(wanted), k), dtype=np.int64)
        if not found.size:
            return found
        pair = _pair(self.X, rows)
        size = max(1, _BLOCK // max(self.n, 1))
        for start in range(0, len(found), size):
            block = wanted[start : start + size]
            rough, bound = pair.rough(block)
            if leave_out:
                rough[np.arange(len(block)), block] = np.inf
            found[start : start + size] = _nearest(pair, block, rough, bound, k)
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
            self._x = X.astype(np.float32, copy=False)
            self._rows = self._x if rows is X else rows.astype(np.float32, copy=False)
        else:
            centre = X.mean(axis=0, dtype=np.float64)
            largest = max(_farthest(matrix, centre) for matrix in ((X,) if rows is X else (X, rows))) or 1.0
            self._x = _moved(X, centre, largest)
            self._rows = self._x if rows is X else _moved(rows, centre, largest)
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
        size = max(1, 2**20 // max(self.X.shape[1], 1))
        parts = [
            _squared_norms(np.subtract(self.rows[left[s : s + size]], self.X[right[s : s + size]], dtype=np.float64))
            for s in range(0, len(left), size)
        ]
        return np.concatenate(parts)


class _SparsePair:
    """Two sparse sets of rows; products touch the stored numbers only, except in the few columns that are stored often, which are dense."""

    def __init__(self, X: Any, rows: Any) -> None:
        from scipy import sparse

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


def _features(X: ArrayLike) -> Any:
    """Return finite features as a matrix: an array, or CSR if sparse."""
    if _is_sparse(X):
        matrix = X.tocsr()
        values = matrix.data
    else:
        values = X.detach().cpu().numpy() if hasattr(X, "detach") else np.asarray(X)
        matrix = values if values.ndim == 2 else values.reshape(len(values), -1)
    if not np.isfinite(values).all():
        raise DataError("expected finite features to look for neighbours in, but some are NaN or infinite; fill them in first")
    return matrix


def _pair(X: Any, rows: Any) -> _Pair:
    """Return X and the rows side by side: as sparse matrices if one is, and is large or mostly zeros."""
    if _is_sparse(X) or _is_sparse(rows):
        stored, size = (sum(m.nnz if _is_sparse(m) else m.size for m in (X, rows)), (X.shape[0] + rows.shape[0]) * X.shape[1])
        if size > _DENSE or stored < _OFTEN * size:
            return _SparsePair(X, rows)
    dense = X.toarray() if _is_sparse(X) else X
    if rows is X:
        return _DensePair(dense, dense)
    return _DensePair(dense, rows.toarray() if _is_sparse(rows) else rows)


def _is_sparse(X: Any) -> bool:
    return hasattr(X, "tocsr")


def _farthest(rows: Array, centre: Array) -> float:
    """Return how far, at most, a number lies from the centre of its column."""
    high, low = rows.max(axis=0) - centre, centre - rows.min(axis=0)
    return float(max(high.max(), low.max()))


def _moved(rows: Array, centre: Array, scale: float) -> Array:
    """Return ``(rows - centre) / scale`` in float32, computed in float64 block by block."""
    moved = np.empty(rows.shape, dtype=np.float32)
    size = max(1, _BLOCK // max(rows.shape[1], 1))
    for start in range(0, len(rows), size):
        moved[start : start + size] = np.subtract(rows[start : start + size], centre, dtype=np.float64) / scale
    return moved


def _small_whole_numbers(X: Any) -> bool:
    """Say whether squared distances are whole numbers that float32 holds exactly: at most 2^24."""
    values = X.data if _is_sparse(X) else X
    if not values.size:
        return True
    if float(values.max()) > 2**11 or float(values.min()) < -(2**11) or not bool((values == np.rint(values)).all()):
        return False
    norms = _stored_norms(X) if _is_sparse(X) else _squared_norms(X)
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
