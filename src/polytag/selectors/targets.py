"""What a model's logits cost, instance by instance: the binary cross-entropy against labels that are kept as an index, not as a matrix."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import DataError
from polytag.types import Array, ArrayLike


def cells_of(index: LabelIndex, rows: Array) -> tuple[Array, Array]:
    """Return the positive cells of some rows as (position within ``rows``, column), in order.

    Cost: O(positives of these rows).
    """
    starts = index.row_starts[rows]
    sizes = index.row_starts[rows + 1] - starts
    ends = np.cumsum(sizes)
    cells = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + sizes, sizes)
    return np.repeat(np.arange(len(rows)), sizes), index.columns[cells]


class Targets:
    """The labels of a training set, from which the y of any batch is filled in.

    Args:
        y: Labels (n, q) in any form, NaN = unknown; or their index.

    Cost: memory O(positives + unknown cells).
    """

    def __init__(self, y: ArrayLike | LabelIndex) -> None:
        self.index = y if isinstance(y, LabelIndex) else LabelIndex.from_labels(y)
        self.unknown = None if isinstance(y, LabelIndex) else _unknown_cells(y)

    def losses(self, rows: Array, logits: Float[Tensor, "b q"]) -> Array:
        """Return the mean binary cross-entropy of each instance over its known labels; 0 if none is known. Float64, shape (b,).

        Cost: O(b q) on the device of the logits, and one copy of b values to the host.
        """
        y = self.filled(rows, logits)
        terms = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        if self.unknown is None:
            means = terms.mean(dim=1)
        else:
            known = self.known(rows, logits)
            means = terms.where(known > 0, 0.0).sum(dim=1) / known.sum(dim=1).clamp(min=1)
        return means.to("cpu", torch.float64).numpy()

    def checked(self, rows: Array, logits: Float[Tensor, "b q"]) -> tuple[Array, Float[Tensor, "b q"]]:
        """Return rows and detached logits of at least single precision.

        Raises:
            DataError: A row number is out of range, or the logits do not have one row an instance and one column a label.
        """
        if tuple(logits.shape) != (len(rows), self.index.q):
            raise DataError(f"expected logits of shape ({len(rows)}, {self.index.q}), but got {tuple(logits.shape)}")
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < self.index.n:
            raise DataError(f"expected row numbers from 0 to {self.index.n - 1}, but got some from {int(rows.min())} to {int(rows.max())}")
        logits = logits.detach()
        return rows, logits if logits.dtype in (torch.float32, torch.float64) else logits.float()

    def finite_losses(self, rows: Array, logits: Float[Tensor, "b q"], worst: Callable[[], float] | None) -> Array:
        """Return the losses, where NaN and infinity become ``worst()`` or the largest loss of the batch.

        Raises:
            DataError: A loss is NaN or infinite, and ``worst`` is ``None``.
        """
        losses = self.losses(rows, logits)
        finite = np.isfinite(losses)
        if finite.all():
            return losses
        if worst is None:
            at = int(np.flatnonzero(~finite)[0])
            raise _nonfinite(f"the loss of instance {int(rows[at])} is {losses[at]}, so its logits are NaN or infinite")
        return np.where(finite, losses, max(worst(), losses[finite].max(initial=0.0)))

    def finite_logits(self, rows: Array, logits: Float[Tensor, "b q"], *, refuse: bool) -> Float[Tensor, "b q"]:
        """Return the logits, where a row with NaN or infinity gets 15 against each of its labels: as wrong as half precision can say.

        Raises:
            DataError: A logit is NaN or infinite, and ``refuse`` is set.
        """
        if bool(logits.sum().isfinite()):  # much cheaper than a look at each; an overflow of the sum is looked into
            return logits
        finite = logits.isfinite().all(dim=1)
        if bool(finite.all()):
            return logits
        if refuse:
            at = int((~finite).nonzero()[0])
            raise _nonfinite(f"the logits of instance {int(rows[at])} are NaN or infinite")
        return torch.where(finite[:, None], logits, 15 - 30 * self.filled(rows, logits))

    def filled(self, rows: Array, like: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the labels of some rows: 1 where positive, else 0, of the shape, type and device of ``like``."""
        return _filled(self.index, rows, like)

    def known(self, rows: Array, like: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return 0 where a label is unknown, else 1, of the shape, type and device of ``like``."""
        return torch.ones_like(like) if self.unknown is None else 1 - _filled(self.unknown, rows, like)


def _nonfinite(what: str) -> DataError:
    return DataError(f'{what}; lower the learning rate, or pass on_nonfinite="max" to treat such instances as the hardest')


def _filled(index: LabelIndex, rows: Array, like: Tensor) -> Tensor:
    """Return ones at the cells of an index, zeros elsewhere, shape and device of ``like``."""
    position, columns = cells_of(index, rows)
    cells = torch.from_numpy(position * index.q + columns).to(like.device, non_blocking=True)
    return like.new_zeros(like.numel()).index_fill_(0, cells, 1).view(like.shape)


def _unknown_cells(y: ArrayLike) -> LabelIndex | None:
    """Return where y is NaN, or None if it is nowhere."""
    if hasattr(y, "tocsr"):
        csr = y.tocsr()
        if not np.isnan(csr.data).any():
            return None
        csr = csr.copy()
        csr.data = np.isnan(csr.data).astype(np.float64)
        return LabelIndex.from_labels(csr)
    dense = y.detach().cpu().numpy() if hasattr(y, "detach") else np.asarray(y)
    if not np.issubdtype(dense.dtype, np.floating) or not np.isnan(dense).any():
        return None
    return LabelIndex.from_labels(np.isnan(dense))
