"""What every loss is: a value for each cell or instance, computed from logits, and their mean."""

import abc
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Loss(nn.Module, abc.ABC):
    """A multi-label loss on logits. Subclasses say what one cell (or one instance) costs; the mean over them is the loss.

    Labels are 0, 1 or NaN for unknown. A loss of cells must return finite values, with zero gradient, in the cells that are unknown; an
    instance of which some label is unknown does not count in a loss of instances.

    Example:
        >>> import torch
        >>> from polytag.losses import BCE
        >>> round(float(BCE()(torch.zeros(2, 3), torch.ones(2, 3))), 4)
        0.6931
    """

    @abc.abstractmethod
    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b ..."]:
        """Return the loss of each cell, shape (b, q), or of each instance, shape (b,); never changes its inputs."""

    def forward(
        self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"], weight: Float[Tensor, "b ..."] | None = None
    ) -> Float[Tensor, ""]:
        """Return the mean of the terms over the cells (or instances) whose labels are known; 0 if none is.

        Args:
            logits: Shape (b, q).
            y: Labels; NaN = unknown.
            weight: How much each instance (b,) or cell (b, q) counts, ``Batch.weight``. Terms are multiplied by it before the mean is
                taken, so that weights of mean 1 keep the scale.
        """
        terms, known = self._known_terms(logits, y, weight)
        return terms.sum() / known.sum().clamp(min=1)

    def per_instance(
        self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"], weight: Float[Tensor, "b ..."] | None = None
    ) -> Float[Tensor, ""]:
        """Return the mean over instances of the sum of their known terms: the scale on which some models weigh it against other parts."""
        terms, _ = self._known_terms(logits, y, weight)
        return terms.sum() / max(len(terms), 1)

    def _known_terms(self, logits: Tensor, y: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the weighted terms, zero where the labels are unknown, and where they are known."""
        terms = self.terms(logits, y)
        known = ~y.isnan() if terms.ndim == 2 else ~y.isnan().any(dim=1)
        terms = terms.where(known, terms.new_zeros(()))
        if weight is None:
            return terms, known
        by_instance = instance_weight(weight)
        fitting = by_instance if terms.ndim == 1 else by_instance[:, None] if weight.ndim == 1 else weight
        return terms * fitting.to(terms), known

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
