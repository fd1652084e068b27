"""What local classifiers share: the hierarchy over the labels that vary, the choice among label sets, scores combined along a path."""

import warnings
from itertools import chain
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import clone

from polytag.classical.base import ClassicalClassifier
from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.types import Array

COMBINE = ("product", "geometric", "arithmetic")


class LocalClassifier(ClassicalClassifier):
    """Small classifiers placed in a hierarchy, whose answers meet along the paths from the top.

    Subclasses set ``hierarchy`` and ``combine`` in their constructors.

    Attributes:
        NEEDS_HIERARCHY: That ``hierarchy`` is to be given, for who builds methods by name.
        hierarchy_: The hierarchy over all labels.
    """

    NEEDS_HIERARCHY: ClassVar[bool] = True

    hierarchy: Any
    combine: str

    def _check(self, n: int, q: int) -> None:
        names = self._target.names or None
        if self.combine not in COMBINE:
            raise ParameterError(f"expected combine 'product', 'geometric' or 'arithmetic', but got {self.combine!r}")
        if self.hierarchy is None:
            self.hierarchy_ = Hierarchy(names or tuple(f"label {k}" for k in range(q)), np.zeros((0, 2), dtype=np.int64))
        else:
            self.hierarchy_ = Hierarchy.of(self.hierarchy, names, q=q)

    def _inner(self, Y: Array) -> Hierarchy:
        """Return the hierarchy over the labels that vary; refuse labels that contradict it.

        Raises:
            DataError: A row has a label without a parent of it.
        """
        whole = np.tile(self._constants, (len(Y), 1))
        whole[:, self._varying] = Y
        broken = np.flatnonzero(self.hierarchy_.violations(whole))
        if len(broken):
            raise DataError(
                f"expected closed labels, every label with all its ancestors, but {len(broken)} of {len(Y)} rows (the first is row "
                f"{broken[0]}) have a label without a parent of it; add the ancestors with hierarchy.close(Y)"
            )
        return self.hierarchy_.take(self._varying)

    def _combined(self, tree: Hierarchy, local: Array) -> Array:
        """Return the score of each label from the local ones along its path from the top.

        With ``l_1, ..., l_k`` the local scores from the top to the label: their product, the k-th root of it, or their mean. Of several
        parents the one with the lowest score counts.

        Args:
            tree: Over the labels.
            local: Local scores (n, q).
        """
        added = local if self.combine == "arithmetic" else np.log(np.maximum(local, np.finfo(np.float64).tiny))
        total, steps, scores = added.copy(), np.ones(local.shape, dtype=np.int64), local.astype(np.float64)
        rows = np.arange(len(local))
        for k in chain.from_iterable(tree.by_level[1:]):
            parents = _row(tree.parents, k)
            chosen = parents[scores[:, parents].argmin(axis=1)]
            total[:, k] += total[rows, chosen]
            steps[:, k] += steps[rows, chosen]
            if self.combine == "product":
                scores[:, k] *= scores[rows, chosen]
            else:
                mean = total[:, k] / steps[:, k]
                scores[:, k] = mean if self.combine == "arithmetic" else np.exp(mean)
        return scores


class SetClassifier(LocalClassifier):
    """Local classifiers that choose one of several labels, or one of the label sets that rows have."""

    def __init__(
        self,
        estimator: Any = None,
        *,
        hierarchy: Any = None,
        several: Literal["refuse", "powerset"] = "refuse",
        combine: str = "product",
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.hierarchy = hierarchy
        self.several = several
        self.combine = combine
        self.random_state = random_state

    def _check(self, n: int, q: int) -> None:
        super()._check(n, q)
        if self.several not in ("refuse", "powerset"):
            raise ParameterError(f"expected several 'refuse' or 'powerset', but got {self.several!r}")


class Choice:
    """A multi-class classifier whose classes are the label sets that rows have.

    Args:
        learner: A multi-class scikit-learn classifier; a copy is taken.
        X: Features of the rows to learn from, at least one.
        Y: Their labels (n, k).

    Attributes:
        sets: The label sets, shape (classes, k), in lexicographic order.
        model: The classifier; ``None`` where there is one set only, which is then certain.
    """

    def __init__(self, learner: Any, X: Any, Y: Array) -> None:
        self.sets, codes = np.unique(Y, axis=0, return_inverse=True)
        self.model = None
        if len(self.sets) > 1:
            with warnings.catch_warnings():  # many classes are nothing to be warned of here
                warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
                self.model = clone(learner).fit(X, codes.reshape(-1))

    def probabilities(self, X: Any) -> Array:
        """Return the probability of each set, shape (n, classes); 0 or 1 from a classifier without ``predict_proba``."""
        if self.model is None:
            return np.ones((X.shape[0], 1))
        if hasattr(self.model, "predict_proba"):
            return np.asarray(self.model.predict_proba(X), dtype=np.float64)
        return np.asarray(np.eye(len(self.sets))[self.model.predict(X)])


def marginals(probabilities: Array, sets: Array) -> Array:
    """Return for each label the summed probability of the sets that have it, shape (n, k)."""
    return np.asarray(np.clip(probabilities @ sets.astype(np.float64), 0.0, 1.0))


def refuse_several(Y: Array, columns: Array, tree: Hierarchy, where: str, model: str) -> None:
    """Refuse rows with more than one of these labels.

    Args:
        Y: Labels (n, q).
        columns: Labels of which a row may have one.
        tree: Supplies their names.
        where: What these labels are, for the message.
        model: Name of the model.

    Raises:
        DataError: The message names the first such row and models that take it.
    """
    several = np.flatnonzero(Y[:, columns].sum(axis=1, dtype=np.int64) > 1)
    if len(several):
        row = several[0]
        held = [tree.names[k] for k in columns[Y[row, columns] > 0][:3]]
        raise DataError(
            f"expected one path a row for {model}, but row {row} has {' and '.join(map(repr, held))} {where}; take several='powerset', "
            "'lcn', or a network such as 'local' or 'chmcnn', which learn rows with several paths"
        )


def children_of(tree: Hierarchy, node: int) -> Array:
    """Return the children of a label; of -1, the artificial root, the labels at the top."""
    return tree.by_level[0] if node < 0 else _row(tree.children, node)


def _row(relation: Any, k: int) -> Array:
    """Return the columns of a row of a CSR array."""
    return np.asarray(relation.indices[relation.indptr[k] : relation.indptr[k + 1]], dtype=np.int64)
