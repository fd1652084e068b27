"""Slow, obvious forms of the classical methods: loops over rows, labels and pairs, written from their definitions."""

from itertools import combinations

import numpy as np
from sklearn.base import clone


def nearest(X, row, k, leave_out=None):
    """Return the k nearest rows of X, by (squared distance, number)."""
    distances = [(float(((np.asarray(other, dtype=float) - row) ** 2).sum()), i) for i, other in enumerate(X) if i != leave_out]
    return [i for _, i in sorted(distances)[:k]]


def mlknn(X, Y, rows, k, s):
    """Return the posteriors of ML-kNN, cell by cell."""
    n, q = Y.shape
    counts = np.array([[sum(Y[i, j] for i in nearest(X, X[row], k, leave_out=row)) for j in range(q)] for row in range(n)])
    result = np.zeros((len(rows), q))
    for j in range(q):
        prior = (s + Y[:, j].sum()) / (2 * s + n)

        def given(r, value, j=j):
            with_value = [i for i in range(n) if Y[i, j] == value]
            return (s + sum(counts[i, j] == r for i in with_value)) / (s * (k + 1) + len(with_value))

        for i, row in enumerate(rows):
            r = sum(Y[m, j] for m in nearest(X, row, k))
            yes, no = prior * given(r, 1), (1 - prior) * given(r, 0)
            result[i, j] = yes / (yes + no)
    return np.where(Y.sum(0) == 0, 0.0, np.where(Y.sum(0) == n, 1.0, result))


def binary(learner, X, y, rows):
    """Return the probability of 1 from a classifier; constant if y is, one half if there is no y."""
    if len(y) == 0:
        return np.full(len(rows), 0.5)
    if len(set(y.tolist())) == 1:
        return np.full(len(rows), float(y[0]))
    return clone(learner).fit(X, y).predict_proba(rows)[:, 1]


def clr(learner, X, Y, rows, soft=False):
    """Return the votes of all labels, constant ones too, and those of the virtual label."""

    def voice(p):
        return p if soft else np.where(p == 0.5, 0.5, p > 0.5)

    n, q = len(rows), Y.shape[1]
    votes, virtual = np.zeros((n, q)), np.zeros(n)
    for j in range(q):
        p = voice(binary(learner, X, Y[:, j], rows))
        votes[:, j] += p
        virtual += 1 - p
    for j, k in combinations(range(q), 2):
        one = Y[:, j] + Y[:, k] == 1
        p = voice(binary(learner, X[one], Y[one, j], rows))
        votes[:, j] += p
        votes[:, k] += 1 - p
    return votes, virtual


def chain(learner, X, Y, rows, order):
    """Return the scores of a classifier chain over labels that all vary."""
    train, given = X, rows
    scores = np.zeros((len(rows), Y.shape[1]))
    for j in order:
        scores[:, j] = binary(learner, train, Y[:, j], given)
        train, given = np.column_stack([train, Y[:, j]]), np.column_stack([given, scores[:, j] > 0.5])
    return scores


def powerset(learner, X, Y, rows):
    """Return marginals and the most probable label sets, as tuples are classes."""
    names = ["".join(map(str, row)) for row in Y]
    fitted = clone(learner).fit(X, names)
    sets = np.array([[int(c) for c in name] for name in fitted.classes_])
    probabilities = fitted.predict_proba(rows)
    marginals = np.array([[sum(p for p, members in zip(row, sets) if members[j]) for j in range(Y.shape[1])] for row in probabilities])
    return marginals, sets[probabilities.argmax(axis=1)]


def rakel(learner, X, Y, rows, sets):
    """Return the share of the sets with a label that vote for it."""
    votes, asked = np.zeros((len(rows), Y.shape[1])), np.zeros(Y.shape[1])
    for columns in sets:
        votes[:, columns] += powerset(learner, X, Y[:, columns], rows)[1]
        asked[columns] += 1
    return np.divide(votes, asked, out=np.zeros_like(votes), where=asked > 0)


def imbalance(Y):
    """Return IRLbl of the labels that occur, by column, and their mean."""
    counts = Y.sum(axis=0)
    ratios = {j: counts.max() / counts[j] for j in range(Y.shape[1]) if counts[j]}
    return ratios, float(np.mean(list(ratios.values()))) if ratios else float("nan")


def remedial(Y):
    """Return the labels after REMEDIAL: the given rows, then the other halves, and the rows that were split."""
    ratios, mean = imbalance(Y)
    scumble = []
    for row in Y:
        own = [ratios[j] for j in np.flatnonzero(row)]
        scumble.append(1 - np.prod(own) ** (1 / len(own)) / np.mean(own) if own else 0.0)
    kept, halves, split = [], [], []
    for i, row in enumerate(Y):
        rare = np.array([int(row[j] and ratios[j] > mean) for j in range(Y.shape[1])])
        if scumble[i] > np.mean(scumble) + 1e-12 and 0 < rare.sum() < row.sum():
            halves.append(row - rare)
            split.append(i)
            row = rare
        kept.append(row)
    return np.array(kept + halves), split
