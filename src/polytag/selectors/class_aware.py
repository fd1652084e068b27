"""Class-aware sampling: labels take turns, and each brings a few of its rows."""

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.selectors.base import BatchSelector, saved_array
from polytag.types import Array, ArrayLike


@register("selector", "class_aware")
class ClassAware(BatchSelector):
    """Fill batches from an endless list: the labels in random order, ``rows_each`` rows of each, then the labels in another order, ...

    The rows of a label come in random order as well, all of them before one comes again; a label with fewer than ``rows_each`` rows repeats
    them at once. So every label brings as many rows as any other, and a row may stand in a batch more than once. Labels without rows have
    no turn; the rows without a label have one together. The re-sampling of the distribution-balanced loss.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        rows_each: Rows that a label brings when it has its turn.
        reduce: ``None``: an epoch has n rows. A number: ``floor(q max_j n_j / reduce)`` rows, label j having n_j; 4 in the paper's code.
        **shared: Those of ``BatchSelector``.

    Raises:
        ParameterError: ``rows_each < 1``, ``reduce <= 0``, or another impossible value.

    Cost: O(b) a batch, no step looks at all rows. Memory 4 bytes a positive cell (8 for more than 2^31 cells).

    Reference: Wu, Huang, Liu, Wang and Lin, "Distribution-balanced loss for multi-label classification in long-tailed datasets", ECCV 2020.

    Differs: an epoch has n rows unless asked otherwise; a batch of all rows is a permutation; rows without a label are drawn too.

    Example:
        >>> import numpy as np
        >>> selector = ClassAware(np.array([[1, 0]] * 9 + [[0, 1]]), batch_size=6, seed=0)
        >>> sorted(next(iter(selector)).tolist())[3:]
        [9, 9, 9]
    """

    settings: ClassVar[tuple[str, ...]] = ("rows_each", "reduce")
    replacement: ClassVar[bool] = True

    def __init__(
        self, y: ArrayLike | LabelIndex, batch_size: int, *, rows_each: int = 3, reduce: float | None = None, **shared: Any
    ) -> None:
        super().__init__(y, batch_size, **shared)
        if rows_each < 1 or not (reduce is None or reduce > 0):
            raise ParameterError(f"expected rows_each >= 1 and reduce > 0 (or None), but got {rows_each=}, {reduce=}")
        self.rows_each, self.reduce = int(rows_each), reduce
        index = self.targets.index
        bare = np.flatnonzero(index.sizes == 0)
        sizes = np.array([*index.counts, len(bare)])
        turns = np.flatnonzero(sizes)
        self._sizes = np.concatenate([[len(turns)], sizes[turns]])
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._items = np.concatenate([np.arange(1, len(turns) + 1), index.rows, bare]).astype(index.rows.dtype)
        self._places = self._sizes.copy()  # at the end of each list: it is shuffled before anything is taken from it
        self._pending = np.empty(0, dtype=np.int64)

    def begin_epoch(self) -> None:
        """Set the number of rows, if it is not n."""
        if self.reduce is not None and self.epoch >= self.warmup:
            index = self.targets.index
            self.size = max(int(index.counts.max(initial=0) * index.q / self.reduce), 1)

    def draw(self, k: int) -> Int[Tensor, "k"]:
        """Draw the next k rows of the list. Cost: O(k) on average."""
        if k == self.n:
            return torch.from_numpy(self.generator.permutation(self.n))
        parts, length = [self._pending], len(self._pending)
        while length < k:
            (turn,) = self._next(0, 1)
            parts.append(self._next(int(turn), self.rows_each))
            length += self.rows_each
        rows = np.concatenate(parts).astype(np.int64)
        self._pending = rows[k:].copy()
        return torch.from_numpy(rows[:k].copy())

    def density(self, rows: Int[Array, "b"] | slice = slice(None)) -> Float[Array, "b"]:
        """Return the chance of some rows: the sum over their labels of one by its number of rows. Cost: O(positives) the first time."""
        return self._chances[rows]

    def memory(self) -> dict[str, Any]:
        """Return the order of labels and rows, and how far each list has come."""
        arrays = {"items": self._items, "places": self._places, "pending": self._pending}
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over the order of labels and rows, and how far each list has come."""
        self._items, self._places, self._pending = (saved_array(memory[name]) for name in ("items", "places", "pending"))

    @cached_property
    def _chances(self) -> Array:
        sizes, rows = self._sizes[1:], self._items[self._sizes[0] :]
        chances: Array = np.bincount(rows, weights=np.repeat(1 / sizes, sizes), minlength=self.n)
        return chances

    def _next(self, group: int, m: int) -> Array:
        """Take the next m items of a list: the labels' turns (0), or the rows of one turn; shuffle it whenever it is through."""
        start, size = self._starts[group], self._sizes[group]
        taken = []
        while m > 0:
            if self._places[group] == size:
                self._items[start : start + size] = self.generator.permutation(self._items[start : start + size])
                self._places[group] = 0
            place = self._places[group]
            taken.append(self._items[start + place : start + min(place + m, size)].copy())
            self._places[group] += len(taken[-1])
            m -= len(taken[-1])
        return np.concatenate(taken)
