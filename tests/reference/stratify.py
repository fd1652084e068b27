"""Iterative stratification written as the paper says it, on dense arrays: slow and obvious."""

import numpy as np


def iterative_stratification(Y, shares, rng):
    """Return the part of each row (Sechidis, Tsoumakas and Vlahavas 2011, algorithm 1); labels by scanning everything at each turn."""
    n, _ = Y.shape
    parts = np.full(n, -1)
    room = np.asarray(shares) * n
    want = np.outer(shares, Y.sum(axis=0))
    while (parts < 0).any():
        left = Y[parts < 0].sum(axis=0)
        if not left.any():
            for row in np.flatnonzero(parts < 0):
                parts[row] = _first(rng, room)
                room[parts[row]] -= 1
            break
        label = _first(rng, np.where(left > 0, -left, -np.inf))
        for row in np.flatnonzero((parts < 0) & (Y[:, label] == 1)):
            part = _first(rng, want[:, label], room)
            parts[row] = part
            want[part] -= Y[row]
            room[part] -= 1
    return parts


def _first(rng, *keys):
    """Return the index of the largest value of the first key, ties by the next, then at random."""
    tied = np.arange(len(keys[0]))
    for key in keys:
        tied = tied[key[tied] == key[tied].max()]
    return int(rng.choice(tied))


def replay(Y, shares, goal, log):
    """Follow a log of (row, label or None, part) and fail at the first choice that the paper does not allow."""
    n, _ = Y.shape
    placed = np.zeros(n, dtype=bool)
    room, want = np.array(goal, dtype=float), np.outer(shares, Y.sum(axis=0))
    current = None
    for row, label, part in log:
        assert not placed[row]
        if label is None:
            assert not Y[~placed].any(), "a row without labels went before the labels were through"
            assert room[part] == room.max()
        else:
            assert Y[row, label] == 1
            if label != current:
                assert current is None or not Y[~placed][:, current].any(), "a label was left before all its rows were placed"
                left = Y[~placed].sum(axis=0)
                assert left[label] == left[left > 0].min(), "a rarer label was passed over"
                current = label
            wanting = np.isclose(want[:, label], want[:, label].max())
            assert wanting[part]
            assert room[part] == room[wanting].max()
        placed[row] = True
        want[part] -= Y[row]
        room[part] -= 1
    assert placed.all()
