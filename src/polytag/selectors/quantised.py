"""The memory of Adaptive and AdaC: the last loss of each row, and the selection weight that follows from it."""

import math
from typing import Any, Literal

import numpy as np
import torch

from polytag.errors import ParameterError
from polytag.selectors.base import choice, saved_array
from polytag.selectors.max_tree import MaxTree
from polytag.types import Array

Refresh = Literal["step", "epoch"]
Scope = Literal["global", "at_visit"]
_UNSEEN = -1.0


class QuantisedLosses:
    """Losses l_i and the exponents ``e_i = Q_i / n``, ``Q_i = min(n, ceil(n l_i / max l))``.

    A row is drawn with p proportional to ``pressure ** e_i``. One that was never seen counts as the hardest. If all losses are zero, or
    none is known, all exponents are equal.

    Args:
        n: Number of rows.
        refresh: ``"step"``: exponents follow the losses at once; ``"epoch"``: they are frozen when an epoch begins.
        delta_scope: ``"global"``: all exponents are relative to the current maximum; ``"at_visit"``: each to the maximum when its row was
            last seen.
        levels: Number of quantisation levels instead of n.
        max_quantile: Below 1: this quantile of the losses, taken anew when an epoch begins, stands for the maximum; larger losses count
            as equal to it.
        q_clip: ``False`` computes ``ceil(l / (max l / n))``, which rounding can lift to n + 1.

    Cost: memory 8 bytes a row, plus 8 for ``refresh="epoch"`` and 8 for ``delta_scope="at_visit"``.
    """

    def __init__(
        self,
        n: int,
        *,
        refresh: Refresh = "step",
        delta_scope: Scope = "global",
        levels: int | None = None,
        max_quantile: float = 1.0,
        q_clip: bool = True,
    ) -> None:
        choice("refresh", refresh, ("step", "epoch"))
        choice("delta_scope", delta_scope, ("global", "at_visit"))
        if not 0 < max_quantile <= 1 or (levels is not None and levels < 1):
            raise ParameterError(f"expected 0 < max_quantile <= 1 and levels >= 1, but got max_quantile={max_quantile} and levels={levels}")
        self.refresh, self.delta_scope, self.max_quantile, self.q_clip = refresh, delta_scope, max_quantile, q_clip
        self.levels = n if levels is None else int(levels)
        self.top = 1.0 if q_clip else (self.levels + 1) / self.levels
        self._tree = MaxTree(np.full(n, _UNSEEN))
        self._at_visit = np.ones(n) if delta_scope == "at_visit" else None
        self._frozen = np.ones(n) if refresh == "epoch" else None
        self._quantile = 0.0

    @property
    def values(self) -> Array:
        """The last loss of each row; -1 where none is known."""
        return self._tree.values

    @property
    def max(self) -> float:
        """The largest loss; 0 if none is known."""
        return max(self._tree.max, 0.0)

    def record(self, rows: Array, losses: Array) -> None:
        """Store the losses of some rows. Cost: O(b)."""
        self._tree.change(rows, losses)
        if self._at_visit is not None:
            self._at_visit[rows] = self._quantised(losses)

    def begin_epoch(self) -> None:
        """Take what is fixed for an epoch. Cost: O(n) with ``refresh="epoch"`` or ``max_quantile < 1``, else nothing."""
        if self.max_quantile < 1:
            seen = self.values[self.values >= 0]
            self._quantile = float(np.quantile(seen, self.max_quantile)) if len(seen) else 0.0
        if self._frozen is not None:
            self._frozen = self._current(slice(None)).copy()

    def exponents(self, rows: Array | slice = slice(None)) -> Array:
        """Return ``Q_i / n`` of some rows, at most ``top``. Cost: O(rows)."""
        return self._current(rows) if self._frozen is None else self._frozen[rows]

    def memory(self) -> dict[str, Any]:
        """Return tensors and plain values to be saved."""
        parts = {"losses": self.values, "losses_at_visit": self._at_visit, "losses_frozen": self._frozen}
        return {k: torch.from_numpy(v.copy()) for k, v in parts.items() if v is not None} | {"losses_quantile": self._quantile}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over what ``memory`` returned."""
        self._tree = MaxTree(saved_array(memory["losses"]))
        if self._at_visit is not None:
            self._at_visit = saved_array(memory["losses_at_visit"])
        if self._frozen is not None:
            self._frozen = saved_array(memory["losses_frozen"])
        self._quantile = float(memory["losses_quantile"])

    def _current(self, rows: Array | slice) -> Array:
        return self._quantised(self._tree.values[rows]) if self._at_visit is None else self._at_visit[rows]

    def _quantised(self, losses: Array) -> Array:
        reference = self._quantile if self.max_quantile < 1 else self._tree.max
        if reference <= 0 or not math.isfinite(reference):
            return np.ones(len(losses))
        if not self.q_clip:
            levels = np.minimum(np.ceil(losses / (reference / self.levels)), self.levels + 1)
        else:
            levels = np.minimum(np.ceil(self.levels * (losses / reference)), self.levels)
        levels[losses < 0] = self.levels
        return levels / self.levels
