"""Counts of label sets under a hierarchy: what closed sets share, and which edges a prediction violates; block by block, sparse."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from polytag.hierarchy import Hierarchy
from polytag.hierarchy.labels import close as spread
from polytag.metrics.outcome import Outcome
from polytag.types import Array


class Overlap(NamedTuple):
    """True and predicted label sets side by side; unknown cells are in neither.

    Attributes:
        right_by_row: Labels that are both true and predicted, of each instance, shape (n,).
        predicted_by_row: Predicted labels of each instance.
        true_by_row: True labels of each instance.
        right_by_column: The same of each label, shape (q,).
        predicted_by_column: The same of each label.
        true_by_column: The same of each label.
        wrong_by_level: Labels of each level that are in one set only, shape (n, depth).
        first_wrong: Labels that are in one set only while all above them are not, of each instance.
        first_wrong_share: The same, each label weighing ``shares``.
    """

    right_by_row: Array
    predicted_by_row: Array
    true_by_row: Array
    right_by_column: Array
    predicted_by_column: Array
    true_by_column: Array
    wrong_by_level: Array
    first_wrong: Array
    first_wrong_share: Array


class Broken(NamedTuple):
    """Edges (child, parent) that predicted sets violate; those with an unknown end take no part. All of shape (n,).

    Attributes:
        violated: Edges with the child and without the parent.
        asked: Edges with the child.
        edges: Edges with both ends known.
        orphans: Predicted labels below the top without any predicted parent on the level right above.
    """

    violated: Array
    asked: Array
    edges: Array
    orphans: Array


def overlap(outcome: Outcome, close: bool) -> Overlap:
    """Compare the true with the predicted sets, ancestors added to both or sets as they are.

    Cost: O(labels of the closed sets) for each level; blocks of some 64 MB.
    """
    return outcome.remember(("overlap", close), lambda: _overlap(outcome, close))


def broken(outcome: Outcome) -> Broken:
    """Count the edges that the predicted sets violate, as they are.

    Cost: O(predicted labels times parents).
    """
    return outcome.remember("broken", lambda: _broken(outcome))


def shares(hierarchy: Hierarchy) -> Array:
    """Return what is left of a whole that each label hands on to its children in equal parts, shape (q,); top labels share it first.

    In a tree this is the weight of the parent over the number of siblings. A label with several parents gets a part from each.
    """
    child, parent = hierarchy.edges.T
    levels, counts = hierarchy.levels, np.bincount(parent, minlength=hierarchy.q)
    found = np.where(levels == 1, 1 / max(int((levels == 1).sum()), 1), 0.0)
    for level in range(2, hierarchy.depth + 1):
        here = levels[child] == level
        np.add.at(found, child[here], found[parent[here]] / counts[parent[here]])
    return found


def known_edges(outcome: Outcome) -> Array:
    """Return how many edges have both ends known in each instance, shape (n,)."""
    hierarchy, cells = outcome.hierarchy, outcome.cells
    unknown = cells.matrix(cells.unknown_rows, cells.unknown_columns)
    ends = np.bincount(hierarchy.edges.ravel(), minlength=hierarchy.q)
    both = (unknown @ hierarchy.parents).multiply(unknown).sum(axis=1)
    return np.asarray(len(hierarchy.edges) - unknown @ ends + both).ravel().astype(np.int64)


def _overlap(outcome: Outcome, close: bool) -> Overlap:
    hierarchy, parts = outcome.hierarchy, []
    on_level = (hierarchy.levels[:, None] == np.arange(1, hierarchy.depth + 1)).astype(np.int64)
    part_of = shares(hierarchy)
    for predicted, true, unknown in _blocks(outcome):
        alpha, beta = ((hierarchy.close(each) if close else each) for each in (predicted, true))
        if unknown is not None:
            alpha, beta = (each - each.multiply(unknown) for each in (alpha, beta))
        right = alpha.multiply(beta)
        wrong = sparse.csr_array(abs(alpha - beta))
        under = spread(sparse.csr_array(wrong @ hierarchy.children), hierarchy.children, hierarchy.depth) if wrong.nnz else wrong
        first = sparse.csr_array(wrong - wrong.multiply(under != 0)) if wrong.nnz else wrong
        by_row = [_sums(each, 1) for each in (right, alpha, beta)]
        by_column = [_sums(each, 0) for each in (right, alpha, beta)]
        parts.append([*by_row, *by_column, np.asarray(wrong @ on_level), _sums(first, 1), np.asarray(first @ part_of)])
    joined = [np.concatenate(each) if number < 3 or number > 5 else np.sum(each, axis=0) for number, each in enumerate(zip(*parts))]
    return Overlap(*joined)


def _broken(outcome: Outcome) -> Broken:
    hierarchy, parts = outcome.hierarchy, []
    above = _right_above(hierarchy)
    for predicted, _, unknown in _blocks(outcome):
        asked = sparse.csr_array(predicted @ hierarchy.parents)
        held = predicted
        if unknown is not None:
            asked, held = asked - asked.multiply(unknown), predicted + unknown
        total = _sums(asked, 1)
        below_top = sparse.csr_array(predicted.multiply(hierarchy.levels[None, :] > 1), dtype=np.int32)
        led = below_top.multiply((held @ above) != 0)
        parts.append((total - _sums(asked.multiply(predicted), 1), total, _sums(below_top, 1) - _sums(led, 1)))
    violated, asked_for, orphans = (np.concatenate(each) for each in zip(*parts))
    return Broken(violated, asked_for, known_edges(outcome), orphans)


def _blocks(outcome: Outcome) -> Iterator[tuple[Any, Any, Any]]:
    """Yield predicted, true and unknown cells of blocks of instances, as CSR arrays of ones; ``None`` where nothing is unknown."""
    cells = outcome.cells
    true = cells.matrix(cells.rows, cells.columns)
    unknown = cells.matrix(cells.unknown_rows, cells.unknown_columns) if len(cells.unknown_rows) else None
    for lower, upper, predicted in outcome.predicted():
        yield predicted, true[lower:upper], None if unknown is None else unknown[lower:upper]


def _right_above(hierarchy: Hierarchy) -> Any:
    """Return the array (q, q) with a one at (parent, child) of each edge between two consecutive levels."""
    child, parent = hierarchy.edges.T
    near = hierarchy.levels[child] - hierarchy.levels[parent] == 1
    cells = (np.ones(int(near.sum()), dtype=np.int32), (parent[near], child[near]))
    return sparse.csr_array(cells, shape=(hierarchy.q, hierarchy.q))


def _sums(matrix: Any, axis: int) -> Array:
    return np.asarray(matrix.sum(axis=axis), dtype=np.int64).ravel()
