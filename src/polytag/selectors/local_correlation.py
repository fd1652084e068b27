"""How much of a label's company is present around a row: correlation among positive cells, seen by the labels of the neighbourhood."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from polytag.data.labels import LabelIndex
from polytag.data.neighbours import NeighbourSearch
from polytag.errors import ParameterError
from polytag.selectors.base import choice
from polytag.selectors.targets import cells_of
from polytag.types import Array, ArrayLike

Scope = Literal["local", "global", "none"]
_PAIRS = 2**20  # pairs of cells looked at together: a few tens of MiB of working memory


class LocalCorrelation:
    """Shares S of the correlation of a label that the labels around a row make up, for positive cells only.

    Given a number ``M_ij >= 0`` for each positive cell: ``K_jk`` is the cosine of the columns j and k of M (0 where a column is 0),
    ``C_jk = K_jk / sum_l K_jl``, and ``S_ij = sum_k Z_ik C_jk``, where ``Z_ik = 1`` if row i or one of its nearest rows has label k.

    Args:
        index: Labels.
        x: Training features (n, ...); needed for ``scope="local"`` only.
        neighbours: Nearest rows that are asked besides the row itself; fewer if there are not so many.
        scope: ``"local"``; ``"global"``: Z = 1 everywhere; ``"none"``: S = 0.

    Raises:
        ParameterError: There is no x, or ``neighbours < 0``.

    Cost: Z once: O(n^2 d) for the neighbours, memory O(its ones). Then O(sum of |Y_i|^2) for C and O(sum of |Y_i| |Z_i|) for S, in blocks;
        memory O(q^2 + positives). Nothing of size n x q or n x n.
    """

    def __init__(self, index: LabelIndex, x: ArrayLike | None, neighbours: int = 6, scope: Scope = "local") -> None:
        choice("correlation", scope, ("local", "global", "none"))
        if neighbours < 0:
            raise ParameterError(f"expected neighbours >= 0, but got {neighbours}")
        if scope == "local" and x is None:
            raise ParameterError(
                'the local correlation needs the features: pass x=..., or correlation="global" or "none" to do without them'
            )
        self.index, self.scope = index, scope
        self.rows = np.repeat(np.arange(index.n), index.sizes)
        if scope == "local":
            self.around_starts, self.around = labels_around(index, x, min(neighbours, index.n - 1))

    def matrix(self, values: Array) -> Array:
        """Return C (q, q), whose rows sum to 1, or to 0 for a label without a positive value.

        Args:
            values: M of the positive cells, row by row, as ``index.columns`` lists them.
        """
        q, columns = self.index.q, self.index.columns
        total: Array = np.zeros(q * q)
        for cells, lengths, places in _partners(self.rows, self.index.row_starts):
            left = np.repeat(cells, lengths)
            total += np.bincount(columns[left] * q + columns[places], weights=values[left] * values[places], minlength=q * q)
        gram = total.reshape(q, q)
        norms = np.sqrt(gram.diagonal())
        scale = np.divide(1.0, norms, out=np.zeros(q), where=norms > 0)
        cosine = gram * scale[:, None] * scale
        totals = cosine.sum(axis=1, keepdims=True)
        matrix: Array = np.divide(cosine, totals, out=np.zeros_like(cosine), where=totals > 0)
        return matrix

    def shares(self, matrix: Array) -> Array:
        """Return S of the positive cells, row by row, each within [0, 1]."""
        columns = self.index.columns
        if self.scope == "none":
            return np.zeros(len(columns))
        if self.scope == "global":
            return np.asarray(matrix.sum(axis=1)[columns])
        shares = np.empty(len(columns))
        for cells, lengths, places in _partners(self.rows, self.around_starts):
            terms = matrix[np.repeat(columns[cells], lengths), self.around[places]]
            shares[cells] = np.add.reduceat(terms, np.cumsum(lengths) - lengths)
        return np.minimum(shares, 1.0)


def labels_around(index: LabelIndex, x: ArrayLike, neighbours: int) -> tuple[Array, Array]:
    """Return Z as compressed rows (starts, columns): the labels that a row or one of its nearest rows has.

    Cost: O(n^2 d) for the neighbours, in blocks; memory O(n neighbours + ones of Z).
    """
    parts, counts = [], []
    search = NeighbourSearch(x) if neighbours else None
    for rows in np.array_split(np.arange(index.n), 1 + index.n // 2**16):
        near = search.of_training_rows(neighbours, rows) if search else np.empty((len(rows), 0), dtype=np.int64)
        group = np.column_stack([rows, near])
        place, columns = cells_of(index, group.ravel())
        cells = np.unique(place // group.shape[1] * index.q + columns)
        parts.append(cells % index.q)
        counts.append(np.bincount(cells // index.q, minlength=len(rows)))
    return np.concatenate([[0], np.cumsum(np.concatenate(counts))]), np.concatenate(parts)


def _partners(rows: Array, starts: Array) -> Iterator[tuple[Array, Array, Array]]:
    """Pair each cell with all entries of its row in a compressed table.

    Yields blocks of (cell numbers, entries of each, places of these entries one after the other).
    """
    lengths = starts[rows + 1] - starts[rows]
    ends = np.cumsum(lengths)
    first = 0
    while first < len(rows):
        before = ends[first] - lengths[first]
        last = max(first + 1, int(np.searchsorted(ends, before + _PAIRS, side="right")))
        block = lengths[first:last]
        offsets = starts[rows[first:last]] - (ends[first:last] - block - before)
        yield np.arange(first, last), block, np.arange(block.sum()) + np.repeat(offsets, block)
        first = last
