"""What the benchmarks of selection share: labels of any size, every registered strategy with a history, and made-up logits."""

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polytag.data.labels import LabelIndex, index_type, rows_by_label
from polytag.registry import get, names
from polytag.selectors import BatchSelector

STRATEGIES = ["random", "hard", "adaptive", "adac", *(n for n in names("selector") if n not in ("random", "hard", "adaptive", "adac"))]
BY_CELL = {"active_bias", "d2ace", "recency_bias", "uncertainty"}
"""Strategies that remember something of each cell: their memory is n x q."""

_BLOCK = 2**16


def synthetic_labels(n: int, q: int, rng: np.random.Generator) -> LabelIndex:
    """Make an index of about three labels a row with unequal frequencies, without a dense matrix."""
    frequency = np.cumsum(1 / (1 + np.arange(q)))
    dtype = index_type(n, q)
    picks = np.searchsorted(frequency[:-1] / frequency[-1], rng.random((n, 3), dtype=np.float32)).astype(np.int16)
    picks.sort(axis=1)
    kept = np.ones((n, 3), dtype=bool)
    kept[:, 1:] = picks[:, 1:] != picks[:, :-1]
    columns, row_starts = picks[kept].astype(dtype), np.zeros(n + 1, dtype=dtype)
    np.cumsum(kept.sum(axis=1), out=row_starts[1:])
    del picks, kept
    column_starts, rows = np.zeros(q + 1, dtype=dtype), np.empty(len(columns), dtype=dtype)
    np.cumsum(np.bincount(columns, minlength=q), out=column_starts[1:])
    rows_by_label(row_starts, columns, column_starts, rows)
    return LabelIndex(n, q, row_starts, columns, column_starts, rows)


def made(name: str, labels: Any, batch_size: int, pressure: float | None = None) -> BatchSelector:
    """Make a strategy without warm-up and without what needs neighbours or a second model: these are worked out once, before training."""
    kind = get("selector", name)
    params: dict[str, Any] = {} if name == "random" else {"warmup": 0}
    if name in ("adaptive", "adac"):
        params["imbalance_weight"] = False
    if name == "d2ace":
        params["correlation"] = "global"
    if name == "rho_loss":
        n = labels.n if isinstance(labels, LabelIndex) else len(labels)
        params["irreducible"] = np.zeros(n)
    if pressure is not None and "pressure" in inspect.signature(kind).parameters:
        params["pressure"] = pressure
    selector: BatchSelector = kind(labels, batch_size, seed=0, **params)
    return selector


class Logits:
    """Made-up logits whose losses have a long tail: normal numbers, of a spread that differs from row to row (gamma)."""

    def __init__(self, q: int, rng: np.random.Generator) -> None:
        spread = rng.gamma(1.0, 2.0, size=(_BLOCK, 1)).astype(np.float32)
        self._pool, self._rng = torch.from_numpy(spread * rng.standard_normal((_BLOCK, q), dtype=np.float32)), rng

    def of(self, count: int) -> Tensor:
        """Return logits of so many rows."""
        start = int(self._rng.integers(_BLOCK - count + 1))
        return self._pool[start : start + count]


def inform(selector: BatchSelector, logits: Logits, visits: int = 2) -> None:
    """Tell a selector about all rows, some times over, as if so many epochs had passed."""
    for epoch in range(visits):
        selector.epoch = epoch
        for start in range(0, selector.n, _BLOCK):
            rows = torch.arange(start, min(start + _BLOCK, selector.n))
            selector.update(rows, logits.of(len(rows)))
    selector.epoch = visits


def endless(selector: BatchSelector) -> Iterator[Tensor]:
    """Return batches, one epoch after another."""
    while True:
        yield from selector


def chosen(selector: BatchSelector, rows: Tensor, logits: Logits) -> tuple[Tensor, int]:
    """Show a selector its candidates until it has chosen; return the batch, and how many candidates were looked at."""
    looked = 0
    while selector.screening:
        looked += len(rows)
        rows = selector.screen(rows, logits.of(len(rows)))
    return rows, looked
