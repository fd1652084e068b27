"""LSEP: a smooth ranking loss."""

from jaxtyping import Float
from torch import Tensor

from polytag.losses.base import at_least_float32, negative_log
from polytag.losses.pairwise import PairwiseLoss, log_pair_sum
from polytag.registry import register


@register("loss", "lsep")
class LSEP(PairwiseLoss):
    """How badly an instance's relevant labels are kept above its irrelevant ones: a smooth form of the hinge, finite for all logits.

    ``log(1 + sum_{p in Y} sum_{n in N} exp(x_n - x_p))``, the log of the sum of the exponentials of all pairs. Only the order of an
    instance's scores matters, so thresholds must be fitted (see ``polytag.thresholds``).

    Args:
        skip_empty: Leave instances with no or with all labels out of the mean; otherwise they count with their 0.
        reduction: As of ``Loss``.

    Cost: O(b q): the double sum is a product of two sums, kept as logarithms.

    Reference: Li, Song and Luo, "Improving pairwise ranking for multi-label image classification", CVPR 2017.

    Differs: all pairs are used, where the paper draws at most a thousand; the second network of the paper, which learns the thresholds, is
        left out.

    Example:
        >>> LSEP().terms(torch.tensor([[2.0, -1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
        tensor([0.1698])
    """

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b"]:
        """Return the loss of each instance, of its known labels."""
        return negative_log(-log_pair_sum(at_least_float32(logits), y))
