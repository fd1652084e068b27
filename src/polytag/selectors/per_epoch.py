"""Selectors whose distribution is worked out when an epoch begins and stays the same until it ends."""

import abc
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.errors import DataError
from polytag.selectors.base import BatchSelector, saved_array
from polytag.selectors.sampling import Categorical, Proposals, successively
from polytag.types import Array


class PerEpoch(BatchSelector):
    """Draws each batch from ``p = sum over components c of share_c * weights_c / sum(weights_c)``, fixed for an epoch.

    A subclass says what the components are. A row is drawn by tossing for the component, then searching its cumulated weights; rows that
    are in the batch already are drawn again, coin included, which is successive sampling from p.

    Since nothing changes while an epoch runs, a loader that fetches batches ahead does no harm.

    Args:
        *args: Labels and batch size, as for ``BatchSelector``.
        **shared: Those of ``BatchSelector``.

    Cost: O(b log n) a batch expected; where b > n / 4, O(n). Memory 16 n bytes a component.
    """

    per_epoch = True

    def __init__(self, *args: Any, **shared: Any) -> None:
        super().__init__(*args, **shared)
        self._shares, self._components = [1.0], [np.ones(self.n)]
        self._proposals = Proposals(1.0)
        self._tables: list[Categorical] = []

    @abc.abstractmethod
    def mixture(self) -> list[tuple[float, Float[Array, "n"]]]:
        """Return share and unnormalised weights of each component, for the epoch ``self.epoch``."""

    @final
    def begin_epoch(self) -> None:
        """Work out the distribution of the epoch, unless it is a plain pass."""
        if self.epoch >= self.warmup:
            self._set([(share, np.asarray(weights, dtype=np.float64)) for share, weights in self.mixture()])

    @final
    def draw(self, k: int) -> Int[Tensor, "k"]:
        """Draw k different rows successively. Cost: O(k log n) expected, O(n) by keys."""
        return successively(k, self.n, self._propose, self._log_density, self._proposals, self.generator, tries=1.0)

    @final
    def density(self, rows: Int[Array, "b"] | slice = slice(None)) -> Float[Array, "b"]:
        """Return the chance of some rows to be drawn next."""
        return sum(share * weights[rows] for share, weights in zip(self._shares, self._components))  # type: ignore[return-value]

    def memory(self) -> dict[str, Any]:
        """Return the distribution of the epoch."""
        components = {f"component_{c}": torch.from_numpy(weights.copy()) for c, weights in enumerate(self._components)}
        return components | {"shares": self._shares, "proposals": [self._proposals.made, self._proposals.accepted]}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over the distribution of the epoch."""
        self._shares = list(memory["shares"])
        self._components = [saved_array(memory[f"component_{c}"]) for c in range(len(self._shares))]
        self._proposals.made, self._proposals.accepted = memory["proposals"]
        self._tables = []

    def _set(self, parts: list[tuple[float, Array]]) -> None:
        for _, weights in parts:
            if weights.shape != (self.n,) or not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
                raise DataError(f"{type(self).__name__} expected {self.n} finite weights >= 0 with a positive sum, but got {weights}")
        self._shares = [float(share) for share, _ in parts]
        self._components = [weights / weights.sum() for _, weights in parts]
        self._tables = []

    def _log_density(self) -> Array:
        with np.errstate(divide="ignore"):  # a chance of zero comes last
            logarithms: Array = np.log(self.density())
        return logarithms

    def _propose(self, m: int) -> tuple[Array, Array]:
        if not self._tables:
            self._tables = [Categorical(weights) for weights in self._components]
        rows = self._tables[0].draw(m, self.generator)
        if len(self._tables) > 1:
            component = np.searchsorted(np.cumsum(self._shares)[:-1], self.generator.random(m), side="right")
            for c, table in enumerate(self._tables[1:], start=1):
                rows = np.where(component == c, table.draw(m, self.generator), rows)
        return rows, np.ones(m, dtype=bool)
