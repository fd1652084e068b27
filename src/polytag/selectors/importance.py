"""Importance: rows with large gradients come more often and count less, so that the gradient stays right and gets less noisy."""

import math
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.selectors.base import BatchSelector, choice
from polytag.selectors.candidates import BatchWeights, pool_size, uniform_rows
from polytag.selectors.sampling import Categorical
from polytag.types import Array, ArrayLike


@register("selector", "importance")
class Importance(BatchSelector):
    """Draw b of B uniform candidates with replacement, in proportion to the norm of the gradient at the logits, and weigh the loss back.

    ``g_i = ||sigmoid(z_i) - y_i||_2`` over the known labels, ``P_i = g_i / sum g``, loss weight ``1 / (B P_i)``: the weighted mean over the
    batch has the mean over the candidates as its expectation. The gain is
    ``tau = 1 / sqrt(1 - sum (P_i - 1/B)^2 / sum P_i^2) = sqrt(B sum P_i^2)``: ``tau ** 2`` is how many times smaller the mean squared
    gradient of a row gets. Its running mean (momentum .9, from 0) switches the method on while it exceeds ``(B + 3 b) / (3 b)``, where the
    smaller variance pays for the look at the candidates.

    While it is off, batches are uniform and tau comes from their own logits, as ``update`` gets them: no extra forward pass.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        presample: B / b, above 1; B is at most n.
        switch: ``"gain"``: on while tau says that it pays; ``"always"``: on.
        threshold: The tau to be exceeded; ``None``: ``(B + 3 b) / (3 b)``, which holds where a backward pass costs two forward passes.
        momentum: How much of the old tau stays at each step, in [0, 1).
        **shared: Those of ``BatchSelector``.

    Raises:
        ParameterError: ``presample <= 1``, or another impossible value.

    Cost: while on, an extra forward pass of B rows a batch; O(B q) for the scores, whatever n is. Memory: one number.

    Reference: Katharopoulos, Fleuret, "Not all samples are created equal: deep learning with importance sampling", ICML 2018.

    Differs: The score is the exact norm of the gradient at the logits for binary cross-entropy. With ``batch_size >= n`` there is nothing
        to choose, and each batch is all rows once.

    Example:
        >>> import numpy as np, torch
        >>> selector = Importance(np.zeros((9, 1)), batch_size=3, switch="always", seed=0)
        >>> rows = next(iter(selector))
        >>> rows = selector.screen(rows, torch.where(rows < 3, 0.0, -30.0)[:, None])  # only rows 0, 1, 2 have a gradient
        >>> bool((rows < 3).all()), selector.weights(rows)  # each of them is drawn 3 times as often as uniformly
        (True, tensor([0.3333, 0.3333, 0.3333]))
    """

    settings: ClassVar[tuple[str, ...]] = ("presample", "switch", "threshold", "momentum")
    replacement: ClassVar[bool] = True

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        presample: float = 3.0,
        switch: Literal["gain", "always"] = "gain",
        threshold: float | None = None,
        momentum: float = 0.9,
        **shared: Any,
    ) -> None:
        super().__init__(y, batch_size, **shared)
        choice("switch", switch, ("gain", "always"))
        if not presample > 1:
            raise ParameterError(f"expected presample > 1 (candidates for each row of a batch), but got presample={presample!r}")
        if not 0 <= momentum < 1:
            raise ParameterError(f"expected 0 <= momentum < 1, but got momentum={momentum!r}")
        if threshold is not None and not 0 <= threshold < math.inf:
            raise ParameterError(f"expected a finite threshold >= 0 (or None), but got threshold={threshold!r}")
        self.presample, self.switch, self.momentum = float(presample), switch, float(momentum)
        self._candidates = pool_size("presample", presample, self.batch_size, self.n)
        self.threshold = (self._candidates + 3 * self.batch_size) / (3 * self.batch_size) if threshold is None else float(threshold)
        self.tau = 0.0
        self._wanted = 0
        self._weights = BatchWeights()

    @property
    def on(self) -> bool:
        """Whether the next batch is drawn by importance."""
        return self.n > self.batch_size and (self.switch == "always" or self.tau > self.threshold)

    def draw(self, k: int) -> Int[Tensor, "m"]:
        """Draw uniformly: candidates while on, else a batch. Cost: O(presample * k)."""
        self._weights.clear()
        self._wanted = min(k, self.n)
        self.screening = self.on
        return uniform_rows(self.n, self._candidates if self.screening else self._wanted, self.generator)

    def sift(self, rows: Int[Array, "m"], logits: Float[Tensor, "m q"]) -> Int[Tensor, "k"]:
        """Draw the batch among the candidates, with replacement."""
        chances = self._chances(rows, logits)
        self._follow(chances)
        drawn = Categorical(chances).draw(self._wanted, self.generator)
        self._weights.put(rows[drawn], torch.from_numpy(1 / (len(rows) * chances[drawn])).float())
        return torch.from_numpy(rows[drawn])

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Estimate the gain from a uniform batch; one that was drawn by importance says nothing new."""
        chances = self._chances(rows, logits)
        if self._weights.empty:
            self._follow(chances)

    def row_weights(self, rows: Int[Array, "b"]) -> Float[Tensor, "b"] | None:
        """Return ``1 / (B P_i)``; ``None`` while off."""
        return self._weights.of(rows)

    def memory(self) -> dict[str, Any]:
        """Return the running estimate of the gain."""
        return {"tau": self.tau}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over the running estimate of the gain."""
        self.tau = float(memory["tau"])
        self._weights.clear()

    def _chances(self, rows: Array, logits: Tensor) -> Array:
        """Return P; uniform where all gradients are zero."""
        logits = self.finite_logits(rows, logits)
        gradients = (logits.sigmoid() - self.targets.filled(rows, logits)) * self.targets.known(rows, logits)
        scores = gradients.norm(dim=1).to("cpu", torch.float64).numpy()
        total = scores.sum()
        return scores / total if total > 0 else np.full(len(scores), 1 / len(scores))

    def _follow(self, chances: Array) -> None:
        gain = math.sqrt(len(chances) * float((chances**2).sum()))
        self.tau = self.momentum * self.tau + (1 - self.momentum) * gain
