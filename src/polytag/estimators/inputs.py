"""Rows of any kind for an estimator: a table, texts, or pictures."""

from typing import Any, Literal

import numpy as np
from sklearn.utils.validation import validate_data

from polytag.data.dataset import Dataset
from polytag.errors import DataError
from polytag.hierarchy import Hierarchy
from polytag.types import Array, ArrayLike

Kind = Literal["table", "text", "images"]


def read_rows(estimator: Any, X: ArrayLike, *, kind: Kind | None = None) -> tuple[Any, Kind]:
    """Return features as ``Dataset`` wants them, and what they are.

    Args:
        estimator: Learns number and names of the features of a table, or checks them if ``kind`` is given.
        X: A table (n, d): dense, sparse or data frame; texts: a sequence of n ``str``; or pictures (n, channels, height, width), whole
            numbers from 0 to 255, or floats (which are taken as they are; models expect about 0 to 1).
        kind: What came to ``fit``.

    Raises:
        DataError: Something else came than to ``fit``.
    """
    found = _kind(X)
    if kind is not None and found != kind:
        raise DataError(f"expected {kind}, as in fit, but got {found}")
    if found == "table":
        return validate_data(estimator, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=kind is None), found
    rows: Array = np.array(list(X), dtype=object)[:, None] if found == "text" else np.asarray(X)
    if found == "images" and kind is not None and rows.shape[1:] != estimator.image_shape_:
        raise DataError(f"expected pictures of shape {estimator.image_shape_}, as in fit, but got {rows.shape[1:]}")
    if found == "images" and rows.shape[3] in (1, 3, 4) and rows.shape[1] not in (1, 3, 4):
        raise DataError(
            f"expected pictures (n, channels, height, width), but got shape {rows.shape}, whose last axis looks like the channels; "
            "pass X.transpose(0, 3, 1, 2)"
        )
    if found == "images":
        estimator.image_shape_ = rows.shape[1:]
        rows = _pixels(rows)
    estimator.n_features_in_ = int(rows.shape[1])
    return rows, found


def empty(prepared: Any, kind: str, shape: tuple[int, ...], label_names: tuple[str, ...], hierarchy: Hierarchy | None = None) -> Dataset:
    """Return the data of ``fit``, prepared, without its rows: what a network is built for when it is read from a file."""
    X: Array = np.zeros((0, *shape), dtype=object if kind == "text" else np.float64)
    labels = np.zeros((0, len(label_names)), dtype=np.uint8)
    data = Dataset(X, labels, label_names=label_names, kind=kind, hierarchy=hierarchy)  # type: ignore[arg-type]
    return prepared.transform(data)  # type: ignore[no-any-return]


def _pixels(rows: Array) -> Array:
    """Return whole numbers as bytes, which stand for 0 to 1, and other numbers as they are."""
    if rows.dtype.kind not in "iu":
        return rows.astype(np.float32)
    if rows.size and not 0 <= rows.min() <= rows.max() <= 255:
        raise DataError(f"expected whole numbers from 0 to 255 as pixels, but got {rows.min()} to {rows.max()}; pass floats instead")
    return rows.astype(np.uint8)


def _kind(X: Any) -> Kind:
    if isinstance(X, str):
        raise DataError(f"expected many rows, but got a single text {X[:40]!r}; put it into a list")
    if getattr(X, "ndim", None) == 4:
        return "images"
    if hasattr(X, "iloc"):  # pandas: a column of texts is a Series
        return "text" if getattr(X, "ndim", 2) == 1 and len(X) and isinstance(X.iloc[0], str) else "table"
    flat = isinstance(X, list | tuple) or getattr(X, "ndim", 2) == 1
    return "text" if flat and len(X) and isinstance(X[0], str) else "table"
