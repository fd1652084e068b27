"""Complete labels in and out: what kind of Y came to ``fit`` is what ``predict`` returns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import type_of_target

from polytag.data.labels import LabelIndex
from polytag.errors import DataError
from polytag.types import Array


@dataclass(frozen=True)
class Target:
    """What Y looked like.

    Attributes:
        dtype: Type of its cells.
        single: The two values of a single label, the absent one first; ``None`` if Y was a matrix of 0 and 1.
        vector: Whether Y was a vector.
        container: Class of a sparse Y, ``None`` for a dense one.
        columns: Column names of a data frame, ``None`` otherwise.
    """

    dtype: np.dtype[Any]
    single: Array | None = None
    vector: bool = False
    container: type | None = None
    columns: tuple[Any, ...] | None = None

    def restore(self, labels: Array) -> Any:
        """Return 0/1 labels (n, q) in the form that Y had."""
        if self.container is not None:
            return self.container(labels.astype(self.dtype))
        values = labels.astype(self.dtype) if self.single is None else self.single[labels.astype(np.intp)]
        if self.vector:
            return values[:, 0]
        if self.columns is not None:
            import pandas as pd

            return pd.DataFrame(values, columns=list(self.columns))
        return values


def read_labels(Y: Any) -> tuple[Array, Target]:
    """Return labels as a dense matrix of 0 and 1 (uint8), and what they looked like.

    Args:
        Y: Shape (n, q) of 0 and 1 (dense, sparse or data frame), or (n,) or (n, 1) with two values of any type for a single label.

    Raises:
        DataError: Y is not a set of binary labels, or some are unknown (NaN).
    """
    if Y is None:
        raise DataError("requires y to be passed, but the target y is None")
    if sparse.issparse(Y):
        kind = sparse.csr_array if isinstance(Y, sparse.sparray) else sparse.csr_matrix
        return binary(Y), Target(Y.dtype, container=kind)
    columns = tuple(Y.columns) if hasattr(Y, "columns") else None
    values = np.asarray(Y)
    if values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1):
        return _single(values, columns)
    if values.ndim != 2:
        raise DataError(f"expected Y of shape (n, q), but got shape {values.shape}")
    if values.dtype == object:
        values = values.astype(np.float64)
    return binary(values), Target(values.dtype, columns=columns)


def binary(Y: Any) -> Array:
    """Return a label matrix, dense or sparse, as dense uint8.

    Raises:
        DataError: A cell is something else than 0 and 1; NaN is told apart, since it is legal elsewhere in polytag.
    """
    values = Y.data if sparse.issparse(Y) else Y
    unknown = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
    if unknown:
        hint = "drop their rows or fill them in, or take a deep model, which leaves unknown labels out of its loss"
        raise DataError(f"Input y contains NaN: expected every label to be 0 or 1, but {unknown} cells are unknown; {hint}")
    index = LabelIndex.from_labels(Y)
    dense = np.zeros((index.n, index.q), dtype=np.uint8)
    dense[np.repeat(np.arange(index.n), index.sizes), index.columns] = 1
    return dense


def _single(values: Array, columns: tuple[Any, ...] | None) -> tuple[Array, Target]:
    """Read one label, whose two values may be of any type."""
    flat = values.reshape(-1)
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        raise DataError("Input y contains NaN or infinity; for one label expected two values, all known")
    what = type_of_target(flat, input_name="y", raise_unknown=True)
    if what != "binary":
        kinds = "expected labels of shape (n, q), or one label with two values"
        raise DataError(f"Only binary classification is supported. The type of the target is {what} (Unknown label type: {kinds})")
    classes, coded = np.unique(flat, return_inverse=True)
    if len(classes) < 2:
        if classes.dtype.kind not in "biuf" or classes[0] not in (0, 1):
            only = f"expected two values of the label, but got only {classes[0]!r}"
            raise DataError(f"Classifier can't train when only one class is present: {only}")
        coded, classes = flat.astype(np.intp), np.array([0, 1], dtype=flat.dtype)
    return coded.reshape(-1, 1).astype(np.uint8), Target(classes.dtype, classes, values.ndim == 1, columns=columns)
