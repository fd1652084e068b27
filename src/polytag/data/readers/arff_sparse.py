"""Rows of an ARFF file that name only what is not zero: ``{3 0.5, 17 1}``."""

from typing import Any

import numpy as np

from polytag.data.readers.arff_blocks import BlockParser
from polytag.data.readers.arff_plan import DROPPED, FEATURE, LABEL, ONE_HOT, Plan
from polytag.data.readers.arff_rows import RowParser
from polytag.data.readers.cell_blocks import CellBlocks
from polytag.data.readers.decimals import IrregularError
from polytag.types import Array


class SparseRows:
    """Collects blocks of rows into X (n, d) and Y (n, q), CSR from the first cell on; nothing is ever made dense.

    Only a file with unknown labels gets a dense Y (float32), since a sparse matrix cannot tell unknown from absent for torch.

    Args:
        plan: How attributes become columns.
        rows: The exact parser.
        blocks: The quick parser.

    Cost: memory of about twice the arrays, at the moment when the blocks are joined.
    """

    def __init__(self, plan: Plan, rows: RowParser, blocks: BlockParser) -> None:
        self.plan, self.rows, self.blocks = plan, rows, blocks
        self._special = np.flatnonzero((plan.role == ONE_HOT) | ((plan.default != 0) & (plan.role != DROPPED)))
        self._role = plan.role.copy()
        self._role[self._special] = DROPPED
        self._X = CellBlocks(len(plan.feature_names))
        self._Y = CellBlocks(len(plan.label_names))

    def add(self, block: bytes, line: int) -> None:
        """Read the rows of a block that starts at this line."""
        if not block.strip():
            return
        try:
            cells = self.blocks.sparse(block)
        except IrregularError:
            cells = None
        sizes, attribute, value = cells or self._exact(block, line)
        stops = np.cumsum(sizes)
        role = self._role[attribute] * (value != 0)
        self._X.add(*self._plain(role == FEATURE, stops, attribute, value))
        self._Y.add(*self._plain(role == LABEL, stops, attribute, value))
        for j in self._special:
            codes = np.full(len(sizes), self.plan.default[j])
            named = np.flatnonzero(attribute == j)
            codes[np.searchsorted(stops, named, side="right")] = value[named]
            (self._Y if self.plan.role[j] == LABEL else self._X).mix(len(sizes), *self._cells_of(int(j), codes))

    def result(self) -> tuple[Any, Any]:
        """Return X and Y of all rows."""
        X, Y = self._X.matrix(), self._Y.matrix()
        if np.isnan(Y.data).any():
            return X, Y.toarray().astype(np.float32)
        return X, Y.astype(np.uint8)

    def _plain(self, kept: Array, stops: Array, attribute: Array, value: Array) -> tuple[Array, Array, Array]:
        """Return row sizes, columns and values of the kept cells."""
        cells = np.flatnonzero(kept)
        sizes = np.diff(np.searchsorted(cells, stops), prepend=0)
        return sizes, self.plan.column[attribute[cells]], value[cells]

    def _exact(self, block: bytes, line: int) -> tuple[Array, Array, Array]:
        """Return the number of named cells of each row, and their attributes and values."""
        rows = [self.rows.sparse(number, text) for number, text in self.rows.lines(block, line)]
        sizes = np.array([len(cells) for cells in rows], dtype=np.int64)
        attribute = np.array([j for cells in rows for j in cells], dtype=np.int32)
        return sizes, attribute, np.array([v for cells in rows for v in cells.values()], dtype=np.float64)

    def _cells_of(self, j: int, codes: Array) -> tuple[Array, Array, Array]:
        """Return the non-zero cells of one attribute whose left-out value is not simply zero."""
        rows, column = np.arange(len(codes), dtype=np.int32), int(self.plan.column[j])
        known, unknown = codes >= 0, np.isnan(codes)
        if self.plan.role[j] != ONE_HOT:
            kept = codes != 0
            return rows[kept], np.full(int(kept.sum()), column, np.int32), codes[kept]
        size = len(self.plan.attributes[j].categories)
        row = np.concatenate([rows[known], np.repeat(rows[unknown], size)])
        place = np.concatenate([codes[known], np.tile(np.arange(size), int(unknown.sum()))])
        value = np.where(np.isnan(codes[row]), np.nan, 1.0)
        return row, (column + place).astype(np.int32), value
