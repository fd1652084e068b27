"""Batch normalisation that survives a last batch of one row, and a batch that several processes share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Gather = Callable[[Tensor], Tensor]


class _Pool(NamedTuple):
    gather: Gather
    counts: bool


_pool: ContextVar[_Pool | None] = ContextVar("pool", default=None)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over rows; a training batch of a single row is normalised by the running statistics and leaves them as they are.

    An epoch whose size is one more than a multiple of the batch size ends in such a batch; PyTorch's own layer raises there, because one
    row has no variance. Within ``pooled_statistics`` the batch consists of the rows of all processes.

    Example:
        >>> BatchNorm(2)(torch.ones(1, 2)).shape
        torch.Size([1, 2])
    """

    def forward(self, input: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Return the normalised rows."""
        pool = _pool.get()
        if not self.training or pool is None:
            return self._alone(input)
        wide = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        every = pool.gather(torch.cat([wide.sum(dim=0), wide.new_tensor([len(wide), float(pool.counts)])]))
        sums, sizes, counted = every[:, :-2], every[:, -2:-1].detach(), every[:, -1:].detach()
        if bool((every[:, :-1] == every[0, :-1]).all()):  # the same rows everywhere, such as the labels of a graph: no slices of a batch
            return self._alone(input)
        with torch.autocast(input.device.type, enabled=False):
            count = (sizes * counted).sum()
            mean = (sums * counted).sum(dim=0) / count
            square = (pool.gather((wide - mean).square().sum(dim=0)) * counted).sum(dim=0)
            return self._pooled(wide, mean, square, count).to(input.dtype)

    def _alone(self, rows: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        if self.training and len(rows) == 1:
            return self._by_running(rows)
        return super().forward(rows)

    def _by_running(self, rows: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        return functional.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def _pooled(self, rows: Float[Tensor, "b k"], mean: Tensor, square: Tensor, count: Tensor) -> Float[Tensor, "b k"]:
        """Normalise by the statistics of all processes: mean, sum of squared differences from it, number of rows."""
        if count <= 1:
            return self._by_running(rows)
        with torch.no_grad():
            self._remember(mean, square / (count - 1))
        normed = (rows - mean) * torch.rsqrt(square / count + self.eps)
        return normed if self.weight is None else normed * self.weight + self.bias

    def _remember(self, mean: Float[Tensor, "k"], variance: Float[Tensor, "k"]) -> None:
        """Move the running statistics towards those of a batch, as PyTorch does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)


@contextmanager
def pooled_statistics(gather: Gather, counts: bool = True) -> Iterator[None]:
    """Within the block, let every training ``BatchNorm`` take the rows of all processes for its batch.

    All processes must pass through the same layers in the same order. Rows that are the same in all of them are not slices of a batch and
    are normalised as in one process: a graph network over the labels, for example.

    Args:
        gather: Stacks the tensors of all processes, in order, with gradient.
        counts: Whether the rows of this process belong to the batch; if not, they are normalised like the others, but count for nothing.

    Cost: 2 k numbers to all processes a layer, in two steps, and as many back.
    """
    token = _pool.set(_Pool(gather, counts))
    try:
        yield
    finally:
        _pool.reset(token)
