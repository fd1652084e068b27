"""Questions to a directed graph given as two arrays, child and parent of each edge: levels, cycles, who is above whom."""

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from polytag.types import Array


def adjacency(q: int, child: Array, parent: Array) -> Any:
    """Return the CSR array (q, q) with a one at (child, parent) of each edge.

    Cost: O(q + edges).
    """
    return sparse.csr_array((np.ones(len(child), dtype=np.int32), (child, parent)), shape=(q, q))


def longest_paths(q: int, child: Array, parent: Array) -> Array:
    """Return for each node the number of edges of the longest path from it up to a node without parents; -1 on or below a cycle.

    Cost: O(q + edges) time and memory, however deep.
    """
    missing = np.bincount(child, minlength=q).tolist()
    order = np.argsort(parent, kind="stable")
    below, starts = child[order].tolist(), np.searchsorted(parent[order], np.arange(q + 1)).tolist()
    found = [0] * q
    done = [node for node in range(q) if not missing[node]]
    for node in done:  # which grows as we go: a node is done after all its parents
        further = found[node] + 1
        for under in below[starts[node] : starts[node + 1]]:
            found[under] = max(found[under], further)
            missing[under] -= 1
            if not missing[under]:
                done.append(under)
    return np.where(np.array(missing) > 0, -1, np.array(found, dtype=np.int64))


def find_cycle(q: int, child: Array, parent: Array) -> list[int]:
    """Return the nodes of one cycle, each followed by a parent of its; empty if there is none.

    Cost: O(q + edges).
    """
    above = adjacency(q, child, parent)
    looped = child[child == parent]
    if len(looped):
        return [int(looped[0])]
    count, part = csgraph.connected_components(above, directed=True, connection="strong")
    sizes = np.bincount(part, minlength=count)
    inside = np.flatnonzero(sizes[part] > 1)
    if not len(inside):
        return []
    walk = [int(inside[0])]
    seen = {walk[0]: 0}
    while True:
        parents = above.indices[above.indptr[walk[-1]] : above.indptr[walk[-1] + 1]]
        following = int(parents[part[parents] == part[walk[-1]]][0])
        if following in seen:
            return walk[seen[following] :]
        seen[following] = len(walk)
        walk.append(following)


def reachable(above: Any) -> Any:
    """Return the CSR array with a one wherever a path of at least one edge leads.

    Cost: memory of the answer, time that of multiplying it with itself, log2(depth) times.
    """
    found = above.astype(bool)
    while True:
        further = (found.astype(np.int32) @ found.astype(np.int32)).astype(bool) + found
        if further.nnz == found.nnz:
            further.sort_indices()
            return sparse.csr_array(further)
        found = further


def contracted(above: Any, kept: Array, level: Array) -> Array:
    """Return the edges (child, parent), shape (m, 2), among the kept nodes: a path through nodes that are not kept becomes an edge.

    Args:
        above: CSR array (q, q): row = child, columns = its parents.
        kept: Numbers of the nodes to keep, in their new order.
        level: Longest path from the top to each node.

    Cost: O(q + edges) and the number of (dropped node, nearest kept ancestor) pairs.
    """
    number = np.full(above.shape[0], -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))
    dropped = np.flatnonzero(number < 0)
    parents, starts = above.indices.tolist(), above.indptr.tolist()
    nearest: dict[int, set[int]] = {}

    def over(node: int) -> set[int]:
        found: set[int] = set()
        for parent in parents[starts[node] : starts[node + 1]]:
            found |= nearest[parent] if parent in nearest else {int(number[parent])}
        return found

    for node in dropped[np.argsort(level[dropped], kind="stable")].tolist():
        nearest[node] = over(node)
    edges = [(k, parent) for k, node in enumerate(np.asarray(kept).tolist()) for parent in sorted(over(node))]
    return np.array(edges, dtype=np.int64).reshape(-1, 2)
