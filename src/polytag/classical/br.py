"""BR, binary relevance: one classifier a label."""

from typing import Any

import numpy as np
from sklearn.multiclass import OneVsRestClassifier

from polytag.classical.base import ClassicalClassifier, base_learner, positive_scores
from polytag.registry import register
from polytag.types import Array


@register("classical", "br")
class BR(ClassicalClassifier):
    """Ask one yes-or-no question per label, as if the labels had nothing to do with each other.

    ``score_j(x) = P_j(y_j = 1 | x)``, label j where the score exceeds 0.5. The baseline that every other method has to beat.

    Args:
        estimator: A binary scikit-learn classifier; ``None``: logistic regression (C = 1, at most 1000 iterations). Without
            ``predict_proba`` the scores are 0 and 1.
        n_jobs: Labels learned at a time, as in joblib; ``None``: one.
        random_state: Seed of the base classifiers, if they are random.

    Attributes:
        estimators_: One fitted classifier for each label that varies in training.

    Cost: q times the base classifier; sparse features stay sparse. Logistic regressions predict by one matrix product.

    Reference: Boutell, Luo, Shen and Brown, "Learning multi-label scene classification", Pattern Recognition 2004.

    Differs: Labels that are constant in training need no classifier and keep their constant.

    Example:
        >>> BR().fit([[0.0], [1.0], [2.0], [3.0]], [[0, 1], [0, 1], [1, 1], [1, 1]]).predict([[0.2], [2.9]])
        array([[0, 1],
               [1, 1]])
    """

    def __init__(self, estimator: Any = None, *, n_jobs: int | None = None, random_state: Any = None) -> None:
        self.estimator = estimator
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _learn(self, X: Any, Y: Array, rng: np.random.Generator) -> None:
        learner = OneVsRestClassifier(base_learner(self.estimator, rng), n_jobs=self.n_jobs)
        self.estimators_ = learner.fit(X, Y if Y.shape[1] > 1 else Y[:, 0]).estimators_

    def _outcome(self, X: Any) -> tuple[Array, Array]:
        scores = positive_scores(self.estimators_, X)
        return scores, scores > 0.5
