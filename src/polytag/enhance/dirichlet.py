"""Dirichlet distributions over labels, and shares of the relevant ones among them."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

LEAST, MOST = 0.01, 30.0  # concentrations
TINY = 1e-12


def restricted(scores: Float[Tensor, "b q"], labels: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
    """Return scores >= 0 within the relevant labels, as shares of their sum; zeros for a row without labels.

    Example:
        >>> restricted(torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[1.0, 1.0, 0.0]]))
        tensor([[0.6667, 0.3333, 0.0000]])
    """
    kept = scores * labels
    return kept / kept.sum(dim=1, keepdim=True).clamp(min=torch.finfo(kept.dtype).tiny)


def bounded(output: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
    """Return concentrations ``exp(output / 4)``, within [0.01, 30]."""
    return (output / 4).clamp(math.log(LEAST), math.log(MOST)).exp()  # in this order no overflow spoils the gradient


def masked_concentration(output: Float[Tensor, "b q"], labels: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
    """Return the softmax within the relevant labels, within all for a row without labels, + 0.01; no gradient goes through its sum."""
    outside = (labels == 0) & labels.any(dim=1, keepdim=True)
    within = output.log_softmax(dim=1).masked_fill(outside, -torch.inf)
    return (within - within.detach().logsumexp(dim=1, keepdim=True)).exp() + LEAST


def dirichlet_divergence(alpha: Float[Tensor, "b q"], prior: float) -> Float[Tensor, "b"]:
    """Return ``KL(Dir(alpha) || Dir(prior, ..., prior))`` of each row.

    Example:
        >>> dirichlet_divergence(torch.tensor([[2.0, 1.0]]), 1.0)
        tensor([0.1931])
    """
    total = alpha.sum(dim=1)
    flat = torch.full_like(alpha, prior)
    log_ratio = total.lgamma() - alpha.lgamma().sum(dim=1) - flat.sum(dim=1).lgamma() + flat.lgamma().sum(dim=1)
    return log_ratio + ((alpha - flat) * (alpha.digamma() - total.digamma()[:, None])).sum(dim=1)


def compatibility(distribution: Float[Tensor, "b q"], labels: Float[Tensor, "b q"]) -> Float[Tensor, "b"]:
    """Return ``-sum_j l_ij / |S_i| log d_ij`` of each row; 0 for a row without labels.

    Example:
        >>> compatibility(torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[1.0, 1.0, 0.0]]))
        tensor([1.0397])
    """
    shares = labels / labels.sum(dim=1, keepdim=True).clamp(min=1)
    return -(shares * distribution.clamp(min=TINY).log()).sum(dim=1)


def cross_entropy(scores: Float[Tensor, "b q"], weights: Float[Tensor, "b q"]) -> Float[Tensor, ""]:
    """Return ``-mean_i sum_j w_ij log(p_ij + 1e-12)``."""
    return -(weights * (scores + TINY).log()).sum(dim=1).mean()
