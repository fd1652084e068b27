"""Where AdaC's chain may go: from a row to its rarest label, to the labels that go with it, to the rows that have one of those."""

import math

import numpy as np

from polytag.data.labels import LabelIndex
from polytag.data.stats import conditional_cooccurrence
from polytag.selectors.targets import cells_of
from polytag.types import Array

_KEPT_ROWS = 2**20
"""Row numbers kept over all labels: 8 MB, enough for every label of the sets on which going through all candidates is the quicker way."""


class LabelChain:
    """The rarest label of each row, and for each label j the c labels ``L(j)`` that go with it most.

    ``L(j)`` holds the ``c = min(ceil(Card), q - 1)`` other labels with the largest positive ``A[j, k] = (P(k|j) + P(j|k)) / 2``, ties
    to the lower number; if none is positive, j alone.

    Args:
        index: Training labels.
        include_self: Count ``A[j, j]`` as 1, so that j is the first of its own c labels.

    Cost: O(positives * Card + q^2 log q) to build; memory 4 n bytes, q c numbers and at most 8 MB of row lists.
    """

    def __init__(self, index: LabelIndex, include_self: bool = False) -> None:
        self.index = index
        self.leads = _rarest_labels(index)
        affinity = conditional_cooccurrence(index)
        if include_self:
            np.fill_diagonal(affinity, 1.0)
        c = min(math.ceil(len(index.columns) / index.n), index.q - 1)
        best = np.argsort(-affinity, axis=1, kind="stable")[:, :c]
        positive = np.take_along_axis(affinity, best, axis=1) > 0
        self.correlated = [best[j][positive[j]] if positive[j].any() else np.array([j]) for j in range(index.q)]
        self._place = np.full(index.q, index.q)
        self._members: dict[int, Array] = {}
        self._members_size = 0

    def members(self, label: int) -> Array:
        """Return all rows that have a label of ``L(label)``, ascending. Cost: O(their number, with repeats); small results are kept."""
        kept = self._members.get(label)
        if kept is not None:
            return kept
        rows: Array = np.unique(np.concatenate([self.index.rows_of(int(j)) for j in self.correlated[label]]))
        if self._members_size + len(rows) <= _KEPT_ROWS:
            self._members[label] = rows
            self._members_size += len(rows)
        return rows

    def propose(self, label: int, m: int, generator: np.random.Generator) -> Array:
        """Return at most m independent rows, uniform over ``members(label)``, without building that set.

        A row of the joined lists of ``L(label)`` is picked; one that stands in several lists counts only in the first of them.

        Cost: O(m Card).
        """
        labels = self.correlated[label]
        starts = self.index.column_starts[labels]
        ends = np.cumsum(self.index.column_starts[labels + 1] - starts)
        picks = generator.integers(ends[-1], size=m)
        which = np.searchsorted(ends, picks, side="right")
        firsts = starts - np.concatenate([[0], ends[:-1]])
        rows: Array = self.index.rows[picks + firsts[which]]
        if len(labels) == 1:
            return rows
        self._place[labels] = np.arange(len(labels))
        at, columns = cells_of(self.index, rows)
        earliest = np.minimum.reduceat(self._place[columns], np.searchsorted(at, np.arange(m)))
        self._place[labels] = self.index.q
        kept: Array = rows[earliest == which]
        return kept


def _rarest_labels(index: LabelIndex) -> Array:
    """Return the label with the fewest positives of each row (ties: the lowest number), -1 for a row without labels."""
    by_count = np.argsort(index.counts, kind="stable")
    rank = np.empty(index.q, dtype=np.int64)
    rank[by_count] = np.arange(index.q)
    labelled = index.sizes > 0
    leads = np.full(index.n, -1, dtype=np.int32)
    if labelled.any():
        leads[labelled] = by_count[np.minimum.reduceat(rank[index.columns], index.row_starts[:-1][labelled])]
    return leads
