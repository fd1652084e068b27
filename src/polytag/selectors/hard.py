"""Hard: rows are ranked by their loss, and each rank is drawn a fixed factor more often than the one below it."""

import math
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.registry import register
from polytag.selectors.base import BatchSelector, choice, saved_array
from polytag.selectors.pressure import check_pressure, check_schedule, exponential
from polytag.selectors.sampling import Proposals, Sampler, successively
from polytag.types import Array, ArrayLike


@register("selector", "hard")
class Hard(BatchSelector):
    """Draw with p proportional to ``pressure ** (r_i / n)``, where ``r_i`` is the rank of the loss of row i, n for the largest.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        x: Not used.
        seed: Seed.
        pressure: How many times more often the hardest row is drawn than the easiest; at least 1 (uniform).
        pressure_end: Pressure at the end of an exponential schedule; ``None`` keeps it constant.
        schedule: First and last epoch of that schedule.
        warmup: Plain passes at the start.
        ties: ``"average"``: equal losses share their mean rank and are equally likely; ``"index"``: the higher row number ranks higher.
        rerank: ``"epoch"``: ranks are taken when an epoch begins; ``"step"``: before each batch.
        sampler: ``"rejection"``, ``"dense"``, or ``"auto"`` for the faster one; both are exact.
        **shared: Those of ``BatchSelector``.

    Raises:
        ParameterError: ``pressure < 1`` or another impossible value.

    Cost: a rank is drawn in closed form, O(1) a row whatever n is; O(n log n) for each ranking (an epoch, or a step). Memory 24 n bytes.

    Reference: Loshchilov, Hutter, "Online batch selection for faster training of neural networks", arXiv 1511.06343, 2015; in the form of
        Zhou, Liu, Wang, Tsoumakas, arXiv 2403.18192, 2024, eq. 3.

    Differs: Equal losses get equal probability. Rows never seen share the highest ranks. The original recomputes all losses from time to
        time; call ``update`` with all rows and their logits to do so.

    Example:
        >>> import numpy as np, torch
        >>> selector = Hard(np.zeros((4, 1)), batch_size=2, pressure=16.0, warmup=1, rerank="step", seed=0)
        >>> for rows in selector:
        ...     selector.update(rows, rows[:, None].float())
        >>> selector.probabilities().round(3)  # each 16 ** (1/4) = 2 times the one before
        array([0.067, 0.133, 0.267, 0.533])
    """

    settings: ClassVar[tuple[str, ...]] = ("pressure", "pressure_end", "schedule", "ties", "rerank", "sampler")

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        x: ArrayLike | None = None,
        seed: int = 0,
        pressure: float = 8.0,
        pressure_end: float | None = None,
        schedule: tuple[int, int] = (10, 100),
        warmup: int = 3,
        ties: Literal["average", "index"] = "average",
        rerank: Literal["epoch", "step"] = "epoch",
        sampler: Sampler = "auto",
        **shared: Any,
    ) -> None:
        super().__init__(y, batch_size, x=x, seed=seed, warmup=warmup, **shared)
        choice("ties", ties, ("average", "index"))
        choice("rerank", rerank, ("epoch", "step"))
        choice("sampler", sampler, ("auto", "rejection", "dense"))
        self.pressure, self.pressure_end = check_pressure(pressure), None if pressure_end is None else check_pressure(pressure_end)
        self.schedule, self.ties, self.rerank, self.sampler = check_schedule(schedule), ties, rerank, sampler
        self.losses = np.full(self.n, np.inf)
        self.proposals = Proposals(1.0)
        self.per_epoch = rerank == "epoch"
        self._rank()

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Store the losses of a batch. Cost: O(b q); one copy of b values from the device of the logits."""
        self.losses[rows] = self.instance_losses(rows, logits, self._largest)
        self._stale = True

    def begin_epoch(self) -> None:
        """Rank all rows by their losses, if there is something to draw. Cost: O(n log n)."""
        if self.epoch >= self.warmup:
            self._rank()

    def draw(self, k: int) -> Int[Tensor, "k"]:
        """Draw k different rows successively. Cost: O(k log n) expected, O(n) by keys; O(n log n) more with ``rerank="step"``."""
        self._follow()
        return successively(
            k,
            self.n,
            self._propose,
            self._log_weights,
            self.proposals,
            self.generator,
            tries=self.current_pressure,
            sampler=self.sampler,
        )

    def density(self, rows: Int[Array, "b"] | slice = slice(None)) -> Float[Array, "b"]:
        """Return the chances of some rows to be drawn next, up to a common factor. Cost: O(n), for the ranks."""
        self._follow()
        density: Array = np.exp(self._log_weights()[rows] - math.log(self.current_pressure))
        return density

    def memory(self) -> dict[str, Any]:
        """Return losses and the ranking."""
        arrays = {"losses": self.losses, "order": self._order, "block_starts": self._starts}
        plain = {"stale": self._stale, "proposals": [self.proposals.made, self.proposals.accepted]}
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()} | plain

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over losses and the ranking."""
        self.losses, self._order, self._starts = (saved_array(memory[name]) for name in ("losses", "order", "block_starts"))
        self._stale = bool(memory["stale"])
        self.proposals.made, self.proposals.accepted = memory["proposals"]

    @property
    def current_pressure(self) -> float:
        """The pressure of this epoch: constant, or ``s * (end / s) ** t`` with t from 0 to 1 between the epochs of the schedule."""
        if self.pressure_end is None:
            return self.pressure
        return exponential(self.pressure, self.pressure_end, *self.schedule, self.epoch)

    def _rank(self) -> None:
        """Sort the rows by loss; rows ``order[starts[g]:starts[g + 1]]`` have equal losses (unless ties go by index)."""
        self._order = np.argsort(self.losses, kind="stable")
        if self.ties == "average":
            ranked = self.losses[self._order]
            self._starts = np.concatenate([[0], np.flatnonzero(ranked[1:] != ranked[:-1]) + 1])
        else:
            self._starts = np.arange(self.n)
        self._stale = False

    def _follow(self) -> None:
        if self.rerank == "step" and self._stale:
            self._rank()

    def _propose(self, m: int) -> tuple[Array, Array]:
        """Draw m ranks from ``CDF(R) = (s ** (R / n) - 1) / (s - 1)``, then thin and shuffle within blocks of equal losses.

        A block of c ranks with mean r is met with probability ``sum of a ** r`` over its ranks (``a = s ** (1 / n)``) and shall have
        ``c * a ** mean(r)``; the ratio is ``c sinh(h) / sinh(c h)`` with ``h = log(a) / 2``, at most 1.
        """
        log_s = math.log(self.current_pressure)
        uniform = self.generator.random(m)
        ranks = uniform * self.n if log_s == 0 else np.log1p(uniform * math.expm1(log_s)) * (self.n / log_s)
        ranks = np.minimum(ranks.astype(np.int64), self.n - 1)
        accepted = np.ones(m, dtype=bool)
        if len(self._starts) < self.n:
            block = np.searchsorted(self._starts, ranks, side="right") - 1
            starts = self._starts[block]
            sizes = np.where(block + 1 < len(self._starts), self._starts[np.minimum(block + 1, len(self._starts) - 1)], self.n) - starts
            half = log_s / (2 * self.n)
            if half > 0:
                accepted = self.generator.random(m) < sizes * math.sinh(half) / np.sinh(sizes * half)
            ranks = starts + np.minimum((self.generator.random(m) * sizes).astype(np.int64), sizes - 1)
        return self._order[ranks], accepted

    def _log_weights(self) -> Array:
        """Return ``r_i / n * log(pressure)`` of all rows. Cost: O(n)."""
        ends = np.append(self._starts[1:], self.n)
        mean_ranks = (self._starts + 1 + ends) / 2
        weights = np.empty(self.n)
        weights[self._order] = np.repeat(mean_ranks, ends - self._starts) * (math.log(self.current_pressure) / self.n)
        return weights

    def _largest(self) -> float:
        return float(self.losses[np.isfinite(self.losses)].max(initial=0.0))
