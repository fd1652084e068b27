"""How close are recovered label distributions to the true ones? The six measures that papers on label distributions print.

Each takes the true distributions and the recovered ones, both (n, q), and returns the mean over the rows. They are no label metrics (there
are no scores and no labels), so ``evaluate`` does not know them; ``evaluate_distributions`` gives all six.
"""

from typing import Final

import numpy as np

from polytag.errors import DataError
from polytag.types import Array, ArrayLike

MEASURES: Final = {
    "chebyshev": "min",
    "clark": "min",
    "canberra": "min",
    "kullback_leibler": "min",
    "cosine": "max",
    "intersection": "max",
}
"""The measures in the papers' order, and whether small or large values are good."""

_TOLERANCE = 1e-4
"""By how much a row's sum may miss 1; single precision needs some of it."""


def chebyshev(D: ArrayLike, found: ArrayLike) -> float:
    """Return the largest difference of a row, ``max_j |d_j - f_j|``; 0 to 1, small is good.

    Args:
        D: True label distributions (n, q).
        found: Recovered ones (n, q).

    Example:
        >>> round(chebyshev([[0.5, 0.3, 0.2]], [[0.4, 0.2, 0.4]]), 6)
        0.2
    """
    D, found = _checked(D, found)
    return float(np.abs(D - found).max(axis=1).mean())


def clark(D: ArrayLike, found: ArrayLike) -> float:
    """Return the root of the squared relative differences of a row, ``sqrt(sum_j (d_j - f_j)^2 / (d_j + f_j)^2)``; 0 to sqrt(q).

    Where both degrees are 0 they agree, and the term is 0.

    Args:
        D: True label distributions (n, q).
        found: Recovered ones (n, q).

    Example:
        >>> round(clark([[0.5, 0.5, 0.0]], [[0.25, 0.75, 0.0]]), 6)
        0.38873
    """
    return float(np.sqrt((_relative(D, found) ** 2).sum(axis=1)).mean())


def canberra(D: ArrayLike, found: ArrayLike) -> float:
    """Return the sum of the relative differences of a row, ``sum_j |d_j - f_j| / (d_j + f_j)``; 0 to q.

    Where both degrees are 0 they agree, and the term is 0.

    Args:
        D: True label distributions (n, q).
        found: Recovered ones (n, q).

    Example:
        >>> round(canberra([[0.5, 0.5, 0.0]], [[0.25, 0.75, 0.0]]), 6)
        0.533333
    """
    return float(_relative(D, found).sum(axis=1).mean())


def kullback_leibler(D: ArrayLike, found: ArrayLike, *, least: float = float(np.finfo(np.float64).eps)) -> float:
    """Return the divergence of a row from the truth, ``sum_j d_j ln(d_j / f_j)``; 0 or more, small is good.

    A true degree of 0 adds nothing. A recovered 0 where the truth has something would make it infinite; the papers' codes put the
    smallest step of their numbers in its place, and so does this: such a cell costs about ``36 d_j``, and says little more than "missed".

    Args:
        D: True label distributions (n, q).
        found: Recovered ones (n, q).
        least: What recovered degrees count as at least.

    Example:
        >>> round(kullback_leibler([[0.5, 0.5, 0.0]], [[0.25, 0.75, 0.0]]), 6)
        0.143841
    """
    D, found = _checked(D, found)
    raised = np.maximum(found, least)
    rows = np.where(D > 0, D * np.log(np.where(D > 0, D, 1.0) / raised), 0.0).sum(axis=1)
    return float(np.maximum(rows, 0.0).mean())  # rounding, and the raised zeros, may make equal rows negative by a hair


def cosine(D: ArrayLike, found: ArrayLike) -> float:
    """Return the cosine of the angle between the degrees, ``d . f / (|d| |f|)``; 0 to 1, large is good.

    Args:
        D: True label distributions (n, q).
        found: Recovered ones (n, q).

    Example:
        >>> round(cosine([[0.5, 0.5, 0.0]], [[1.0, 0.0, 0.0]]), 6)
        0.707107
    """
    D, found = _checked(D, found)
    lengths = np.sqrt((D * D).sum(axis=1) * (found * found).sum(axis=1))
    return float(np.minimum((D * found).sum(axis=1) / lengths, 1.0).mean())


def intersection(D: ArrayLike, found: ArrayLike) -> float:
    """Return what two distributions have in common, ``sum_j min(d_j, f_j)``; 0 to 1, large is good.

    Args:
        D: True label distributions (n, q).
        found: Recovered ones (n, q).

    Example:
        >>> round(intersection([[0.5, 0.3, 0.2]], [[0.4, 0.2, 0.4]]), 6)
        0.8
    """
    D, found = _checked(D, found)
    return float(np.minimum(D, found).sum(axis=1).mean())


def evaluate_distributions(D: ArrayLike, found: ArrayLike) -> dict[str, float]:
    """Return all six measures of recovered label distributions, in the papers' order.

    Args:
        D: True label distributions (n, q), rows sum to 1.
        found: Recovered ones (n, q), rows sum to 1.

    Raises:
        DataError: Shapes differ, there are no rows, or something is not a distribution.

    Cost: O(n q).

    Reference: Geng, "Label distribution learning", IEEE TKDE 2016, which names the six after Cha, 2007.

    Example:
        >>> evaluate_distributions([[0.5, 0.5]], [[0.5, 0.5]])
        {'chebyshev': 0.0, 'clark': 0.0, 'canberra': 0.0, 'kullback_leibler': 0.0, 'cosine': 1.0, 'intersection': 1.0}
    """
    measures = (chebyshev, clark, canberra, kullback_leibler, cosine, intersection)
    return {measure.__name__: measure(D, found) for measure in measures}


def _relative(D: ArrayLike, found: ArrayLike) -> Array:
    """Return the relative difference of each cell, 0 where both degrees are 0."""
    D, found = _checked(D, found)
    sums = D + found
    return np.asarray(np.abs(D - found) / np.where(sums > 0, sums, 1.0))


def _checked(D: ArrayLike, found: ArrayLike) -> tuple[Array, Array]:
    true, recovered = np.asarray(D, dtype=np.float64), np.asarray(found, dtype=np.float64)
    if true.ndim != 2 or true.shape != recovered.shape or not true.size:
        raise DataError(f"expected true and recovered distributions of one shape (n, q), but got {true.shape} and {recovered.shape}")
    for what, values in (("true", true), ("recovered", recovered)):
        sums = values.sum(axis=1)
        if not (np.isfinite(values).all() and (values >= 0).all() and (np.abs(sums - 1) <= _TOLERANCE).all()):
            raise DataError(
                f"expected {what} degrees that are at least 0 and sum to 1 in each row, but got numbers in [{values.min():g}, "
                f"{values.max():g}] and row sums in [{sums.min():g}, {sums.max():g}]; divide each row by its sum"
            )
    return true, recovered
