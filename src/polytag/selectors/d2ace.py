"""D2ACE: rows whose predictions waver, or stay wrong, in cells that matter; first the one, later the other."""

import math
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.selectors.base import choice, saved_array
from polytag.selectors.local_correlation import LocalCorrelation, Scope
from polytag.selectors.per_epoch import PerEpoch
from polytag.selectors.pressure import check_pressure, check_schedule, exponential, quantised_weights
from polytag.selectors.window import CLIP, History, Precision, PredictionWindow, check_share, entropy, finite_cells
from polytag.types import Array, ArrayLike

Hardness = Literal["bounded", "code", "readme"]
Metric = Literal["uncertainty", "hardness"]
_AUTHORS: dict[str, Any] = {"hardness": "code", "warmup_order": "sequential", "last_batch": "remainder"}


class Scores(NamedTuple):
    """How the cells of a metric M become one score a row, ``score_i = sum_j v_j M_ij (1 + Y_ij S_ij)``.

    Attributes:
        label_weights: v, shape (q,).
        correlation: C, shape (q, q).
        shares: S of the positive cells, row by row.
        rows: The scores, shape (n,).
    """

    label_weights: Float[Array, "q"]
    correlation: Float[Array, "q q"]
    shares: Float[Array, "positives"]
    rows: Float[Array, "n"]


