"""What a model's logits cost, instance by instance: the binary cross-entropy against labels that are kept as an index, not as a matrix."""

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

        Raises:
            DataError: The logits do not have one row an instance and one column a label.
        """
        if tuple(logits.shape) != (len(rows), self.index.q):
            raise DataError(f"expected logits of shape ({len(rows)}, {self.index.q}), but got {tuple(logits.shape)}")
        logits = logits.detach()
        logits = logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
        y = _filled(self.index, rows, logits)
        terms = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        if self.unknown is None:
            means = terms.mean(dim=1)
        else:
            known = 1 - _filled(self.unknown, rows, logits)
            means = terms.where(known > 0, 0.0).sum(dim=1) / known.sum(dim=1).clamp(min=1)
        return means.to("cpu", torch.float64).numpy()


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
