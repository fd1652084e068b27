"""What the resamplers share: arrays in, arrays out, and where each row came from."""

import abc
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array

from polytag.data.targets import complete_labels
from polytag.errors import DataError
from polytag.types import Array, ArrayLike


class Resampled(NamedTuple):
    """Rows after resampling; the given ones come first, in their order.

    Attributes:
        X: Features, dense or CSR as they came.
        Y: Labels, dense or CSR as they came.
        parents: The given row that each row was made from, shape (rows,); its own number for a given row.
        is_synthetic: Which rows were added, shape (rows,), bool.
    """

    X: Any
    Y: Any
    parents: Array
    is_synthetic: Array


class Resampler(abc.ABC):
    """A way to even out how often labels occur. Use it on training rows only: copies of a row must not reach the test rows."""

    @abc.abstractmethod
    def resample(self, X: ArrayLike, Y: ArrayLike) -> Resampled:
        """Return the given rows and new ones.

        Args:
            X: Features (n, d), dense, sparse or data frame; finite numbers.
            Y: Labels (n, q), 0 and 1, dense, sparse or data frame.

        Raises:
            DataError: Shapes or values do not fit, or a label is unknown (NaN).
        """


def read_rows(X: ArrayLike, Y: ArrayLike) -> tuple[Any, Array]:
    """Return features, dense or as a CSR array of their class, and labels as dense uint8, of equally many rows."""
    X = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])
    values = Y if sparse.issparse(Y) else np.asarray(Y)
    if values.ndim != 2:
        raise DataError(f"expected Y of shape (n, q), but got shape {values.shape}")
    labels = complete_labels(values if values.dtype != object else values.astype(np.float64))
    if len(labels) != X.shape[0]:
        raise DataError(f"expected as many rows in X as in Y, but got {X.shape[0]} and {len(labels)}")
    return X, labels


def with_new_rows(X: Any, Y: Array, given: ArrayLike, new_X: Any, new_Y: Array, parents: Array) -> Resampled:
    """Put new rows below the given ones, the labels in the form (dense, CSR) and type that they had.

    Args:
        X: Given features.
        Y: Their labels (n, q), uint8; may differ from what was given.
        given: The labels as the caller passed them.
        new_X: Features of the new rows, in the form of X.
        new_Y: Their labels, dense.
        parents: The given row from which each was made.
    """
    n = len(Y)
    labels = np.concatenate([Y, new_Y]).astype(given.dtype if hasattr(given, "dtype") else np.asarray(given).dtype)
    if sparse.issparse(given):
        labels = (sparse.csr_array if isinstance(given, sparse.sparray) else sparse.csr_matrix)(labels)
    features = sparse.vstack([X, type(X)(new_X)], format="csr", dtype=X.dtype) if sparse.issparse(X) else np.concatenate([X, new_X])
    synthetic = np.arange(n + len(parents)) >= n
    return Resampled(features, labels, np.concatenate([np.arange(n), np.asarray(parents, dtype=np.int64)]), synthetic)
