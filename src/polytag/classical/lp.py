"""LP, the label powerset: every set of labels seen in training is a class of its own."""

import warnings
from typing import Any

import numpy as np

from polytag.classical.base import ClassicalClassifier, base_learner
from polytag.registry import register
from polytag.types import Array


class Powerset:
    """A multi-class classifier over the distinct rows of Y.

    Args:
        learner: A fresh multi-class scikit-learn classifier.

    Attributes:
        sets: The label sets seen in training, shape (classes, q), in lexicographic order.
    """

    def __init__(self, learner: Any) -> None:
        self.learner = learner

    def fit(self, X: Any, Y: Array) -> "Powerset":
        """Learn which set of labels each row has; Y has at least two different rows."""
        self.sets, codes = np.unique(Y, axis=0, return_inverse=True)
        with warnings.catch_warnings():  # many classes are what the method is about
            warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
            self.learner.fit(X, codes.reshape(-1))
        return self

    def labels(self, X: Any) -> Array:
        """Return the most probable set of labels of each row, shape (n, q)."""
        return np.asarray(self.sets[self.learner.predict(X)])

    def marginals(self, X: Any) -> Array:
        """Return for each label the summed probability of the sets that have it, shape (n, q); 0 or 1 without ``predict_proba``."""
        if not hasattr(self.learner, "predict_proba"):
            return self.labels(X).astype(np.float64)
        return np.clip(np.asarray(self.learner.predict_proba(X), dtype=np.float64) @ self.sets.astype(np.float64), 0.0, 1.0)


@register("classical", "lp")
class LP(ClassicalClassifier):
    """Treat every combination of labels that occurs in training as one class, and choose among these.

    Predicted is the most probable label set, ``argmax_S P(S | x)``; the score of a label is ``sum_{S with j} P(S | x)``. Optimal for subset
    accuracy, but blind to sets that training has not seen, and starved where most sets are rare.

    Args:
        estimator: A multi-class scikit-learn classifier; ``None``: logistic regression (C = 1, at most 1000 iterations). Without
            ``predict_proba`` the scores are 0 and 1.
        random_state: Seed of the base classifier, if it is random.

    Attributes:
        powerset_: The classifier, and the label sets it chooses among (``powerset_.sets``), over the labels that vary in training.

    Cost: one multi-class problem with as many classes as there are distinct label sets, at most min(n, 2^q).

    Reference: Tsoumakas and Katakis, "Multi-label classification: an overview", International Journal of Data Warehousing and Mining 2007.

    Differs: A label with a score above 0.5 need not be in the predicted set, nor the other way round: the set is chosen as a whole.

    Example:
        >>> LP().fit([[0.0], [1.0], [2.0], [3.0]], [[0, 1], [0, 1], [1, 0], [1, 0]]).predict([[0.2], [2.9]])
        array([[0, 1],
               [1, 0]])
    """

    def __init__(self, estimator: Any = None, *, random_state: Any = None) -> None:
        self.estimator = estimator
        self.random_state = random_state

    def _learn(self, X: Any, Y: Array, rng: np.random.Generator) -> None:
        self.powerset_ = Powerset(base_learner(self.estimator, rng)).fit(X, Y)

    def _outcome(self, X: Any) -> tuple[Array, Array]:
        return self.powerset_.marginals(X), self.powerset_.labels(X)
