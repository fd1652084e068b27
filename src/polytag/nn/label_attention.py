"""Every label looks for its own evidence among the tokens of an instance."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from polytag.nn.labelwise import label_blocks


class LabelAttention(nn.Module):
    """Classifies each label by a weighted mean of the tokens, with weights of its own.

    ``logit_j = sum_t a_jt (w_j . h_t) + c_j`` with ``a_j = softmax_t(u_j . h_t / sqrt(width))`` over the real tokens. The weighted means,
    (b, q, width), are never built: the classifier is linear, so it is applied to the tokens first.

    Args:
        q: Number of labels.
        width: Width of a token.

    Cost: O(b t q width), memory O(b t q) in blocks of labels.

    Reference: Mullenbach et al., "Explainable prediction of medical codes from clinical text", NAACL 2018.

    Example:
        >>> LabelAttention(3, 8)(torch.zeros(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)).shape
        torch.Size([2, 3])
    """

    def __init__(self, q: int, width: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width)
        self.queries = nn.Parameter(torch.empty(q, width).uniform_(-bound, bound))
        self.weight = nn.Parameter(torch.empty(q, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(q).uniform_(-bound, bound))

    def forward(self, tokens: Float[Tensor, "b t width"], real: Bool[Tensor, "b t"]) -> Float[Tensor, "b q"]:
        """Return the logits.

        Args:
            tokens: What the labels look at.
            real: Which tokens exist, at least one a row.
        """
        b, t, width = tokens.shape
        absent = ~real.unsqueeze(2)
        logits = []
        for columns in label_blocks(len(self.bias), b * t):
            closeness = (tokens @ self.queries[columns].T / math.sqrt(width)).masked_fill(absent, -torch.inf)
            votes = tokens @ self.weight[columns].T
            logits.append((closeness.softmax(dim=1) * votes).sum(dim=1) + self.bias[columns])
        return torch.cat(logits, dim=1)
