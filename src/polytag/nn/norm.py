"""Batch normalisation that survives a last batch of one row."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over rows; a training batch of a single row is normalised by the running statistics and leaves them as they are.

    An epoch whose size is one more than a multiple of the batch size ends in such a batch; PyTorch's own layer raises there, because one
    row has no variance.

    Example:
        >>> BatchNorm(2)(torch.ones(1, 2)).shape
        torch.Size([1, 2])
    """

    def forward(self, input: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Return the normalised rows."""
        if self.training and len(input) == 1:
            return functional.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(input)
