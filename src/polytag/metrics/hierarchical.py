"""Metrics of label sets under a hierarchy: what a wrong label costs depends on where it lies.

``alpha`` is what is predicted and ``beta`` what is true of one instance, both with all ancestors added (``close=False`` compares the sets
as they are, as HiClass does). There is no artificial root in either. Unknown cells are in neither, before and after.

Reference: Kiritchenko, Matwin, Famili, "Functional annotation of genes using hierarchical text categorization", BioLINK SIG 2005
    (``h_precision``, ``h_recall``, ``h_f1``); Cesa-Bianchi, Gentile, Zaniboni, "Incremental algorithms for hierarchical classification",
    JMLR 7, 2006 (``h_loss``).
"""

from typing import Any, Literal

import numpy as np

from polytag.errors import ParameterError
from polytag.metrics.hierarchical_counts import Overlap, overlap
from polytag.metrics.outcome import Outcome
from polytag.metrics.spec import Detail, mean_of, metric, quotient, variant
from polytag.types import Array, ArrayLike

Average = Literal["micro", "macro"]


def _read(Y: Any, labels: ArrayLike | None, hierarchy: Any, close: bool) -> tuple[Overlap, Array]:
    """Return the counts, and which instances have anything known."""
    outcome = Outcome.of(Y, labels=labels, hierarchy=hierarchy)
    return overlap(outcome, close), outcome.cells.row_known > 0


def _share(found: Overlap, known: Array, average: Average, kinds: tuple[float, float]) -> Detail:
    """Return ``right / (a |alpha| + b |beta|)``: 0 where that is 0/0, but 1 for an instance of which both sets are empty."""
    of_alpha, of_beta = kinds
    right, alpha, beta = found[:3]
    if average == "micro":
        return mean_of(quotient(right.sum(), of_alpha * alpha.sum() + of_beta * beta.sum()), "zero")
    if average != "macro":
        raise ParameterError(f"expected average to be 'micro' or 'macro', but got {average!r}")
    terms = np.nan_to_num(quotient(right, of_alpha * alpha + of_beta * beta))
    return mean_of(np.where(known, np.where(alpha + beta == 0, 1.0, terms), np.nan))


@metric("h_precision", needs="labels")
def h_precision(
    Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None, average: Average = "micro", close: bool = True
) -> Detail:
    """Share of the predicted labels, with their ancestors, that are true: ``sum |alpha and beta| / sum |alpha|``.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        hierarchy: Which label implies which.
        average: ``"micro"`` sums over instances before dividing; ``"macro"`` is the mean of each instance's value.
        close: Add the ancestors of true and predicted labels first.

    Differs: HiClass compares the sets as they are, which is ``close=False``.
    """
    return _share(*_read(Y, labels, hierarchy, close), average, (1, 0))


@metric("h_recall", needs="labels")
def h_recall(Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None, average: Average = "micro", close: bool = True) -> Detail:
    """Share of the true labels, with their ancestors, that are predicted: ``sum |alpha and beta| / sum |beta|``.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        hierarchy: Which label implies which.
        average: ``"micro"`` sums over instances before dividing; ``"macro"`` is the mean of each instance's value.
        close: Add the ancestors of true and predicted labels first.
    """
    return _share(*_read(Y, labels, hierarchy, close), average, (0, 1))


@metric("h_f1", needs="labels")
def h_f1(
    Y: Any,
    labels: ArrayLike | None = None,
    *,
    hierarchy: Any = None,
    average: Average = "micro",
    close: bool = True,
    beta: float = 1.0,
) -> Detail:
    """Harmonic mean of ``h_precision`` and ``h_recall``: ``2 sum |alpha and beta| / (sum |alpha| + sum |beta|)``.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        hierarchy: Which label implies which.
        average: ``"micro"`` sums over instances before dividing; ``"macro"`` is the mean of each instance's value.
        close: Add the ancestors of true and predicted labels first.
        beta: Recall counts ``beta`` times as much as precision.

    Example:
        >>> from polytag.hierarchy import Hierarchy
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")])
        >>> h_f1([[1, 0, 1]], [[0, 1, 0]], hierarchy=h)
        0.5
    """
    weight = beta**2 / (1 + beta**2)
    return _share(*_read(Y, labels, hierarchy, close), average, (1 - weight, weight))


