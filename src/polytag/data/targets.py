"""Labels in and out: whatever kind of Y came to ``fit`` is what ``predict`` returns."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import type_of_target

from polytag.data.labels import LabelIndex
from polytag.errors import DataError
from polytag.hierarchy import Hierarchy
from polytag.types import Array

Kind = Literal["array", "vector", "csr_array", "csr_matrix", "frame", "names"]


@dataclass(frozen=True)
class Target:
    """What Y looked like.

    Attributes:
        kind: NumPy matrix, NumPy vector (one label), SciPy sparse array or matrix, a data frame, or a list of names for each row.
        dtype: Type of its cells.
        single: The two values of a single label, the absent one first; ``None`` for several labels.
        columns: Column names of a data frame as they came; ``None`` otherwise.
        hierarchy: Over the labels, where they came as names; ``None`` otherwise.
    """

    kind: Kind
    dtype: np.dtype[Any]
    single: Array | None = None
    columns: tuple[Any, ...] | None = None
    hierarchy: Hierarchy | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Label names, from the columns of a data frame; empty otherwise."""
        return tuple(str(name) for name in self.columns or ())

    def restore(self, labels: Array) -> Any:
        """Return 0/1 labels (n, q) in the form that Y had; names are those of the most specific labels of each row."""
        if self.kind == "names" and self.hierarchy is not None:
            return _names(labels, self.hierarchy)
        if self.kind in ("csr_array", "csr_matrix"):
            return getattr(sparse, self.kind)(labels.astype(self.dtype))
        values = labels.astype(self.dtype) if self.single is None else self.single[labels.astype(np.intp)]
        if self.kind == "vector":
            return values[:, 0]
        if self.kind == "frame":
            import pandas as pd

            return pd.DataFrame(values, columns=list(self.columns or ()))
        return values


def read_target(Y: Any, *, complete: bool = False) -> tuple[Any, Target]:
    """Return labels as 0 and 1, and what they looked like.

    Args:
        Y: Shape (n, q) of 0 and 1 (dense, sparse or data frame), or (n,) or (n, 1) with two values of any type for a single label.
        complete: Whether every label must be known. If so, labels are returned as dense uint8; otherwise as they came, sparse ones as a
            CSR array, and unknown ones are NaN.

    Raises:
        DataError: Y is not a set of binary labels, or a label is unknown and must not be.
    """
    if Y is None:
        raise DataError("requires y to be passed, but the target y is None")
    if sparse.issparse(Y):
        kind: Kind = "csr_array" if isinstance(Y, sparse.sparray) else "csr_matrix"
        matrix = sparse.csr_array(Y)
        single = np.array([0, 1], dtype=Y.dtype) if Y.shape[1] == 1 else None
        return _checked(matrix, complete), Target(kind, matrix.dtype, single)
    columns = tuple(Y.columns) if hasattr(Y, "columns") else None
    values = np.asarray(Y)
    if values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1):
        return _single(values, columns)
    if values.ndim != 2:
        raise DataError(f"expected Y of shape (n, q), but got shape {values.shape}")
    if values.dtype == object:
        values = values.astype(np.float64)
    return _checked(values, complete), Target("array" if columns is None else "frame", values.dtype, columns=columns)


def complete_labels(Y: Any) -> Array:
    """Return a label matrix, dense or sparse, as dense uint8.

    Raises:
        DataError: A cell is something else than 0 and 1; NaN is told apart, since it is legal elsewhere in polytag.
    """
    Y = Y if sparse.issparse(Y) else np.asarray(Y)
    values = Y.data if sparse.issparse(Y) else Y
    unknown = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
    if unknown:
        hint = "drop their rows or fill them in, or take a deep model, which leaves unknown labels out of its loss"
        raise DataError(f"Input y contains NaN: expected every label to be 0 or 1, but {unknown} cells are unknown; {hint}")
    index = LabelIndex.from_labels(Y)
    dense = np.zeros((index.n, index.q), dtype=np.uint8)
    dense[np.repeat(np.arange(index.n), index.sizes), index.columns] = 1
    return dense


def named_rows(Y: Any) -> Any:
    """Return Y if it names the labels of each row, as ``label_paths`` reads them; ``None`` if it is something else.

    Such are a sequence of texts or of lists of texts, and an array or data frame of texts with a column for each level.

    Example:
        >>> named_rows(["animal/cat", ["plant", "animal/dog"], []]), named_rows([[0, 1], [1, 0]])
        (['animal/cat', ['plant', 'animal/dog'], []], None)
    """
    if sparse.issparse(Y) or Y is None:
        return None
    if getattr(Y, "ndim", 1) == 2:
        cells = np.asarray(Y)
        named = cells.dtype.kind in "UO" and any(isinstance(cell, str) for cell in cells.flat)
        return cells if named else None
    rows = list(Y) if isinstance(Y, list | tuple) or getattr(Y, "ndim", 0) == 1 else []
    first = (name for row in rows for name in ([row] if isinstance(row, str) else row if isinstance(row, list | tuple | set) else ()))
    named = isinstance(next(first, None), str)
    return rows if named else None


def _names(labels: Array, hierarchy: Hierarchy) -> list[list[str]]:
    """Return for each row the names of its most specific labels: those without a descendant in the row."""
    ends = LabelIndex.from_labels(hierarchy.leaves(labels.astype(np.uint8)))
    return [[hierarchy.names[k] for k in ends.labels_of(row)] for row in range(ends.n)]


def _checked(labels: Any, complete: bool) -> Any:
    """Return a label matrix that holds 0, 1 and, unless it must be complete, NaN."""
    if complete:
        return complete_labels(labels)
    LabelIndex.from_labels(labels)
    return labels


def _single(values: Array, columns: tuple[Any, ...] | None) -> tuple[Array, Target]:
    """Read one label, whose two values may be of any type."""
    flat = values.reshape(-1)
    kind: Kind = "vector" if values.ndim == 1 else "array" if columns is None else "frame"
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        raise DataError("Input y contains NaN or infinity; for one label expected two values, all known")
    what = type_of_target(flat, input_name="y", raise_unknown=True)
    if what != "binary":
        kinds = "expected labels of shape (n, q), or one label with two values"
        raise DataError(f"Only binary classification is supported. The type of the target is {what} (Unknown label type: {kinds})")
    classes, coded = np.unique(flat, return_inverse=True)
    if len(classes) < 2:
        if classes.dtype.kind not in "biuf" or classes[0] not in (0, 1):
            only = f"expected two values of the label, but got only {classes.tolist()[0]!r}"
            raise DataError(f"Classifier can't train when only one class is present: {only}")
        coded, classes = flat.astype(np.intp), np.array([0, 1], dtype=flat.dtype)
    return coded.reshape(-1, 1).astype(np.uint8), Target(kind, classes.dtype, classes, columns)
