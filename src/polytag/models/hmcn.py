"""HMCN: a network with one part for each level of the hierarchy, and a view over all of them."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.hierarchy import Hierarchy
from polytag.losses import BCE, instance_mean
from polytag.losses.base import at_least_float32
from polytag.models.base import MultiLabelModel, Objective
from polytag.nn import BatchNorm
from polytag.registry import register
from polytag.types import Batch


@register("model", "hmcn")
class HMCN(MultiLabelModel):
    """Walks down the levels of the hierarchy: at each of them a head says which of its labels hold, and at the end one says all at once.

    With phi = ReLU, batch norm, dropout and levels 1 (top) to H:
    ``G_1 = phi(W_1 x)``, ``G_h = phi(W_h [G_{h-1}, x])``; local outputs ``P_L^h = sigmoid(V_h phi(T_h G_h))`` over the labels of level h,
    global output ``P_G = sigmoid(U G_H)`` over all labels, ``P = beta [P_L^1, ..., P_L^H] + (1 - beta) P_G``. The loss is
    ``sum_h BCE(P_L^h) + BCE(P_G) + violation * mean_b sum over edges (child c, parent p) of max(0, P_c - P_p)^2``. Prediction is P, made
    coherent by ``closure``. With ``form="r"`` an LSTM cell, the same for all levels and with x as its input at each, is the walk.

    Args:
        d: Number of features.
        q: Number of labels.
        hierarchy: Over the q labels; ``from_data`` takes it from the data. A label stands at the level of its longest path to the top.
        form: ``"f"``, a layer for each level, or ``"r"``, the recurrent form with fewer weights.
        width: Units of each layer, on the walk and in the heads.
        dropout: Dropout after each of them; in the recurrent form in the heads only.
        beta: Share of the local outputs in P.
        violation: Weight of the term on children above their parents.
        violation_on: What that term looks at: P (``"final"``), or the local outputs, as in one implementation (``"local"``).
        closure: How P is made coherent: ``"up"``, ``"down"`` (see ``Hierarchy.constrain``), or ``None``: P as it is, not coherent.

    Raises:
        ParameterError: A parameter makes no sense.
        DataError: There is no hierarchy, or it is not over q labels.

    Cost: a step O(b (H width (width + d) + q width + edges)); the recurrent form has 1 / H of the walk's weights and 4 times its
        arithmetic.

    Reference: Wehrmann, Cerri and Barros, "Hierarchical multi-label classification networks", ICML 2018.

    Differs: the authors have no closure, and their outputs can contradict the hierarchy. P is computed as a logit, without overflow. Where
        the violation term is measured, its reduction (sum over edges, mean over rows) and the training settings are not settled by what we
        could read. A batch of one row is normalised by the running statistics. Unknown labels (NaN) cost nothing.

    Example:
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")])
        >>> scores = HMCN(4, 3, hierarchy=h, width=8).eval()(torch.zeros(2, 4))
        >>> bool((scores[:, :1] >= scores[:, 1:]).all())
        True
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "weight_decay": 0.0, "batch_size": 4, "epochs": 100, "patience": 20}
    NEEDS_HIERARCHY: ClassVar[bool] = True

    place: Tensor
    order: Tensor

    def __init__(
        self,
        d: int,
        q: int,
        *,
        hierarchy: Any,
        form: Literal["f", "r"] = "f",
        width: int = 384,
        dropout: float = 0.6,
        beta: float = 0.5,
        violation: float = 0.1,
        violation_on: Literal["final", "local"] = "final",
        closure: Literal["up", "down"] | None = "up",
    ) -> None:
        super().__init__()
        if width < 1 or not 0 <= dropout < 1 or not 0 <= beta <= 1 or not violation >= 0:
            raise ParameterError(
                "expected width >= 1, 0 <= dropout < 1, 0 <= beta <= 1 and violation >= 0, but got "
                f"{width=}, {dropout=}, {beta=}, {violation=}"
            )
        if form not in ("f", "r") or violation_on not in ("final", "local") or closure not in ("up", "down", None):
            raise ParameterError(
                "expected form 'f' or 'r', violation_on 'final' or 'local', and closure 'up', 'down' or None, but got "
                f"{form=}, {violation_on=}, {closure=}"
            )
        labels = Hierarchy.of(hierarchy, q=q)
        self.form, self.beta, self.violation, self.violation_on, self.closure = form, beta, violation, violation_on, closure
        self.sizes = [len(here) for here in labels.by_level]
        order = np.concatenate(labels.by_level)
        self.register_buffer("order", torch.from_numpy(order), persistent=False)  # labels, those of level 1 first
        self.register_buffer("place", torch.from_numpy(np.argsort(order)), persistent=False)  # where in this order each label stands
        self.constraint = labels.make_constraint()
        widths = [d] + [width + d] * (labels.depth - 1)
        self.walk: nn.Module = nn.ModuleList(_layer(w, width, dropout) for w in widths) if form == "f" else nn.LSTMCell(d, width)
        self.heads = nn.ModuleList(nn.Sequential(_layer(width, width, dropout), nn.Linear(width, size)) for size in self.sizes)
        self.output = nn.Linear(width, q)
        self.bce = BCE()

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits of P, made coherent."""
        return self._final(*self.outputs(x))

    def objective(self, batch: Batch) -> Objective:
        """Return the losses of local outputs, global output and violations; no loss is a function of the closed logits."""
        local, overall = self.outputs(batch.x)
        parts = {
            "local": self._local_loss(local, batch.y, batch.weight),
            "global": self.bce(overall, batch.y, batch.weight),
            "violation": self._violation(local.sigmoid(), overall.sigmoid(), batch.weight),
        }
        loss = parts["local"] + parts["global"] + self.violation * parts["violation"]
        return Objective(loss, self._final(local.detach(), overall.detach()), {name: part.detach() for name, part in parts.items()})

    def outputs(self, x: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b q"], Float[Tensor, "b q"]]:
        """Return the logits of the local outputs and of the global one, both with the labels in their own order."""
        local = []
        if self.form == "f":
            state = x
            for h, (layer, head) in enumerate(zip(cast(nn.ModuleList, self.walk), self.heads)):
                state = layer(torch.cat([state, x], dim=1) if h else x)
                local.append(head(state))
        else:
            state, cell = self.walk(x)
            local.append(self.heads[0](state))
            for head in list(self.heads)[1:]:
                state, cell = self.walk(x, (state, cell))
                local.append(head(state))
        return at_least_float32(torch.cat(local, dim=1)[:, self.place]), at_least_float32(self.output(state))

    def _final(self, local: Tensor, overall: Tensor) -> Float[Tensor, "b q"]:
        logits = mixed_logit(local, overall, self.beta)
        return logits if self.closure is None else self.constraint(logits, self.closure)

    def _local_loss(self, local: Tensor, y: Tensor, weight: Tensor | None) -> Float[Tensor, ""]:
        """Return the sum over levels of their mean cross-entropies."""
        total = local.new_zeros(())
        for columns in torch.split(self.order, self.sizes):
            cells = weight if weight is None or weight.ndim == 1 else weight[:, columns]
            total = total + self.bce(local[:, columns], y[:, columns], cells)
        return total

    def _violation(self, local: Tensor, overall: Tensor, weight: Tensor | None) -> Float[Tensor, ""]:
        """Return how far children are above their parents: squares, summed over edges, averaged over rows."""
        p = local if self.violation_on == "local" else torch.lerp(overall, local, self.beta)
        above = p[:, self.constraint.child] - p[:, self.constraint.parent]
        return instance_mean(above.clamp(min=0).square().sum(dim=1), weight)


def mixed_logit(first: Float[Tensor, "..."], second: Float[Tensor, "..."], share: float) -> Float[Tensor, "..."]:
    """Return the logit of ``share * sigmoid(first) + (1 - share) * sigmoid(second)``, finite wherever both logits are.

    Example:
        >>> mixed_logit(torch.tensor([0.0, 200.0]), torch.tensor([0.0, 200.0]), 0.5)
        tensor([  0., 200.])
    """
    if share in (0, 1):
        return first if share else second
    one, other = math.log(share), math.log1p(-share)
    yes = torch.logaddexp(functional.logsigmoid(first) + one, functional.logsigmoid(second) + other)
    no = torch.logaddexp(functional.logsigmoid(-first) + one, functional.logsigmoid(-second) + other)
    return yes - no


def _layer(inputs: int, width: int, dropout: float) -> nn.Sequential:
    """Return a linear layer and phi, normalised after the ReLU."""
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(inplace=True), BatchNorm(width), nn.Dropout(dropout))
