"""What enhancers that train networks share: rows scaled as they are asked for, and the loop that minimises a loss."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polytag.types import Array

BLOCK = 1024  # rows that are held at a time where a whole pass over the data is wanted


class ScaledRows:
    """Rows of a table as ``(x - shift) / scale``, float32, of which only those asked for are made dense.

    Args:
        X: Features (n, d), dense or CSR, finite.
        shift: One number, or one a column.
        scale: One number, or one a column; 0 stands for 1, so that what is constant becomes 0.
        device: Where the rows go.

    Example:
        >>> ScaledRows(np.array([[2.0, 5.0], [4.0, 5.0]]), np.array([2.0, 5.0]), np.array([2.0, 0.0]))[torch.tensor([1])]
        tensor([[1., 0.]])
    """

    def __init__(self, X: Any, shift: Array | float, scale: Array | float, device: torch.device | str = "cpu") -> None:
        self.n, self.d = (int(size) for size in X.shape)
        self.device = torch.device(device)
        self._shift, self._scale = shift, np.where(np.asarray(scale) == 0, 1.0, scale)
        self._sparse = X if hasattr(X, "indptr") else None
        self._dense = None if self._sparse is not None else self._scaled(X)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Return these rows, shape (b, d)."""
        if self._dense is not None:
            return self._dense[rows.to(self.device)]
        return self._scaled(self._sparse[rows.cpu().numpy()].toarray())  # type: ignore[index]

    def _scaled(self, X: Array) -> Tensor:
        return torch.as_tensor((X - self._shift) / self._scale, dtype=torch.float32).to(self.device)


def column_moments(X: Any) -> tuple[Array, Array]:
    """Return mean and standard deviation of each column, dense or CSR; the deviation of a constant column is exactly 0.

    Cost: of the stored numbers.
    """
    if not hasattr(X, "indptr"):
        constant = (X[:1] == X).all(axis=0)
        return X.mean(axis=0), np.where(constant, 0.0, X.std(axis=0))
    n = X.shape[0]
    mean = np.asarray(X.sum(axis=0), dtype=np.float64).reshape(-1) / n
    stored = np.bincount(X.indices, minlength=X.shape[1])
    apart = np.bincount(X.indices, (X.data - mean[X.indices]) ** 2, minlength=X.shape[1])  # duplicates were summed when X became CSR
    squares = (apart + (n - stored) * mean**2) / n
    constant = np.asarray(X.max(axis=0).toarray() == X.min(axis=0).toarray()).reshape(-1)
    return mean, np.where(constant, 0.0, np.sqrt(squares))


def descend(
    loss: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    n: int,
    *,
    epochs: int,
    batch_size: int,
    steps: tuple[int, ...] = (),
    factor: float = 1.0,
    block: int | None = None,
) -> None:
    """Minimise a loss over n rows in shuffled mini-batches.

    Args:
        loss: Takes the numbers of the rows of a batch, returns their mean loss.
        optimizer: Holds what is learnt.
        n: Number of rows.
        epochs: Passes over the rows.
        batch_size: Rows a step; the last batch is smaller.
        steps: Epochs after which the learning rate is multiplied by ``factor``.
        factor: That factor.
        block: Rows whose gradients are computed at a time, to bound memory; only for a loss that is a mean over rows and knows nothing of
            the batch. ``None``: a batch at once.

    Cost: ``epochs`` times the loss of all rows, forward and backward; a step of the optimiser each batch.
    """
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(steps), factor)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(n), batch_size):
            optimizer.zero_grad()
            for rows in torch.split(batch, block or len(batch)):
                value = loss(rows)
                (value * (len(rows) / len(batch))).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
