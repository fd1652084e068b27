"""What all classical methods share: checks, labels that are constant in training, the form of the result."""

import abc
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from scipy.special import expit
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_random_state
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from polytag.data.targets import Target, read_target
from polytag.errors import DataError, ParameterError
from polytag.types import Array, ArrayLike


class ClassicalClassifier(ClassifierMixin, BaseEstimator, abc.ABC):  # type: ignore[misc]
    """A method for many labels that is not a network, as a scikit-learn classifier.

    A label that all training rows have, or none, carries no information: it is taken out before the method learns, and predicted as that
    constant, with the score 1 or 0. A method sees the varying labels only and defines two steps, ``_learn`` and ``_outcome``.

    Attributes:
        classes_: Label numbers, shape (q,), as scikit-learn's multi-label networks have it; the two values of a single label given as
            a vector or one column.
        constant_labels_: Columns that were constant in training.
        n_features_in_, feature_names_in_: As everywhere in scikit-learn.

    Cost: memory O(n q) for the labels, besides what the method needs; sparse features stay sparse.
    """

    _target: Target
    _varying: Array
    _constants: Array

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Learn from X (n, d) and Y (n, q).

        Args:
            X: Dense, sparse or data frame; finite numbers.
            Y: 0 and 1, dense, sparse or data frame. One label may also come as a vector with two values.

        Returns:
            The estimator itself.

        Raises:
            DataError: Shapes or values do not fit, or a label is unknown (NaN).
            ParameterError: A parameter makes no sense.
        """
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32])
        labels, self._target = read_target(Y, complete=True)
        if labels.shape[0] != X.shape[0]:
            counts = f"{X.shape[0]} and {labels.shape[0]}"
            raise DataError(f"expected as many rows in X as in Y, but found input variables with inconsistent numbers of samples: {counts}")
        n, q = labels.shape
        if q == 0:
            raise DataError("expected at least one label, but Y has no columns")
        self._check(n, q)
        positives = labels.sum(axis=0, dtype=np.int64)
        self._varying = np.flatnonzero((positives > 0) & (positives < n))
        self._constants = (positives == n).astype(np.uint8)
        self.constant_labels_ = np.flatnonzero((positives == 0) | (positives == n))
        self.classes_ = np.arange(q) if self._target.single is None else self._target.single
        rng = generator(getattr(self, "random_state", None))
        if self._varying.size:
            with config_context(assume_finite=True):  # X has been looked at; base learners need not look again, thousands of times
                self._learn(X, labels[:, self._varying], rng)
        return self

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return a score in [0, 1] for each label, shape (n, q); (n, 2) for a single label given as a vector."""
        scores = self._predictions(X)[0]
        return np.stack([1 - scores[:, 0], scores[:, 0]], axis=1) if self._target.kind == "vector" else scores

    def predict(self, X: ArrayLike) -> Any:
        """Return the labels in the form that Y had in ``fit``: array, sparse matrix, data frame or vector."""
        labels = self._predictions(X)[1]
        return self._target.restore(labels)

    def _predictions(self, X: ArrayLike) -> tuple[Array, Array]:
        """Return scores and labels of all columns, the constant ones filled in."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        scores = np.tile(self._constants.astype(np.float64), (X.shape[0], 1))
        labels = np.tile(self._constants, (X.shape[0], 1))
        if self._varying.size:
            with config_context(assume_finite=True):
                scores[:, self._varying], labels[:, self._varying] = self._outcome(X)
        return scores, labels

    @abc.abstractmethod
    def _learn(self, X: Any, Y: Array, rng: np.random.Generator) -> None:
        """Learn from checked features (dense or CSR) and labels (n, at least 1), each of which varies."""

    @abc.abstractmethod
    def _outcome(self, X: Any) -> tuple[Array, Array]:
        """Return scores in [0, 1] and labels of the varying columns."""

    def _check(self, n: int, q: int) -> None:
        """Raise a ``ParameterError`` if a parameter makes no sense for n rows and q labels."""

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator can do: many binary labels, sparse input, nothing random beyond its seed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True
        return tags


def generator(random_state: Any) -> np.random.Generator:
    """Return a generator from scikit-learn's ``random_state``; ``None`` is fresh entropy, never NumPy's global state."""
    return np.random.default_rng(None if random_state is None else check_random_state(random_state).randint(2**31 - 1))


def base_learner(estimator: Any, rng: np.random.Generator) -> Any:
    """Return a fresh base classifier; a seed of its own if it can have one and has none.

    Args:
        estimator: A scikit-learn classifier; ``None`` is logistic regression with C = 1 and at most 1000 iterations.
        rng: Where the seed comes from.

    Raises:
        ParameterError: It is not a classifier.
    """
    if estimator is None:
        return LogisticRegression(C=1.0, max_iter=1000)
    if not (hasattr(estimator, "fit") and hasattr(estimator, "predict")):
        raise ParameterError(
            f"expected a scikit-learn classifier as estimator, but got {estimator!r}; pass an instance, not a name or class"
        )
    learner = clone(estimator)
    if learner.get_params().get("random_state", 0) is None:
        learner.set_params(random_state=int(rng.integers(2**31 - 1)))
    return learner


def positive_scores(models: Sequence[Any], X: Any) -> Array:
    """Return what several fitted binary classifiers of 0 and 1 say to each row: the probability of 1, shape (n, models).

    A classifier without ``predict_proba`` gives 0 or 1. Logistic regressions are asked together, by one matrix product.

    Cost: O(n d models) for logistic regressions.
    """
    if models and all(type(m) is LogisticRegression and getattr(m, "multi_class", "") != "multinomial" for m in models):
        weights, bias = np.vstack([m.coef_ for m in models]), np.concatenate([m.intercept_ for m in models])
        return np.asarray(expit(safe_sparse_dot(X, weights.T, dense_output=True) + bias), dtype=np.float64)
    answers = [m.predict_proba(X)[:, 1] if hasattr(m, "predict_proba") else m.predict(X) for m in models]
    return np.stack(answers, axis=1).astype(np.float64)
