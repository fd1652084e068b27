"""OHEM: show the model more than can be trained on, and train on what it got most wrong."""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.selectors.base import choice
from polytag.selectors.candidates import BatchWeights, KeepsHardest, largest, pool_size, uniform_rows
from polytag.types import Array, ArrayLike


@register("selector", "ohem")
class OHEM(KeepsHardest):
    """Keep the hardest of some uniform candidates: whole rows, or single cells of a uniform batch.

    ``level="instance"``: of ``pool * b`` candidates, the b rows with the largest mean binary cross-entropy make the batch.
    ``level="cell"``: the batch is uniform; of its known cells, the fraction ``keep`` with the largest cross-entropy counts, by loss weights
    ``cells / kept`` there and 0 elsewhere, so that the mean over all cells is the mean over the kept ones.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        level: ``"instance"`` or ``"cell"``.
        pool: Candidates for each row of a batch, at least 1 (uniform batches); used at the instance level.
        keep: Share of the cells that count, above 0 and at most 1 (all of them); used at the cell level.
        **shared: Those of ``BatchSelector``, but no ``correction``.

    Raises:
        ParameterError: ``pool < 1``, ``keep`` outside (0, 1], or another impossible value.

    Cost: an extra forward pass of ``pool * b`` rows a batch (of b rows at the cell level); choosing costs O(b q), whatever n is. No memory.

    Reference: Shrivastava, Gupta, Girshick, "Training region-based object detectors with online hard example mining", CVPR 2016.

    Differs: The original takes its candidates from the regions of a few images; here they are drawn uniformly from the training set. Its
        pools are all regions there are; the size of ours is a parameter. The cell level is the multi-label counterpart of its regions.

    Example:
        >>> import numpy as np, torch
        >>> selector = OHEM(np.zeros((8, 1)), batch_size=2, pool=4, seed=0)
        >>> rows = next(iter(selector))
        >>> len(rows), selector.screening
        (8, True)
        >>> selector.screen(rows, rows[:, None].float())  # the largest logits are the most wrong
        tensor([7, 6])
    """

    settings: ClassVar[tuple[str, ...]] = ("level", "pool", "keep")

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        level: Literal["instance", "cell"] = "instance",
        pool: float = 4.0,
        keep: float = 0.25,
        **shared: Any,
    ) -> None:
        super().__init__(y, batch_size, **shared)
        choice("level", level, ("instance", "cell"))
        if not 0 < keep <= 1:
            raise ParameterError(f"expected 0 < keep <= 1 (1 counts all cells), but got keep={keep!r}")
        self.level, self.pool, self.keep = level, float(pool), float(keep)
        self._candidates = pool_size("pool", pool, self.batch_size, self.n)
        self._wanted = 0
        self._weights = BatchWeights()

    def draw(self, k: int) -> Int[Tensor, "m"]:
        """Draw candidates uniformly: the pool, or the batch itself at the cell level. Cost: O(pool * k)."""
        self._weights.clear()
        self._wanted = k = min(k, self.n)
        if self.level == "cell":
            self.screening = self.keep < 1
            return uniform_rows(self.n, k, self.generator)
        self.screening = self._candidates > k
        return uniform_rows(self.n, self._candidates, self.generator)

    def sift(self, rows: Int[Array, "m"], logits: Float[Tensor, "m q"]) -> Int[Tensor, "k"]:
        """Keep the rows with the largest losses, or weigh the cells."""
        if self.level == "cell":
            self._weights.put(rows, self._cell_weights(rows, self.finite_logits(rows, logits)))
            return torch.from_numpy(rows)
        losses = self.instance_losses(rows, logits, lambda: 0.0)
        return torch.from_numpy(rows[largest(losses, self._wanted)])

    def row_weights(self, rows: Int[Array, "b"]) -> Float[Tensor, "b q"] | None:
        """Return the weights of the cells, shape (b, q), at the cell level."""
        return self._weights.of(rows)

    def _cell_weights(self, rows: Array, logits: Tensor) -> Tensor:
        """Return ``cells / kept`` at the hardest known cells, 0 elsewhere; of equally hard cells the first ones count. On the host."""
        terms = F.binary_cross_entropy_with_logits(logits, self.targets.filled(rows, logits), reduction="none")
        known = self.targets.known(rows, logits) > 0
        cells = int(known.sum())
        kept = min(max(round(self.keep * cells), 1), cells)
        weights = torch.zeros_like(terms)
        if kept:
            terms = terms.masked_fill(~known, -1.0)  # below any loss
            limit = terms.flatten().kthvalue(terms.numel() - kept + 1).values
            weights[terms > limit] = 1
            ties = (terms == limit).nonzero()[: kept - int(weights.sum())]
            weights[ties[:, 0], ties[:, 1]] = 1
            weights *= cells / kept
        return weights.float().cpu()
