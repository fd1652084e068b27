"""What the variational models share: drawing from a Gaussian so that gradients pass, and the distance between two Gaussians."""

from jaxtyping import Float
from torch import Tensor

LOGVAR = 10.0
"""Bound of a log variance: beyond it ``exp`` overflows sooner or later, the usual cause of NaN in these models."""


def clamp_logvar(logvar: Float[Tensor, "..."], bound: float = LOGVAR) -> Float[Tensor, "..."]:
    """Return the log variances held within ``[-bound, bound]``.

    Example:
        >>> clamp_logvar(torch.tensor([-50.0, 0.5, 50.0]))
        tensor([-10.0000,   0.5000,  10.0000])
    """
    return logvar.clamp(-bound, bound)


def reparameterise(mean: Float[Tensor, "... k"], logvar: Float[Tensor, "... k"], noise: Float[Tensor, "... k"]) -> Float[Tensor, "... k"]:
    """Return a draw from ``N(mean, exp(logvar))`` through which gradients flow: ``mean + exp(logvar / 2) * noise``.

    Args:
        mean: Means.
        logvar: Log variances, already clamped.
        noise: Draws from N(0, 1); zeros give the mean.

    Example:
        >>> reparameterise(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([2.0]))
        tensor([3.])
    """
    return mean + (logvar / 2).exp() * noise


def gaussian_kl(
    mean_a: Float[Tensor, "... k"],
    logvar_a: Float[Tensor, "... k"],
    mean_b: Float[Tensor, "... k"],
    logvar_b: Float[Tensor, "... k"],
    eps: float = 0.0,
) -> Float[Tensor, "..."]:
    """Return how far the Gaussian a is from the Gaussian b: ``KL(N(mean_a, exp(logvar_a)) || N(mean_b, exp(logvar_b)))``.

    ``1/2 sum_k (l_b - l_a - 1 + exp(l_a - l_b) + (m_a - m_b)^2 / (exp(l_b) + eps))``, for diagonal covariances.

    Args:
        mean_a: Means of a.
        logvar_a: Log variances of a, already clamped.
        mean_b: Means of b.
        logvar_b: Log variances of b, already clamped.
        eps: Added to the variance of b below the squared distance of the means; published codes have 1e-6 or 1e-8, 0 is exact.

    Returns:
        The sum over the last axis; never negative but for rounding.

    Example:
        >>> zero = torch.zeros(1, 2)
        >>> gaussian_kl(torch.ones(1, 2), zero, zero, zero)
        tensor([1.])
    """
    distance = (mean_a - mean_b).square() / (logvar_b.exp() + eps)
    difference = logvar_a - logvar_b
    return ((difference.exp() - 1 - difference) + distance).sum(dim=-1) / 2
