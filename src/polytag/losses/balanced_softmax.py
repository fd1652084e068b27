"""Balanced softmax (ZLPR): relevant labels should score above zero, irrelevant ones below, as one softmax on each side."""

from jaxtyping import Float
from torch import Tensor

from polytag.losses.base import Loss, at_least_float32, negative_log
from polytag.losses.pairwise import masked_logsumexp
from polytag.registry import register


@register("loss", "balanced_softmax")
class BalancedSoftmax(Loss):
    """Cross-entropy for many labels at once: the highest irrelevant and the lowest relevant label of an instance matter most.

    ``log(1 + sum_{n in N} exp(x_n)) + log(1 + sum_{p in Y} exp(-x_p))`` with relevant labels Y and irrelevant ones N. However many labels
    there are, positives and negatives have equal say. The threshold is a logit of 0; the sigmoid of a logit is not a probability.

    Args:
        reduction: As of ``Loss``.

    Cost: O(b q).

    Reference: Su, Murtadha, Pan, Hou, Sun, Huang, Wen and Liu, "ZLPR: a novel loss for multi-label classification", arXiv 2208.02955, 2022;
        known as balanced softmax before, with a learned threshold in place of 0.

    Example:
        >>> BalancedSoftmax().terms(torch.tensor([[2.0, -1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
        tensor([0.9889])
    """

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b"]:
        """Return the loss of each instance, of its known labels."""
        logits = at_least_float32(logits)
        return negative_log(-masked_logsumexp(logits, y == 0)) + negative_log(-masked_logsumexp(-logits, y == 1))
