"""Blocks of cells on their way to a CSR matrix."""

from typing import Any

import numpy as np
from scipy import sparse

from polytag.types import Array


class CellBlocks:
    """Collects rows of cells, block by block.

    Args:
        width: Number of columns.

    Cost: memory of twice the cells, at the moment when the blocks are joined.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.sizes: list[Array] = []
        self.columns: list[Array] = []
        self.values: list[Array] = []

    def add(self, sizes: Array, columns: Array, values: Array) -> None:
        """Append rows with so many cells each, at these columns."""
        self.sizes.append(sizes)
        self.columns.append(columns)
        self.values.append(values)

    def mix(self, count: int, row: Array, column: Array, value: Array) -> None:
        """Put more cells into the ``count`` rows that were appended last."""
        rows = np.concatenate([np.repeat(np.arange(count), self.sizes[-1]), row])
        columns = np.concatenate([self.columns[-1], column])
        order = np.lexsort((columns, rows))
        self.sizes[-1] = np.bincount(rows, minlength=count).astype(np.int32)
        self.columns[-1] = columns[order]
        self.values[-1] = np.concatenate([self.values[-1], value])[order]

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
