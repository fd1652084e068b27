"""Selective backprop: stream through the rows, and keep each for training with a chance that grows with the rank of its loss."""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.selectors.base import saved_array
from polytag.selectors.candidates import KeepsHardest, largest, uniform_rows
from polytag.types import Array, ArrayLike


@register("selector", "selective_backprop")
class SelectiveBackprop(KeepsHardest):
    """Accept a candidate with chance ``CDF(l_i) ** beta``, the share of the last losses that are not larger; b accepted rows make a batch.

    Candidates come b at a time from shuffled passes over all rows. Their losses enter the history first, then each is compared with it.
    Accepted rows beyond the batch wait for the next one. On average ``1 / (beta + 1)`` of the candidates are accepted.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch, and candidates a look.
        beta: How picky; at least 0 (all are accepted). With 2 a third is accepted.
        history: How many of the last losses a loss is compared with.
        rounds: Looks a batch, at most; then the largest losses among those refused fill it. At least 2; by default ``8 (beta + 1)``,
            rounded up, eight times what is expected.
        warmup: Plain passes at the start; their losses enter the history.
        **shared: Those of ``BatchSelector``, but no ``correction``.

    Raises:
        ParameterError: ``beta < 0``, or another impossible value.

    Cost: ``beta + 1`` extra forward passes of b rows a batch, expected; the choice O(b q + history log history). All rows are shuffled once
        in n candidates, O(n): O(1) a candidate. Memory 8 n bytes for the order of the pass.

    Reference: Jiang, Wong, Zhou, Andersen, Dean, Ganger, Joshi, Kaminsky, Kozuch, Lipton, Pillai, "Accelerating deep learning by focusing
        on the biggest losers", arXiv 1910.00762, 2019.

    Differs: A row that waits is no candidate, so that none stands in a batch twice, and the number of looks is bounded. The variant that
        reuses old choices for some epochs is not here.

    Example:
        >>> import numpy as np, torch
        >>> selector = SelectiveBackprop(np.zeros((8, 1)), batch_size=2, warmup=0, seed=0)
        >>> rows, looks = next(iter(selector)), 0
        >>> while selector.screening:
        ...     rows, looks = selector.screen(rows, rows[:, None].float()), looks + 1
        >>> len(rows), looks
        (2, 2)
    """

    settings: ClassVar[tuple[str, ...]] = ("beta", "history", "rounds")

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        beta: float = 2.0,
        history: int = 1024,
        rounds: int | None = None,
        warmup: float = 1,
        **shared: Any,
    ) -> None:
        super().__init__(y, batch_size, warmup=warmup, **shared)
        if not 0 <= beta < math.inf:
            raise ParameterError(f"expected a finite beta >= 0 (0 accepts all), but got beta={beta!r}")
        if history < 1:
            raise ParameterError(f"expected history >= 1 losses, but got history={history!r}")
        if rounds is not None and rounds < 2:
            raise ParameterError(f"expected rounds >= 2 (two looks always show enough rows for a batch), but got rounds={rounds!r}")
        self.beta, self.history = float(beta), int(history)
        self.rounds = max(2, math.ceil(8 * (self.beta + 1))) if rounds is None else int(rounds)
        self._recent: Array = np.empty(0)
        self._waiting: list[int] = []
        self._refused: dict[int, float] = {}
        self._wanted, self._round = 0, 0
        self._pass, self._position = 0, 0
        self._order: Array | None = None

    def draw(self, k: int) -> Int[Tensor, "m"]:
        """Return a batch of waiting rows if there are enough, else candidates. Cost: O(b); O(n) where a pass begins."""
        self._wanted, self._round, self._refused = min(k, self.n), 0, {}
        if self._wanted == self.n:
            return uniform_rows(self.n, self.n, self.generator)
        return self._batch_or_candidates()

    def sift(self, rows: Int[Array, "m"], logits: Float[Tensor, "m q"]) -> Int[Tensor, "k"]:
        """Accept or refuse each candidate; return the batch, or further candidates."""
        losses = self.instance_losses(rows, logits, self._largest)
        self._remember(losses)
        accepted = self.generator.random(len(rows)) < self.percentiles(losses) ** self.beta
        self._waiting += rows[accepted].tolist()
        self._refused.update(zip(rows[~accepted].tolist(), losses[~accepted].tolist()))
        for row in rows[accepted].tolist():
            self._refused.pop(row, None)  # it may have been refused in an earlier look at a small set
        return self._batch_or_candidates()

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Take the losses of plain passes into the history; those of chosen rows have been there, as candidates."""
        losses = self.instance_losses(rows, logits, self._largest)
        if self.epoch < self.warmup:
            self._remember(losses)

    def percentiles(self, losses: Float[Array, "m"]) -> Float[Array, "m"]:
        """Return the share of the remembered losses that are not larger. Cost: O(history log history)."""
        return np.searchsorted(np.sort(self._recent), losses, side="right") / max(len(self._recent), 1)

    def memory(self) -> dict[str, Any]:
        """Return the history, the rows that wait, and the place in the stream of candidates."""
        arrays = {"recent": self._recent.copy(), "waiting": np.array(self._waiting, dtype=np.int64)}
        return {name: torch.from_numpy(array) for name, array in arrays.items()} | {"pass": self._pass, "position": self._position}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over the history, the rows that wait, and the place in the stream of candidates."""
        self._recent, self._waiting = saved_array(memory["recent"]), saved_array(memory["waiting"]).tolist()
        self._pass, self._position, self._order = int(memory["pass"]), int(memory["position"]), None

    def _batch_or_candidates(self) -> Tensor:
        missing = self._wanted - len(self._waiting)
        if missing > 0 and self._round < self.rounds:
            self._round += 1
            self.screening = True
            return torch.from_numpy(self._candidates())
        if missing > 0:
            seen, losses = np.array(list(self._refused)), np.array(list(self._refused.values()))
            self._waiting += seen[largest(losses, missing)].tolist()
        batch, self._waiting = self._waiting[: self._wanted], self._waiting[self._wanted :]
        return torch.tensor(batch)

    def _candidates(self) -> Array:
        """Return the next rows of the pass (fewer at its end) that do not wait yet."""
        while True:
            if self._position >= self.n:
                self._pass, self._position, self._order = self._pass + 1, 0, None
            if self._order is None:  # made again from its number, so that a saved state need not hold it
                source = np.random.SeedSequence(self.seed, spawn_key=(2, self._pass))
                self._order = np.random.Generator(np.random.PCG64(source)).permutation(self.n)
            rows = self._order[self._position : self._position + self.batch_size]
            self._position += len(rows)
            rows = rows[~np.isin(rows, self._waiting)]
            if len(rows):
                return rows

    def _remember(self, losses: Array) -> None:
        self._recent = np.concatenate([self._recent, losses])[-self.history :]

    def _largest(self) -> float:
        return float(self._recent.max(initial=0.0))
