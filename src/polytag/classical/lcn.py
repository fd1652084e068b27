"""LCN, a local classifier per node: one yes-or-no question a label, asked where its parents hold."""

from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from polytag.classical.base import base_learner, positive_scores
from polytag.classical.local import LocalClassifier, children_of
from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.hierarchy.lessons import Lessons, check_policy
from polytag.registry import register
from polytag.types import Array


@register("classical", "lcn")
class LCN(LocalClassifier):
    """Train a classifier for each label on the rows that its place in the hierarchy allots to it, and walk down from the top.

    Prediction starts at the top: with ``descend="argmax"`` it takes the most probable
    child, again and again, down to a label without children; with ``"threshold"`` every label whose probability exceeds ``threshold`` and
    whose parents were taken. The score of a label combines the probabilities on its path.

    Args:
        estimator: A binary scikit-learn classifier; ``None``: logistic regression (C = 1, at most 1000 iterations). Without
            ``predict_proba`` the scores are 0 and 1.
        hierarchy: Over the labels: a ``Hierarchy``, what its ``to_dict`` returned, or (parent, child) pairs of names; ``None``: all labels
            are at the top.
        policy: Which rows teach a label, see ``polytag.hierarchy.Lessons.by_policy``.
        exact: Whether exact rows are meant where the policies say so; ``False``: any row with the label, as HiClass has it.
        descend: ``"argmax"``, ``"threshold"``, or ``None``: argmax if each training row has exactly one path.
        threshold: Least probability.
        combine: How probabilities are combined: ``"product"``, ``"geometric"`` or ``"arithmetic"`` mean; only products are coherent.
        n_jobs: Labels learnt at a time, as in joblib; ``None``: one.
        random_state: Seed of the base classifiers, if they are random.

    Attributes:
        hierarchy_: The hierarchy over all labels.
        estimators_: For each label that varies in training its classifier; a number, 0 or 1, where its rows are all of one kind.
        descend_: How prediction descends.

    Raises:
        ParameterError: A parameter makes no sense.
        DataError: The hierarchy has other labels than Y, a row has a label without a parent of it, or ``argmax`` is asked of a graph.

    Cost: q times the base classifier on the rows of the policy; the masks hold n q cells.

    Reference: Silla and Freitas, "A survey of hierarchical classification across different application domains", Data Mining and Knowledge
        Discovery 2011.

    Differs: takes several paths a row and labels with several parents. A row that stops at a parent says nothing to its children under the
        sibling policies; with such rows take ``less_inclusive``.

    Example:
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")], ["animal", "plant", "cat", "dog"])
        >>> Y = [[0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1]]
        >>> LCN(hierarchy=h).fit([[0.0], [1.0], [4.0], [5.0], [8.0], [9.0]], Y).predict([[0.5], [9.5]])
        array([[0, 1, 0, 0],
               [1, 0, 0, 1]])
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        hierarchy: Any = None,
        policy: str = "siblings",
        exact: bool = True,
        descend: Literal["argmax", "threshold"] | None = None,
        threshold: float = 0.5,
        combine: str = "product",
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.hierarchy = hierarchy
        self.policy = policy
        self.exact = exact
        self.descend = descend
        self.threshold = threshold
        self.combine = combine
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _check(self, n: int, q: int) -> None:
        super()._check(n, q)
        check_policy(self.policy)
        if self.descend not in ("argmax", "threshold", None) or not 0 <= self.threshold < 1:
            raise ParameterError(
                "expected descend 'argmax', 'threshold' or None, and 0 <= threshold < 1, but got "
                f"descend={self.descend!r}, threshold={self.threshold!r}"
            )

    def _learn(self, X: Any, Y: Array, rng: np.random.Generator) -> None:
        self._tree = tree = self._inner(Y)
        if self.descend == "argmax" and not tree.is_tree:
            raise DataError("expected a tree for descend='argmax', but got labels with several parents; take descend='threshold'")
        self.descend_ = self.descend or ("argmax" if one_path(Y, tree) else "threshold")
        told = Lessons(tree).by_policy(torch.as_tensor(np.asarray(Y, dtype=np.float32)), self.policy, exact=self.exact)
        target, taught = (part.numpy() for part in told)
        learner = base_learner(self.estimator, rng)
        self.estimators_ = Parallel(n_jobs=self.n_jobs)(delayed(_fit)(learner, X, target[:, k], taught[:, k]) for k in range(tree.q))

    def _outcome(self, X: Any) -> tuple[Array, Array]:
        local = np.empty((X.shape[0], self._tree.q))
        trained = [k for k, model in enumerate(self.estimators_) if not isinstance(model, float)]
        if trained:
            local[:, trained] = positive_scores([self.estimators_[k] for k in trained], X)
        for k, model in enumerate(self.estimators_):
            if isinstance(model, float):
                local[:, k] = model
        return self._combined(self._tree, local), self._descended(local)

    def _descended(self, local: Array) -> Array:
        """Return the labels that are taken on the way down."""
        if self.descend_ == "threshold":
            taken = local > self.threshold
        else:
            taken = np.zeros(local.shape, dtype=bool)
            for node in (-1, *np.flatnonzero(np.diff(self._tree.children.indptr))):
                children = children_of(self._tree, node)
                taken[np.arange(len(local)), children[local[:, children].argmax(axis=1)]] = True
        return self._tree.mend(taken, "down")


def one_path(Y: Array, tree: Hierarchy) -> bool:
    """Say whether each row has one label at the top, and at most one child of each label that it has."""
    held = Y.astype(np.int64)
    return bool((held[:, tree.by_level[0]].sum(axis=1) == 1).all() and (held @ tree.parents <= 1).all())


def _fit(learner: Any, X: Any, target: Array, taught: Array) -> Any:
    """Return the fitted classifier of one label, or 0.0 or 1.0 where there are rows of one kind only."""
    rows = np.flatnonzero(taught)
    positive = target[rows]
    if positive.all() or not positive.any():  # no row at all: 0.0
        return float(positive.any())
    return clone(learner).fit(X[rows], positive.astype(np.int64))
