"""How unequal, how many, how entangled: the measures by which multi-label data sets are described."""

import numpy as np

from polytag.data.labels import LabelIndex
from polytag.types import Array, ArrayLike


def imbalance_ratios(counts: ArrayLike) -> Array:
    """Return IRLbl, how many times rarer than the commonest label each label is: ``max(C) / C_j``.

    Args:
        counts: Positives of each label, shape (q,).

    Returns:
        Shape (q,), float64; infinite for a label without positives.

    Reference: Charte et al., "Addressing imbalance in multilabel classification", Neurocomputing 2015.
    """
    counts = np.asarray(counts, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts > 0, (counts.max() if counts.size else 0.0) / counts, np.inf)


def mean_imbalance_ratio(ratios: Array) -> float:
    """Return MeanIR, the mean of the finite imbalance ratios; NaN if no label has a positive."""
    finite = ratios[np.isfinite(ratios)]
    return float(finite.mean()) if finite.size else float("nan")


def minority_labels(counts: ArrayLike) -> Array:
    """Return the columns whose imbalance ratio exceeds the mean ratio; labels without positives are never among them."""
    ratios = imbalance_ratios(counts)
    return np.flatnonzero(np.isfinite(ratios) & (ratios > mean_imbalance_ratio(ratios)))


def conditional_cooccurrence(y: ArrayLike | LabelIndex) -> Array:
    """Return how strongly labels go together: ``A = (P + P.T) / 2`` with ``P[j, k] = P(label k | label j)`` and a zero diagonal.

    Args:
        y: Labels (n, q), or their index.

    Returns:
        Shape (q, q), float64, symmetric, in [0, 1]; 0 for a label without positives.

    Cost: O(sum of squared row sizes + q^2).
    """
    index = y if isinstance(y, LabelIndex) else LabelIndex.from_labels(y)
    together = index.cooccurrence().astype(np.float64)
    given = together / np.maximum(index.counts[:, None], 1)
    np.fill_diagonal(given, 0.0)
    return (given + given.T) / 2
