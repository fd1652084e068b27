"""Weights and shifts made from class counts: what the losses for long-tailed labels share."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.errors import ParameterError


def effective_weight(counts: Float[Tensor, "..."], beta: float) -> Float[Tensor, "..."]:
    """Return one over the effective number of positives, ``(1 - beta) / (1 - beta^n)``; a label without positives counts as having one.

    Reference: Cui, Jia, Lin, Song and Belongie, "Class-balanced loss based on effective number of samples", CVPR 2019.

    Example:
        >>> effective_weight(torch.tensor([1.0, 10.0, 1000.0]), 0.9)
        tensor([1.0000, 0.1535, 0.1000])
    """
    if not 0 <= beta < 1:
        raise ParameterError(f"expected 0 <= beta < 1, but got {beta!r}")
    if beta == 0:
        return torch.ones_like(counts)
    return (1 - beta) / -torch.expm1(counts.clamp(min=1) * math.log(beta))


def rebalanced_weight(
    y: Float[Tensor, "b q"], counts: Int[Tensor, "q"], lift: float, steepness: float, centre: float
) -> Float[Tensor, "b q"]:
    """Return ``lift + sigmoid(steepness (r - centre))``, where r says how much of a row's chance to be drawn is due to each label.

    ``r_ij = (1 / n_j) / sum over the labels l of row i of (1 / n_l)``; a row without labels has the largest weight, ``lift + 1``.

    Reference: Wu, Huang, Liu, Wang and Lin, "Distribution-balanced loss for multi-label classification in long-tailed datasets", ECCV 2020.

    Example:
        >>> y = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
        >>> rebalanced_weight(y, torch.tensor([3, 1]), 0.1, 10.0, 0.3)
        tensor([[0.4775, 1.0890],
                [1.1000, 1.1000]])
    """
    rarity = 1 / counts.clamp(min=1).to(y.dtype)
    chance = (y * rarity).sum(dim=1, keepdim=True)
    some = chance > 0
    share = rarity / chance.where(some, torch.ones_like(chance))
    return lift + torch.sigmoid(steepness * (share - centre)).where(some, torch.ones_like(chance))


def prior_logit(counts: Int[Tensor, "q"], n: Int[Tensor, "..."], dtype: torch.dtype) -> Float[Tensor, "q"]:
    """Return the logit of how frequent each label is, kept half a row away from never and always.

    Example:
        >>> prior_logit(torch.tensor([5, 0, 10]), torch.tensor(10), torch.float32)
        tensor([ 0.0000, -2.9444,  2.9444])
    """
    rows = n.clamp(min=1).to(dtype)
    positive = torch.minimum(counts.to(dtype).clamp(min=0.5), rows - 0.5)
    return positive.log() - (rows - positive).log()
