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

    def forward(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, ""]:
        """Return the mean of the terms over the cells (or instances) whose labels are known; 0 if none is."""
        terms, known = self._known_terms(logits, y)
        return terms.sum() / known.sum().clamp(min=1)

    def per_instance(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, ""]:
        """Return the mean over instances of the sum of their known terms: the scale on which some models weigh it against other parts."""
        terms, _ = self._known_terms(logits, y)
        return terms.sum() / max(len(terms), 1)

    def _known_terms(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the terms, zero where the labels are unknown, and where they are known."""
        terms = self.terms(logits, y)
        known = ~y.isnan() if terms.ndim == 2 else ~y.isnan().any(dim=1)
        return terms.where(known, terms.new_zeros(())), known

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Typed door to ``forward``."""
        return super().__call__(*args, **kwargs)  # type: ignore[no-any-return]


def at_least_float32(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return the values in float32 if they are in half precision: sums of logarithms need the digits. Wider types stay."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
