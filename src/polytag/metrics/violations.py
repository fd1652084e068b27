"""How often predictions contradict the hierarchy: a label without one that it implies. None of these looks at what is true.

A constant prediction of the top labels violates nothing, so read them beside ``h_f1`` or an accuracy. An edge with an unknown end takes
no part.

Reference: ``hvr_levels`` is what the code of HCAL counts (Jiang, Liu, Liu and Yu, CIKM 2025, arXiv 2508.13452).
"""

from typing import Any

import numpy as np
from scipy import sparse

from polytag.errors import DataError
from polytag.hierarchy import Hierarchy
from polytag.metrics.cells import as_hierarchy, dense
from polytag.metrics.hierarchical_counts import Broken, broken, known_edges
from polytag.metrics.outcome import Outcome, blocks
from polytag.metrics.spec import Detail, mean_of, metric, quotient, variant
from polytag.types import Array, ArrayLike


def _read(Y: Any, labels: ArrayLike | None, hierarchy: Any) -> tuple[Broken, Array]:
    """Return the counts, and which instances have anything known."""
    outcome = Outcome.of(Y, labels=labels, hierarchy=hierarchy)
    return broken(outcome), outcome.cells.row_known > 0


@metric("hvr", needs="labels", direction="min")
def hvr(Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None) -> Detail:
    """Hierarchy violation rate: share of instances for which some label is predicted without one of its parents.

    Args:
        Y: Labels (n, q), or an ``Outcome``; only which cells are unknown matters.
        labels: Predicted label sets (n, q), as they are before they are closed: afterwards it is 0.
        hierarchy: Which label implies which.

    Example:
        >>> from polytag.hierarchy import Hierarchy
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")])
        >>> hvr([[1, 1, 0], [1, 0, 1]], [[1, 1, 0], [0, 0, 1]], hierarchy=h)
        0.5
    """
    found, known = _read(Y, labels, hierarchy)
    return mean_of(np.where(known, found.violated > 0, np.nan))


hvr_before_closure = variant(
    "hvr_before_closure",
    hvr,
    "``hvr`` of the sets that a comparison had before it closed them (``Method(closure=...)``), reported beside those of the closed ones.",
)


@metric("hvr_edge_rate", needs="labels", direction="min")
def hvr_edge_rate(Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None) -> Detail:
    """Share of the pairs (predicted label, parent of it) in which the parent is not predicted; over all instances, 0 without pairs.

    Args:
        Y: Labels (n, q), or an ``Outcome``; only which cells are unknown matters.
        labels: Predicted label sets (n, q), before they are closed.
        hierarchy: Which label implies which.
    """
    found, _ = _read(Y, labels, hierarchy)
    return mean_of(quotient(found.violated.sum(), found.asked.sum()), "zero")


@metric("hvr_edge_density", needs="labels", direction="min")
def hvr_edge_density(Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None) -> Detail:
    """Share of all pairs (instance, edge) that are violated; 0 without edges.

    Args:
        Y: Labels (n, q), or an ``Outcome``; only which cells are unknown matters.
        labels: Predicted label sets (n, q), before they are closed.
        hierarchy: Which label implies which.
    """
    found, _ = _read(Y, labels, hierarchy)
    return mean_of(quotient(found.violated.sum(), found.edges.sum()), "zero")


@metric("hvr_levels", needs="labels", direction="min")
def hvr_levels(Y: Any, labels: ArrayLike | None = None, *, hierarchy: Any = None, levels: ArrayLike | None = None) -> Detail:
    """Share of instances whose labels, one a level, do not form one path: some label has no predicted parent on the level right above.

    Args:
        Y: Labels (n, q), or an ``Outcome``; only which cells are unknown matters, and nothing of it where ``levels`` are given.
        labels: Predicted label sets (n, q), before they are closed.
        hierarchy: Which label implies which.
        levels: In the place of ``labels``: number of the predicted label on each level from the top, shape (n, depth); -1 for none.

    Raises:
        DataError: ``levels`` has another shape, or a label that is not on its level.

    Differs: HCAL predicts exactly one label on each level; with several or none this asks one predicted parent of each. In a tree it equals
        ``hvr``, which asks for all parents.

    Example:
        >>> from polytag.hierarchy import Hierarchy
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("plant", "rose")], ["animal", "plant", "cat", "rose"])
        >>> hvr_levels(None, hierarchy=h, levels=[[0, 2], [1, 2]])
        0.5
    """
    if levels is not None:
        labels = _sets_of(dense(levels, "levels"), as_hierarchy(hierarchy))
        Y = sparse.csr_array(labels.shape, dtype=np.int8)
    found, known = _read(Y, labels, hierarchy)
    return mean_of(np.where(known, found.orphans > 0, np.nan))


@metric("hvr_scores", needs="scores", direction="min")
def hvr_scores(Y: Any, scores: ArrayLike | None = None, *, hierarchy: Any = None, tolerance: float = 1e-6) -> Detail:
    """Share of the pairs (instance, edge) in which the child scores above its parent; 0 without edges.

    Args:
        Y: Labels (n, q), or an ``Outcome``; only which cells are unknown matters.
        scores: Scores (n, q), before they are made coherent.
        hierarchy: Which label implies which.
        tolerance: By how much more a child may score.

    Cost: O(n edges) time, blocks of some 64 MB.
    """
    outcome = Outcome.of(Y, scores, hierarchy=hierarchy)
    child, parent = outcome.hierarchy.edges.T
    cells, count = outcome.cells, 0
    unknown = cells.matrix(cells.unknown_rows, cells.unknown_columns).astype(bool)
    for lower, upper in blocks(cells.n, max(cells.q, len(child))):
        values = outcome.scores[lower:upper].astype(np.float64)
        over = values[:, child] > values[:, parent] + tolerance
        if len(cells.unknown_rows):
            hidden = unknown[lower:upper].toarray()
            over &= ~(hidden[:, child] | hidden[:, parent])
        count += int(np.count_nonzero(over))
    return mean_of(quotient(count, known_edges(outcome).sum()), "zero")


def _sets_of(levels: Array, hierarchy: Hierarchy) -> Any:
    """Return the label sets (n, q) of one label a level, as a CSR array."""
    if levels.ndim != 2 or levels.shape[1] != hierarchy.depth:
        raise DataError(f"expected levels of shape (n, {hierarchy.depth}), one label number a level, but got shape {levels.shape}")
    rows, places = np.nonzero(levels != -1)
    numbers = levels[rows, places]
    wrong = ~np.isin(numbers, np.arange(hierarchy.q))
    wrong |= hierarchy.levels[np.where(wrong, 0, numbers).astype(np.int64)] != places + 1
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"expected on each level the number of a label of that level, or -1 for none, but row {rows[first]} has "
            f"{numbers[first].item()!r} on level {places[first] + 1}"
        )
    return sparse.csr_array((np.ones(len(rows), dtype=np.int8), (rows, numbers.astype(np.int64))), shape=(len(levels), hierarchy.q))
