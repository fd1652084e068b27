"""Random trees and graphs for the tests, and the slow obvious versions: everything by the dense matrix of who is below whom."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from polytag.hierarchy import Hierarchy


@st.composite
def graphs(draw: Any, most: int = 14, tree: bool | None = None) -> Hierarchy:
    """Draw a hierarchy: labels in any order, isolated ones and several parts among them."""
    q = draw(st.integers(1, most))
    only_one = draw(st.booleans()) if tree is None else tree
    order = draw(st.permutations(range(q)))
    edges = []
    for k in range(1, q):
        above = draw(st.lists(st.integers(0, k - 1), max_size=1 if only_one else 4, unique=True))
        edges += [(order[k], order[j]) for j in above]
    return Hierarchy(tuple(f"n{k}" for k in range(q)), np.array(edges, dtype=np.int64).reshape(-1, 2))


@st.composite
def with_scores(draw: Any, ties: bool = True, **settings: Any) -> tuple[Hierarchy, np.ndarray]:
    """Draw a hierarchy and scores (n, q) in (0, 1): few different values, so that ties are common, or all different."""
    h = draw(graphs(**settings))
    n = draw(st.integers(0, 4)) if ties else draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if ties:
        return h, rng.integers(1, 7, (n, h.q)) / 8
    return h, (rng.permutation(n * h.q).reshape(n, h.q) + 1) / (n * h.q + 1)


@st.composite
def with_labels(draw: Any, unknown: bool = False, **settings: Any) -> tuple[Hierarchy, np.ndarray]:
    """Draw a hierarchy and labels (n, q), not closed; with ``unknown`` some are NaN."""
    h = draw(graphs(**settings))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    Y = (rng.random((draw(st.integers(0, 5)), h.q)) < draw(st.sampled_from([0.1, 0.3, 0.7]))).astype(np.float64)
    if unknown:
        Y[rng.random(Y.shape) < 0.3] = np.nan
    return h, Y


def below(h: Hierarchy) -> np.ndarray:
    """Return R (q, q): R[i, j] = 1 where j is i or below it, by walking along every edge as often as there are labels."""
    R = np.eye(h.q, dtype=bool)
    for _ in range(h.q):
        for child, parent in h.edges:
            R[parent] |= R[child]
    return R


def dense_up(h: Hierarchy, scores: np.ndarray) -> np.ndarray:
    """Return the largest score at or below each label."""
    return np.where(below(h), scores[:, None, :], -np.inf).max(axis=2)


def dense_down(h: Hierarchy, scores: np.ndarray) -> np.ndarray:
    """Return the smallest score at or above each label."""
    return np.where(below(h).T, scores[:, None, :], np.inf).min(axis=2)


def dense_product(h: Hierarchy, scores: np.ndarray) -> np.ndarray:
    """Return each score times the smallest product among the parents, one label after the other."""
    final = scores.copy()
    for label in np.argsort(h.levels, kind="stable"):
        above = [parent for child, parent in h.edges if child == label]
        if above:
            final[:, label] = scores[:, label] * final[:, above].min(axis=1)
    return final


def dense_close(h: Hierarchy, Y: np.ndarray) -> np.ndarray:
    """Return Y with a one wherever one stands at or below."""
    return np.where(((Y == 1)[:, None, :] & below(h)).any(axis=2), 1.0, Y)


def relabelled(h: Hierarchy, order: np.ndarray) -> Hierarchy:
    """Return the hierarchy whose column k is column order[k] of the given one."""
    where = np.argsort(order)
    return Hierarchy(tuple(h.names[k] for k in order), where[h.edges])
