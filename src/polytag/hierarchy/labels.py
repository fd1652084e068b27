"""What a hierarchy says about given labels: which are implied, which are most specific, which contradict it."""

from typing import Any

import numpy as np
from scipy import sparse

from polytag.types import Array


def close(Y: Any, parents: Any, depth: int) -> Any:
    """Return Y with all ancestors of each positive added, in its form and type; other cells stay as they are.

    Args:
        Y: Labels (n, q), dense or sparse; 0, 1 or NaN.
        parents: CSR array (q, q): row = child, columns = its parents.
        depth: Number of levels.
    """
    closed = _closed(_positive(Y), parents, depth)
    if sparse.issparse(Y):
        return type(Y)(closed.astype(Y.dtype))
    return np.where(closed.toarray(), np.ones((), dtype=Y.dtype), Y)


def leaves(Y: Any, parents: Any, depth: int) -> Any:
    """Return Y without the positives that have a descendant among the positives of the row, in its form and type."""
    positive = _positive(Y)
    above = _closed(sparse.csr_array(positive @ parents), parents, depth)
    if sparse.issparse(Y):
        left = sparse.csr_array(positive - positive.multiply(above)).astype(Y.dtype)
        left.eliminate_zeros()
        return type(Y)(left)
    return np.where(above.toarray() & (Y == 1), np.zeros((), dtype=Y.dtype), Y)


def violations(Y: Any, parents: Any) -> Array:
    """Return for each row how many edges have the child without the parent, shape (n,), int64; an unknown parent violates nothing."""
    positive = _positive(Y)
    asked = sparse.csr_array(positive @ parents)
    held = positive if sparse.issparse(Y) else sparse.csr_array(Y != 0).astype(np.int32)
    return np.asarray(asked.sum(axis=1) - asked.multiply(held).sum(axis=1)).ravel().astype(np.int64)


def _positive(Y: Any) -> Any:
    """Return the positive cells as a CSR array of ones."""
    return sparse.csr_array(Y == 1 if not sparse.issparse(Y) else sparse.csr_array(Y) != 0).astype(np.int32)


def _closed(positive: Any, parents: Any, depth: int) -> Any:
    """Return a boolean CSR array with ancestors added, one array operation a level."""
    found, frontier = positive.astype(bool), positive
    for _ in range(depth - 1):
        frontier = sparse.csr_array((frontier @ parents).astype(bool)).astype(np.int32)
        if not frontier.nnz:
            break
        found = found + frontier.astype(bool)
    return sparse.csr_array(found)
