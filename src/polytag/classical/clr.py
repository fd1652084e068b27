"""CLR, calibrated label ranking: every pair of labels duels, and a virtual label marks where relevance ends."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from polytag.classical.base import ClassicalClassifier, base_learner, positive_scores
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.types import Array

_MOST_LABELS = 200
_BLOCK = 2**22  # products of features or duels of a block of rows held at a time


class Duels(NamedTuple):
    """The duels of one label against all later ones.

    Attributes:
        settled: Chance that the label wins, shape (later labels,), where training decides it without a classifier.
        open: Positions of the duels that a classifier decides.
        models: Their classifiers.
    """

    settled: Array
    open: Array
    models: list[Any]


@register("classical", "clr")
class CLR(ClassicalClassifier):
    """Compare the labels two by two, rank them by the duels they win, and cut the ranking at a virtual label.

    The duel of j and k is learned from the rows that have exactly one of them; the duel of j and the virtual label 0 is binary relevance
    (BR). Votes: ``v_j = sum_k [j beats k] + [BR_j = 1]`` and ``v_0 = sum_j [BR_j = 0]``. Label j is predicted where ``v_j >= v_0``; its
    score is ``v_j / q``. With a single label this is BR.

    Args:
        estimator: A binary scikit-learn classifier; ``None``: logistic regression (C = 1, at most 1000 iterations).
        soft: Add probabilities instead of votes of 0 and 1.
        force: Go on with more than 200 labels, which means more than 19 900 classifiers.
        n_jobs: Labels whose duels are learned at a time, as in joblib; ``None``: one.
        random_state: Seed of the base classifiers, if they are random.

    Attributes:
        relevance_: The q classifiers of BR, for the labels that vary in training.
        duels_: The duels of each label but the last against the later ones.

    Raises:
        ParameterError: More than 200 labels without ``force``.

    Cost: q (q + 1) / 2 classifiers, on the rows where two labels differ; their memory is O(q^2 d) for linear ones. Prediction by logistic
        regressions is one matrix product for each label; memory O(n q) besides blocks.

    Reference: Fürnkranz, Hüllermeier, Loza Mencía and Brinker, "Multilabel classification via calibrated label ranking", Machine Learning
        2008.

    Differs: A pair that no row tells apart gives half a vote to each; where only one of the two ever occurs alone, that one wins. Labels
        constant in training do not duel and q does not count them; a label without positives would only give one more vote to every
        other label and to the virtual one, and a label that all rows have takes none from either, so the predicted labels are the same.

    Example:
        >>> X = np.arange(9.0)[:, None]
        >>> Y = np.repeat([[1, 0, 0], [0, 1, 0], [0, 1, 1]], 3, axis=0)
        >>> CLR().fit(X, Y).predict([[0.0], [8.0]])
        array([[1, 0, 0],
               [0, 1, 1]])
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        soft: bool = False,
        force: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.soft = soft
        self.force = force
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _check(self, n: int, q: int) -> None:
        if q > _MOST_LABELS and not self.force:
            count = q * (q + 1) // 2
            raise ParameterError(
                f"expected at most {_MOST_LABELS} labels, but got {q}, which takes {count} classifiers; force=True goes on"
            )

    def _learn(self, X: Any, Y: Array, rng: np.random.Generator) -> None:
        learner = base_learner(self.estimator, rng)
        workers = Parallel(n_jobs=self.n_jobs)
        self.relevance_ = workers(delayed(_fit)(learner, X, column) for column in Y.T)
        self.duels_ = workers(delayed(_learn_duels)(learner, X, Y, j) for j in range(Y.shape[1] - 1))

    def _outcome(self, X: Any) -> tuple[Array, Array]:
        n, q = X.shape[0], len(self._varying)
        votes, virtual = np.empty((n, q)), np.empty(n)
        size = max(1, _BLOCK // q)
        for start in range(0, n, size):
            rows = slice(start, start + size)
            votes[rows], virtual[rows] = self._votes(X[rows])
        return votes / q, votes >= virtual[:, None]

    def _votes(self, X: Any) -> tuple[Array, Array]:
        """Return the votes of the labels and of the virtual label."""
        relevance = self._voices(positive_scores(self.relevance_, X))
        votes = relevance.copy()
        for j, duels in enumerate(self.duels_):
            wins = np.tile(duels.settled, (X.shape[0], 1))
            if duels.models:
                wins[:, duels.open] = self._voices(positive_scores(duels.models, X))
            votes[:, j] += wins.sum(axis=1)
            votes[:, j + 1 :] += 1 - wins
        return votes, (1 - relevance).sum(axis=1)

    def _voices(self, probabilities: Array) -> Array:
        return probabilities if self.soft else (probabilities > 0.5).astype(np.float64)


def _learn_duels(learner: Any, X: Any, Y: Array, j: int) -> Duels:
    """Learn label j against all later ones, each on the rows that have exactly one of the two."""
    differs = Y[:, j + 1 :] != Y[:, j, None]
    wins, all_rows = (differs & (Y[:, j, None] == 1)).sum(axis=0), differs.sum(axis=0)
    settled = np.where(all_rows == 0, 0.5, (wins > 0).astype(np.float64))
    undecided = np.flatnonzero((wins > 0) & (wins < all_rows))
    models = []
    for k in undecided:
        rows = np.flatnonzero(differs[:, k])
        models.append(_fit(learner, X[rows], Y[rows, j]))
    return Duels(settled, undecided, models)


def _fit(learner: Any, X: Any, y: Array) -> Any:
    return clone(learner).fit(X, y)
