"""The loss of BP-MLL, and its relatives in C2AE and MPVAE: relevant labels should score higher than irrelevant ones."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from polytag.errors import ParameterError
from polytag.losses.base import at_least_float32
from polytag.losses.pairwise import PairwiseLoss, pairwise_exponential
from polytag.registry import register

SQUASH: Mapping[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "none": lambda x: x}


@register("loss", "bpmll")
class PairwiseExponential(PairwiseLoss):
    """How badly an instance's relevant labels are kept above its irrelevant ones, on an exponential scale.

    ``1 / (scale |Y| |N|) sum_{p in Y} sum_{n in N} exp(-scale (s_p - s_n))`` on squashed logits ``s``, which keeps it bounded.

    Args:
        squash: ``"tanh"`` as in BP-MLL, ``"sigmoid"`` as in C2AE and MPVAE, or ``"none"``.
        scale: Steepness; 5 in C2AE and MPVAE. The loss is divided by it.
        skip_empty: Leave instances with no or with all labels out of the mean; otherwise they count with their 0.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q): the double sum is a product of two sums.

    Reference: Zhang and Zhou, "Multilabel neural networks with applications to functional genomics and text categorization", TKDE 2006;
        with ``squash="sigmoid", scale=5`` Yeh, Wu, Ko and Wang, "Learning deep latent spaces for multi-label classification", AAAI 2017.

    Differs: the mean over instances, not their sum. Instances without pairs, for which the formula divides by zero, cost 0.

    Example:
        >>> loss = PairwiseExponential()
        >>> loss.terms(torch.tensor([[2.0, -1.0, 0.0], [1.0, 1.0, 1.0]]), torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
        tensor([0.2797, 0.0000])
    """

    def __init__(self, squash: str = "tanh", scale: float = 1.0, *, skip_empty: bool = False, reduction: str = "mean") -> None:
        super().__init__(skip_empty, reduction=reduction)
        if squash not in SQUASH:
            raise ParameterError(f"expected squash to be one of {', '.join(SQUASH)}, but got {squash!r}")
        if not scale > 0:
            raise ParameterError(f"expected scale > 0, but got {scale!r}")
        self.squash, self.scale = squash, scale

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b"]:
        """Return the loss of each instance, of its known labels."""
        return pairwise_exponential(SQUASH[self.squash](at_least_float32(logits)), y, self.scale) / self.scale
