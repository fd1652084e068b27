"""Counts of label sets under a hierarchy: what closed sets share, and which edges a prediction violates.

Sets are booleans, one block of instances after the other, labels first: a step from one level to the next is one gathering of rows.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from polytag.hierarchy import Hierarchy
from polytag.metrics.outcome import Outcome, blocks
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

    Cost: O(n (labels + edges)) bytes read; blocks of some 2 MB.
    """
    return outcome.remember(("overlap", close), lambda: _overlap(outcome, close))


def broken(outcome: Outcome) -> Broken:
    """Count the edges that the predicted sets violate, as they are.

    Cost: O(n edges) bytes read; blocks of some 2 MB.
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
    child, parent = hierarchy.edges.T
    found = np.full(cells.n, len(child), dtype=np.int64)
    if len(cells.unknown_rows):
        unknown = cells.matrix(cells.unknown_rows, cells.unknown_columns)
        for lower, upper in blocks(cells.n, _members(hierarchy)):
            hidden = unknown[lower:upper].toarray().T
            found[lower:upper] -= np.count_nonzero(hidden[child] | hidden[parent], axis=0)
    return found


def _overlap(outcome: Outcome, close: bool) -> Overlap:
    hierarchy, parts = outcome.hierarchy, []
    child, parent = hierarchy.edges.T
    up = _steps(child, parent, hierarchy.heights[parent])
    down = _steps(parent, child, hierarchy.levels[child])
    part_of = shares(hierarchy)
    for alpha, beta, unknown in _blocks(outcome):
        if close:
            alpha, beta = _spread(alpha, up), _spread(beta, up)
        if unknown is not None:
            alpha, beta = alpha & ~unknown, beta & ~unknown
        right, wrong = alpha & beta, alpha ^ beta
        first = wrong & ~_below(wrong, down)
        by_row = [np.count_nonzero(each, axis=0) for each in (right, alpha, beta)]
        by_column = [np.count_nonzero(each, axis=1) for each in (right, alpha, beta)]
        by_level = np.stack([np.count_nonzero(wrong[here], axis=0) for here in hierarchy.by_level], axis=1)
        parts.append([*by_row, *by_column, by_level, np.count_nonzero(first, axis=0), part_of @ first])
    joined = [np.sum(each, axis=0) if 3 <= number <= 5 else np.concatenate(each) for number, each in enumerate(zip(*parts))]
    return Overlap(*joined)


def _broken(outcome: Outcome) -> Broken:
    hierarchy, parts = outcome.hierarchy, []
    child, parent = hierarchy.edges.T
    near = hierarchy.levels[child] - hierarchy.levels[parent] == 1
    right_above = _steps(parent[near], child[near], np.zeros(int(near.sum()), dtype=np.int64))
    for predicted, _, unknown in _blocks(outcome):
        asked = predicted[child]
        if unknown is not None:
            asked &= ~unknown[parent]
        held = predicted if unknown is None else predicted | unknown
        orphans = np.zeros(predicted.shape[1], dtype=np.int64)
        for giver, starts, takers in right_above:
            orphans += np.count_nonzero(predicted[takers] & ~np.logical_or.reduceat(held[giver], starts, axis=0), axis=0)
        parts.append((np.count_nonzero(asked & ~predicted[parent], axis=0), np.count_nonzero(asked, axis=0), orphans))
    violated, asked_for, orphans = (np.concatenate(each) for each in zip(*parts))
    return Broken(violated, asked_for, known_edges(outcome), orphans)


def _blocks(outcome: Outcome) -> Iterator[tuple[Array, Array, Array | None]]:
    """Yield predicted, true and unknown cells of blocks of instances, shape (q, block); ``None`` where nothing is unknown."""
    cells = outcome.cells
    true = cells.matrix(cells.rows, cells.columns)
    unknown = cells.matrix(cells.unknown_rows, cells.unknown_columns) if len(cells.unknown_rows) else None
    for lower, upper, predicted in outcome.predicted(_members(outcome.hierarchy)):
        hidden = None if unknown is None else unknown[lower:upper].toarray().T
        yield np.ascontiguousarray(predicted.T), np.ascontiguousarray(true[lower:upper].toarray().T), hidden


def _members(hierarchy: Hierarchy) -> int:
    return max(hierarchy.q, len(hierarchy.edges))


def _steps(giver: Array, taker: Array, turn: Array) -> list[tuple[Any, Any, Any]]:
    """Return for each turn its givers sorted by who takes from them, where those of each taker start, and the takers."""
    found = []
    for step in np.unique(turn):
        edges = np.flatnonzero(turn == step)
        edges = edges[np.argsort(taker[edges], kind="stable")]
        takers, starts = np.unique(taker[edges], return_index=True)
        found.append((giver[edges], starts, takers))
    return found


def _spread(sets: Array, steps: list[tuple[Any, Any, Any]]) -> Array:
    """Return the sets (q, block) with everything that can be reached from them."""
    sets = sets.copy()
    for giver, starts, takers in steps:
        sets[takers] |= np.logical_or.reduceat(sets[giver], starts, axis=0)
    return sets


def _below(sets: Array, steps: list[tuple[Any, Any, Any]]) -> Array:
    """Return what can be reached from the sets (q, block) by at least one step."""
    found = np.zeros_like(sets)
    for giver, starts, takers in steps:
        found[takers] = np.logical_or.reduceat(sets[giver] | found[giver], starts, axis=0)
    return found
