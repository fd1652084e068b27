"""The exponential pairwise loss in linear memory: the part that BP-MLL, C2AE and MPVAE share."""

import torch
from jaxtyping import Float
from torch import Tensor


def pairwise_exponential(scores: Float[Tensor, "... b q"], y: Float[Tensor, "b q"], scale: float = 1.0) -> Float[Tensor, "... b"]:
    """Return how badly each instance's relevant labels are kept above its irrelevant ones, on an exponential scale.

    ``1 / (|Y| |N|) sum_{p in Y} sum_{n in N} exp(-scale (s_p - s_n))`` with the relevant labels Y and the irrelevant ones N. The double
    sum is a product of two sums, so that no table of label pairs is needed.

    Args:
        scores: Shape (b, q), or (..., b, q) for several scores of the same instances.
        y: Labels 0, 1 or NaN; unknown labels take part in no pair.
        scale: Steepness.

    Returns:
        Shape (..., b); 0 with zero gradient for an instance without relevant or without irrelevant labels.

    Cost: O(... b q) time and memory.

    Reference: Zhang and Zhou, "Multilabel neural networks with applications to functional genomics and text categorization", TKDE 2006.

    Example:
        >>> pairwise_exponential(torch.tensor([[1.0, 0.0], [2.0, 3.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        tensor([0.3679, 0.0000])
    """
    relevant, irrelevant = y == 1, y == 0
    pairs = relevant.sum(dim=1) * irrelevant.sum(dim=1)
    both = pairs > 0
    lowest = torch.finfo(scores.dtype).min / 4  # finite, so that the gradient of an empty side is a zero and not a NaN
    up = torch.logsumexp((-scale * scores).masked_fill(~relevant, lowest), dim=-1)
    down = torch.logsumexp((scale * scores).masked_fill(~irrelevant, lowest), dim=-1)
    exponent = (up + down - pairs.clamp(min=1).to(scores.dtype).log()).masked_fill(~both, 0.0)
    return exponent.exp() * both
