"""Focal loss: cells that are already right count little."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels
from polytag.registry import register


@register("loss", "focal")
class Focal(Loss):
    """Binary cross-entropy in which a cell counts less the better it is predicted, so that the many easy negatives do not drown the rest.

    With ``p_t`` the probability of the true answer: ``alpha_t (1 - p_t)^gamma (-log p_t)``.

    Args:
        gamma: How fast easy cells fade; 0 is binary cross-entropy.
        alpha: Weight of positives; negatives weigh ``1 - alpha``. ``None`` weighs both 1.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: ``gamma`` is negative, or ``alpha`` lies outside (0, 1).

    Cost: O(b q).

    Reference: Lin, Goyal, Girshick, He and Dollar, "Focal loss for dense object detection", ICCV 2017.

    Differs: no alpha by default, where the paper's detector takes 0.25 for its positives; the mean over cells, not the sum over the number
        of objects. The factor is ``exp(-gamma softplus(x_t))``, whose gradient is finite for every gamma.

    Example:
        >>> Focal().terms(torch.tensor([[0.0, -2.0, 2.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
        tensor([[0.1733, 0.0018, 1.6501]])
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.gamma, self.alpha = check_focal(gamma, alpha)

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell; 0 where the label is unknown."""
        logits, y, unknown = known_labels(logits, y)
        return focal_terms(logits, y, self.gamma, self.alpha).masked_fill(unknown, 0.0)


def check_focal(gamma: float, alpha: float | None) -> tuple[float, float | None]:
    """Return the parameters of the focal factor if they make sense.

    Raises:
        ParameterError: ``gamma`` is negative, or ``alpha`` lies outside (0, 1).
    """
    if not gamma >= 0:
        raise ParameterError(f"expected gamma >= 0, but got {gamma!r}")
    if alpha is not None and not 0 < alpha < 1:
        raise ParameterError(f"expected alpha between 0 and 1, or None, but got {alpha!r}")
    return gamma, alpha


def focal_terms(logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"], gamma: float, alpha: float | None = None) -> Float[Tensor, "b q"]:
    """Return the focal loss of each cell, for labels without NaN."""
    right = logits * (2 * y - 1)
    terms = -functional.logsigmoid(right)
    if gamma:
        terms = terms * torch.exp(gamma * functional.logsigmoid(-right))
    return terms if alpha is None else terms * (alpha * y + (1 - alpha) * (1 - y))
