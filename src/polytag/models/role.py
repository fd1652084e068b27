"""ROLE: fills in the labels that nobody noted while it trains the network that predicts them."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from polytag import registry
from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.losses import BCE, cardinality_penalty, expected_positives, negative_log
from polytag.losses.base import at_least_float32, known_labels
from polytag.models.base import MultiLabelModel, Objective
from polytag.models.network_inside import network_context_of, remember
from polytag.registry import register
from polytag.types import Array, Batch

_POSITIVE, _UNKNOWN = math.log(0.995 / 0.005), math.log(0.6 / 0.4)
"""Logits of an estimate at the start: of a known positive (negated: a known negative), and how far from 0 an unknown one may be."""


@register("model", "role")
class ROLE(MultiLabelModel):
    """Any network, trained on labels of which most are unknown (NaN): an estimate of every training label is learnt beside it.

    Each training cell has a logit ``theta``; network and estimates learn from each other. With ``p = sigmoid(f(x))`` and
    ``e = sigmoid(theta)``, ``L(s)`` the mean over cells of the cross-entropy of the known labels, ``H(t, s)`` the mean cross-entropy of
    s given the target t, of which no gradient is taken, and ``R(s) = ((mean_b sum_j s_bj - k) / q)^2``:
    ``1/2 [L(p) + L(e) + H(e, p) + H(p, e) + R(p) + R(e)]``.

    Args:
        d: Number of features.
        q: Number of labels.
        network: Name of the model whose ``forward`` predicts.
        network_params: Its parameters; they win over the next.
        network_context: What it takes from the data; ``from_data`` fills this in.
        observed: Labels of the training rows (n, q), NaN where unknown; ``from_data`` supplies them.
        k: Expected number of positives a row; ``from_data`` estimates it from the known labels (too low where only positives are known).
        lr_ratio: Learning rate of the estimates relative to that of the network.
        eps: Added to probabilities before the logarithm; 1e-5 in the authors' code.

    Raises:
        ParameterError: A number makes no sense.
        DataError: The network does not read this kind of data.

    Cost: a step that of the network plus O(b q), besides the optimiser's O(n q) for the estimates, which keep 4 n q numbers (values,
        gradient, two moments of Adam). Prediction is that of the network.

    Reference: Cole, Mac Aodha, Lorieul, Perona, Morris and Jojic, "Multi-label learning from single positive labels", CVPR 2021.

    Differs: labels known to be negative are used, and their estimates start at 0.005; exact logarithms; k is estimated unless given, where
        the authors take the true one of each set (VOC 1.5, COCO 2.9, NUS-WIDE 1.9, CUB 31.4). The estimates belong to the training rows,
        so in evaluation mode the objective is the binary cross-entropy of the known labels.

    Example:
        >>> model = ROLE(4, 3, network="linear", k=1.5).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "weight_decay": 0.0, "batch_size": 16, "epochs": 25}
    INPUTS: ClassVar[tuple[str, ...]] = ("table", "tokens", "images")
    BATCH_TERMS: ClassVar[bool] = True

    def __init__(
        self,
        d: int,
        q: int,
        *,
        network: str = "mlp",
        network_params: Mapping[str, Any] | None = None,
        network_context: Mapping[str, Any] | None = None,
        observed: Array | Tensor | None = None,
        k: float = 1.0,
        lr_ratio: float = 10.0,
        eps: float = 0.0,
    ) -> None:
        super().__init__()
        if not k >= 0 or not lr_ratio > 0 or not eps >= 0:
            raise ParameterError(f"expected k >= 0, lr_ratio > 0 and eps >= 0, but got {k=}, {lr_ratio=}, {eps=}")
        self.network: MultiLabelModel = registry.get("model", network)(d, q, **{**(network_context or {}), **(network_params or {})})
        y = torch.zeros(0, q) if observed is None else torch.as_tensor(observed, dtype=torch.float32)
        start = torch.empty(y.shape).uniform_(-_UNKNOWN, _UNKNOWN)
        self.theta = nn.Parameter(torch.where(y.isnan(), start, _POSITIVE * (2 * y - 1)))
        self.k, self.lr_ratio, self.eps, self.known = float(k), lr_ratio, eps, BCE()

    @classmethod
    def from_data(
        cls,
        train: Table,
        *,
        seed: int = 0,
        preset: str | None = None,
        network: str = "mlp",
        network_params: Mapping[str, Any] | None = None,
        network_context: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> Self:
        """Build the model for a training table, and in it the network with what it needs from that table.

        Args:
            train: As for any model.
            seed: As for any model.
            preset: As for any model.
            network: Name of a model.
            network_params: Parameters of that model.
            network_context: What that model chose by the data when it was built before (``config``); it wins over a new choice.
            **params: Parameters of the class.

        Raises:
            DataError: The network does not read this kind of data.
            ParameterError: The network has no such parameter.
        """
        context = network_context_of(network, train, network_params, network_context)
        own = {"network": network, "network_params": network_params, "network_context": context}
        return remember(super().from_data(train, seed=seed, preset=preset, **own, **params), context)

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return the known labels of the training rows and the mean number of positives."""
        Y = train.dataset.Y
        observed = Y.toarray() if hasattr(Y, "toarray") else np.asarray(Y)
        return {"observed": observed.astype(np.float32), "k": expected_positives(train)}

    def forward(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b q"]:
        """Return the logits of the network."""
        return self.network(x)  # type: ignore[no-any-return]

    def objective(self, batch: Batch) -> Objective:
        """Return the loss of network and estimates; in evaluation mode that of the known labels."""
        logits = self(batch.x)
        if not self.training:
            return Objective(self.known(logits, batch.y, batch.weight), logits)
        parts = role_parts(at_least_float32(logits), at_least_float32(self.theta[batch.rows]), batch, self.k, self.eps)
        return Objective(torch.stack(list(parts.values())).sum(), logits, {name: part.detach() for name, part in parts.items()})

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the network's groups, and one of the estimates: faster, and without decay, which would pull them towards one half."""
        return [*self.network.param_groups(lr), {"params": [self.theta], "lr": self.lr_ratio * lr, "weight_decay": 0.0}]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Take estimates of any number of rows: a model built to predict was built without training rows."""
        theta = state_dict.get(f"{prefix}theta")
        if theta is not None and theta.shape != self.theta.shape:
            self.theta.data = self.theta.new_empty(theta.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)


def role_parts(
    logits: Float[Tensor, "b q"], theta: Float[Tensor, "b q"], batch: Batch, k: float, eps: float = 0.0
) -> dict[str, Float[Tensor, ""]]:
    """Return the three parts of the loss, each the half of that for the network and that for the estimates.

    Args:
        logits: Of the network.
        theta: Logits of the estimates of the same rows.
        batch: Supplies labels and weights.
        k: Expected number of positives a row.
        eps: Added to probabilities before the logarithm.
    """
    theta, y, unknown = known_labels(theta.to(logits.dtype), batch.y)

    def cross_entropy(target: Tensor, scores: Tensor) -> Tensor:
        return target * negative_log(scores, eps) + (1 - target) * negative_log(-scores, eps)

    def mean(cells: Tensor) -> Tensor:
        weight = batch.weight
        return (cells if weight is None else cells * (weight[:, None] if weight.ndim == 1 else weight)).mean()

    known = (cross_entropy(y, logits) + cross_entropy(y, theta)).masked_fill(unknown, 0.0)
    agreement = cross_entropy(theta.detach().sigmoid(), logits) + cross_entropy(logits.detach().sigmoid(), theta)
    cardinality = cardinality_penalty(logits.sigmoid(), k) + cardinality_penalty(theta.sigmoid(), k)
    return {"known": mean(known) / 2, "agreement": mean(agreement) / 2, "cardinality": cardinality / 2}
