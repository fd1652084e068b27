"""AdaC: a batch is a chain of rows, each sharing a label that goes with the rarest label of the row before it."""

from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.selectors.base import saved_array
from polytag.selectors.chain import LabelChain
from polytag.selectors.loss_weighted import LossWeighted
from polytag.selectors.sampling import by_keys
from polytag.selectors.stock import Stocks
from polytag.types import Array, ArrayLike


@register("selector", "adac")
class AdaC(LossWeighted):
    """Draw the first row of a batch as Adaptive does, each further one among rows whose labels go with the rarest label of the last row.

    With the weights of Adaptive, frozen during a batch: the rarest label j of the last row leads to the labels ``L(j)`` that occur with it
    most, and the next row is drawn with p proportional to its weight among the rows that have a label of ``L(j)`` and are not in the batch.
    After a row without labels, and when no such row is left, the next one is drawn among all.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        x: Training features (n, ...), needed for the imbalance weights.
        include_self: Let j itself be among ``L(j)``.
        restart_prob: Chance that a step draws among all rows.
        **params: Those of ``LossWeighted``: ``seed``, ``pressure=8``, ``warmup=3``, ``neighbours=5``, ...

    Attributes:
        jumps: The places of the last batch that were drawn among all rows.

    Cost: 0.5 to 3 ms a batch of 128 whatever n is: each label keeps a stock of proposals, which are accepted by the weights of the
        moment. Where n <= 4 k, running sums over all candidates of a label serve instead, O(k n). Memory O(n + positives + q^2), and
        16 bytes for each of about 2^22 proposals (at least 64 a label).

    Reference: Zhou, Liu, Wang, Tsoumakas, "Adaptive batch selection for deep multi-label classification", arXiv 2403.18192, 2024,
        section 3.5.

    Differs: The paper leaves open whether rows may repeat (no), what follows a row without labels (any row), and what happens when no
        candidate is left (any row). The published code has no AdaC.

    Example:
        >>> import numpy as np
        >>> y = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]])
        >>> selector = AdaC(y, batch_size=3, imbalance_weight=False, warmup=0, seed=0)
        >>> selector.next_probabilities(3).round(3)  # label 2 leads to label 0
        array([0.333, 0.333, 0.333, 0.   , 0.   ])
    """

    settings: ClassVar[tuple[str, ...]] = (*LossWeighted.settings, "include_self", "restart_prob")

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        x: ArrayLike | None = None,
        include_self: bool = False,
        restart_prob: float = 0.0,
        **params: Any,
    ) -> None:
        super().__init__(y, batch_size, x=x, **params)
        if self.correction:
            self.importance_weights(np.arange(1))
        if not 0 <= restart_prob <= 1:
            raise ParameterError(f"expected 0 <= restart_prob <= 1, but got {restart_prob}")
        self.include_self, self.restart_prob = include_self, restart_prob
        self.chain = LabelChain(self.targets.index, include_self)
        self.jumps: list[int] = []
        self._stocks = Stocks(self.chain, self.seed)

    def draw(self, k: int) -> Int[Tensor, "k"]:
        """Draw a chain of k different rows. Cost: O(k) stocks asked, about 10 microseconds each."""
        k = min(k, self.n)
        restarts = self.generator.random(k) < self.restart_prob if self.restart_prob else np.zeros(k, dtype=bool)
        chosen: dict[int, None] = {}
        self.jumps, everything = [], self.targets.index.q
        self._stocks.forget()
        quick = self.sampler == "rejection" or (self.sampler == "auto" and self.n > 4 * k)
        left = None if quick else self._weights()
        label = -1
        while len(chosen) < k:
            row = None
            if label >= 0 and not restarts[len(chosen)]:
                row = self._proposed(label, chosen) if left is None else self._scanned(label, left)
            if row is None:
                self.jumps.append(len(chosen))
                row = self._proposed(everything, chosen) if left is None else self._scanned(everything, left)
            assert row is not None  # k <= n, so some row is left
            chosen[row] = None
            if left is not None:
                left[row] = 0.0
            label = int(self.chain.leads[row])
        return torch.tensor(list(chosen))

    def importance_weights(self, *args: Any, **how: Any) -> Float[Tensor, "b"]:
        """Refuse: after the first row of a chain most rows have no chance at all, so no weights can speak for them.

        Raises:
            ParameterError: Always.
        """
        raise ParameterError(
            "AdaC has no importance weights: each further row of its chain comes from the rows of some labels only; "
            "use Adaptive, or correction=0"
        )

    def next_probabilities(self, row: int, chosen: tuple[int, ...] = ()) -> Float[Array, "n"]:
        """Return the distribution of the row that follows ``row`` in a chain, for inspection; ``row`` and ``chosen`` do not come again.

        Cost: O(n).
        """
        label = int(self.chain.leads[row])
        candidates = np.zeros(self.n, dtype=bool)
        candidates[self.chain.members(label) if label >= 0 else slice(None)] = True
        candidates[[row, *chosen]] = False
        if not candidates.any():
            candidates[:] = True
            candidates[[row, *chosen]] = False
        weights = self.probabilities() * candidates
        proba: Array = weights / weights.sum()
        return proba

    def memory(self) -> dict[str, Any]:
        """Return losses, running estimates and how far each stock is used up."""
        rounds, places = self._stocks.positions()
        return super().memory() | {"stock_rounds": torch.from_numpy(rounds), "stock_places": torch.from_numpy(places)}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over losses, running estimates and stocks."""
        super().load_memory(memory)
        self._stocks = Stocks(self.chain, int(memory["seed"]))
        self._stocks.restore(saved_array(memory["stock_rounds"]), saved_array(memory["stock_places"]))

    def _weights(self) -> Array:
        """Return the weight of each row, at most 1, shape (n,)."""
        weights: Array = np.exp(self.log_pressure * (self.losses.exponents() - self.losses.top))
        return weights

    def _proposed(self, label: int, chosen: dict[int, None]) -> int | None:
        """Draw one row of ``members(label)`` (of all rows if the label is q) that is not chosen, by weight; None if there is none."""
        looked = 0.0
        stock = self._stocks.of(label)
        while looked < 64 * self.pressure:
            row = stock.next(chosen)
            if row is not None:
                return row
            rows, luck = stock.look(int(16 * self.proposals.per_row) + 32)
            passed = luck >= self.log_pressure * (self.losses.top - self.losses.exponents(rows))
            self.proposals.observe(len(rows), stock.take(passed))
            looked += len(rows) + 1
        candidates = self._members(label)
        candidates = candidates[~np.isin(candidates, np.fromiter(chosen, np.int64, len(chosen)))]
        if not len(candidates):
            return None
        return int(candidates[by_keys(1, self.log_pressure * self.losses.exponents(candidates), self.generator)[0]])

    def _scanned(self, label: int, left: Array) -> int | None:
        """Do the same by going through all candidates, where few rows make that the quicker way; ``left`` is 0 for chosen rows."""
        candidates = self._members(label)
        sums = np.cumsum(left[candidates])
        if not sums[-1] > 0:
            return None
        at = int(np.searchsorted(sums, self.generator.random() * sums[-1], side="right"))
        return int(candidates[min(at, int(np.searchsorted(sums, sums[-1])))])  # rounding must not lead to a chosen row at the end

    def _members(self, label: int) -> Array:
        return self.chain.members(label) if label < self.targets.index.q else np.arange(self.n)
