"""What Adaptive and AdaC share: rows with a larger weighted loss are drawn more often."""

import math
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import DataError, ParameterError
from polytag.selectors.base import BatchSelector, choice
from polytag.selectors.imbalance import imbalance_weights
from polytag.selectors.pressure import check_pressure
from polytag.selectors.quantised import QuantisedLosses, Refresh, Scope
from polytag.selectors.sampling import Proposals, Sampler
from polytag.types import Array, ArrayLike

_AUTHORS: dict[str, Any] = {
    "imbalance_weight": False,
    "refresh": "epoch",
    "delta_scope": "at_visit",
    "q_clip": False,
    "warmup_order": "sequential",
}


class LossWeighted(BatchSelector):
    """Remembers ``l_i = w_i * mean BCE_i`` of each row; p is proportional to ``pressure ** (Q_i / n)``. Subclasses say how to draw.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        x: Training features (n, ...), needed for the imbalance weights.
        seed: Seed.
        pressure: How many times more often the hardest row is drawn than one without loss; at least 1 (uniform).
        warmup: Plain passes at the start.
        neighbours: Neighbours that tell how lonely a rare label is.
        imbalance_weight: ``True``: w from ``imbalance_weights(x, y, neighbours)``; ``False``: w = 1; or w itself, shape (n,), computed once
            for several runs on the same rows.
        refresh: ``"step"``: the distribution follows each update; ``"epoch"``: it is fixed when an epoch begins.
        delta_scope: ``"global"``: all rows are measured by the current largest loss; ``"at_visit"``: by that of their last visit.
        levels: Quantisation levels; n by default, where rounding has next to no effect.
        max_quantile: Below 1: a quantile of the losses instead of their maximum, so that one outlier does not flatten the distribution.
        q_clip: ``False`` lets rounding lift Q to n + 1.
        sampler: ``"rejection"``, ``"dense"``, or ``"auto"`` for the faster one; both are exact.
        compat: ``"authors"`` sets what the published script does instead of what the paper says: ``imbalance_weight=False``,
            ``refresh="epoch"``, ``delta_scope="at_visit"``, ``q_clip=False``, ``warmup_order="sequential"``.
        **shared: Those of ``BatchSelector``.

    Raises:
        ParameterError: ``pressure < 1``, another impossible value, or no ``x`` where imbalance weights are asked for.
    """

    settings: ClassVar[tuple[str, ...]] = ("pressure", "refresh", "delta_scope", "levels", "max_quantile", "q_clip", "sampler", "weighted")

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        x: ArrayLike | None = None,
        seed: int = 0,
        pressure: float = 8.0,
        warmup: int = 3,
        neighbours: int = 5,
        imbalance_weight: bool | ArrayLike = True,
        refresh: Refresh = "step",
        delta_scope: Scope = "global",
        levels: int | None = None,
        max_quantile: float = 1.0,
        q_clip: bool = True,
        sampler: Sampler = "auto",
        compat: Literal["authors"] | None = None,
        **shared: Any,
    ) -> None:
        choice("compat", compat, (None, "authors"))
        choice("sampler", sampler, ("auto", "rejection", "dense"))
        if compat == "authors":
            imbalance_weight, refresh, delta_scope = _AUTHORS["imbalance_weight"], _AUTHORS["refresh"], _AUTHORS["delta_scope"]
            q_clip, shared = _AUTHORS["q_clip"], {**shared, "warmup_order": _AUTHORS["warmup_order"]}
        super().__init__(y, batch_size, x=x, seed=seed, warmup=warmup, **shared)
        self.pressure, self.sampler = check_pressure(pressure), sampler
        self.refresh, self.delta_scope, self.levels, self.max_quantile, self.q_clip = refresh, delta_scope, levels, max_quantile, q_clip
        self.losses = QuantisedLosses(
            self.n, refresh=refresh, delta_scope=delta_scope, levels=levels, max_quantile=max_quantile, q_clip=q_clip
        )
        self.imbalance = self._instance_weights(x, neighbours, imbalance_weight)
        self.weighted = self.imbalance is not None
        self.per_epoch = refresh == "epoch"
        self.proposals = Proposals(self.pressure / 2)

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Store the weighted losses of a batch. Cost: O(b q), independent of n; one copy of b values from the device of the logits."""
        weights = 1.0 if self.imbalance is None else self.imbalance[rows]
        self.losses.record(rows, weights * self.instance_losses(rows, logits, lambda: self.losses.max))

    def begin_epoch(self) -> None:
        """Fix what stays the same for the epoch."""
        self.losses.begin_epoch()

    def density(self, rows: Int[Array, "b"] | slice = slice(None)) -> Float[Array, "b"]:
        """Return the chances of some rows to be drawn next, up to a common factor. Cost: O(rows)."""
        density: Array = np.exp(self.log_pressure * (self.losses.exponents(rows) - self.losses.top))
        return density

    def memory(self) -> dict[str, Any]:
        """Return losses and running estimates."""
        return self.losses.memory() | {"proposals": [self.proposals.made, self.proposals.accepted]}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over losses and running estimates."""
        self.losses.load_memory(memory)
        self.proposals.made, self.proposals.accepted = memory["proposals"]

    @property
    def log_pressure(self) -> float:
        """The natural logarithm of the pressure."""
        return math.log(self.pressure)

    def _instance_weights(self, x: ArrayLike | None, neighbours: int, given: bool | ArrayLike) -> Array | None:
        if given is False:
            return None
        if given is not True:
            weights = np.asarray(given, dtype=np.float64)
            if weights.shape != (self.n,) or not (weights > 0).all():
                raise DataError(f"expected {self.n} positive imbalance weights, but got shape {weights.shape}")
            return weights
        if x is None:
            raise ParameterError("the imbalance weights need the features: pass x=..., or imbalance_weight=False to do without them")
        return imbalance_weights(x, self.targets.index, neighbours)
