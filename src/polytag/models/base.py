"""What every deep multi-label model is: logits from x for prediction, an objective from x and y for training."""

import abc
from typing import Any, NamedTuple, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polytag.data.table import Table
from polytag.types import Batch


class Objective(NamedTuple):
    """What one training step needs to know.

    Attributes:
        loss: The scalar to call ``backward`` on.
        logits: Classification logits, shape (b, q), from the path that prediction uses, never from a branch that has seen y.
        parts: Named parts of the loss, detached, for watching.
    """

    loss: Float[Tensor, ""]
    logits: Float[Tensor, "b q"]
    parts: dict[str, Tensor] = {}  # noqa: RUF012  (never written to)


class MultiLabelModel(nn.Module, abc.ABC):
    """A network for multi-label classification.

    A subclass takes ``(d, q, *, ...)`` and defines ``forward`` (prediction) and ``objective`` (training). One that needs to see the
    training labels before it exists (a label graph, class counts) also defines ``context``.
    """

    @classmethod
    def from_data(cls, train: Table, *, seed: int = 0, **params: Any) -> Self:
        """Build the model for a training table; the same seed gives the same weights, and the global random state stays as it was.

        Args:
            train: Supplies the sizes and whatever ``context`` takes from the labels.
            seed: Seed of the initial weights.
            **params: Parameters of the class.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(train.d, train.q, **{**cls.context(train), **params}).to(train.device)  # type: ignore[call-arg]

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return what the constructor needs from the training rows besides their sizes; by default nothing."""
        return {}

    @abc.abstractmethod
    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits for prediction; never sees y, deterministic in evaluation mode."""

    @abc.abstractmethod
    def objective(self, batch: Batch) -> Objective:
        """Return the training loss of a batch; the only place where y is visible."""

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups; by default one with all parameters at ``lr``."""
        return [{"params": list(self.parameters()), "lr": lr}]
