"""Losses of label pairs in linear memory: what the ranking losses, BP-MLL, C2AE and MPVAE share."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polytag.losses.base import Loss


class PairwiseLoss(Loss):
    """A loss of each instance's pairs of a relevant and an irrelevant label; an instance without such a pair costs 0.

    Args:
        skip_empty: Leave instances without a pair out of the mean; otherwise they count with their 0.
        reduction: As of ``Loss``.
    """

    def __init__(self, skip_empty: bool = False, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.skip_empty = skip_empty

    def counted_cells(self, y: Float[Tensor, "b q"]) -> Bool[Tensor, "b q"]:
        """Say which cells have a part in the loss: those with a known label, unless their instance is skipped."""
        known = ~y.isnan()
        return known & ((y == 1).any(dim=1, keepdim=True) & (y == 0).any(dim=1, keepdim=True)) if self.skip_empty else known


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
    pairs = number_of_pairs(y)
    both = pairs > 0
    exponent = log_pair_sum(scores, y, scale) - pairs.clamp(min=1).to(scores.dtype).log()
    return exponent.masked_fill(~both, 0.0).exp() * both


def number_of_pairs(y: Float[Tensor, "b q"]) -> Int[Tensor, "b"]:
    """Return the number of pairs of a relevant and an irrelevant label of each instance."""
    return (y == 1).sum(dim=1) * (y == 0).sum(dim=1)


def log_pair_sum(scores: Float[Tensor, "... b q"], y: Float[Tensor, "b q"], scale: float = 1.0) -> Float[Tensor, "... b"]:
    """Return ``log sum_{p in Y} sum_{n in N} exp(-scale (s_p - s_n))``; a large negative number, with zero gradient, if there is no pair.

    Example:
        >>> log_pair_sum(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
        tensor([-0.3069])
    """
    return masked_logsumexp(-scale * scores, y == 1) + masked_logsumexp(scale * scores, y == 0)


def masked_logsumexp(values: Float[Tensor, "... b q"], chosen: Bool[Tensor, "b q"]) -> Float[Tensor, "... b"]:
    """Return the log of the sum of the exponentials of the chosen cells of each row; a large negative number if there is none."""
    lowest = torch.finfo(values.dtype).min / 4  # finite, so that the gradient of an empty side is a zero and not a NaN
    return torch.logsumexp(values.masked_fill(~chosen, lowest), dim=-1)


def violations(
    scores: Float[Tensor, "b q"], upper: Bool[Tensor, "b q"], lower: Bool[Tensor, "b q"], margin: float
) -> tuple[Int[Tensor, "b q"], Float[Tensor, "b q"]]:
    """Count, for each label that should be on top, the lower ones that come within the margin, and sum up by how much.

    Args:
        scores: Shape (b, q).
        upper: Labels that should score higher than ...
        lower: ... these.
        margin: By how much they should.

    Returns:
        The number of lower labels n with ``s_n > s_p - margin`` and ``sum_n max(0, margin - (s_p - s_n))``, for each label p; both are 0
        where ``upper`` is false.

    Cost: O(b q log q) time, O(b q) memory: the lower scores are sorted once, and each p looks up the sum of those above it.

    Example:
        >>> scores, y = torch.tensor([[2.0, 1.5, 0.0, 4.0]]), torch.tensor([[1, 0, 0, 0]])
        >>> violations(scores, y == 1, y == 0, 1.0)
        (tensor([[2, 0, 0, 0]]), tensor([[3.5000, 0.0000, 0.0000, 0.0000]]))
    """
    ordered = scores.masked_fill(~lower, -torch.inf).sort(dim=1).values
    from_here_up = ordered.masked_fill(ordered == -torch.inf, 0.0).flip(1).cumsum(1).flip(1)
    from_here_up = torch.cat([from_here_up, from_here_up.new_zeros(len(scores), 1)], dim=1)
    first = torch.searchsorted(ordered.detach(), (scores.detach() - margin).contiguous(), right=True)
    count = (scores.shape[1] - first).masked_fill(~upper, 0)
    excess = count * (margin - scores) + from_here_up.gather(1, first)
    return count, excess.masked_fill(~upper, 0.0)
