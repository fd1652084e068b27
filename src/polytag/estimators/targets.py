"""Labels in and out: whatever kind of Y came to ``fit`` is what ``predict`` returns."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import type_of_target

from polytag.data.labels import LabelIndex
from polytag.errors import DataError
from polytag.types import Array

Kind = Literal["array", "vector", "csr_array", "csr_matrix", "frame"]


@dataclass(frozen=True)
class Target:
    """What Y looked like.

    Attributes:
        kind: NumPy matrix, NumPy vector (one label), SciPy sparse array or matrix, or a data frame.
        names: Label names, from the columns of a frame; ``None`` otherwise.
        classes: The two values of each label, shape (2,) each: the absent one first.
        dtype: Type of the cells of ``predict``.
    """

    kind: Kind
    names: tuple[str, ...] | None
    classes: tuple[Array, ...]
    dtype: np.dtype[Any]

    @property
    def single(self) -> Array | None:
        """The two values of a single label; ``None`` for several labels."""
        return self.classes[0] if len(self.classes) == 1 else None

    def restore(self, labels: Array) -> Any:
        """Return 0/1 labels (n, q) in the form that Y had."""
        if self.kind in ("csr_array", "csr_matrix"):
            return getattr(sparse, self.kind)(labels.astype(self.dtype))
        columns = [values[labels[:, j].astype(np.intp)] for j, values in enumerate(self.classes)]
        values = np.stack(columns, axis=1).astype(self.dtype)
        if self.kind == "vector":
            return values[:, 0]
        if self.kind == "frame":
            import pandas as pd

            return pd.DataFrame(values, columns=list(self.names or ()))
        return values


def read_target(Y: Any) -> tuple[Any, Target]:
    """Return labels as 0/1 (CSR or dense; NaN where unknown) and what they looked like.

    Args:
        Y: Shape (n, q) of 0 and 1 (dense, sparse or data frame), or (n,) or (n, 1) with two values of any type for a single label.

    Raises:
        DataError: Y is not a set of binary labels.
    """
    if sparse.issparse(Y):
        kind: Kind = "csr_array" if isinstance(Y, sparse.sparray) else "csr_matrix"
        matrix = sparse.csr_array(Y)
        LabelIndex.from_labels(matrix)
        return matrix, Target(kind, None, _zero_one(matrix.shape[1]), matrix.dtype)
    if Y is None:
        raise DataError("DeepMultiLabelClassifier requires y to be passed, but the target y is None")
    names = tuple(str(name) for name in Y.columns) if hasattr(Y, "columns") else None
    values = np.asarray(Y)
    if values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1):
        return _single(values, names)
    if values.ndim != 2:
        raise DataError(f"expected Y of shape (n, q), but got shape {values.shape}")
    if values.dtype == object:
        values = values.astype(np.float64)
    if np.issubdtype(values.dtype, np.floating) and np.isinf(values).any():
        raise DataError("expected labels that are 0, 1 or NaN (unknown), but some are infinite")
    LabelIndex.from_labels(values)
    return values, Target("array" if names is None else "frame", names, _zero_one(values.shape[1]), values.dtype)


def _single(values: Array, names: tuple[str, ...] | None) -> tuple[Array, Target]:
    """Read one label, whose two values may be of any type."""
    flat = values.reshape(-1)
    kind: Kind = "vector" if values.ndim == 1 else "array" if names is None else "frame"
    if np.issubdtype(flat.dtype, np.floating) and not np.isfinite(flat).all():
        raise DataError("Input y contains NaN or infinity; for one label expected two values")
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
    return coded.reshape(-1, 1).astype(np.uint8), Target(kind, names, (classes,), classes.dtype)


def _zero_one(q: int) -> tuple[Array, ...]:
    return tuple(np.array([0, 1]) for _ in range(q))
