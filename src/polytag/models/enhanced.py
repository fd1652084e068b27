"""A model that learns label distributions besides its labels."""

from collections.abc import Callable
from typing import Any, Protocol, Self, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from polytag.data.table import Table
from polytag.enhance.base import Companion, Enhancer, distribution_loss
from polytag.errors import DataError
from polytag.losses import instance_mean
from polytag.models.base import MultiLabelModel, Objective
from polytag.nn.seeding import seeded
from polytag.types import Batch


@runtime_checkable
class HasFeatures(Protocol):
    """A network whose encoder can be asked by itself."""

    def features(self, x: Tensor) -> Tensor:
        """Return one vector a row."""


class Enhanced(MultiLabelModel):
    """Any model, trained on its labels and on how much each label describes each row: ``beta L_LD + (1 - beta) L_SC``.

    ``L_SC`` is the model's own objective, ``L_LD`` the divergence of ``softmax(logits)`` from the label distribution that the companion
    names for each row. A companion that learns (FLEM) adds a loss of its own, of which no gradient reaches the model. Prediction is the
    model's alone. ``Batch.weight`` counts in both parts of the model, not in the companion's loss.

    Args:
        model: What predicts.
        companion: What names the label distributions.
        beta: Share of the label-distribution loss.
        kind: What the model reads, see ``Dataset.kind``. Of a table the companion sees the features themselves; of anything else what the
            model's encoder makes of it (``features(x)``, or the mean of the tokens that the model or the network in it reads), in
            evaluation mode, so that looking leaves no trace in dropout or batch norm.

    Attributes:
        model: What predicts; save and keep this one.
        companion: What stood beside it.

    Cost: that of the model, of the companion, and O(b q) a step; where the rows are no table, one more pass of the model's encoder.

    Reference: Zhao, An, Xu and Geng, "Fusion label enhancement for multi-label learning", IJCAI 2022.

    Example:
        >>> import numpy as np
        >>> from polytag.data import Dataset
        >>> from polytag.enhance.base import Recovered
        >>> from polytag.models import Linear
        >>> table = Table(Dataset(np.eye(3), np.array([[1, 0], [0, 1], [1, 1]])))
        >>> known = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
        >>> model = Enhanced(Linear.from_data(table), Recovered(known), beta=0.1)
        >>> sorted(model.objective(table[torch.arange(3)]).parts)
        ['classification', 'distribution']
    """

    def __init__(self, model: MultiLabelModel, companion: Companion, *, beta: float, kind: str = "table") -> None:
        super().__init__()
        self.model, self.companion, self.beta, self.kind = model, companion, beta, kind

    @classmethod
    def around(cls, model: MultiLabelModel, enhancer: Enhancer, train: Table, *, seed: int = 0) -> Self:
        """Put a companion beside a model; the same seed gives the same companion, and the global random state stays as it was.

        Args:
            model: What predicts.
            enhancer: Says how label distributions are found.
            train: Training rows.
            seed: Decides what is left to chance.

        Raises:
            DataError: A label is unknown, or there is nothing that describes a row to the companion.
        """
        if train.has_unknown_labels:
            raise DataError("expected known labels for label enhancement, but some are unknown (NaN); drop their rows or fill them in")
        with seeded(seed, train.device):
            width = _described(model, train.kind, train[torch.zeros(1, dtype=torch.int64)].x).shape[1]
            companion = enhancer.companion(train, width, seed=seed).to(train.device)
        return cls(model, companion, beta=enhancer.beta, kind=train.kind)

    def forward(self, x: Tensor) -> Float[Tensor, "b q"]:
        """Return the model's logits."""
        return self.model(x)  # type: ignore[no-any-return]

    def objective(self, batch: Batch) -> Objective:
        """Return the model's objective mixed with the divergence from the label distributions, and the companion's own loss."""
        own = self.model.objective(batch)
        guidance = self.companion(batch, _described(self.model, self.kind, batch.x), own.logits.detach())
        divergence = instance_mean(distribution_loss(own.logits, guidance.distribution), batch.weight)
        loss = self.beta * divergence + (1 - self.beta) * own.loss + guidance.loss
        parts = {"classification": own.loss.detach(), "distribution": divergence.detach()}
        return Objective(loss, own.logits, own.parts | parts | guidance.parts)

    def distributions(self, batch: Batch) -> Float[Tensor, "b q"]:
        """Return the label distributions that the companion sees in a batch now, in evaluation mode and without gradient."""
        was_training = self.companion.training
        self.companion.eval()
        with torch.no_grad():
            found = self.companion.distributions(batch, _described(self.model, self.kind, batch.x))
        self.companion.train(was_training)
        return found

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the groups of the model and of its companion."""
        return [*self.companion.model_groups(self.model, self.model.param_groups(lr)), *self.companion.param_groups(lr)]


def _described(model: MultiLabelModel, kind: str, x: Tensor) -> Tensor:
    """Return what describes each row to a companion: its features, or what the model's encoder makes of tokens or pictures."""
    if kind == "table":
        return x
    encoder = _encoder(model)
    if encoder is None:
        raise DataError(
            f"expected a table, or a model with an encoder whose features a companion can read, but got {kind} and {type(model).__name__}; "
            "give it a method features(x), or extract features first (polytag features)"
        )
    was_training = model.training
    model.eval()
    with torch.no_grad():
        found = encoder(x)
    model.train(was_training)
    return found


def _encoder(model: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """Return what turns rows into vectors: the features of the model or of the network in it, or the mean of the tokens that it reads."""
    if isinstance(model, HasFeatures):
        return model.features
    if isinstance(tokens := getattr(model, "tokens", None), nn.Module):
        return lambda x: _mean_token(*tokens(x))
    network = getattr(model, "network", None)
    return _encoder(network) if isinstance(network, nn.Module) else None


def _mean_token(tokens: Float[Tensor, "b t width"], real: Bool[Tensor, "b t"]) -> Float[Tensor, "b width"]:
    counted = real.unsqueeze(2).to(tokens.dtype)
    return (tokens * counted).sum(dim=1) / counted.sum(dim=1)
