"""Rows of an ARFF file that name only what is not zero: ``{3 0.5, 17 1}``."""

from typing import Any

import numpy as np
from scipy import sparse

from polytag.data.readers.arff_blocks import BlockParser
from polytag.data.readers.arff_plan import DROPPED, FEATURE, LABEL, ONE_HOT, Plan
from polytag.data.readers.arff_rows import RowParser
from polytag.data.readers.decimals import IrregularError
from polytag.types import Array


class SparseRows:
    """Collects blocks of rows into X (n, d) and Y (n, q), CSR from the first cell on; nothing is ever made dense.

    Only a file with unknown labels gets a dense Y (float32), since a sparse matrix cannot tell unknown from absent for torch.

    Args:
        plan: How attributes become columns.
        rows: The exact parser.

    Cost: memory of about twice the arrays, at the moment when the blocks are joined.
    """

    def __init__(self, plan: Plan, rows: RowParser) -> None:
        self.plan, self.rows, self.blocks = plan, rows, BlockParser(plan)
        self._special = np.flatnonzero((plan.role == ONE_HOT) | ((plan.default != 0) & (plan.role != DROPPED)))
        self._X = _Cells(len(plan.feature_names))
        self._Y = _Cells(len(plan.label_names))

    def add(self, block: bytes, line: int) -> None:
        """Read the rows of a block that starts at this line."""
        if not block.strip():
            return
        try:
            sizes, attribute, value = self.blocks.sparse(block)
        except IrregularError:
            sizes, attribute, value = self._exact(block, line)
        count, row = len(sizes), np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        role, column = self.plan.role[attribute], self.plan.column[attribute]
        kept = value != 0
        if len(self._special):
            kept &= ~np.isin(attribute, self._special)
        feature, label = kept & (role == FEATURE), kept & (role == LABEL)
        X = [(row[feature], column[feature], value[feature])]
        Y = [(row[label], column[label], value[label])]
        for j in self._special:
            codes = np.full(count, self.plan.default[j])
            codes[row[attribute == j]] = value[attribute == j]
            (Y if self.plan.role[j] == LABEL else X).append(self._cells_of(int(j), codes))
        self._X.add(count, X)
        self._Y.add(count, Y)

    def result(self) -> tuple[Any, Any]:
        """Return X and Y of all rows."""
        X, Y = self._X.matrix(), self._Y.matrix()
        if np.isnan(Y.data).any():
            return X, Y.toarray().astype(np.float32)
        return X, Y.astype(np.uint8)

    def _exact(self, block: bytes, line: int) -> tuple[Array, Array, Array]:
        """Return the number of named cells of each row, and their attributes and values."""
        rows = [self.rows.sparse(number, text) for number, text in self.rows.lines(block, line)]
        sizes = np.array([len(cells) for cells in rows], dtype=np.int64)
        attribute = np.array([j for cells in rows for j in cells], dtype=np.int32)
        return sizes, attribute, np.array([v for cells in rows for v in cells.values()], dtype=np.float64)

    def _cells_of(self, j: int, codes: Array) -> tuple[Array, Array, Array]:
        """Return the non-zero cells of one attribute whose left-out value is not simply zero."""
        rows, column = np.arange(len(codes), dtype=np.int32), int(self.plan.column[j])
        unknown = np.isnan(codes)
        if self.plan.role[j] != ONE_HOT:
            kept = codes != 0
            return rows[kept], np.full(int(kept.sum()), column, np.int32), codes[kept]
        size = len(self.plan.attributes[j].categories)
        row = np.concatenate([rows[~unknown], np.repeat(rows[unknown], size)])
        place = np.concatenate([codes[~unknown], np.tile(np.arange(size), int(unknown.sum()))])
        value = np.where(np.isnan(codes[row]), np.nan, 1.0)
        return row, (column + place).astype(np.int32), value


class _Cells:
    """Blocks of cells on their way to a CSR matrix."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.sizes: list[Array] = []
        self.columns: list[Array] = []
        self.values: list[Array] = []

    def add(self, count: int, parts: list[tuple[Array, Array, Array]]) -> None:
        """Append ``count`` rows with these cells (row, column, value)."""
        row, column, value = parts[0]
        if len(parts) > 1:
            row, column, value = (np.concatenate(arrays) for arrays in zip(*parts))
            order = np.lexsort((column, row))
            row, column, value = row[order], column[order], value[order]
        self.sizes.append(np.bincount(row, minlength=count).astype(np.int32))
        self.columns.append(column)
        self.values.append(value)

    def matrix(self) -> Any:
        """Return all rows as a CSR matrix and let go of the blocks."""
        sizes = np.concatenate([np.zeros(1, np.int64), *self.sizes])
        columns = np.concatenate([np.zeros(0, np.int32), *self.columns])
        self.columns.clear()
        values = np.concatenate([np.zeros(0), *self.values])
        self.values.clear()
        starts = np.cumsum(sizes)
        if starts[-1] < 2**31:
            starts = starts.astype(np.int32)
        return sparse.csr_array((values, columns, starts), shape=(len(sizes) - 1, self.width))
