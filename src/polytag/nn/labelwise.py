"""A classifier for each label, on features of its own."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LabelwiseLinear(nn.Module):
    """One linear classifier per label, each reading its own feature vector: ``logit[b, j] = sum_k W[j, k] f[b, j, k] + c[j]``.

    Args:
        q: Number of labels.
        width: Features per label.

    Cost: O(b q width).

    Example:
        >>> LabelwiseLinear(3, 8)(torch.zeros(2, 3, 8)).shape
        torch.Size([2, 3])
    """

    def __init__(self, q: int, width: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width)
        self.weight = nn.Parameter(torch.empty(q, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(q).uniform_(-bound, bound))

    def forward(self, features: Float[Tensor, "b q width"], columns: slice = slice(None)) -> Float[Tensor, "b q"]:
        """Return the logits of all labels, or of the labels ``columns`` when ``features`` holds only those."""
        # A batched matrix product over labels reads the features once and never stores their product with the weights.
        logits = torch.bmm(features.transpose(0, 1), self.weight[columns].unsqueeze(2)).squeeze(2).T
        return logits + self.bias[columns]
