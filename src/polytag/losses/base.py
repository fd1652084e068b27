"""What every loss is: a value for each cell or instance, computed from logits, and their mean."""

import abc
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import ParameterError

if TYPE_CHECKING:
    from polytag.data.table import Table

REDUCTIONS = ("mean", "batch_mean", "sum", "none")


class Loss(nn.Module, abc.ABC):
    """A multi-label loss on logits. Subclasses say what one cell (or one instance) costs; the mean over them is the loss.

    Labels are 0, 1 or NaN for unknown. A loss of cells must return finite values, with zero gradient, in the cells that are unknown; a
    loss of instances leaves unknown labels out of each instance. Losses that assume something of unknown labels say so in ``assumes``.

    One that needs the class counts (or anything else) of the training labels takes them as arguments of its constructor and defines
    ``context``, so that ``from_data`` can supply them.

    Args:
        reduction: What ``forward`` returns: ``"mean"`` over the cells or instances that count; ``"batch_mean"``, the sum over the labels
            and the mean over instances, as ``per_instance``; ``"sum"``; or ``"none"``, each cell or instance by itself, 0 where it does
            not count. Every subclass takes it as a keyword and hands it on.

    Raises:
        ParameterError: There is no such reduction.

    Example:
        >>> import torch
        >>> from polytag.losses import BCE
        >>> round(float(BCE()(torch.zeros(2, 3), torch.ones(2, 3))), 4)
        0.6931
    """

    assumes: ClassVar[bool] = False
    """Unknown labels have a part in the loss: it assumes something of them."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ParameterError(f"expected a reduction among {', '.join(REDUCTIONS)}, but got {reduction!r}")
        self.reduction = reduction

    @classmethod
    def from_data(cls, train: "Table", **params: Any) -> Self:
        """Build the loss for a training table.

        Args:
            train: Supplies whatever ``context`` takes from the labels.
            **params: Parameters of the class; they win over the context.
        """
        return cls(**{**cls.context(train), **params}).to(train.device)

    @classmethod
    def context(cls, train: "Table") -> dict[str, Any]:
        """Return what the constructor needs from the training labels, such as class counts; by default nothing."""
        return {}

    def begin_epoch(self, epoch: int) -> None:
        """Hear that an epoch begins, counted from 0, for losses that change while a model trains; by default nothing."""

    @abc.abstractmethod
    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b ..."]:
        """Return the loss of each cell, shape (b, q), or of each instance, shape (b,); never changes its inputs."""

    def counted_cells(self, y: Float[Tensor, "b q"]) -> Bool[Tensor, "b q"]:
        """Say which cells have a part in the loss, by default those with a known label; an instance counts if one of its cells does."""
        return torch.ones_like(y, dtype=torch.bool) if self.assumes else ~y.isnan()

    def forward(
        self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"], weight: Float[Tensor, "b ..."] | None = None
    ) -> Float[Tensor, "..."]:
        """Return the mean of the terms over the cells (or instances) that count, or what ``reduction`` says; 0 if none counts.

        Args:
            logits: Shape (b, q).
            y: Labels; NaN = unknown.
            weight: How much each instance (b,) or cell (b, q) counts, ``Batch.weight``. Terms are multiplied by it before the mean is
                taken, so that weights of mean 1 keep the scale.
        """
        if self.reduction == "batch_mean":
            return self.per_instance(logits, y, weight)
        terms, counted = self._counted_terms(logits, y, weight)
        if self.reduction == "none":
            return terms
        return terms.sum() if self.reduction == "sum" else terms.sum() / counted.sum().clamp(min=1)

    def per_instance(
        self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"], weight: Float[Tensor, "b ..."] | None = None
    ) -> Float[Tensor, ""]:
        """Return the mean over instances of the sum of their terms, whatever ``reduction`` says.

        It is the scale on which some models weigh the loss against other parts of their objective.
        """
        terms, _ = self._counted_terms(logits, y, weight)
        return terms.sum() / max(len(terms), 1)

    def _counted_terms(self, logits: Tensor, y: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the weighted terms, zero where they do not count, and where they count."""
        terms, counted = self.terms(logits, y), self.counted_cells(y)
        counted = counted if terms.ndim == 2 else counted.any(dim=1)
        terms = terms.where(counted, terms.new_zeros(()))
        if weight is None:
            return terms, counted
        by_instance = instance_weight(weight)
        fitting = by_instance if terms.ndim == 1 else by_instance[:, None] if weight.ndim == 1 else weight
        return terms * fitting.to(terms), counted

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Typed door to ``forward``."""
        return super().__call__(*args, **kwargs)  # type: ignore[no-any-return]


def instance_weight(weight: Float[Tensor, "b ..."]) -> Float[Tensor, "b"]:
    """Return how much each instance counts: its weight, or the mean over the weights of its cells."""
    return weight if weight.ndim == 1 else weight.mean(dim=1)


def instance_mean(values: Float[Tensor, "b ..."], weight: Float[Tensor, "b ..."] | None) -> Float[Tensor, "..."]:
    """Return the mean over a batch, each instance multiplied by its weight: for the parts of an objective that belong to instances."""
    if weight is None:
        return values.mean(dim=0)
    by_instance = instance_weight(weight).to(values)
    return (values * by_instance.view(-1, *[1] * (values.ndim - 1))).mean(dim=0)


def at_least_float32(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return the values in float32 if they are in half precision: sums of logarithms need the digits. Wider types stay."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def known_labels(logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits in at least float32, labels of that type with 0 for unknown, and which are unknown: where a loss of cells starts."""
    logits = at_least_float32(logits)
    unknown = y.isnan()
    return logits, y.to(logits.dtype).masked_fill(unknown, 0.0), unknown


def negative_log(logits: Float[Tensor, "..."], eps: float = 0.0) -> Float[Tensor, "..."]:
    """Return ``-log(sigmoid(x))``, without overflow; with ``eps``, ``-log(sigmoid(x) + eps)``, as some published code has it."""
    return -(logits.sigmoid() + eps).log() if eps else -functional.logsigmoid(logits)
