"""Products of probabilities from the top down, with a gradient that walks the same way back."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Step: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""Edges whose parents are final: parent and child of each, number of the child among those of the step, and the children of the step."""


def products(scores: Float[Tensor, "b q"], steps: Sequence[Step]) -> Float[Tensor, "b q"]:
    """Multiply each score by the smallest product among the parents: ``s_A = h_A * min of s_P``.

    Args:
        scores: Probabilities, float32 or float64.
        steps: Edges, levels from the top down.

    Cost: O(b edges) time and O(b q) memory, forward and backward; made one by one under autograd, each level would copy all scores.
    """
    final: Tensor = _Products.apply(scores, steps)  # type: ignore[no-untyped-call]
    return final


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, steps: Sequence[Step]) -> Tensor:
        own = scores.t().contiguous()
        final, lowest = own.clone(), torch.ones_like(own)
        source = torch.zeros_like(own, dtype=torch.int64)
        for giver, _, slot, takers in steps:
            given, where = final.index_select(0, giver), slot[:, None].expand(-1, own.shape[1])
            least = torch.full_like(own[: len(takers)], torch.inf).scatter_reduce_(0, where, given, "amin")
            winner = torch.where(given == least.index_select(0, slot), giver[:, None], 0)
            source.index_copy_(0, takers, torch.zeros_like(source[: len(takers)]).scatter_reduce_(0, where, winner, "amax"))
            lowest.index_copy_(0, takers, least)
            final.index_copy_(0, takers, own.index_select(0, takers) * least)
        ctx.save_for_backward(own, lowest, source)
        ctx.takers = [takers for _, _, _, takers in steps]
        return final.t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Pass what arrives at a product on to its score and to the parent that it was made with, the lowest levels first."""
        own, lowest, source = ctx.saved_tensors
        slope = grad.t().clone(memory_format=torch.contiguous_format)
        for takers in reversed(ctx.takers):
            onward = slope.index_select(0, takers) * own.index_select(0, takers)
            slope.scatter_add_(0, source.index_select(0, takers), onward)
        return (slope * lowest).t(), None
