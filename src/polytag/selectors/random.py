"""Random: every row once an epoch, in random order. What ``shuffle=True`` does, and what all other selectors are compared with."""

import math

import torch
from jaxtyping import Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.registry import register
from polytag.selectors.base import BatchSelector, Order
from polytag.types import ArrayLike


@register("selector", "random")
class Random(BatchSelector):
    """Shuffle the rows each epoch and cut them into batches; the last batch is the remainder.

    Its epochs are the warm-up epochs of all other selectors with the same seed.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        x: Not used.
        seed: Seed.
        order: ``"sequential"`` keeps the order of the rows (``shuffle=False``).

    Cost: O(n) an epoch; no state.

    Differs: The published comparison script runs its Random baseline with ``shuffle=False``, against the text of the paper;
        ``order="sequential"`` does that.

    Example:
        >>> import numpy as np
        >>> selector = Random(np.eye(5), batch_size=2, seed=0)
        >>> [len(rows) for rows in selector]
        [2, 2, 1]
    """

    def __init__(
        self, y: ArrayLike | LabelIndex, batch_size: int, *, x: ArrayLike | None = None, seed: int = 0, order: Order = "shuffled"
    ) -> None:
        super().__init__(y, batch_size, x=x, seed=seed, warmup=math.inf, warmup_order=order)

    def draw(self, k: int) -> Int[Tensor, "k"]:
        """Draw one batch on its own, apart from the passes. Cost: O(k)."""
        return torch.from_numpy(self.generator.choice(self.n, size=min(k, self.n), replace=False))
