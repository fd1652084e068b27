"""The network of FLEM that reads features and labels of a row and says how much each label describes it."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.nn import BatchNorm

SLOPE = 0.01


class ResidualEstimator(nn.Module):
    """Reads features and labels apart, then together: ``g(x, y) = g_D([g_F(x); g_L(y)])``; each of the three is a ``ResidualBlock``.

    Weights start as Kaiming-normal numbers (fan-in, gain sqrt 2), biases at 0.

    Args:
        width: Number of features.
        q: Number of labels.
        hidden: Outputs of ``g_F`` and of ``g_L``.
        low_rank: Rank of the residual layer of ``g_D``, whose q x q weights are the most where labels are many; ``None``: full.
        double_norm: Let each batch norm count a batch twice in its running statistics, as the authors' code does.

    Raises:
        ParameterError: A number is below 1.

    Cost: O(b h (width + h + q) + b q^2) a pass, with ``low_rank=r`` O(b q r) for the last term.

    Reference: Zhao, An, Xu and Geng, "Fusion label enhancement for multi-label learning", IJCAI 2022.

    Example:
        >>> g = ResidualEstimator(2048, 20)
        >>> sum(weights.numel() for weights in g.parameters())
        304096
    """

    def __init__(self, width: int, q: int, *, hidden: int = 128, low_rank: int | None = None, double_norm: bool = False) -> None:
        super().__init__()
        if min(width, q, hidden) < 1 or (low_rank is not None and low_rank < 1):
            raise ParameterError(f"expected width, q, hidden and low_rank >= 1, but got {width=}, {q=}, {hidden=}, {low_rank=}")
        self.of_features = ResidualBlock(width, hidden, double_norm=double_norm)
        self.of_labels = ResidualBlock(q, hidden, double_norm=double_norm)
        self.of_both = ResidualBlock(2 * hidden, q, low_rank=low_rank, double_norm=double_norm)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.kaiming_normal_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, features: Float[Tensor, "b width"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the scores z, whose softmax is the label distribution."""
        return cast(Tensor, self.of_both(torch.cat([self.of_features(features), self.of_labels(y)], dim=1)))


class ResidualBlock(nn.Module):
    """``u + B u + b`` of ``u = batch_norm(leaky_relu(A v + a))``: the norm comes after the activation.

    Args:
        before: Numbers that come in.
        after: Numbers that go out.
        low_rank: Rank of B; ``None``: full.
        double_norm: See ``ResidualEstimator``.
    """

    def __init__(self, before: int, after: int, *, low_rank: int | None = None, double_norm: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(before, after)
        self.norm = TwiceCountedNorm(after) if double_norm else BatchNorm(after)
        narrow = low_rank is not None and low_rank < after
        self.residual = (
            nn.Sequential(nn.Linear(after, low_rank, bias=False), nn.Linear(low_rank, after))  # type: ignore[arg-type]
            if narrow
            else nn.Linear(after, after)
        )

    def forward(self, rows: Float[Tensor, "b before"]) -> Float[Tensor, "b after"]:
        """Return what the block makes of the rows."""
        normed = self.norm(functional.leaky_relu(self.first(rows), SLOPE))
        return cast(Tensor, normed + self.residual(normed))


class TwiceCountedNorm(BatchNorm):
    """Batch norm whose running statistics count every training batch twice."""

    def forward(self, input: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Return the normalised rows."""
        if self.training:
            with torch.no_grad():
                super().forward(input)
        return super().forward(input)
