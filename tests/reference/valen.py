"""VALEN as the formulas say it: dense graphs, one row after the other, sums written out."""

import math

import numpy as np
from scipy.special import digamma, gammaln


def nearest(X: np.ndarray, i: int, k: int) -> list[int]:
    """Return the k rows nearest to row i, without itself."""
    others = [j for j in range(len(X)) if j != i]
    return sorted(others, key=lambda j: (float(((X[i] - X[j]) ** 2).sum()), j))[:k]


def adjacency(X: np.ndarray, k: int) -> np.ndarray:
    """Return which row is near which, by row, itself included."""
    A = np.eye(len(X))
    for i in range(len(X)):
        A[i, nearest(X, i, k)] = 1
    return A


def smoothing(X: np.ndarray, k: int) -> np.ndarray:
    """Return ``D^-1/2 A D^-1/2`` of the graph in which both ends of a pair are near each other."""
    A = np.maximum(adjacency(X, k), adjacency(X, k).T)
    degree = A.sum(1)
    return np.array([[A[i, j] / math.sqrt(degree[i] * degree[j]) for j in range(len(A))] for i in range(len(A))])


def dirichlet_divergence(alpha: np.ndarray, prior: float) -> float:
    """Return the divergence of one Dirichlet distribution from a flat one."""
    q = len(alpha)
    found = gammaln(alpha.sum()) - sum(gammaln(a) for a in alpha) - gammaln(q * prior) + q * gammaln(prior)
    return float(found + sum((a - prior) * (digamma(a) - digamma(alpha.sum())) for a in alpha))


def restricted(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the shares of the relevant labels in one row."""
    total = sum(s for s, wanted in zip(scores, labels, strict=True) if wanted)
    return np.array([s / total if wanted else 0.0 for s, wanted in zip(scores, labels, strict=True)])


def compatibility(distribution: np.ndarray, labels: np.ndarray) -> float:
    """Return ``-mean log d_j`` over the relevant labels of one row; 0 without them."""
    relevant = [j for j in range(len(labels)) if labels[j]]
    return -sum(math.log(distribution[j]) for j in relevant) / len(relevant) if relevant else 0.0


def paper_terms(
    alpha: np.ndarray, sample: np.ndarray, decoded: np.ndarray, near: np.ndarray, labels: np.ndarray, prior: float
) -> dict[str, float]:
    """Return the parts of the loss in the form of the paper."""
    b, q = labels.shape
    told, graph, divergence, spread = 0.0, 0.0, 0.0, 0.0
    for i in range(b):
        for j in range(q):
            p = 1 / (1 + math.exp(-decoded[i, j]))
            told -= math.log(p) if labels[i, j] else math.log(1 - p)
        for m in range(b):
            graph += (near[i, m] - 1 / (1 + math.exp(-sample[i] @ sample[m]))) ** 2
        divergence += dirichlet_divergence(alpha[i], prior)
        spread += compatibility(alpha[i] / alpha[i].sum(), labels[i])
    return {"labels": told / b, "graph": graph / b**2, "divergence": divergence / b, "compatibility": spread / b}
