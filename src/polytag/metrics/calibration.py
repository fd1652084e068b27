"""Metrics of probabilities: does 0.8 mean eight times out of ten?"""

from typing import Any

import numpy as np

from polytag.errors import ParameterError
from polytag.metrics.outcome import Outcome, blocks
from polytag.metrics.spec import Detail, mean_of, metric, quotient
from polytag.types import Array, ArrayLike


def _probabilities(Y: Any, scores: ArrayLike | None) -> Outcome:
    outcome = Outcome.of(Y, scores)
    if not outcome.has_probabilities:
        low, high = outcome.scores.min(), outcome.scores.max()
        raise ParameterError(
            f"calibration is about probabilities, but the scores lie in [{low:g}, {high:g}]; apply a sigmoid to logits first"
        )
    return outcome


def _gaps(outcome: Outcome, bins: int) -> Array:
    """Return, for each label and bin, the sum of (probability - truth), shape (q, bins)."""
    if bins < 1 or bins != int(bins):
        raise ParameterError(f"expected a whole number of bins, at least 1, but got {bins!r}")
    return outcome.remember(("calibration gaps", bins), lambda: _count_gaps(outcome, int(bins)))


def _count_gaps(outcome: Outcome, bins: int) -> Array:
    cells = outcome.cells
    gaps = np.zeros(cells.q * bins)
    offsets = bins * np.arange(cells.q)
    for lower, upper in blocks(cells.n, cells.q):
        proba = outcome.scores[lower:upper].astype(np.float64)
        inside = (cells.unknown_rows >= lower) & (cells.unknown_rows < upper)
        proba[cells.unknown_rows[inside] - lower, cells.unknown_columns[inside]] = 0.0  # adds nothing to any sum
        places = (proba * bins).astype(np.int64)
        np.minimum(places, bins - 1, out=places)
        places += offsets
        gaps += np.bincount(places.ravel(), weights=proba.ravel(), minlength=len(gaps))
    own = np.minimum((outcome.found.astype(np.float64) * bins).astype(np.int64), bins - 1)
    gaps -= np.bincount(own + offsets[cells.columns], minlength=len(gaps))
    return gaps.reshape(cells.q, bins)


@metric("ece", needs="probabilities", direction="min")
def ece(Y: Any, scores: ArrayLike | None = None, *, bins: int = 15) -> Detail:
    """Expected calibration error over all cells: gap between mean probability and share of positives, in bins of equal width.

    ``sum over bins of |B| / |all| * |mean truth - mean probability|`` with bin ``min(floor(p M), M - 1)``.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Probabilities (n, q).
        bins: Number of bins M.

    Example:
        >>> round(ece([[1, 0], [1, 0]], [[0.8, 0.2], [0.8, 0.2]]), 6)
        0.2
    """
    outcome = _probabilities(Y, scores)
    return mean_of(quotient(np.abs(_gaps(outcome, bins).sum(axis=0)).sum(), outcome.cells.row_known.sum()))


@metric("ece_macro", needs="probabilities", direction="min")
def ece_macro(Y: Any, scores: ArrayLike | None = None, *, bins: int = 15) -> Detail:
    """Expected calibration error of each label; mean over the labels.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Probabilities (n, q).
        bins: Number of bins M.
    """
    outcome = _probabilities(Y, scores)
    return mean_of(quotient(np.abs(_gaps(outcome, bins)).sum(axis=1), outcome.cells.column_known))


@metric("brier", needs="probabilities", direction="min")
def brier(Y: Any, scores: ArrayLike | None = None) -> Detail:
    """Mean squared difference between probability and truth over all cells.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Probabilities (n, q).
    """
    outcome = _probabilities(Y, scores)
    cells, total = outcome.cells, 0.0
    for lower, upper in blocks(cells.n, cells.q):
        proba = outcome.scores[lower:upper].astype(np.float64).ravel()
        total += float(proba @ proba)
    hidden = outcome.scores[cells.unknown_rows, cells.unknown_columns].astype(np.float64)
    found = outcome.found.astype(np.float64)
    total += float(((1 - found) ** 2 - found**2).sum()) - float(hidden @ hidden)
    return mean_of(quotient(max(total, 0.0), cells.row_known.sum()))