@register("selector", "d2ace")
class D2ACE(PerEpoch):
    """Mix two distributions, one by uncertainty E and one by noise-resistant hardness h, each of the form ``pressure ** (-Q_i / n)``.

    For each cell (row i, label j), with the last predictions ``p_1 .. p_m`` (the newest last): ``E = R / 2 + H2(p_m) / 2``, where R is the
    mean of ``|p_t - p_(t-1)|`` and H2 the entropy in bits; ``h = |y - p_m| (1 - F)``, where F is a moving average of the same changes, so
    that errors count only as far as the prediction is steady. Labels are weighted by ``v_j = exp(mean_i M_ij / 2 + std_i M_ij / 2)``,
    relevant cells also by ``1 + S_ij``, the share of the label's correlation that is present among the labels around the row
    (``LocalCorrelation``): ``score_i = sum_j v_j M_ij (1 + Y_ij S_ij)``, ``Q_i = clip(ceil(n (max - score_i) / (max - min)), 1, n)``. The
    share of uncertainty in the mixture falls, and the pressure decays, over the epochs.

    Args:
        y: Training labels (n, q). Unknown cells count as not relevant and carry no hardness.
        batch_size: Rows a batch.
        x: Training features (n, ...), scaled as the model sees them; needed for ``correlation="local"``.
        warmup: Plain passes at the start.
        pressure: Largest ratio of two chances of a component, at the start; at least 1 (uniform).
        pressure_end: The same at the end of the schedule; equal to ``pressure``: constant.
        schedule: First and last epoch of the decay of the pressure.
        mixture_share: Share of uncertainty at the start and the end, or one number that stays (1: only uncertainty, 0: only hardness).
        mixture_epochs: The epochs between which it changes linearly.
        window: Predictions that count for R.
        recent_change: Weight of R in E; the rest is that of the entropy.
        alpha: Weight of the newest change in F.
        hardness: ``"bounded"``: as above; ``"code"``: ``1 + |y - p|`` for ``|y - p|``, as published; ``"readme"``: the cross-entropy.
        label_weights: ``False``: v = 1.
        mean_weight: Weight of the mean in the exponent of v; the rest is that of the standard deviation.
        correlation: ``"local"``; ``"global"``: as if all labels were around each row; ``"none"``: S = 0.
        neighbours: Nearest rows that make up what is around a row, besides itself.
        history: ``"running"``: a running mean stands for the window (two fifths of its memory).
        dtype: Type of the stored numbers, ``"float16"``, ``"float32"`` or ``"float64"``.
        compat: ``"authors"`` sets what the published code does: ``hardness="code"``, ``warmup_order="sequential"``,
            ``last_batch="remainder"``.
        **shared: Those of ``BatchSelector``.

    Raises:
        ParameterError: A value is impossible, or there is no ``x`` where neighbours are needed.

    Cost: ``update`` O(b q); an epoch O(window n q) plus the correlation, O(sum of |Y_i| |Z_i|); the neighbours once, O(n^2 d); a batch
        O(b log n). Memory ``(window + 1) n q`` stored numbers, ``3 n q`` with ``history="running"``, and O(n + q^2 + positives).

    Reference: "D2ACE", arXiv 2605.09400, IJCAI-ECAI 2026: its abstract, and the published code; the text of the paper was not at hand.

    Differs: The hardness as the code's names say, not as its sign slip makes it; R = 0 at the first visit and p within [1e-6, 1 - 1e-6],
        where the code stores NaN, which makes a whole distribution uniform; tests for zero norms instead of added 1e-8; shuffled warm-up.
        Rows never seen count as the hardest, and only the others enter means and correlations. If all cells are as certain (or as right) as
        clipping allows, the distribution by uncertainty (or by hardness) is uniform.

    Example:
        >>> x, y = np.arange(6.0)[:, None], np.eye(6)
        >>> selector = D2ACE(y, batch_size=2, x=x, warmup=1, seed=0)
        >>> for rows in selector:
        ...     selector.update(rows, 3.0 - rows[:, None].float().expand(2, 6))
        >>> batches = iter(selector)
        >>> batch = next(batches)
        >>> selector.probabilities().round(3)
        array([0.124, 0.161, 0.211, 0.243, 0.172, 0.09 ])
    """

    settings: ClassVar[tuple[str, ...]] = (
        "pressure", "pressure_end", "schedule", "mixture_share", "mixture_epochs", "window", "recent_change", "alpha", "variant",
        "label_weights", "mean_weight", "correlation", "neighbours", "history", "dtype",
    )  # fmt: skip

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        x: ArrayLike | None = None,
        warmup: int = 10,
        pressure: float = 8.0,
        pressure_end: float = 1.0,
        schedule: tuple[int, int] = (10, 100),
        mixture_share: float | tuple[float, float] = (0.7, 0.3),
        mixture_epochs: tuple[int, int] = (10, 70),
        window: int = 5,
        recent_change: float = 0.5,
        alpha: float = 0.7,
        hardness: Hardness = "bounded",
        label_weights: bool = True,
        mean_weight: float = 0.5,
        correlation: Scope = "local",
        neighbours: int = 6,
        history: History = "window",
        dtype: Precision = "float16",
        compat: Literal["authors"] | None = None,
        **shared: Any,
    ) -> None:
        choice("compat", compat, (None, "authors"))
        if compat == "authors":
            hardness = _AUTHORS["hardness"]
            shared |= {name: _AUTHORS[name] for name in ("warmup_order", "last_batch")}
        choice("hardness", hardness, ("bounded", "code", "readme"))
        super().__init__(y, batch_size, x=x, warmup=warmup, **shared)
        self.pressure, self.pressure_end, self.schedule = (
            check_pressure(pressure),
            check_pressure(pressure_end),
            check_schedule(schedule),
        )
        self.mixture_share, self.mixture_epochs = _share_range(mixture_share), check_schedule(mixture_epochs)
        self.window, self.recent_change, self.alpha = int(window), check_share("recent_change", recent_change), check_share("alpha", alpha)
        self.variant, self.label_weights, self.mean_weight = hardness, bool(label_weights), check_share("mean_weight", mean_weight)
        self.correlation, self.neighbours, self.history, self.dtype = correlation, int(neighbours), history, dtype
        q = self.targets.index.q
        self._predictions = PredictionWindow(self.n, q, window=window, history=history, dtype=dtype)
        self._instability = np.zeros((self.n, q), dtype=dtype)
        self._local = LocalCorrelation(self.targets.index, x, neighbours, correlation)

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Take note of the predictions of a batch. Cost: O(b q)."""
        change = self._predictions.record(rows, self.finite_logits(rows, logits))
        average = torch.from_numpy(self._instability[rows]).to(change.dtype).lerp_(change, self.alpha)
        self._instability[rows] = average.to(self._predictions.kind).numpy()

    def mixture(self) -> list[tuple[float, Float[Array, "n"]]]:
        """Return the components by uncertainty and by hardness, with the schedules of the epoch that has just ended."""
        ended = self.epoch - 1
        if not self._predictions.seen().any():
            return [(1.0, np.ones(self.n))]
        share = self.share_at(ended)
        parts: tuple[tuple[float, Metric], ...] = ((share, "uncertainty"), (1 - share, "hardness"))
        pressure = self.pressure_at(ended)
        return [(part, quantised_weights(self.scores(metric).rows, pressure, lowest=1)) for part, metric in parts if part > 0]

    def pressure_at(self, epoch: int) -> float:
        """Return the pressure that follows from the end of an epoch."""
        return exponential(self.pressure, self.pressure_end, *self.schedule, epoch)

    def share_at(self, epoch: int) -> float:
        """Return the share of uncertainty that follows from the end of an epoch."""
        (start, end), (first, last) = self.mixture_share, self.mixture_epochs
        return start + (end - start) * min(max((epoch - first) / (last - first), 0.0), 1.0)

    def uncertainty(self) -> Float[Array, "n q"]:
        """Return E of all cells for inspection, float32. Cost: O(window n q); memory O(n q)."""
        return self._dense("uncertainty")

    def hardness(self) -> Float[Array, "n q"]:
        """Return h of all cells for inspection, float32; 0 for rows never seen and unknown labels. Cost and memory: O(n q)."""
        return self._dense("hardness")

    def scores(self, metric: Metric) -> Scores:
        """Return the scores of all rows by a metric, with what they are made of.

        Args:
            metric: ``"uncertainty"`` or ``"hardness"``.

        Cost: two passes over the window, in blocks, and the correlation.
        """
        choice("metric", metric, ("uncertainty", "hardness"))
        index, seen = self.targets.index, self._predictions.seen()
        values, columns = np.empty(len(index.columns)), _ColumnMoments(index.q)
        for rows in self._predictions.blocks():
            block = self._cells(metric, rows)
            columns.add(block[seen[rows]])
            positives = slice(index.row_starts[rows.start], index.row_starts[rows.stop])
            values[positives] = block[self._local.rows[positives] - rows.start, index.columns[positives]]
        weights = columns.weights(self.mean_weight) if self.label_weights else np.ones(index.q)
        matrix = self._local.matrix(values)
        shares = self._local.shares(matrix)
        extra = np.bincount(self._local.rows, weights=weights[index.columns] * values * shares, minlength=self.n)
        if columns.largest <= self._least(metric):
            return Scores(weights, matrix, shares, np.zeros(self.n))
        scores = extra + np.concatenate([self._cells(metric, rows) @ weights for rows in self._predictions.blocks()])
        scores[~seen] = scores[seen].max(initial=0.0)
        return Scores(weights, matrix, shares, scores)

    def memory(self) -> dict[str, Any]:
        """Return the last predictions, their instability, and the distribution."""
        return super().memory() | self._predictions.memory() | {"instability": torch.from_numpy(self._instability.copy())}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over what ``memory`` returned."""
        super().load_memory(memory)
        self._predictions.load_memory(memory)
        self._instability = saved_array(memory["instability"])

    def _cells(self, metric: Metric, rows: slice) -> Float[Array, "r q"]:
        """Return a metric of some rows, float64; 0 for rows never seen."""
        window = self._predictions
        found = window.uncertainty(rows, self.recent_change) if metric == "uncertainty" else self._hardness_of(rows)
        found *= torch.from_numpy(window.seen(rows))[:, None]
        return finite_cells(metric, found, rows)

    def _hardness_of(self, rows: slice) -> Float[Tensor, "r q"]:
        logits, at = self._predictions.logits(rows), np.arange(rows.start, rows.stop)
        wrong = logits * (1 - 2 * self.targets.filled(at, logits))  # the larger, the more it points the wrong way
        size = F.softplus(wrong) if self.variant == "readme" else wrong.sigmoid()
        if self.variant == "code":
            size += 1
        return size * (1 - torch.from_numpy(self._instability[rows]).to(size.dtype)) * self.targets.known(at, logits)

    def _least(self, metric: Metric) -> float:
        """Return what is left of a metric, at most, in a cell where clipping is all that keeps it from 0."""
        clipped = 1.01 * CLIP  # half precision moves the limit a little
        if metric == "hardness":
            return clipped
        logit = torch.tensor([math.log(clipped)], dtype=torch.float64)
        return (1 - self.recent_change) * float(entropy(logit))

    def _dense(self, metric: Metric) -> Float[Array, "n q"]:
        return np.concatenate([self._cells(metric, rows).astype(np.float32) for rows in self._predictions.blocks()])


