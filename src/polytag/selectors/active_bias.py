"""ActiveBias: rows on which the model keeps changing its mind come more often, or count more."""

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.selectors.base import choice, saved_array
from polytag.selectors.per_epoch import PerEpoch
from polytag.selectors.pressure import check_pressure, quantised_weights
from polytag.types import Array, ArrayLike

_BLOCK = 2**20


@register("selector", "active_bias")
class ActiveBias(PerEpoch):
    """Favour rows whose predictions vary from visit to visit: p proportional to ``s_i + mean(s)``, or loss weights of that size.

    For each cell, the probability that the model gave to the true value is followed over the visits of the row. With ``var_ij`` its
    variance over the ``m_i`` visits, ``s_i = sum_j sqrt(var_ij + var_ij ** 2 / (m_i - 1))``; the second term is how uncertain the variance
    itself is. The distribution is renewed when an epoch begins. Rows with too few visits count as the most variable row known.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        use: ``"sampling"``: rows are drawn by the formula (SGD-SPV). ``"weighting"``: batches are uniform independent draws, and
            ``weights`` returns ``b (s_i + mean(s)) / (sum over the batch)`` from the latest statistics (SGD-WPV).
        statistic: ``"std"``, or ``"closeness"``: ``s_i = sum_j m_ij (1 - m_ij)`` with ``m_ij`` the mean probability of the true value.
        confidence: Add the uncertainty of the variance; ``False`` leaves plain standard deviations.
        ddof: 1 divides squared deviations by ``m_i - 1``, 0 by ``m_i``.
        mapping: ``"proportional"``, or ``"quantised"``: ``pressure ** (-Q_i / n)`` with ``Q_i = ceil(n (max s - s_i) / (max s - min s))``.
        pressure: Largest ratio of two probabilities with ``mapping="quantised"``; at least 1.
        warmup: Plain passes at the start.
        burn_in: Epochs whose predictions are not recorded; ``None``: those of the warm-up.
        **shared: Those of ``BatchSelector``.

    Raises:
        ParameterError: An impossible value, or ``mapping="quantised"`` with weights instead of draws.

    Cost: O(b q) a step; O(n q) once an epoch, in blocks; a batch O(b log n). Memory 8 n q bytes: running mean and sum of squares in single
        precision, no history.

    Reference: Chang, Learned-Miller, McCallum, "Active bias: training more accurate neural networks by emphasizing high variance samples",
        NeurIPS 2017.

    Differs: The paper has one class; here the statistics of all labels are added up. Published multi-label code has
        ``confidence=False, mapping="quantised"``. Rows do not repeat within a batch. See the page of the method.

    Example:
        >>> import numpy as np, torch
        >>> selector = ActiveBias(np.ones((4, 1)), batch_size=2, warmup=2, burn_in=0, seed=0)
        >>> for sign in (1, -1):
        ...     for rows in selector:
        ...         selector.update(rows, sign * rows[:, None].float())  # row 3 swings most
        >>> selector.begin_epoch()
        >>> selector.probabilities().round(3)
        array([0.125, 0.225, 0.303, 0.347])
    """

    settings: ClassVar[tuple[str, ...]] = ("use", "statistic", "confidence", "ddof", "mapping", "pressure", "burn_in")

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        use: Literal["sampling", "weighting"] = "sampling",
        statistic: Literal["std", "closeness"] = "std",
        confidence: bool = True,
        ddof: Literal[0, 1] = 1,
        mapping: Literal["proportional", "quantised"] = "proportional",
        pressure: float = 8.0,
        warmup: float = 3,
        burn_in: int | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(y, batch_size, warmup=warmup, **shared)
        choice("use", use, ("sampling", "weighting"))
        choice("statistic", statistic, ("std", "closeness"))
        choice("ddof", ddof, (0, 1))
        choice("mapping", mapping, ("proportional", "quantised"))
        if use == "weighting" and mapping == "quantised":
            raise ParameterError('expected mapping="proportional" with use="weighting": the quantised map makes probabilities, not weights')
        if burn_in is not None and burn_in < 0:
            raise ParameterError(f"expected burn_in >= 0 or None, but got {burn_in}")
        self.use, self.statistic, self.confidence, self.ddof = use, statistic, bool(confidence), int(ddof)
        self.mapping, self.pressure, self.burn_in = mapping, check_pressure(pressure), burn_in
        self._visits = np.zeros(self.n, dtype=np.int32)
        self._mean = np.zeros((self.n, self.targets.index.q), dtype=np.float32)
        self._squares = np.zeros_like(self._mean)
        self._highest, self._smoothing = 0.0, 0.0

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Take the probabilities of the true values into the running moments (Welford). Cost: O(b q), one copy of b q values."""
        logits = self.finite_logits(rows, logits)
        if self.epoch < (self.warmup if self.burn_in is None else self.burn_in):
            return
        true = torch.sigmoid(logits * (2 * self.targets.filled(rows, logits) - 1)) * self.targets.known(rows, logits)
        values = true.to("cpu", torch.float32).numpy()
        visits = self._visits[rows] + 1
        before = values - self._mean[rows]
        mean = self._mean[rows] + before / visits[:, None].astype(np.float32)
        self._visits[rows] = visits
        self._mean[rows] = mean
        self._squares[rows] += before * (values - mean)

    def mixture(self) -> list[tuple[float, Float[Array, "n"]]]:
        """Return the distribution of the epoch. Cost: O(n q)."""
        size = max(1, _BLOCK // self.targets.index.q)
        scores = np.concatenate([self._variability(slice(start, start + size)) for start in range(0, self.n, size)])
        known = scores[scores >= 0]
        self._highest, self._smoothing = (float(known.max()), float(known.mean())) if len(known) else (0.0, 0.0)
        scores[scores < 0] = self._highest
        if self.use == "weighting" or self._smoothing == 0:
            return [(1.0, np.ones(self.n))]
        return [(1.0, quantised_weights(scores, self.pressure) if self.mapping == "quantised" else scores + self._smoothing)]

    def row_weights(self, rows: Int[Array, "b"]) -> Float[Tensor, "b"] | None:
        """Return the loss weights of SGD-WPV, of mean 1. Cost: O(b q)."""
        if self.use == "sampling" or self._smoothing == 0:
            return None
        scores = self._variability(rows)
        weights = np.where(scores < 0, self._highest, scores) + self._smoothing
        return torch.from_numpy(weights / weights.mean()).float()

    def memory(self) -> dict[str, Any]:
        """Return the running moments and the distribution."""
        moments = {"visits": self._visits, "mean": self._mean, "squares": self._squares}
        plain = {"highest": self._highest, "smoothing": self._smoothing}
        return super().memory() | {name: torch.from_numpy(values.copy()) for name, values in moments.items()} | plain

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over the running moments and the distribution."""
        super().load_memory(memory)
        self._visits, self._mean, self._squares = (saved_array(memory[name]) for name in ("visits", "mean", "squares"))
        self._highest, self._smoothing = float(memory["highest"]), float(memory["smoothing"])

    def _variability(self, rows: Array | slice) -> Array:
        """Return s of some rows in double precision; -1 where there are too few visits."""
        visits = self._visits[rows]
        if self.statistic == "closeness":
            mean = self._mean[rows].astype(np.float64)
            return np.where(visits >= 1, np.maximum(mean * (1 - mean), 0).sum(axis=1), -1.0)
        variance = np.maximum(self._squares[rows], 0).astype(np.float64) / np.maximum(visits - self.ddof, 1)[:, None]
        if self.confidence:
            variance = variance + variance**2 / np.maximum(visits - 1, 1)[:, None]
        return np.where(visits >= 2, np.sqrt(variance).sum(axis=1), -1.0)
