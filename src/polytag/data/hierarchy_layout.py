"""Where the labels of a hierarchy stand in a picture: each once, at its level, beside its siblings."""

from typing import NamedTuple

import numpy as np

from polytag.hierarchy import Hierarchy
from polytag.types import Array


class Layout(NamedTuple):
    """Places of q labels in a picture with a column for each level.

    Attributes:
        level: Column of each label, shape (q,); 0 at the top.
        start: Upper end of the stretch that belongs to a label and all drawn below it, shape (q,).
        width: Its length: the number of labels at its bottom, shape (q,).
        middle: Height at which the label itself stands: in the middle of its first and last child, shape (q,).
        parent: The parent below which a label is drawn, shape (q,); -1 at the top. In a graph the other edges run across.
    """

    level: Array
    start: Array
    width: Array
    middle: Array
    parent: Array


def lay_out(hierarchy: Hierarchy) -> Layout:
    """Return places without overlap: labels in their order, siblings together, tops without children last.

    A label with several parents stands below one of those just one level above it; such a parent always exists, since levels are longest
    paths.

    Cost: O(q log q + edges), some array operations for each level.

    Example:
        >>> place = lay_out(Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")]))
        >>> place.level.tolist(), place.start.tolist(), place.width.tolist(), place.middle.tolist()
        ([0, 1, 1], [0, 0, 1], [2, 1, 1], [1.0, 0.5, 1.5])
    """
    q, level = hierarchy.q, hierarchy.levels - 1
    child, above = hierarchy.edges.T
    near = level[above] == level[child] - 1
    parent: Array = np.full(q, -1, dtype=np.int64)
    parent[child[near][::-1]] = above[near][::-1]  # of several, the one with the lowest number
    width, start = np.zeros(q, dtype=np.int64), np.zeros(q, dtype=np.int64)
    columns = [np.flatnonzero(level == k) for k in range(hierarchy.depth)]
    for labels in columns[::-1]:
        width[labels] = np.maximum(width[labels], 1)
        below = labels[parent[labels] >= 0]
        np.add.at(width, parent[below], width[below])
    lonely = hierarchy.heights == 0
    for k, labels in enumerate(columns):
        order = labels[np.lexsort((labels, lonely[labels] if k == 0 else np.zeros(len(labels)), parent[labels]))]
        before = np.cumsum(width[order]) - width[order]
        first = np.r_[True, parent[order][1:] != parent[order][:-1]]
        offset = before - np.maximum.accumulate(np.where(first, before, 0))
        start[order] = offset + np.where(parent[order] >= 0, start[parent[order]], 0)
    middle = start + width / 2
    for labels in columns[-2::-1]:
        inner = labels[~lonely[labels]]
        middle[inner] = _middles(inner, parent, middle)
    return Layout(level, start, width, middle, parent)


def _middles(labels: Array, parent: Array, middle: Array) -> Array:
    """Return the heights half-way between the first and the last child drawn below each label; its own where there is none."""
    low, high = np.full(len(middle), np.inf), np.full(len(middle), -np.inf)
    drawn = np.flatnonzero(parent >= 0)
    np.minimum.at(low, parent[drawn], middle[drawn])
    np.maximum.at(high, parent[drawn], middle[drawn])
    has = np.isfinite(low[labels])
    half = (np.where(has, low[labels], 0) + np.where(has, high[labels], 0)) / 2
    return np.where(has, half, middle[labels])
