"""RecencyBias: rows on whose labels the model's recent predictions disagree with each other come more often."""

from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.selectors.base import saved_array
from polytag.selectors.per_epoch import PerEpoch
from polytag.selectors.pressure import check_pressure, check_schedule, exponential, quantised_weights
from polytag.types import Array, ArrayLike

_BLOCK = 2**20
_WIDEST = 16


@register("selector", "recency_bias")
class RecencyBias(PerEpoch):
    """Draw rows by how undecided the last predictions were: p proportional to ``s(e) ** (-Q_i / n)``, ``Q_i = ceil(n (1 - F_i))``.

    The last ``window`` predictions (probability above 1/2, or not) of each cell are remembered; with ``f_ij`` the share of ones,
    ``H_i = sum_j (-f_ij log2 f_ij - (1 - f_ij) log2 (1 - f_ij))`` and ``F_i = (H_i - min H) / (max H - min H)``. The pressure s(e) falls
    exponentially, so that training ends with uniform batches. The distribution is renewed when an epoch begins.

    Args:
        y: Training labels (n, q); which label is right does not matter, only which are unknown.
        batch_size: Rows a batch.
        window: Predictions remembered of each cell, from 2 to 16.
        pressure: Largest ratio of two probabilities at the first epoch of the schedule; at least 1.
        pressure_end: The same at its last epoch.
        schedule: First and last epoch of the decay.
        warmup: Plain passes at the start; as many as ``window`` fill the windows.
        **shared: Those of ``BatchSelector``.

    Raises:
        ParameterError: An impossible value.

    Cost: O(b q) a step; O(n q) once an epoch, in blocks; a batch O(b log n). Memory 2 n q bytes: a window is packed into 16 bits.

    Reference: Song, Kim, Kim, Lee, "Carpe diem, seize the samples uncertain 'at the moment' for adaptive batch selection", CIKM 2020.

    Differs: The paper has one label of several classes, whose entropy lies in [0, 1] by itself. Where a window is not full, the shares are
        those of the predictions there are; a row never seen counts as the most undecided one. Rows do not repeat within a batch.

    Example:
        >>> import numpy as np, torch
        >>> selector = RecencyBias(np.ones((3, 1)), batch_size=3, window=2, warmup=2, seed=0)
        >>> for sign in (1, -1):
        ...     for rows in selector:
        ...         selector.update(rows, torch.where(rows == 0, sign, 1)[:, None].float())  # the model is in two minds about row 0
        >>> selector.begin_epoch()
        >>> selector.probabilities().round(4)
        array([0.9804, 0.0098, 0.0098])
    """

    settings: ClassVar[tuple[str, ...]] = ("window", "pressure", "pressure_end", "schedule")

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        window: int = 10,
        pressure: float = 100.0,
        pressure_end: float = 1.0,
        schedule: tuple[int, int] = (10, 100),
        warmup: float = 10,
        **shared: Any,
    ) -> None:
        super().__init__(y, batch_size, warmup=warmup, **shared)
        if not 2 <= window <= _WIDEST:
            raise ParameterError(f"expected a window of 2 to {_WIDEST} predictions, but got {window}")
        self.window, self.schedule = int(window), check_schedule(schedule)
        self.pressure, self.pressure_end = check_pressure(pressure), check_pressure(pressure_end)
        self._visits = np.zeros(self.n, dtype=np.uint8)
        self._recent = np.zeros((self.n, self.targets.index.q), dtype=np.uint16)
        codes = np.arange(2**self.window, dtype=np.uint16)
        self._ones = np.unpackbits(codes.view(np.uint8).reshape(-1, 2), axis=1).sum(axis=1, dtype=np.uint8)
        self._entropy = _entropies(self.window)

    @property
    def current_pressure(self) -> float:
        """The pressure of this epoch."""
        return exponential(self.pressure, self.pressure_end, *self.schedule, self.epoch)

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Push the predicted labels into the windows. Cost: O(b q), one copy of b q truth values."""
        predicted = (self.finite_logits(rows, logits) > 0) & (self.targets.known(rows, logits) > 0)
        full = np.uint16(2**self.window - 1)
        self._recent[rows] = ((self._recent[rows] << np.uint16(1)) | predicted.cpu().numpy().astype(np.uint16)) & full
        self._visits[rows] = np.minimum(self._visits[rows] + 1, self.window)

    def mixture(self) -> list[tuple[float, Float[Array, "n"]]]:
        """Return the distribution of the epoch. Cost: O(n q)."""
        size = max(1, _BLOCK // self.targets.index.q)
        entropies = np.concatenate([self._undecided(slice(start, start + size)) for start in range(0, self.n, size)])
        entropies[self._visits == 0] = entropies.max()
        return [(1.0, quantised_weights(entropies, self.current_pressure))]

    def memory(self) -> dict[str, Any]:
        """Return the windows and the distribution."""
        recent = torch.from_numpy(self._recent.view(np.int16).copy())  # torch has few operations for unsigned tensors of 16 bits
        return super().memory() | {"visits": torch.from_numpy(self._visits.copy()), "recent": recent}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over the windows and the distribution."""
        super().load_memory(memory)
        self._visits, self._recent = saved_array(memory["visits"]), saved_array(memory["recent"]).view(np.uint16)

    def _undecided(self, rows: slice) -> Array:
        """Return H of some rows; 0 where nothing has been seen."""
        entropies: Array = self._entropy[self._visits[rows][:, None], self._ones[self._recent[rows]]].sum(axis=1)
        return entropies


def _entropies(window: int) -> Array:
    """Return the entropy in bits of c ones among m predictions, in row m and column c; 0 for m = 0."""
    visits, ones = np.arange(window + 1)[:, None], np.arange(window + 1)[None, :]
    share = np.clip(ones / np.maximum(visits, 1), 0, 1)
    parts = [np.where(f > 0, f * np.log2(np.where(f > 0, f, 1)), 0) for f in (share, 1 - share)]
    return -(parts[0] + parts[1])
