"""Uncertainty: rows whose predictions waver, in labels that waver together."""

from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.selectors.base import choice
from polytag.selectors.per_epoch import PerEpoch
from polytag.selectors.pressure import check_pressure, exponential, quantised_weights
from polytag.selectors.window import History, Precision, PredictionWindow, check_share, finite_cells
from polytag.types import Array, ArrayLike

LEVELS = 5
_DISCRETE_FROM = 5  # the first epoch at whose end E is replaced by the middle of its level


@register("selector", "uncertainty")
class Uncertainty(PerEpoch):
    """Draw with p proportional to ``pressure ** (-Q_i / n)``, ``Q_i = ceil(n (max - w_i) / (max - min))``, by ``w_i = sum_j (E C)_ij``.

    E is the uncertainty of each cell: half the mean change of its last predictions, half the entropy of the newest, in bits. At the end
    of each epoch E is sorted into five levels, and ``C_jk = I(j; k) / I(j; j)`` is the mutual information of two labels' levels, in units
    of the entropy of the first. The levels' middles stand for E from epoch 5 on. The pressure decays from the end of the warm-up on.

    Args:
        y: Training labels (n, q); only their shape matters.
        batch_size: Rows a batch.
        x: Not used.
        warmup: Plain passes at the start.
        pressure: Largest ratio of two chances, at least 1 (uniform).
        epochs_end: The epoch at which the pressure has decayed to 1.
        pressure_schedule: ``"decay"``, or ``"grow"`` from 1 to ``pressure`` over the same epochs.
        correlation: ``"mi"``, or ``"ones"`` for ``C = 1``, where each label counts the same.
        window: Predictions that count for the change.
        recent_change: Weight of the change in E; the rest is that of the entropy.
        history: ``"running"``: a running mean stands for the window (two fifths of its memory).
        dtype: Type of the stored numbers, ``"float16"``, ``"float32"`` or ``"float64"``.
        compat: ``"authors"`` sets what the published notebook does: ``correlation="ones"``, ``pressure_schedule="grow"``.
        **shared: Those of ``BatchSelector``.

    Raises:
        ParameterError: A value is impossible.

    Cost: ``update`` O(b q); an epoch O(window n q), and O(n q^2) for C; a batch O(b log n). Memory ``window * n q`` stored numbers,
        ``2 n q`` with ``history="running"``, and O(n + 25 q^2).

    Reference: Zhou et al., "Uncertainty-based batch selection for deep multi-label classification", arXiv 2412.16521, AAAI 2025: the
        published code; the text of the paper was not at hand.

    Differs: The method that the code's comments describe: the notebook itself uses ``C = 1`` and lets the pressure grow. R = 0 at the first
        visit and p within [1e-6, 1 - 1e-6], where the notebook has NaN. The pressure never leaves [1, ``pressure``]. Rows never seen count
        as the hardest.

    Example:
        >>> selector = Uncertainty(np.eye(6), batch_size=2, warmup=1, epochs_end=50, seed=0)
        >>> for rows in selector:
        ...     selector.update(rows, 1.0 * rows[:, None].expand(2, 6))
        >>> batch = next(iter(selector))
        >>> selector.probabilities().round(3)
        array([0.459, 0.23 , 0.115, 0.081, 0.057, 0.057])
    """

    settings: ClassVar[tuple[str, ...]] = (
        "pressure", "epochs_end", "pressure_schedule", "correlation", "window", "recent_change", "history", "dtype",
    )  # fmt: skip

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        x: ArrayLike | None = None,
        warmup: int = 10,
        pressure: float = 8.0,
        epochs_end: int = 100,
        pressure_schedule: Literal["decay", "grow"] = "decay",
        correlation: Literal["mi", "ones"] = "mi",
        window: int = 5,
        recent_change: float = 0.5,
        history: History = "window",
        dtype: Precision = "float16",
        compat: Literal["authors"] | None = None,
        **shared: Any,
    ) -> None:
        choice("compat", compat, (None, "authors"))
        if compat == "authors":
            correlation, pressure_schedule = "ones", "grow"
        choice("pressure_schedule", pressure_schedule, ("decay", "grow"))
        choice("correlation", correlation, ("mi", "ones"))
        super().__init__(y, batch_size, x=x, warmup=warmup, **shared)
        if epochs_end <= warmup:
            raise ParameterError(f"expected epochs_end to come after the warm-up, but got epochs_end={epochs_end} and warmup={warmup}")
        self.pressure, self.epochs_end, self.pressure_schedule = check_pressure(pressure), epochs_end, pressure_schedule
        self.correlation, self.window, self.recent_change = correlation, int(window), check_share("recent_change", recent_change)
        self.history, self.dtype = history, dtype
        self._predictions = PredictionWindow(self.n, self.targets.index.q, window=window, history=history, dtype=dtype)

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Take note of the predictions of a batch. Cost: O(b q)."""
        self._predictions.record(rows, self.finite_logits(rows, logits))

    def mixture(self) -> list[tuple[float, Float[Array, "n"]]]:
        """Return the weights by ``scores``, with the pressure of the epoch that has just ended."""
        if not self._predictions.seen().any():
            return [(1.0, np.ones(self.n))]
        return [(1.0, quantised_weights(self.scores(), self.pressure_at(self.epoch - 1)))]

    def pressure_at(self, epoch: int) -> float:
        """Return the pressure that follows from the end of an epoch."""
        ends = (self.pressure, 1.0) if self.pressure_schedule == "decay" else (1.0, self.pressure)
        return exponential(*ends, self.warmup, self.epochs_end, epoch)

    def uncertainty(self) -> Float[Array, "n q"]:
        """Return E of all cells for inspection, float32. Cost: O(window n q); memory O(n q)."""
        return np.concatenate([self._cells(rows).astype(np.float32) for rows in self._predictions.blocks()])

    def scores(self) -> Float[Array, "n"]:
        """Return w: how much each row wavers, in labels that waver together. Cost: two passes over the window, in blocks."""
        seen = self._predictions.seen()
        matrix = self.correlation_matrix()
        discrete = self.epoch - 1 >= _DISCRETE_FROM
        parts = []
        for rows in self._predictions.blocks():
            cells = self._cells(rows)
            parts.append(((_levels(cells) + 0.5) / LEVELS if discrete else cells) @ matrix.sum(axis=1))
        scores: Array = np.concatenate(parts)
        scores[~seen] = scores[seen].max(initial=0.0)
        return scores

    def correlation_matrix(self) -> Float[Array, "q q"]:
        """Return C; its diagonal is 1. Cost: O(n q^2) for ``correlation="mi"``."""
        q = self.targets.index.q
        if self.correlation == "ones":
            return np.ones((q, q))
        counts = np.zeros((LEVELS * q, LEVELS * q))
        for rows in self._predictions.blocks():
            levels = _levels(self._cells(rows)[self._predictions.seen(rows)])
            ones = (levels[:, :, None] == np.arange(LEVELS)).reshape(len(levels), -1).astype(np.float32)
            counts += ones.T @ ones  # whole numbers below 2 ** 24 are exact in float32
        information = mutual_information(counts.reshape(q, LEVELS, q, LEVELS))
        entropy = information.diagonal().copy()
        matrix: Array = np.divide(information, entropy[:, None], out=np.zeros((q, q)), where=entropy[:, None] > 0)
        np.minimum(matrix, 1.0, out=matrix)
        np.fill_diagonal(matrix, 1.0)  # constant columns too
        return matrix

    def memory(self) -> dict[str, Any]:
        """Return the last predictions, and the distribution."""
        return super().memory() | self._predictions.memory()

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over what ``memory`` returned."""
        super().load_memory(memory)
        self._predictions.load_memory(memory)

    def _cells(self, rows: slice) -> Float[Array, "r q"]:
        """Return E of some rows, float64; that of an even prediction for rows never seen."""
        return finite_cells("uncertainty", self._predictions.uncertainty(rows, self.recent_change), rows)


def mutual_information(counts: Float[Array, "q l q l"]) -> Float[Array, "q q"]:
    """Return ``sum_ab p_ab log(p_ab / (p_a p_b))`` in nats of each pair of columns, from the counts of their pairs of levels.

    Args:
        counts: ``counts[j, a, k, b]`` rows have level a in column j and level b in column k.

    Cost: O(l^2 q^2), column by column.
    """
    q = len(counts)
    total = counts[0, :, 0, :].sum()
    single = np.stack([counts[j, :, j, :].diagonal() for j in range(q)]) / total
    information = np.empty((q, q))
    for j in range(q):
        both = counts[j] / total  # (levels, q, levels)
        expected = single[j][:, None, None] * single
        ratio = np.divide(both, expected, out=np.ones_like(both), where=both > 0)
        information[j] = (both * np.log(ratio)).sum(axis=(0, 2))
    return np.maximum(information, 0.0)


def _levels(cells: Float[Array, "r q"]) -> Int[Array, "r q"]:
    """Return which fifth of [0, 1] each number lies in, 0 to 4."""
    return np.minimum((cells * LEVELS).astype(np.int64), LEVELS - 1)