h_precision_macro = variant("h_precision_macro", h_precision, "``h_precision`` of each instance, mean over instances.", average="macro")
h_recall_macro = variant("h_recall_macro", h_recall, "``h_recall`` of each instance, mean over instances.", average="macro")
h_f1_macro = variant("h_f1_macro", h_f1, "``h_f1`` of each instance, mean over instances.", average="macro")


@metric("tree_distance", needs="labels", range=(0.0, np.inf), direction="min")
def tree_distance(Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None, close: bool = True, normalize: bool = False) -> Detail:
    """How many labels are in the predicted or the true set but not in both, ancestors included; mean over instances.

    For two labels of a tree, one true and one predicted, this is the number of edges on the path between them (over a root that stands
    above all top labels).

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        hierarchy: Which label implies which.
        close: Add the ancestors of true and predicted labels first.
        normalize: Divide by ``|alpha| + |beta|``, which gives 1 - the instance's ``h_f1``; two empty sets are 0 apart.

    Example:
        >>> from polytag.hierarchy import Hierarchy
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")])
        >>> tree_distance([[0, 1, 0]], [[0, 0, 1]], hierarchy=h)
        2.0
    """
    found, known = _read(Y, labels, hierarchy, close)
    apart = found.predicted_by_row + found.true_by_row - 2 * found.right_by_row
    terms = np.nan_to_num(quotient(apart, found.predicted_by_row + found.true_by_row)) if normalize else apart.astype(np.float64)
    return mean_of(np.where(known, terms, np.nan))


@metric("tree_distance_norm", needs="labels", direction="min")
def tree_distance_norm(Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None, close: bool = True) -> Detail:
    """``tree_distance`` over the size of both sets: 1 - ``h_f1`` of each instance, mean over instances.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        hierarchy: Which label implies which.
        close: Add the ancestors of true and predicted labels first.
    """
    return tree_distance.terms(Y, labels, hierarchy=hierarchy, close=close, normalize=True)


@metric("h_loss", needs="labels", range=(0.0, np.inf), direction="min")
def h_loss(Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None, close: bool = True, siblings: bool = False) -> Detail:
    """Cost of the labels that are wrong while all labels above them are right, mean over instances; below a mistake nothing is charged.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        hierarchy: Which label implies which.
        close: Add the ancestors of true and predicted labels first.
        siblings: A label costs what its parent costs over the number of siblings (top labels share 1), otherwise each costs 1.

    Differs: in a graph, a label with several parents costs the sum of what it gets from each, so that no instance costs more than 1 with
        ``siblings``; the paper has trees only.
    """
    found, known = _read(Y, labels, hierarchy, close)
    return mean_of(np.where(known, found.first_wrong_share if siblings else found.first_wrong, np.nan))


@metric("h_loss_siblings", needs="labels", direction="min")
def h_loss_siblings(Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None, close: bool = True) -> Detail:
    """``h_loss`` in which a label costs what its parent costs over the number of siblings: mistakes far down cost little.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        hierarchy: Which label implies which.
        close: Add the ancestors of true and predicted labels first.
    """
    return h_loss.terms(Y, labels, hierarchy=hierarchy, close=close, siblings=True)


@metric("exact_match", needs="labels")
def exact_match(Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None, close: bool = True) -> Detail:
    """Share of instances whose predicted set, with all ancestors, is the true one.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
        hierarchy: Which label implies which.
        close: Add the ancestors of true and predicted labels first; otherwise this is ``subset_accuracy``.
    """
    found, known = _read(Y, labels, hierarchy, close)
    return mean_of(np.where(known, found.wrong_by_level.sum(axis=1) == 0, np.nan))
