"""Slow, obvious forms of the selectors that follow predictions over time, written from the specification with loops and dense matrices."""

import itertools
import math

import numpy as np


def probability(logit):
    """Return the sigmoid, kept within [1e-6, 1 - 1e-6]."""
    return min(max(1 / (1 + math.exp(-logit)), 1e-6), 1 - 1e-6)


def uncertainty(history, window=5):
    """Return E of one cell from its probabilities, oldest first (specification 4.2)."""
    kept = history[-window:]
    changes = [abs(b - a) for a, b in itertools.pairwise(kept)]
    p = kept[-1]
    entropy = -(p * math.log2(p) + (1 - p) * math.log2(1 - p))
    return 0.5 * (sum(changes) / len(changes) if changes else 0.0) + 0.5 * entropy


def instability(history, alpha=0.7):
    """Return F of one cell (specification 4.3)."""
    f = 0.0
    for place, p in enumerate(history):
        f = alpha * (abs(p - history[place - 1]) if place else 0.0) + (1 - alpha) * f
    return f


def hardness(y, p, f, variant="bounded"):
    """Return h of one cell (specification 4.3)."""
    loss = -math.log(p) if y == 1 else -math.log(1 - p)
    return {"bounded": 1 - math.exp(-loss), "code": 2 - math.exp(-loss), "readme": loss}[variant] * (1 - f)


def cells(function, histories, *others):
    """Apply a function to each cell: histories[t][i][j], others[i][j]."""
    histories = np.asarray(histories)
    _, n, q = histories.shape
    return np.array([[function(list(histories[:, i, j]), *(other[i, j] for other in others)) for j in range(q)] for i in range(n)])


def label_weights(M):
    """Return v (specification 4.4)."""
    return np.array([math.exp(0.5 * np.mean(column) + 0.5 * math.sqrt(np.mean((column - np.mean(column)) ** 2))) for column in M.T])


def present(Y, near):
    """Return Z, given the nearest other rows of each row (specification 4.5)."""
    return np.array([[int(any(Y[m, j] == 1 for m in [i, *near[i]])) for j in range(Y.shape[1])] for i in range(len(Y))])


def correlation(M, Y):
    """Return C (specification 4.5)."""
    P, q = np.where(Y == 1, M, 0.0), Y.shape[1]
    norms = [math.sqrt(math.fsum(P[:, j] ** 2)) for j in range(q)]
    K = np.zeros((q, q))
    for j in range(q):
        for k in range(q):
            if norms[j] > 0 and norms[k] > 0:
                K[j, k] = math.fsum(P[:, j] * P[:, k]) / (norms[j] * norms[k])
    return np.array([row / row.sum() if row.sum() > 0 else row for row in K])


def shares(C, Z):
    """Return S of all cells (specification 4.5)."""
    n, q = Z.shape
    return np.array([[sum(Z[i, k] * C[j, k] for k in range(q)) for j in range(q)] for i in range(n)])


def scores(M, Y, v, S):
    """Return the score of each row (specification 4.6)."""
    n, q = Y.shape
    return np.array([sum(v[j] * M[i, j] * (1 + (Y[i, j] == 1) * S[i, j]) for j in range(q)) for i in range(n)])


def distribution(score, pressure, lowest=1):
    """Return p from scores by the descending map (specification 4.6)."""
    n, low, high = len(score), min(score), max(score)
    if high == low:
        return np.full(n, 1 / n)
    weights = [pressure ** (-max(lowest, min(n, math.ceil(n * (1 - (s - low) / (high - low))))) / n) for s in score]
    return np.array(weights) / sum(weights)


def pressure_at(epoch, start=8.0, first=10, last=100):
    """Return s(e) of D2ACE (specification 4.6)."""
    return start if epoch < first else max(1.0, start * (1 / start) ** ((epoch - first) / (last - first)))


def share_at(epoch):
    """Return beta(e) (specification 4.6)."""
    return 0.7 - 0.4 * (min(max(epoch, 10), 70) - 10) / 60


def mutual_information(E):
    """Return codes, MI in nats and C of specification 5."""
    codes = np.minimum(np.floor(np.asarray(E) * 5), 4).astype(int)
    q = codes.shape[1]
    MI = np.zeros((q, q))
    for j in range(q):
        for k in range(q):
            for a in range(5):
                for b in range(5):
                    both = np.mean((codes[:, j] == a) & (codes[:, k] == b))
                    if both > 0:
                        MI[j, k] += both * math.log(both / (np.mean(codes[:, j] == a) * np.mean(codes[:, k] == b)))
    C = np.eye(q)
    for j in range(q):
        if len(set(codes[:, j])) > 1:
            C[j] = MI[j] / MI[j, j]
    return codes, MI, C
