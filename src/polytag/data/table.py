"""A data set as torch sees it: on one device, whole batches by one indexing call."""

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from polytag.data.dataset import Dataset
from polytag.data.labels import LabelIndex
from polytag.errors import DataError
from polytag.hierarchy import Hierarchy
from polytag.types import Batch


class Table(torch.utils.data.Dataset[Batch]):
    """Rows of a data set on a device; sparse features and labels stay sparse and are filled in one batch at a time.

    Features in a mapped file (an ``np.memmap``, see ``polytag.data.mapped``) stay on disk: each batch is gathered from the file and then
    moved to the device, and so are its labels. Nothing is read or checked before.

    Args:
        dataset: What to show.
        device: Where, for example ``"cpu"`` or ``"cuda"``.

    Raises:
        DataError: A feature is NaN or infinite (fill in missing values first, see ``polytag.data.prepare``); in a mapped file, this is
            found when the row is asked for. Or the rows are raw texts, which are to be turned into tokens or features first.

    Cost: memory of the data in float32 (features) and uint8 (labels; float32 if some are unknown); a mapped file: that of a batch.

    Example:
        >>> table = Table(Dataset(np.eye(3), np.array([[1, 0], [0, 1], [1, 1]])))
        >>> table[torch.tensor([2, 0])].y
        tensor([[1., 1.],
                [1., 0.]])
    """

    def __init__(self, dataset: Dataset, device: str | torch.device = "cpu") -> None:
        self.dataset, self.device = dataset, torch.device(device)
        self._x: Any
        self._y: Any
        in_memory = not hasattr(dataset.Y, "indptr") and not isinstance(dataset.Y, np.memmap)
        self._y_unknown = in_memory and bool(np.isnan(dataset.Y).any())
        if dataset.kind == "text":
            raise DataError(
                "expected features, tokens or images, but got raw texts; turn them into numbers first, see Preparation(text=...)"
            )
        if isinstance(dataset.X, np.memmap):
            self._x, self._y = _MappedRows(dataset.X, self.device, finite=True), _MappedRows(dataset.Y, self.device)
            return
        values = dataset.X.data if hasattr(dataset.X, "indptr") else dataset.X
        if not np.isfinite(values).all():
            raise DataError("expected finite features, but some are NaN or infinite; fill them in first, for example with Preparation(...)")
        whole = dataset.kind == "tokens" or (dataset.X.dtype == np.uint8 and dataset.kind == "images")
        self._x = _rows(dataset.X, {"tokens": torch.int32, "images": torch.uint8}[dataset.kind] if whole else torch.float32, self.device)
        self._y = _rows(dataset.Y, torch.float32 if self._y_unknown else torch.uint8, self.device)

    def __len__(self) -> int:
        return self.dataset.n

    def __getitem__(self, rows: Int[Tensor, "b"]) -> Batch:
        """Return the batch of these rows: features as float32, tokens as int64, pixels stored as uint8 as numbers in [0, 1].

        Cost: O(b d + b q), one gather.
        """
        rows = torch.as_tensor(rows, device=self.device)
        x = self._x[rows]
        if x.dtype == torch.uint8:  # pixels
            x = x.float() / 255
        return Batch(rows, x.long() if x.dtype == torch.int32 else x, self._y[rows].float())

    def blocks(self, size: int) -> Iterator[Batch]:
        """Walk through all rows in order, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self[torch.arange(start, min(start + size, len(self)), device=self.device)]

    def with_view(self, view: Any) -> Self:
        """Return the same rows, not copied, with distances between them measured in a view of shape (n, p), see ``Dataset.view``."""
        shown = copy(self)
        shown.dataset = replace(self.dataset, view=view)
        return shown

    @property
    def kind(self) -> str:
        """What a row is: ``"table"``, ``"tokens"`` or ``"images"``, as in ``Dataset``."""
        return self.dataset.kind

    @property
    def vocabulary(self) -> int:
        """Number of different token numbers; 0 where there are no tokens."""
        return self.dataset.vocabulary

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the features of one row."""
        return tuple(int(size) for size in self.dataset.X.shape[1:])

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.dataset.n

    @property
    def d(self) -> int:
        """Number of features."""
        return self.dataset.d

    @property
    def q(self) -> int:
        """Number of labels."""
        return self.dataset.q

    @property
    def hierarchy(self) -> Hierarchy:
        """Which label implies which.

        Raises:
            DataError: The data set has no hierarchy.
        """
        if self.dataset.hierarchy is None:
            raise DataError(
                "expected labels with a hierarchy, but the data set has none; give it one (Dataset(..., hierarchy=), or hierarchy= of the "
                "estimator), or take a model that needs none, such as 'mlp'"
            )
        return self.dataset.hierarchy

    @property
    def has_unknown_labels(self) -> bool:
        """Whether some label in memory is NaN; labels beside a mapped file are taken for known."""
        return self._y_unknown

    @property
    def targets(self) -> Any:
        """The labels as selectors want them: their index, or Y itself where some labels are unknown, which an index does not say."""
        return self.dataset.Y if self._y_unknown else self.labels

    @property
    def labels(self) -> LabelIndex:
        """The positive cells of the label matrix."""
        return self.dataset.labels


class _SparseRows:
    """The rows of a CSR matrix on a device, made dense a batch at a time."""

    def __init__(self, matrix: Any, dtype: torch.dtype, device: torch.device) -> None:
        self.starts = torch.as_tensor(matrix.indptr.astype(np.int64), device=device)
        self.columns = torch.as_tensor(matrix.indices.astype(np.int64), device=device)
        self.values = torch.as_tensor(matrix.data, dtype=dtype, device=device)
        self.width = int(matrix.shape[1])

    def __getitem__(self, rows: Int[Tensor, "b"]) -> Tensor:
        starts = self.starts[rows]
        sizes = self.starts[rows + 1] - starts
        row = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), sizes)
        first = torch.cumsum(sizes, 0) - sizes
        cells = torch.arange(len(row), device=rows.device) - first[row] + starts[row]
        dense = torch.zeros(len(rows), self.width, dtype=self.values.dtype, device=rows.device)
        dense[row, self.columns[cells]] = self.values[cells]
        return dense


class _MappedRows:
    """The rows of a mapped file, or of the labels beside it, gathered a batch at a time; float32."""

    def __init__(self, matrix: Any, device: torch.device, finite: bool = False) -> None:
        self._matrix, self._device, self._finite = matrix, device, finite

    def __getitem__(self, rows: Int[Tensor, "b"]) -> Tensor:
        at = rows.cpu().numpy()
        block = self._matrix[at]
        block = block.toarray() if hasattr(block, "indptr") else np.asarray(block)
        if self._finite and not np.isfinite(block).all():
            first = int(at[~np.isfinite(block).reshape(len(at), -1).all(axis=1)][0])
            raise DataError(f"expected finite features, but row {first} of the mapped file has a NaN or infinite one; fill them in first")
        return torch.from_numpy(block.astype(np.float32, copy=False)).to(self._device)


def _rows(matrix: Any, dtype: torch.dtype, device: torch.device) -> Any:
    if hasattr(matrix, "indptr"):
        return _SparseRows(matrix, dtype, device)
    return torch.as_tensor(np.ascontiguousarray(matrix), dtype=dtype, device=device)
