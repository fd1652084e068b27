"""RAkEL, random k-labelsets: label powersets of a few labels each."""

from math import comb
from typing import Any

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from polytag.classical.base import ClassicalClassifier, base_learner
from polytag.classical.lp import Powerset
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.types import Array


@register("classical", "rakel")
class RAkEL(ClassicalClassifier):
    """Break the labels into small random groups and let a label powerset (LP) decide each group as a whole.

    Disjoint (RAkEL-d): a random partition into blocks of k; a label has the one vote of its block. Overlapping (RAkEL-o): ``min(2 q, C(q,
    k))`` different random sets of k labels; ``score_j = votes for j / sets with j`` (0 if no set has it). Label j is predicted where its
    score is at least 0.5: votes are few, and half of them are enough.

    Args:
        estimator: A multi-class scikit-learn classifier; ``None``: logistic regression (C = 1, at most 1000 iterations).
        overlapping: ``True``: RAkEL-o; ``False``: RAkEL-d.
        k: Labels in a set; all of them if there are fewer.
        n_sets: Number of sets of RAkEL-o; ``None``: ``2 q``. Never more than there are different ones.
        soft: Average the probabilities of the powersets instead of their votes: finer scores, for rankings.
        n_jobs: Sets learned at a time, as in joblib; ``None``: one.
        random_state: Seed of the sets and of the base classifiers.

    Attributes:
        sets_: Column numbers of each set, ascending.

    Raises:
        ParameterError: k or ``n_sets`` is below 1, or ``n_sets`` is given for RAkEL-d.

    Cost: one multi-class problem of at most 2^k classes for each set: about q / k of them, or 2 q.

    Reference: Tsoumakas, Katakis and Vlahavas, "Random k-labelsets for multilabel classification", IEEE Transactions on Knowledge and Data
        Engineering 2011.

    Differs: The last block of RAkEL-d takes the remainder, but a single left-over label joins the block before it, as in Mulan. Mulan's
        default base learner is BR over trees; the paper's is LP, and so is ours. Labels constant in training are in no set, and q does
        not count them.

    Example:
        >>> X, Y = np.arange(8.0)[:, None], np.repeat([[0, 1, 0, 1], [1, 1, 1, 0]], 4, axis=0)
        >>> RAkEL(overlapping=False, random_state=0).fit(X, Y).predict([[0.0], [7.0]])
        array([[0, 1, 0, 1],
               [1, 1, 1, 0]])
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        overlapping: bool = True,
        k: int = 3,
        n_sets: int | None = None,
        soft: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.overlapping = overlapping
        self.k = k
        self.n_sets = n_sets
        self.soft = soft
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _check(self, n: int, q: int) -> None:
        if self.k < 1:
            raise ParameterError(f"expected k, the labels in a set, to be at least 1, but got {self.k!r}")
        if self.n_sets is not None and (self.n_sets < 1 or not self.overlapping):
            raise ParameterError(f"expected n_sets None, or at least 1 with overlapping=True, but got {self.n_sets!r}")

    def _learn(self, X: Any, Y: Array, rng: np.random.Generator) -> None:
        q = Y.shape[1]
        wished = 2 * q if self.n_sets is None else self.n_sets
        sets = different_sets(q, self.k, wished, rng) if self.overlapping else blocks(q, self.k, rng)
        powersets = [Powerset(base_learner(self.estimator, rng)) for _ in sets]
        self._powersets = Parallel(n_jobs=self.n_jobs)(delayed(p.fit)(X, Y[:, columns]) for p, columns in zip(powersets, sets, strict=True))
        self._columns = sets
        self.sets_ = [self._varying[columns] for columns in sets]

    def _outcome(self, X: Any) -> tuple[Array, Array]:
        votes, asked = np.zeros((X.shape[0], len(self._varying))), np.zeros(len(self._varying))
        for powerset, columns in zip(self._powersets, self._columns, strict=True):
            votes[:, columns] += powerset.marginals(X) if self.soft else powerset.labels(X)
            asked[columns] += 1
        scores = votes / np.maximum(asked, 1)
        return scores, scores >= 0.5


def blocks(q: int, k: int, rng: np.random.Generator) -> list[Array]:
    """Return a random partition of q labels: ``q // k`` blocks if ``q % k`` is 0 or 1, else one more; the last takes the remainder."""
    count = max(1, q // k if q % k in (0, 1) else q // k + 1)
    order = rng.permutation(q)
    return [np.sort(block) for block in np.split(order, np.arange(1, count) * k)]


def different_sets(q: int, k: int, wished: int, rng: np.random.Generator) -> list[Array]:
    """Return ``min(wished, C(q, k))`` different sets of min(q, k) labels, every choice equally likely, in the order drawn."""
    k = min(k, q)
    possible = comb(q, k)
    if 2 * wished > possible:  # few are left over: draw which of all
        from itertools import combinations

        everything = list(combinations(range(q), k))
        return [np.array(everything[i]) for i in rng.permutation(possible)[:wished]]
    seen: dict[bytes, Array] = {}
    while len(seen) < wished:  # at least every second draw is new
        columns = np.sort(rng.choice(q, size=k, replace=False))
        seen.setdefault(columns.tobytes(), columns)
    return list(seen.values())
