"""WARP: a pairwise hinge in which a relevant label far down the ranking weighs more."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.errors import ParameterError
from polytag.losses.base import at_least_float32
from polytag.losses.pairwise import PairwiseLoss, violations
from polytag.registry import register


@register("loss", "warp")
class WARP(PairwiseLoss):
    """Pairwise hinge that works on the top of the ranking: a relevant label weighs by the harmonic number of its estimated rank.

    For each relevant label p of an instance with k known labels, irrelevant labels are drawn until one comes within the margin, at draw t;
    the pair costs ``(1 + 1/2 + ... + 1/floor((k - 1) / t)) max(0, margin - (x_p - x_n))``. This class computes the expectation of that
    over the draws: with v of m irrelevant labels within the margin, the weight is ``sum_r (1 - (1 - v / m)^floor((k - 1) / r)) / r`` and
    the rest the mean over those v. The loss of an instance is the sum over its relevant labels.

    Args:
        margin: By how much a relevant label should score higher.
        skip_empty: Leave instances with no or with all labels out of the mean; otherwise they count with their 0.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: The margin is not positive.

    Cost: O(b q (log q + sqrt q)) time, O(b q) memory.

    Reference: Weston, Bengio and Usunier, "WSABIE: scaling up to large vocabulary image annotation", IJCAI 2011.

    Differs: the expected value takes the place of a drawn one, so there is no noise and no loop over draws; the gradient is the expectation
        of the drawn gradient. All relevant labels are used, where the paper draws one.

    Example:
        >>> WARP().terms(torch.tensor([[2.0, 1.5, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
        tensor([0.5000])
    """

    def __init__(self, margin: float = 1.0, *, skip_empty: bool = False, reduction: str = "mean") -> None:
        super().__init__(skip_empty, reduction=reduction)
        if not margin > 0:
            raise ParameterError(f"expected margin > 0, but got {margin!r}")
        self.margin = margin

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b"]:
        """Return the loss of each instance, of its known labels."""
        logits = at_least_float32(logits)
        count, excess = violations(logits, y == 1, y == 0, self.margin)
        with torch.no_grad():
            found = count / (y == 0).sum(dim=1, keepdim=True).clamp(min=1).to(logits.dtype)
            weight = _rank_weight(found, (~y.isnan()).sum(dim=1))
        return (weight * excess / count.clamp(min=1)).sum(dim=1)


def _rank_weight(found: Float[Tensor, "b q"], known: Int[Tensor, "b"]) -> Float[Tensor, "b q"]:
    """Return the expected weight of each label when a draw finds a violation with this probability: ``sum_r (1 - (1 - f)^(K // r)) / r``.

    K is the number of known labels less one. ``K // r`` takes about 2 sqrt(K) values, so the sum has so few terms.
    """
    weight = torch.zeros_like(found)
    for size in set(known.tolist()):
        rows, r = known == size, 1
        missed = 1 - found[rows]
        total = torch.zeros_like(missed)
        while r <= size - 1:
            draws = (size - 1) // r
            last = (size - 1) // draws
            total += (1 - missed**draws) * sum(1 / i for i in range(r, last + 1))
            r = last + 1
        weight[rows] = total
    return weight
