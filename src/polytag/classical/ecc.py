"""ECC, an ensemble of classifier chains in random orders."""

from typing import Any

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from polytag.classical.base import ClassicalClassifier, base_learner
from polytag.classical.cc import CC
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.types import Array


@register("classical", "ecc")
class ECC(ClassicalClassifier):
    """Let several chains vote, each with the labels in another random order and its own sample of the rows.

    ``score_j(x) = 1/m sum_c score_j of chain c``, label j where it exceeds 0.5. No single order of the labels is right; many are rarely
    all wrong.

    Args:
        estimator: A binary scikit-learn classifier; ``None``: logistic regression (C = 1, at most 1000 iterations).
        n_chains: Number m of chains.
        sample: Share of the rows that each chain sees.
        replace: Whether rows are drawn with replacement (a bootstrap when ``sample`` is 1), or not (the paper's choice with 0.67).
        votes: ``True`` averages the decisions of the chains, ``False`` their probabilities.
        n_jobs: Chains learned at a time, as in joblib; ``None``: one.
        random_state: Seed of the orders, the samples and the base classifiers.

    Attributes:
        chains_: The fitted ``CC``, over the labels that vary in training.

    Raises:
        ParameterError: No chain, or a share outside (0, 1].

    Cost: ``n_chains`` times CC.

    Reference: Read, Pfahringer, Holmes and Frank, "Classifier chains for multi-label classification", Machine Learning 2011.

    Differs: Bootstraps of n rows, as in Mulan, where the paper takes 67 % without replacement (``sample=0.67, replace=False``). Mulan
        predicts a label at a score of exactly 0.5, here it must exceed 0.5; its way of shuffling prefers some orders, here all are
        equally likely.

    Example:
        >>> X, Y = np.arange(8.0)[:, None], np.repeat([[0, 0], [1, 1]], 4, axis=0)
        >>> ECC(n_chains=3, random_state=0).fit(X, Y).predict([[0.0], [7.0]])
        array([[0, 0],
               [1, 1]])
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_chains: int = 10,
        sample: float = 1.0,
        replace: bool = True,
        votes: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_chains = n_chains
        self.sample = sample
        self.replace = replace
        self.votes = votes
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _check(self, n: int, q: int) -> None:
        if self.n_chains < 1:
            raise ParameterError(f"expected n_chains of at least 1, but got {self.n_chains!r}")
        if not 0 < self.sample <= 1:
            raise ParameterError(f"expected 0 < sample <= 1, but got {self.sample!r}")

    def _learn(self, X: Any, Y: Array, rng: np.random.Generator) -> None:
        n, q = Y.shape
        size = max(1, round(self.sample * n))
        plans = []
        for _ in range(self.n_chains):
            rows = rng.choice(n, size=size, replace=self.replace)
            plans.append((CC(base_learner(self.estimator, rng), order=rng.permutation(q), random_state=0), rows))
        self.chains_ = Parallel(n_jobs=self.n_jobs)(delayed(_fit_rows)(chain, X, Y, rows) for chain, rows in plans)

    def _outcome(self, X: Any) -> tuple[Array, Array]:
        total = sum(np.asarray(chain.predict(X) if self.votes else chain.predict_proba(X), dtype=np.float64) for chain in self.chains_)
        scores = np.asarray(total) / len(self.chains_)
        return scores, scores > 0.5


def _fit_rows(chain: CC, X: Any, Y: Array, rows: Array) -> CC:
    return chain.fit(X[rows], Y[rows])
