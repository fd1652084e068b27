"""What every loss is: a value for each cell or instance, computed from logits, and their mean."""

import abc
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn


class Loss(nn.Module, abc.ABC):
    """A multi-label loss on logits. Subclasses say what one cell (or one instance) costs; the mean over them is the loss.

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
        terms = self.terms(logits, y)
        known = ~y.isnan() if terms.ndim == 2 else ~y.isnan().any(dim=1)
        return terms.where(known, terms.new_zeros(())).sum() / known.sum().clamp(min=1)

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Typed door to ``forward``."""
        return super().__call__(*args, **kwargs)  # type: ignore[no-any-return]
