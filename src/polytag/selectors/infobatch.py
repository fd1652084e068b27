"""InfoBatch: shorter epochs that leave out a random half of the easy rows, and let the other half count twice."""

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


@register("selector", "infobatch")
class InfoBatch(BatchSelector):
    """Leave out each row whose last loss is below the mean with chance ``ratio``; the others of that group weigh ``1 / (1 - ratio)``.

    Each epoch is a shuffled pass over the rows that stay, so it has fewer batches; the sum of the weighted losses over the epoch has the
    sum over all rows as its expectation. Rows never seen always stay. From epoch ``delta * epochs`` on, all rows take part, unweighted.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        ratio: r, the chance to be left out, in [0, 1).
        delta: Share of the epochs after which nothing is left out any more, in [0, 1].
        epochs: How many epochs the training will have.
        warmup: Plain passes at the start. One is implied: nothing can be left out before it has been seen.
        **shared: Those of ``BatchSelector``.

    Raises:
        ParameterError: ``ratio``, ``delta`` or ``epochs`` outside their range, or another impossible value.

    Cost: O(n) when an epoch begins, O(b q) a batch. Memory 17 n bytes.

    Reference: Qin, Wang, Zheng, Gu, Peng, Xu, Zhou, Shang, Sun, Xie, You, "InfoBatch: lossless training speed up by unbiased dynamic data
        pruning", ICLR 2024.

    Differs: The mean is that of the losses known, not of a start value that stands in for the others. With ``correction > 0`` the
        importance weights, which are the same weights scaled to mean 1 in each batch, take the place of the selector's own.

    Example:
        >>> import numpy as np, torch
        >>> selector = InfoBatch(np.zeros((40, 1)), batch_size=10, seed=0)
        >>> for rows in selector:
        ...     selector.update(rows, rows[:, None] - 20.0)
        >>> rows = next(iter(selector))
        >>> len(selector), selector.size, selector.weights(rows)[rows < 10].unique()
        (3, 30, tensor([2.]))
    """

    settings: ClassVar[tuple[str, ...]] = ("ratio", "delta", "epochs")
    shrinks: ClassVar[bool] = True
    per_epoch = True

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        ratio: float = 0.5,
        delta: float = 0.875,
        epochs: int = 100,
        warmup: float = 1,
        **shared: Any,
    ) -> None:
        super().__init__(y, batch_size, warmup=warmup, **shared)
        if not 0 <= ratio < 1:
            raise ParameterError(f"expected 0 <= ratio < 1 (the chance to be left out), but got ratio={ratio!r}")
        if not 0 <= delta <= 1:
            raise ParameterError(f"expected 0 <= delta <= 1 (a share of the epochs), but got delta={delta!r}")
        if epochs < 1:
            raise ParameterError(f"expected epochs >= 1, but got epochs={epochs!r}")
        self.ratio, self.delta, self.epochs = float(ratio), float(delta), int(epochs)
        self.losses = np.full(self.n, np.inf)
        self._thinned = np.zeros(self.n, dtype=bool)
        self._order = np.empty(0, dtype=np.int64)

    def prunable(self) -> Int[Array, "m"]:
        """Return the rows whose last loss is below the mean of the losses known. Cost: O(n)."""
        known = self.losses[np.isfinite(self.losses)]
        if not len(known):
            return np.empty(0, dtype=np.int64)
        mean = min(float(known.mean()), float(known.max()))  # rounding must not lift the mean of equal losses above them
        return np.flatnonzero(self.losses < mean)

    def begin_epoch(self) -> None:
        """Decide which rows take part, and in which order. Cost: O(n)."""
        self._thinned = np.zeros(self.n, dtype=bool)
        if self.epoch < self.warmup:
            return
        stays = np.ones(self.n, dtype=bool)
        if self.epoch < self.delta * self.epochs:
            prunable = self.prunable()
            self._thinned[prunable] = True
            stays[prunable] = self.generator.random(len(prunable)) >= self.ratio
        self._order = self.generator.permutation(np.flatnonzero(stays))
        self.size = len(self._order)

    def draw(self, k: int) -> Int[Tensor, "k"]:
        """Return the next rows of the pass; what is left of it at its end. Cost: O(k)."""
        start = self.step * self.batch_size
        return torch.from_numpy(self._order[start : start + k].copy())

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Store the losses of a batch. Cost: O(b q); one copy of b values from the device of the logits."""
        self.losses[rows] = self.instance_losses(rows, logits, self._largest)

    def density(self, rows: Int[Array, "b"] | slice = slice(None)) -> Float[Array, "b"]:
        """Return how likely some rows were to take part in the epoch that runs."""
        return np.where(self._thinned[rows], 1 - self.ratio, 1.0)

    def row_weights(self, rows: Int[Array, "b"]) -> Float[Tensor, "b"] | None:
        """Return ``1 / (1 - ratio)`` for rows that might have been left out, 1 for others; ``None`` if that was not possible for any."""
        if self.correction or not self._thinned.any():
            return None
        return torch.from_numpy(1 / self.density(rows)).float()

    def memory(self) -> dict[str, Any]:
        """Return the losses, and the rows of the epoch that runs."""
        arrays = {"losses": self.losses, "thinned": self._thinned, "order": self._order}
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over the losses, and the rows of the epoch that runs."""
        self.losses, self._thinned, self._order = (saved_array(memory[name]) for name in ("losses", "thinned", "order"))

    def _largest(self) -> float:
        return float(self.losses[np.isfinite(self.losses)].max(initial=0.0))
