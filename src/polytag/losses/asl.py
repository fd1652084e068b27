"""Asymmetric loss: negatives fade faster than positives, and very easy ones count nothing."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels
from polytag.registry import register


@register("loss", "asl")
class ASL(Loss):
    """Focal loss with a stronger focus on negatives than on positives, which forgives negatives of small probability altogether.

    A positive costs ``(1 - p)^gamma_pos (-log p)``, a negative ``p_m^gamma_neg (-log(1 - p_m))`` with ``p_m = max(p - margin, 0)``.

    Args:
        gamma_neg: Focus on negatives.
        gamma_pos: Focus on positives; the training script of the authors takes 0.
        margin: Probability up to which a negative costs nothing.
        detach_focal_weight: Let no gradient through the focal factors, as in the training script of the authors.
        reduction: As of ``Loss``. The authors take the ``"sum"`` over batch and labels; the default is that over the size of the batch.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q).

    Reference: Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter and Zelnik-Manor, "Asymmetric loss for multi-label classification", ICCV
        2021.

    Differs: the sum over labels, but the mean over instances, so that the learning rate does not hang on the batch size; the authors train
        with the sum, Adam at 1e-4 and batches of 56 to 128. No floor under the logarithms, which are computed from the logits.

    Example:
        >>> ASL().terms(torch.tensor([[0.0, -4.0, 2.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
        tensor([[0.3466, 0.0000, 0.8464]])
    """

    def __init__(
        self,
        gamma_neg: float = 4.0,
        gamma_pos: float = 1.0,
        margin: float = 0.05,
        *,
        detach_focal_weight: bool = False,
        reduction: str = "batch_mean",
    ) -> None:
        super().__init__(reduction)
        if not gamma_neg >= 0 or not gamma_pos >= 0 or not 0 <= margin < 1:
            raise ParameterError(
                f"expected gamma_neg >= 0, gamma_pos >= 0 and 0 <= margin < 1, but got {gamma_neg=}, {gamma_pos=}, {margin=}"
            )
        self.gamma_neg, self.gamma_pos, self.margin, self.detach_focal_weight = gamma_neg, gamma_pos, margin, detach_focal_weight

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell; 0 where the label is unknown."""
        logits, y, unknown = known_labels(logits, y)
        wrong, cost = self._negative(logits)
        factor = torch.exp(self.gamma_pos * functional.logsigmoid(-logits)).where(y == 1, wrong)
        cost = (-functional.logsigmoid(logits)).where(y == 1, cost)
        return ((factor.detach() if self.detach_focal_weight else factor) * cost).masked_fill(unknown, 0.0)

    def _negative(self, logits: Float[Tensor, "b q"]) -> tuple[Float[Tensor, "b q"], Float[Tensor, "b q"]]:
        """Return the focal factor and the cross-entropy of each cell, were it a negative."""
        if self.margin == 0:
            return torch.exp(self.gamma_neg * functional.logsigmoid(logits)), -functional.logsigmoid(-logits)
        over = logits.sigmoid() - self.margin
        # Where nothing is over the margin the cost is 0; the factor is then that of 1, since the power of 0 has no finite gradient.
        proba = over.where(over > 0, torch.ones_like(over))
        return proba**self.gamma_neg, -torch.log1p(-over.clamp(0, 1 - torch.finfo(over.dtype).eps))
