"""LCL, a local classifier per level: which labels of this level?"""

from typing import Any

import numpy as np

from polytag.classical.base import base_learner
from polytag.classical.local import Choice, SetClassifier, marginals, refuse_several
from polytag.registry import register
from polytag.types import Array


@register("classical", "lcl")
class LCL(SetClassifier):
    """Train a multi-class classifier for each level of the hierarchy; predict level by level, below what was taken before.

    The classifier of a level learns from the rows with a label there. With ``several="refuse"`` that is one label a row, and prediction
    takes the most probable one among the children of the label taken at the level above, down to a label without children. With
    ``several="powerset"`` the classes are the sets of labels that rows have at the level, the empty one included, all rows teach it, and
    prediction takes the most probable set whose labels all have their parents among those taken. The score of a label combines, along its
    path, the probabilities that each level gives to the labels on it.

    Args:
        estimator: A multi-class scikit-learn classifier; ``None``: logistic regression (C = 1, at most 1000 iterations). Without
            ``predict_proba`` the scores are 0 and 1.
        hierarchy: Over the labels: a ``Hierarchy``, what its ``to_dict`` returned, or (parent, child) pairs of names; ``None``: all labels
            are at the top.
        several: What to do with rows that have several labels at a level: ``"refuse"`` or ``"powerset"``.
        combine: How probabilities are combined: ``"product"``, ``"geometric"`` or ``"arithmetic"`` mean; only products are coherent.
        random_state: Seed of the base classifiers, if they are random.

    Attributes:
        hierarchy_: The hierarchy over all labels.
        choices_: For each level, from the top, the classifier and the sets it chooses among, over the labels that vary in training.

    Raises:
        ParameterError: A parameter makes no sense.
        DataError: The hierarchy has other labels than Y, a row has a label without a parent of it, or several labels at a level.

    Cost: one multi-class problem for each level, with as many classes as the level has labels (or sets that occur).

    Reference: Silla and Freitas, "A survey of hierarchical classification across different application domains", Data Mining and Knowledge
        Discovery 2011.

    Differs: the choice among sets. In a graph a label stands at the level of its longest path to the top.

    Example:
        >>> from polytag.hierarchy import Hierarchy
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")], ["animal", "plant", "cat", "dog"])
        >>> Y = [[0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1]]
        >>> LCL(hierarchy=h).fit([[0.0], [1.0], [4.0], [5.0], [8.0], [9.0]], Y).predict([[0.5], [9.5]])
        array([[0, 1, 0, 0],
               [1, 0, 0, 1]])
    """

    def _learn(self, X: Any, Y: Array, rng: np.random.Generator) -> None:
        self._tree = tree = self._inner(Y)
        learner = base_learner(self.estimator, rng)
        self.choices_: list[Choice] = []
        for level, columns in enumerate(tree.by_level, start=1):
            rows = np.arange(len(Y))
            if self.several == "refuse":
                refuse_several(Y, columns, tree, f"at level {level}", "LCL")
                rows = np.flatnonzero(Y[:, columns].any(axis=1))
            self.choices_.append(Choice(learner, X[rows], Y[np.ix_(rows, columns)]))

    def _outcome(self, X: Any) -> tuple[Array, Array]:
        tree, n = self._tree, X.shape[0]
        local, taken = np.zeros((n, tree.q)), np.zeros((n, tree.q), dtype=np.int64)
        for columns, choice in zip(tree.by_level, self.choices_):
            found = choice.probabilities(X)
            local[:, columns] = marginals(found, choice.sets)
            above = tree.parents[columns]
            orphans = taken @ above.T < np.diff(above.indptr)  # labels of this level of which a parent was not taken
            allowed = orphans.astype(np.float64) @ choice.sets.T.astype(np.float64) == 0
            best = np.where(allowed, found, -1.0).argmax(axis=1)
            taken[:, columns] = choice.sets[best] * allowed.any(axis=1)[:, None]
        return self._combined(tree, local), taken > 0
