"""The last predictions of every cell (row, label), in little memory: how uncertain they are, and how much they change."""

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from polytag.errors import DataError, ParameterError
from polytag.selectors.base import choice, saved_array
from polytag.types import Array

History = Literal["window", "running"]
Precision = Literal["float16", "float32", "float64"]

CLIP = 1e-6
"""Probabilities are kept within ``[CLIP, 1 - CLIP]``, where logarithms are harmless."""

_LIMIT = math.log((1 - CLIP) / CLIP)
_KINDS = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}
_BLOCK = 2**17  # cells looked at together: a few MiB of working memory


class PredictionWindow:
    """Remembers the last few predictions of each row, as logits, so that half precision serves probabilities near 0 and 1 as well.

    Args:
        n: Number of rows.
        q: Number of labels.
        window: Predictions that count, at least 2.
        history: ``"window"``: they are all kept; ``"running"``: only the last one is, and a running mean of the changes, which is exact for
            the first ``window`` visits and then gives a new change the weight ``1 / (window - 1)``.
        dtype: Type of the stored numbers.

    Attributes:
        visits: How often each row was seen, shape (n,), int64.

    Raises:
        ParameterError: A value is impossible.

    Cost: memory ``window * n * q`` stored numbers, ``2 * n * q`` for ``history="running"``; nothing else grows with ``n * q``.
    """

    def __init__(self, n: int, q: int, *, window: int = 5, history: History = "window", dtype: Precision = "float16") -> None:
        choice("history", history, ("window", "running"))
        choice("dtype", dtype, tuple(_KINDS))
        if window < 2:
            raise ParameterError(f"expected a window of at least 2 predictions, but got {window}")
        self.n, self.q, self.window, self.kind = n, q, int(window), _KINDS[dtype]
        self.working = torch.float64 if dtype == "float64" else torch.float32
        self.visits = np.zeros(n, dtype=np.int64)
        self._slots = self.window if history == "window" else 1
        self._logits = np.zeros((n * self._slots, q), dtype=dtype)  # visit t of row i is line i * slots + t % slots
        self._mean_change = np.zeros((n, q), dtype=dtype) if history == "running" else None

    def record(self, rows: Array, logits: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Store the predictions of some rows; return how far the probabilities moved since the last visit, 0 at the first.

        Cost: O(b q) on the CPU, and one copy of b q stored numbers from the device of the logits.
        """
        new = logits.detach().clamp(-_LIMIT, _LIMIT).to("cpu", self.kind)
        visits, lines = self.visits[rows], rows * self._slots
        before = torch.from_numpy(self._logits[lines + (visits - 1) % self._slots])
        change = (new.to(self.working).sigmoid() - before.to(self.working).sigmoid()).abs_()
        if not visits.all():
            change[visits == 0] = 0
        self._logits[lines + visits % self._slots] = new.numpy()
        self.visits[rows] = visits + 1
        if self._mean_change is not None:
            mean = torch.from_numpy(self._mean_change[rows]).to(self.working)
            mean += (change - mean) / torch.from_numpy(visits.clip(1, self.window - 1))[:, None]
            self._mean_change[rows] = mean.to(self.kind).numpy()
        return change

    def seen(self, rows: slice = slice(None)) -> Bool[Array, "r"]:
        """Return which of some rows have a prediction."""
        seen: Array = self.visits[rows] > 0
        return seen

    def logits(self, rows: slice) -> Float[Tensor, "r q"]:
        """Return the last logits of some rows, within +-13.8; 0 where there are none."""
        lines = np.arange(self.n)[rows] * self._slots + (self.visits[rows] - 1) % self._slots
        return torch.from_numpy(self._logits[lines]).to(self.working)

    def change(self, rows: slice) -> Float[Tensor, "r q"]:
        """Return R: the mean of ``|p_t - p_(t-1)|`` over the window; 0 where there are fewer than two predictions."""
        if self._mean_change is not None:
            return torch.from_numpy(self._mean_change[rows]).to(self.working)
        visits, slot = torch.from_numpy(self.visits[rows])[:, None], torch.arange(self.window)
        kept = visits.clamp(max=self.window)
        followed = (slot < kept) & (slot != (visits - 1) % self.window)  # the slot after this one holds the next prediction
        logits = torch.from_numpy(self._logits.reshape(self.n, self.window, self.q)[rows])
        proba = logits.to(self.working).sigmoid()
        change = (proba.roll(-1, dims=1) - proba).abs_()
        change *= followed[:, :, None]
        return change.sum(dim=1) / (kept - 1).clamp(min=1)

    def uncertainty(self, rows: slice, recent_change: float = 0.5) -> Float[Tensor, "r q"]:
        """Return ``E = recent_change * R + (1 - recent_change) * H2(p)`` with the entropy of the last prediction in bits; within [0, 1]."""
        return recent_change * self.change(rows) + (1 - recent_change) * entropy(self.logits(rows))

    def blocks(self) -> Iterator[slice]:
        """Yield slices of rows, in order, small enough to be worked on in a few MiB."""
        size = max(1, _BLOCK // max(self.q, 1))
        for start in range(0, self.n, size):
            yield slice(start, min(start + size, self.n))

    def memory(self) -> dict[str, Any]:
        """Return tensors to be saved."""
        parts = {"window_visits": self.visits, "window_logits": self._logits, "window_change": self._mean_change}
        return {name: torch.from_numpy(part.copy()) for name, part in parts.items() if part is not None}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over what ``memory`` returned."""
        self.visits, self._logits = saved_array(memory["window_visits"]), saved_array(memory["window_logits"])
        if self._mean_change is not None:
            self._mean_change = saved_array(memory["window_change"])


def entropy(logits: Float[Tensor, "r q"]) -> Float[Tensor, "r q"]:
    """Return the entropy of ``sigmoid(logits)`` in bits; exact for large logits too, and the same for z and -z."""
    size = logits.abs()
    return (F.softplus(-size) + size * (-size).sigmoid()) / math.log(2)


def finite_cells(name: str, cells: Float[Tensor, "r q"], rows: slice) -> Float[Array, "r q"]:
    """Return the cells of some rows as float64.

    Raises:
        DataError: One is NaN: it would reach the scores of all rows, and a careless test would then call these equal.
    """
    sums = cells.sum(dim=1)
    if not bool(sums.isfinite().all()):
        at = int((~sums.isfinite()).nonzero()[0])
        raise DataError(f"the {name} of instance {rows.start + at} is {float(sums[at])}; load a state that was saved before this happened")
    found: Array = cells.double().numpy()
    return found


def check_share(name: str, share: float) -> float:
    """Return a share as a float.

    Raises:
        ParameterError: It is not within [0, 1].
    """
    if not 0 <= share <= 1:
        raise ParameterError(f"expected 0 <= {name} <= 1, but got {share!r}")
    return float(share)
