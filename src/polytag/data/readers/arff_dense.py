"""Rows of an ARFF file that name every value: ``5.1,0,HJA,1``."""

from typing import Any

import numpy as np

from polytag.data.readers.arff_blocks import BlockParser
from polytag.data.readers.arff_plan import FEATURE, LABEL, ONE_HOT, UNKNOWN, Plan
from polytag.data.readers.arff_rows import RowParser
from polytag.data.readers.decimals import IrregularError
from polytag.types import Array


class DenseRows:
    """Collects blocks of rows into X (n, d) float64 and Y (n, q) uint8 (float32 when a label is unknown).

    Args:
        plan: How attributes become columns.
        rows: The exact parser.
        blocks: The quick parser.

    Cost: memory of about twice the arrays, at the moment when the blocks are joined.
    """

    def __init__(self, plan: Plan, rows: RowParser, blocks: BlockParser) -> None:
        self.plan, self.rows, self.blocks = plan, rows, blocks
        self._features = np.flatnonzero(plan.role == FEATURE)
        ends = self._features[[0, -1]] if len(self._features) else [0, -1]
        self._slice = slice(ends[0], ends[1] + 1) if ends[1] - ends[0] + 1 == len(self._features) else None
        self._labels = np.flatnonzero(plan.role == LABEL)
        self._one_hot = np.flatnonzero(plan.role == ONE_HOT)
        self._X: list[Array] = []
        self._Y: list[Array] = []

    def add(self, block: bytes, line: int) -> None:
        """Read the rows of a block that starts at this line."""
        if not block.strip():
            return
        try:
            quick = self.blocks.dense(block)
        except IrregularError:
            quick = None
        raw = self._exact(block, line) if quick is None else quick
        if len(raw):
            self._X.append(self._expand(raw))
            labels = raw[:, self._labels]
            self._Y.append(np.where(np.isnan(labels), UNKNOWN, labels).astype(np.uint8))

    def result(self) -> tuple[Any, Any]:
        """Return X and Y of all rows."""
        d, q = len(self.plan.feature_names), len(self.plan.label_names)
        X = np.concatenate(self._X) if self._X else np.zeros((0, d))
        self._X.clear()
        Y = np.concatenate(self._Y) if self._Y else np.zeros((0, q), np.uint8)
        unknown = Y == UNKNOWN
        return X, np.where(unknown, np.float32(np.nan), Y.astype(np.float32)) if unknown.any() else Y

    def _exact(self, block: bytes, line: int) -> Array:
        rows = [self.rows.dense(number, text) for number, text in self.rows.lines(block, line)]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.plan.attributes))

    def _expand(self, raw: Array) -> Array:
        """Return the feature columns of a raw block (b, m)."""
        if not len(self._one_hot):
            return raw[:, self._slice].copy() if self._slice else raw[:, self._features]
        X = np.zeros((len(raw), len(self.plan.feature_names)))
        X[:, self.plan.column[self._features]] = raw[:, self._features]
        for j in self._one_hot:
            first, size = self.plan.column[j], len(self.plan.attributes[j].categories)
            X[:, first : first + size] = np.where(np.isnan(raw[:, j, None]), np.nan, raw[:, j, None] == np.arange(size))
        return X
