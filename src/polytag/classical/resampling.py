"""What the resamplers share: arrays in, arrays out, and where each row came from."""

import abc
from typing import Any, NamedTuple, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags
from sklearn.utils.validation import check_array, validate_data

from polytag.data.targets import Target, complete_labels, read_target
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


class Resampler(BaseEstimator, abc.ABC):  # type: ignore[misc]
    """A way to even out how often labels occur. Use it on training rows only: copies of a row must not reach the test rows.

    It is a scikit-learn estimator: ``get_params``, ``set_params`` and ``clone`` work, and parameters are looked at when they are used.
    ``resample`` says where each row came from; ``fit_resample`` returns X and Y alone, as the samplers of imbalanced-learn do and as its
    pipelines take them. Nothing is learnt: ``fit`` looks whether the rows and the parameters fit each other.

    Attributes:
        n_features_in_, feature_names_in_: As everywhere in scikit-learn; of the last ``fit`` or ``fit_resample``.
    """

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Look at the rows and the parameters; nothing is learnt from them.

        Args:
            X: Features (n, d), dense, sparse or data frame; finite numbers.
            Y: Labels (n, q), 0 and 1, dense, sparse or data frame; or one label, as a vector or a column with two values of any type.

        Returns:
            The resampler itself.

        Raises:
            DataError: Shapes or values do not fit, or a label is unknown (NaN).
            ParameterError: A parameter makes no sense.
        """
        self._read(X, Y)
        return self

    def fit_resample(self, X: ArrayLike, Y: ArrayLike) -> tuple[Any, Any]:
        """Return features and labels of the given rows and of new ones: those of ``resample``, with the same numbers.

        Args:
            X: As in ``fit``.
            Y: As in ``fit``; the result has its form. A single label is as frequent as itself, so it changes nothing.

        Returns:
            X, dense or CSR (a data frame becomes an array), and Y, in the form that it had.

        Raises:
            DataError: Shapes or values do not fit, or a label is unknown (NaN).
            ParameterError: A parameter makes no sense.
        """
        labels, target = self._read(X, Y)
        result = self.resample(X, labels)
        return result.X, target.restore(result.Y)

    def _read(self, X: ArrayLike, Y: ArrayLike) -> tuple[Array, Target]:
        """Return the labels as dense uint8, and what they looked like, after all checks."""
        features = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32])
        labels, target = read_target(Y, complete=True)
        _check_as_many(features, labels)
        self._check(features.shape[1])
        return labels, target

    def _check(self, d: int) -> None:
        """Raise a ``ParameterError`` if a parameter makes no sense for d features."""

    def __sklearn_tags__(self) -> Any:
        """Say what the resampler takes: many binary labels, which it must have, and sparse features."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.classifier_tags = ClassifierTags(multi_class=False, multi_label=True)
        return tags

    @abc.abstractmethod
    def resample(self, X: ArrayLike, Y: ArrayLike) -> Resampled:
        """Return the given rows and new ones.

        Args:
            X: Features (n, d), dense, sparse or data frame; finite numbers.
            Y: Labels (n, q), 0 and 1, dense, sparse or data frame.

        Raises:
            DataError: Shapes or values do not fit, or a label is unknown (NaN).
            ParameterError: A parameter makes no sense.
        """


def read_rows(X: ArrayLike, Y: ArrayLike) -> tuple[Any, Array]:
    """Return features, dense or as a CSR array of their class, and labels as dense uint8, of equally many rows."""
    X = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])
    values = Y if sparse.issparse(Y) else np.asarray(Y)
    if values.ndim != 2:
        raise DataError(f"expected Y of shape (n, q), but got shape {values.shape}")
    labels = complete_labels(values if values.dtype != object else values.astype(np.float64))
    _check_as_many(X, labels)
    return X, labels


def _check_as_many(X: Any, labels: Array) -> None:
    """Refuse features and labels of different numbers of rows."""
    if len(labels) != X.shape[0]:
        counts = f"{X.shape[0]} and {len(labels)}"
        raise DataError(f"expected as many rows in X as in Y, but found input variables with inconsistent numbers of samples: {counts}")


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
