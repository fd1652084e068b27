"""Slow, obvious forms of the batch selectors, written from the papers with loops and dense matrices."""

import itertools
import math

import numpy as np
import torch


def neighbours(X, k):
    """Return the k nearest other rows of each row, by (squared distance to 11 digits, row number)."""
    n = len(X)
    found = []
    for i in range(n):
        others = sorted((float(f"{math.fsum((a - b) ** 2 for a, b in zip(X[i], X[m])):.10e}"), m) for m in range(n) if m != i)
        found.append([m for _, m in others[:k]])
    return np.array(found, dtype=int).reshape(n, k)


def imbalance_weights(X, Y, k=5):
    """Return w with all of B and S (specification 2.3)."""
    n, q = Y.shape
    k = min(k, n - 1)
    if k == 0:
        return np.ones(n)
    near = neighbours(X, k)
    counts = Y.sum(axis=0)
    ratios = [counts.max() / c for c in counts if c > 0]
    minority = [j for j in range(q) if counts[j] > 0 and counts.max() / counts[j] > sum(ratios) / len(ratios)]
    B = np.array([[np.mean([Y[m, j] == 0 for m in near[i]]) if Y[i, j] == 1 else 0.0 for j in range(q)] for i in range(n)])
    w = np.ones(n)
    for j in minority:
        total = sum(b for b in B[:, j] if b < 1)
        for i in range(n):
            if B[i, j] < 1 and total > 0:
                w[i] += B[i, j] / total
    return w


def adaptive_probabilities(losses, pressure):
    """Return p of specification 2.4."""
    n, largest = len(losses), max(losses)
    if largest == 0:
        return np.full(n, 1 / n)
    weights = [pressure ** (min(n, math.ceil(n * (loss / largest))) / n) for loss in losses]
    return np.array(weights) / sum(weights)


def hard_probabilities(losses, pressure):
    """Return p by average ranks (specification 2.2)."""
    n = len(losses)
    ranks = [sum(other < loss for other in losses) + (1 + sum(other == loss for other in losses)) / 2 for loss in losses]
    weights = [pressure ** (rank / n) for rank in ranks]
    return np.array(weights) / sum(weights)


def correlated_labels(Y):
    """Return A and L of specification 3."""
    n, q = Y.shape
    counts, together = Y.sum(axis=0), Y.T @ Y
    P = np.array([[together[i, j] / counts[i] if counts[i] else 0.0 for j in range(q)] for i in range(q)])
    A = (P + P.T) / 2
    np.fill_diagonal(A, 0)
    c = min(math.ceil(Y.sum() / n), q - 1)
    best = [[k for k in sorted(range(q), key=lambda k: (-A[j, k], k))[:c] if A[j, k] > 0] or [j] for j in range(q)]
    return A, best


def chain_step(Y, weights, row, chosen):
    """Return the distribution of the row after ``row`` in AdaC's chain; ``chosen`` includes ``row``."""
    n = len(Y)
    counts, (_, best) = Y.sum(axis=0), correlated_labels(Y)
    labels = np.flatnonzero(Y[row])
    candidates = set(range(n))
    if len(labels):
        lead = min(labels, key=lambda j: (counts[j], j))
        candidates = {i for i in range(n) if any(Y[i, k] for k in best[lead])}
    candidates -= set(chosen)
    candidates = candidates or set(range(n)) - set(chosen)
    p = np.array([weights[i] if i in candidates else 0.0 for i in range(n)])
    return p / p.sum()


def ordered_tuples(p, k):
    """Return the probability of each ordered tuple of k different rows drawn successively."""
    chances = {}
    for rows in itertools.permutations(range(len(p)), k):
        left, chance = 1.0, 1.0
        for i in rows:
            chance, left = chance * p[i] / left, left - p[i]
        chances[rows] = chance
    return chances


def chain_tuples(Y, p, k):
    """Return the probability of each ordered tuple of k rows of AdaC's chain."""
    chances = {}
    for rows in itertools.permutations(range(len(p)), k):
        chance = p[rows[0]]
        for place in range(1, k):
            chance *= chain_step(Y, p, rows[place - 1], rows[:place])[rows[place]]
        if chance > 0:
            chances[rows] = chance
    return chances


def chi_square(drawn, chances):
    """Return the chi-square statistic of drawn tuples against their chances, and the 99.9 % limit."""
    from scipy.stats import chi2

    counts = dict.fromkeys(chances, 0)
    for rows in drawn:
        counts[tuple(rows)] += 1  # a tuple that cannot be drawn is a KeyError
    expected = {rows: chance * len(drawn) for rows, chance in chances.items()}
    statistic = sum((counts[rows] - e) ** 2 / e for rows, e in expected.items())
    return statistic, chi2.ppf(0.999, len(chances) - 1)


def informed(selector, logits, epoch=None):
    """Tell a selector the logits of all rows, visit after visit, and begin an epoch; return it."""
    for visit in logits:
        selector.update(torch.arange(len(visit)), torch.as_tensor(visit))
    selector.epoch = selector.epoch if epoch is None else epoch
    selector.begin_epoch()
    return selector
