"""Selection pressure: how scores become chances, and how the pressure changes over the epochs."""

import math

import numpy as np

from polytag.errors import DataError, ParameterError
from polytag.types import Array


def check_pressure(pressure: float) -> float:
    """Return the pressure as a float.

    Raises:
        ParameterError: It is below 1 or not finite.
    """
    if not 1 <= pressure < math.inf:
        raise ParameterError(f"expected a finite pressure >= 1 (1 is uniform), but got {pressure!r}")
    return float(pressure)


def check_schedule(schedule: tuple[int, int]) -> tuple[int, int]:
    """Return the first and the last epoch of a schedule.

    Raises:
        ParameterError: There are not two of them in order.
    """
    if len(schedule) != 2 or schedule[0] >= schedule[1]:
        raise ParameterError(f"expected a schedule (first epoch, last epoch) with first < last, but got {schedule}")
    return schedule[0], schedule[1]


def exponential(start: float, end: float, first: float, last: float, epoch: float) -> float:
    """Return ``start * (end / start) ** t``, where t goes from 0 at the epoch ``first`` to 1 at ``last`` and stays there."""
    passed = min(max((epoch - first) / (last - first), 0.0), 1.0)
    return float(start * (end / start) ** passed)


def quantised_weights(scores: Array, pressure: float, *, lowest: int = 0, levels: int | None = None) -> Array:
    """Turn scores into weights between ``1 / pressure`` and 1: a larger score gives a larger weight.

    ``u = (score - min) / (max - min)``, ``Q = ceil(levels * (1 - u))``, at least ``lowest`` and at most ``levels``; the weight is
    ``pressure ** (-Q / levels)``. Equal scores give equal weights.

    Args:
        scores: Shape (n,).
        pressure: At least 1.
        lowest: Smallest Q; 0 or 1.
        levels: Quantisation levels; n by default.

    Raises:
        DataError: A score is NaN or infinite: it would silently make the distribution uniform.

    Cost: O(n).
    """
    scores = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(scores).all():
        at = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise DataError(f"expected finite scores, but that of instance {at} is {scores[at]}")
    low, high = scores.min(), scores.max()
    if high <= low:
        return np.ones(len(scores))
    levels = len(scores) if levels is None else levels
    steps = levels * (high - scores) / (high - low)
    q = np.clip(np.ceil(steps - 1e-9), lowest, levels)  # rounding must not lift a whole number of steps to the next one
    weights: Array = pressure ** (-q / levels)
    return weights