class _ColumnMoments:
    """Mean and standard deviation of each column, block by block, without loss of digits."""

    def __init__(self, q: int) -> None:
        self.n, self.largest = 0, 0.0
        self._mean, self._squares = np.zeros(q), np.zeros(q)

    def add(self, block: Float[Array, "r q"]) -> None:
        """Count in some rows."""
        if not len(block):
            return
        mean, n = block.mean(axis=0), self.n + len(block)
        shift = mean - self._mean
        self._squares += ((block - mean) ** 2).sum(axis=0) + shift**2 * (self.n * len(block) / n)
        self._mean += shift * (len(block) / n)
        self.n, self.largest = n, max(self.largest, float(block.max()))

    def weights(self, mean_weight: float) -> Float[Array, "q"]:
        """Return ``exp(mean_weight * mean + (1 - mean_weight) * standard deviation)`` of each column."""
        weights: Array = np.exp(mean_weight * self._mean + (1 - mean_weight) * np.sqrt(self._squares / max(self.n, 1)))
        return weights


def _share_range(share: float | tuple[float, float]) -> list[float]:
    """Return the shares at the start and at the end."""
    shares = [share, share] if isinstance(share, int | float) else list(share)
    if len(shares) != 2:
        raise ParameterError(f"expected mixture_share to be one share or (start, end), but got {share!r}")
    return [check_share("mixture_share", float(part)) for part in shares]
