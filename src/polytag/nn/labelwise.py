"""A classifier for each label, on features of its own."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

_CELLS = 2**22
"""Values in a block of labels: 16 MB in float32, small enough that the memory of one block is used again for the next."""


class LabelwiseLinear(nn.Module):
    """One linear classifier per label, each reading its own feature vector: ``logit[j, b] = sum_k W[j, k] f[j, b, k] + c[j]``.

    Labels come first, so that the features of one label lie together in memory.

    Args:
        q: Number of labels.
        width: Features per label.

    Cost: O(b q width).

    Example:
        >>> LabelwiseLinear(3, 8)(torch.zeros(3, 2, 8)).shape
        torch.Size([3, 2])
    """

    def __init__(self, q: int, width: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width)
        self.weight = nn.Parameter(torch.empty(q, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(q).uniform_(-bound, bound))

    def forward(self, features: Float[Tensor, "q b width"], columns: slice = slice(None)) -> Float[Tensor, "q b"]:
        """Return the logits of all labels, or of the labels ``columns`` when ``features`` holds only those."""
        # Multiply and sum: two passes over memory, faster than a batched matrix product with a vector, whose gradient is slower still.
        return (features * self.weight[columns].unsqueeze(1)).sum(dim=2) + self.bias[columns].unsqueeze(1)


def label_blocks(q: int, cells: int) -> list[slice]:
    """Cut q labels into consecutive blocks of bounded size.

    Blocks keep prediction within a bounded memory and make training faster: the system hands out very large tensors page by page, anew
    each time, which costs more than the arithmetic on them.

    Args:
        q: Number of labels.
        cells: Values that each label needs in the largest tensor.

    Example:
        >>> label_blocks(5, 2**21)
        [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    step = max(1, _CELLS // max(cells, 1))
    return [slice(start, start + step) for start in range(0, q, step)]
