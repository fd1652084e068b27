"""Hill loss: unknown labels are taken for negatives, but not for those that look positive."""

import torch
from jaxtyping import Float
from torch import Tensor

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels
from polytag.losses.focal import focal_terms
from polytag.registry import register


@register("loss", "hill")
class Hill(Loss):
    """Takes unknown labels for negatives, and pushes negatives of high probability less, as they may be positives that nobody noted.

    A negative, known or unknown (NaN), costs ``(height - p) p^2``: with height 1.5 the push on the logit is strongest at p = 0.5 and fades
    towards 1. A positive costs the focal loss of ``x - margin``.

    Args:
        height: Of the hill.
        margin: Taken from the logits of positives.
        gamma: Of the focal factor of positives.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q).

    Reference: Zhang, Cheng, Huang, Wen, Li and Zhang, "Simple and robust loss design for multi-label learning with missing labels", arXiv
        2112.07368, 2021.

    Differs: the mean over cells, where the sum is usual in this line of work.

    Example:
        >>> Hill().terms(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, float("nan")]]))
        tensor([[0.7019, 0.2500, 0.2500]])
    """

    assumes = True

    def __init__(self, height: float = 1.5, margin: float = 1.0, gamma: float = 2.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if not height >= 1 or not margin >= 0 or not gamma >= 0:
            raise ParameterError(f"expected height >= 1, margin >= 0 and gamma >= 0, but got {height=}, {margin=}, {gamma=}")
        self.height, self.margin, self.gamma = height, margin, gamma

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell."""
        logits, y, _ = known_labels(logits, y)
        proba = logits.sigmoid()
        positive = focal_terms(logits - self.margin, torch.ones_like(y), self.gamma)
        return positive.where(y == 1, (self.height - proba) * proba.square())
