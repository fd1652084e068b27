"""CC, a classifier chain: each label is told the labels before it."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.multioutput import ClassifierChain

from polytag.classical.base import ClassicalClassifier, base_learner
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.types import Array, ArrayLike


@register("classical", "cc")
class CC(ClassicalClassifier):
    """Decide the labels one after the other, so that each decision can lean on those before it.

    With the labels in the order ``o_1, o_2, ...``: ``score_{o_t}(x) = P(y_{o_t} = 1 | x, y_{o_1}, ..., y_{o_{t-1}})``. The earlier labels
    are the true ones in training and the predicted ones (0 or 1) in prediction. A label is predicted where its score exceeds 0.5.

    Args:
        estimator: A binary scikit-learn classifier; ``None``: logistic regression (C = 1, at most 1000 iterations). Without
            ``predict_proba`` the scores are 0 and 1.
        order: ``None``: as the columns stand; ``"random"``: drawn with ``random_state``; or the q column numbers in the wished order.
        cv: Number of folds, or a splitter: the earlier labels in training are then predictions for held-out rows, as they will be later.
        chain_method: ``"predict"`` passes 0 or 1 on to later labels, ``"predict_proba"`` the probability.
        random_state: Seed of the order and of the base classifiers.

    Attributes:
        order_: The varying labels in the order of the chain.
        chain_: scikit-learn's ``ClassifierChain`` over them.

    Raises:
        ParameterError: ``order`` is not an order of the columns.

    Cost: q times the base classifier on d + q features, one after the other; ``cv`` folds multiply it by their number plus one.

    Reference: Read, Pfahringer, Holmes and Frank, "Classifier chains for multi-label classification", Machine Learning 2011.

    Differs: Constant labels are not in the chain: they would tell the later ones nothing.

    Example:
        >>> CC(order=[1, 0]).fit([[0.0], [1.0], [2.0], [3.0]], [[0, 0], [0, 0], [1, 1], [1, 1]]).predict([[0.2], [2.9]])
        array([[0, 0],
               [1, 1]])
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        order: str | ArrayLike | None = None,
        cv: Any = None,
        chain_method: str = "predict",
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.order = order
        self.cv = cv
        self.chain_method = chain_method
        self.random_state = random_state

    def _check(self, n: int, q: int) -> None:
        if self.chain_method not in ("predict", "predict_proba"):
            raise ParameterError(f"expected chain_method 'predict' or 'predict_proba', but got {self.chain_method!r}")
        if self.order is None or (isinstance(self.order, str) and self.order == "random"):
            return
        if isinstance(self.order, str) or sorted(np.asarray(self.order).ravel().tolist()) != list(range(q)):
            raise ParameterError(f"expected order None, 'random' or the column numbers 0 to {q - 1}, each once, but got {self.order!r}")

    def _learn(self, X: Any, Y: Array, rng: np.random.Generator) -> None:
        q = Y.shape[1]
        if self.order is None:
            order = np.arange(q)
        elif isinstance(self.order, str):
            order = rng.permutation(q)
        else:
            wished = np.asarray(self.order).ravel()
            order = np.searchsorted(self._varying, wished[np.isin(wished, self._varying)])
        learner = base_learner(self.estimator, rng)
        self.order_ = self._varying[order]
        wrapped = learner if self.cv is None else _OrConstant(learner)
        self.chain_ = ClassifierChain(wrapped, order=order, cv=self.cv, chain_method=self.chain_method).fit(X, Y)

    def _outcome(self, X: Any) -> tuple[Array, Array]:
        scores = self.chain_.predict_proba(X) if hasattr(self.chain_.estimators_[0], "predict_proba") else self.chain_.predict(X)
        return scores, scores > 0.5


class _OrConstant(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The given classifier of 0 and 1, or a constant where a fold has only one of them."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Array) -> Self:
        """Learn, or remember the only value."""
        self.classes_ = np.array([0, 1])
        self.only_ = None if 0 < y.sum() < len(y) else float(y[0])
        self.model_ = clone(self.estimator).fit(X, y) if self.only_ is None else None
        return self

    def predict(self, X: Any) -> Array:
        """Return 0 or 1 for each row."""
        return np.full(X.shape[0], self.only_) if self.model_ is None else np.asarray(self.model_.predict(X))

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of 0 and 1."""
        if self.model_ is None:
            return np.tile([1.0 - (self.only_ or 0.0), self.only_ or 0.0], (X.shape[0], 1))
        if not hasattr(self.model_, "predict_proba"):
            return np.asarray(np.eye(2)[self.model_.predict(X).astype(np.intp)])
        return np.asarray(self.model_.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        """Take sparse features, as the classifier inside does."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
