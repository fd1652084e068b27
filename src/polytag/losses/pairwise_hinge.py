"""Pairwise hinge: relevant labels should score higher than irrelevant ones by a margin."""

from jaxtyping import Float
from torch import Tensor

from polytag.errors import ParameterError
from polytag.losses.base import at_least_float32
from polytag.losses.pairwise import PairwiseLoss, number_of_pairs, violations
from polytag.registry import register


@register("loss", "pairwise_hinge")
class PairwiseHinge(PairwiseLoss):
    """The mean over an instance's pairs of a relevant label p and an irrelevant one n of ``max(0, margin - (x_p - x_n))``.

    Only the order of an instance's scores matters, so thresholds must be fitted (see ``polytag.thresholds``).

    Args:
        margin: By how much a relevant label should score higher.
        divide_by: ``"pairs"``, or ``"labels"`` as PyTorch's ``MultiLabelMarginLoss`` (the sum over pairs divided by q).
        skip_empty: Leave instances with no or with all labels out of the mean; otherwise they count with their 0.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q log q) time, O(b q) memory: the irrelevant labels are sorted, no pairs are made.

    Reference: Elisseeff and Weston, "A kernel method for multi-labelled classification", NIPS 2001 (as Rank-SVM).

    Example:
        >>> PairwiseHinge().terms(torch.tensor([[2.0, 1.5, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
        tensor([0.2500])
    """

    def __init__(self, margin: float = 1.0, *, divide_by: str = "pairs", skip_empty: bool = False, reduction: str = "mean") -> None:
        super().__init__(skip_empty, reduction=reduction)
        if not margin > 0:
            raise ParameterError(f"expected margin > 0, but got {margin!r}")
        if divide_by not in ("pairs", "labels"):
            raise ParameterError(f"expected divide_by to be 'pairs' or 'labels', but got {divide_by!r}")
        self.margin, self.divide_by = margin, divide_by

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b"]:
        """Return the loss of each instance, of its known labels."""
        _, excess = violations(at_least_float32(logits), y == 1, y == 0, self.margin)
        number = number_of_pairs(y) if self.divide_by == "pairs" else (~y.isnan()).sum(dim=1)
        return excess.sum(dim=1) / number.clamp(min=1)
