"""Partial BCE: instances of which fewer labels are known count more for each."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels
from polytag.registry import register


@register("loss", "partial_bce")
class PartialBCE(Loss):
    """Binary cross-entropy of an instance's known labels, multiplied by a factor that makes up for those unknown.

    With the share ``r`` of the labels that are known: ``(offset - slope r) / q`` times the sum over the known labels. By default the factor
    is 1 where all are known and 5 where a tenth is.

    Args:
        slope: How fast the factor falls with the share of known labels.
        offset: The factor with hardly a label known; at least ``slope``.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: The factor could become negative.

    Cost: O(b q).

    Reference: Durand, Mehrasa and Mori, "Learning a deep ConvNet for multi-label classification with partial labels", CVPR 2019.

    Differs: the loss alone; the paper also has a graph network and a curriculum that fills in labels.

    Example:
        >>> PartialBCE().terms(torch.zeros(1, 4), torch.tensor([[1.0, 0.0, float("nan"), float("nan")]]))
        tensor([1.1177])
    """

    def __init__(self, slope: float = 4.45, offset: float = 5.45, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if not offset >= max(slope, 0):
            raise ParameterError(f"expected offset >= slope and offset >= 0, but got {slope=}, {offset=}")
        self.slope, self.offset = slope, offset

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b"]:
        """Return the loss of each instance, of its known labels."""
        logits, y, unknown = known_labels(logits, y)
        cells = functional.binary_cross_entropy_with_logits(logits, y, reduction="none").masked_fill(unknown, 0.0)
        share = 1 - unknown.to(logits.dtype).mean(dim=1)
        return (self.offset - self.slope * share) * cells.mean(dim=1)
