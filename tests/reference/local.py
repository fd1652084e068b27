"""Local classifiers as their definitions read: sets of rows label by label, scores path by path."""

import numpy as np

from polytag.hierarchy import Hierarchy


def parents_of(hierarchy):
    """Return the parents of each label, as sets of numbers."""
    found = [set() for _ in hierarchy.names]
    for child, parent in hierarchy.edges.tolist():
        found[child].add(parent)
    return found


def above(parents, label):
    """Return all ancestors of a label."""
    found = set(parents[label])
    for parent in parents[label]:
        found |= above(parents, parent)
    return found


def siblings(parents, label):
    """Return the labels with a parent in common; labels at the top have the artificial root in common."""
    mine = parents[label] or {"root"}
    return {other for other, theirs in enumerate(parents) if other != label and mine & (theirs or {"root"})}


def selected(Y, hierarchy, policy, exact=True):
    """Return, for each label, the sets of positive and of negative rows under a policy."""
    parents = parents_of(hierarchy)
    rows = range(len(Y))
    held = [{k for k in range(hierarchy.q) if Y[i, k] == 1} for i in rows]
    most = [{k for k in labels if not any(k in above(parents, other) for other in labels)} for labels in held]
    itself = most if exact else held
    chosen = []
    for label in range(hierarchy.q):
        family = {label} | {k for k in range(hierarchy.q) if label in above(parents, k)}
        around = siblings(parents, label)
        around_family = around | {k for k in range(hierarchy.q) if around & above(parents, k)}
        own, below = {i for i in rows if label in itself[i]}, {i for i in rows if held[i] & family}
        positive, negative = {
            "exclusive": (own, set(rows)),
            "less_exclusive": (own, set(rows) - below),
            "less_inclusive": (below, set(rows) - below),
            "inclusive": (below, {i for i in rows if not held[i] & family and not itself[i] & above(parents, label)}),
            "siblings": (below, {i for i in rows if held[i] & around_family}),
            "exclusive_siblings": (own, {i for i in rows if itself[i] & around}),
        }[policy]
        chosen.append((positive, negative - positive))
    return chosen


def masks(chosen, n):
    """Return sets of rows as two masks (n, q)."""
    made = np.zeros((2, n, len(chosen)), dtype=bool)
    for label, sides in enumerate(chosen):
        for side, rows in enumerate(sides):
            made[side, sorted(rows), label] = True
    return made[0], made[1]


def product(h, hierarchy):
    """Return the scores of one row: each probability times the lowest score of a parent."""
    parents = parents_of(hierarchy)

    def score(label):
        return h[label] * min((score(parent) for parent in parents[label]), default=1.0)

    return np.array([score(label) for label in range(hierarchy.q)])


def random_hierarchy(rng, q=10, most=3):
    """Return a random graph over q labels in random order; each has at most so many parents."""
    edges = [(k, int(p)) for k in range(1, q) for p in rng.choice(k, size=min(k, int(rng.integers(0, most + 1))), replace=False)]
    return Hierarchy(tuple(f"n{k}" for k in range(q)), np.array(edges, dtype=np.int64).reshape(-1, 2)).take(rng.permutation(q))
