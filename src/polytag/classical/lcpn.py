"""LCPN, a local classifier per parent node: at each label, which of its children?"""

from typing import Any

import numpy as np

from polytag.classical.base import base_learner
from polytag.classical.local import Choice, SetClassifier, children_of, marginals, refuse_several
from polytag.registry import register
from polytag.types import Array


@register("classical", "lcpn")
class LCPN(SetClassifier):
    """Train a multi-class classifier at each label that has children, and at an artificial root, to choose among the children.

    The classifier at P learns from the rows that have P. With ``several="refuse"`` each row has one child of P, or stops there and then
    teaches nothing; prediction takes the most probable child, again and again, down to a label without children. With
    ``several="powerset"`` the classes are the sets of children that rows have, the empty one included, so that several paths, and
    stopping at a parent, are learnt and predicted too. The score of a label combines, along its path, the probabilities of the sets with
    it.

    Args:
        estimator: A multi-class scikit-learn classifier; ``None``: logistic regression (C = 1, at most 1000 iterations). Without
            ``predict_proba`` the scores are 0 and 1.
        hierarchy: Over the labels: a ``Hierarchy``, what its ``to_dict`` returned, or (parent, child) pairs of names; ``None``: all labels
            are at the top.
        several: What to do with rows that have several children of a label: ``"refuse"`` or ``"powerset"``.
        combine: How probabilities are combined: ``"product"``, ``"geometric"`` or ``"arithmetic"`` mean; only products are coherent.
        random_state: Seed of the base classifiers, if they are random.

    Attributes:
        hierarchy_: The hierarchy over all labels.
        choices_: For each label with children that vary in training, by its number among all labels, and for the root (-1): the
            classifier and the sets it chooses among.

    Raises:
        ParameterError: A parameter makes no sense.
        DataError: The hierarchy has other labels than Y, a row has a label without a parent of it, or several children of a label.

    Cost: one multi-class problem for each label with children, on its rows.

    Reference: Silla and Freitas, "A survey of hierarchical classification across different application domains", Data Mining and Knowledge
        Discovery 2011.

    Differs: the choice among sets. A label with several parents is taken where all its parents choose it, and its local score is the
        lowest that one of them gives it. A label with one child only chooses it.

    Example:
        >>> from polytag.hierarchy import Hierarchy
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")], ["animal", "plant", "cat", "dog"])
        >>> Y = [[0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1]]
        >>> LCPN(hierarchy=h).fit([[0.0], [1.0], [4.0], [5.0], [8.0], [9.0]], Y).predict([[0.5], [9.5]])
        array([[0, 1, 0, 0],
               [1, 0, 0, 1]])
    """

    def _learn(self, X: Any, Y: Array, rng: np.random.Generator) -> None:
        self._tree = tree = self._inner(Y)
        learner = base_learner(self.estimator, rng)
        self._children: dict[int, Array] = {}
        self.choices_: dict[int, Choice] = {}
        for node in (-1, *np.flatnonzero(np.diff(tree.children.indptr)).tolist()):
            children = children_of(tree, node)
            taught = np.ones(len(Y), dtype=bool) if node < 0 else Y[:, node] > 0
            if self.several == "refuse":
                where = "at the top" if node < 0 else f"below {tree.names[node]!r}"
                refuse_several(Y, children, tree, where, "LCPN")
                taught &= Y[:, children].any(axis=1)
            rows = np.flatnonzero(taught)
            label = -1 if node < 0 else int(self._varying[node])
            self._children[label] = children
            self.choices_[label] = Choice(learner, X[rows], Y[np.ix_(rows, children)])

    def _outcome(self, X: Any) -> tuple[Array, Array]:
        local = np.ones((X.shape[0], self._tree.q))
        chosen = np.ones(local.shape, dtype=bool)
        for label, choice in self.choices_.items():
            children, found = self._children[label], choice.probabilities(X)
            local[:, children] = np.minimum(local[:, children], marginals(found, choice.sets))
            chosen[:, children] &= choice.sets[found.argmax(axis=1)] > 0
        return self._combined(self._tree, local), self._tree.mend(chosen, "down")
