"""Slow, obvious forms of ActiveBias, RecencyBias, AdaBoundary and BalanceMix, cell by cell, and the toy data of the hand examples."""

import math

import numpy as np

TOY_Y = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]], dtype=float)
TOY_PREDICTIONS = [
    np.full((5, 3), 0.5),
    np.array([[0.75, 0.5, 0.25], [0.75, 0.25, 0.25], [0.5, 0.5, 0.5], [0.75, 0.25, 0.5], [0.25, 0.25, 0.25]]),
    np.array([[0.75, 0.75, 0.25], [0.875, 0.5, 0.125], [0.5, 0.25, 0.75], [0.875, 0.25, 0.25], [0.25, 0.125, 0.25]]),
]


def active_bias_scores(Y, visits, *, statistic="std", ddof=1, confidence=True):
    """Return s of each row; ``visits[i]`` lists the predictions (q,) at the visits of row i. None where there are too few."""
    scores = []
    for i, row_visits in enumerate(visits):
        if len(row_visits) < (2 if statistic == "std" else 1):
            scores.append(None)
            continue
        score, m = 0.0, len(row_visits)
        for j in range(Y.shape[1]):
            if math.isnan(Y[i, j]):
                continue
            true = [float(p[j] if Y[i, j] == 1 else 1 - p[j]) for p in row_visits]
            mean = math.fsum(true) / m
            if statistic == "closeness":
                score += mean * (1 - mean)
            else:
                variance = math.fsum((t - mean) ** 2 for t in true) / (m - ddof)
                score += math.sqrt(variance + variance**2 / (m - 1) if confidence else variance)
        scores.append(score)
    return scores


def active_bias_probabilities(scores):
    """Return p proportional to s + mean(s), where rows without s have the largest one."""
    known = [s for s in scores if s is not None]
    if not known or sum(known) == 0:
        return np.full(len(scores), 1 / len(scores))
    weights = np.array([(max(known) if s is None else s) + sum(known) / len(known) for s in scores])
    return weights / weights.sum()


def quantised_probabilities(scores, pressure):
    """Return p of the descending quantised map with scores between their minimum and maximum."""
    n, low, high = len(scores), min(scores), max(scores)
    if low == high:
        return np.full(n, 1 / n)
    weights = [pressure ** (-math.ceil(n * (high - s) / (high - low) - 1e-9) / n) for s in scores]
    return np.array(weights) / sum(weights)


def recent_entropies(Y, visits, window):
    """Return H of each row from its last predictions; None where there are none."""
    entropies = []
    for i, row_visits in enumerate(visits):
        recent = row_visits[-window:]
        total = 0.0
        for j in range(Y.shape[1]):
            share = sum(p[j] > 0.5 for p in recent) / max(len(recent), 1)
            if not math.isnan(Y[i, j]):
                total -= sum(f * math.log2(f) for f in (share, 1 - share) if f > 0)
        entropies.append(total if recent else None)
    return entropies


def boundary_distance(y, p, *, over, signed):
    """Return the mean distance of one row from 1/2 over the labels that count."""
    known = [j for j in range(len(y)) if not math.isnan(y[j])]
    counted = known
    if over == "relevant":
        positive = [j for j in known if y[j] == 1]
        best = sorted((p[j] for j in known), reverse=True)[: len(positive) + 1]
        counted = [j for j in known if j in positive or p[j] >= best[-1]]
    sides = [(1 if (p[j] > 0.5) == (y[j] == 1) else -1) if signed else 1 for j in counted]
    return sum(side * abs(p[j] - 0.5) for side, j in zip(sides, counted)) / len(counted)


def boundary_probabilities(distances, pressure, variant, bins=64):
    """Return p from known distances: those of "near" are not negative, the others are signed."""
    n, low, high = len(distances), min(distances), max(distances)
    if variant == "uniform":
        width = (high - low) / bins
        places = [min(int((d - low) / width), bins - 1) if width else 0 for d in distances]
        weights = [1 / places.count(place) for place in places]
    elif variant == "near":
        weights = [pressure ** -(math.ceil(n * (d / high)) / n) for d in distances]
    else:
        gaps = [(high - d if variant == "easy" else d - low) / (high - low) for d in distances]
        weights = [pressure ** -(math.ceil(n * gap) / n) for gap in gaps]
    return np.array(weights) / sum(weights)


def balancemix_probabilities(Y, P):
    """Return p proportional to one over the mean confidence in what is true; P are the predictions (n, q) of one epoch."""
    n, q = Y.shape
    present = [np.mean([P[i, k] for i in range(n) if Y[i, k] == 1]) if (Y[:, k] == 1).any() else 0.0 for k in range(q)]
    absent = [np.mean([1 - P[i, k] for i in range(n) if Y[i, k] == 0]) if (Y[:, k] == 0).any() else 0.0 for k in range(q)]
    scores = []
    for i in range(n):
        parts = [present[k] if Y[i, k] == 1 else absent[k] for k in range(q) if not math.isnan(Y[i, k])]
        scores.append(sum(parts) / len(parts))
    weights = 1 / np.array(scores)
    return weights / weights.sum()
