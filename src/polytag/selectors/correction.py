"""Importance weights: how much each drawn row must count for a batch to speak for all rows equally.

With ``w_i = 1 / (n p_i)``, the weighted mean of a quantity over a batch has the mean over all rows as its expectation if rows are drawn
with replacement, or one at a time. Rows drawn one after the other without replacement need ``w_t = ((1 - P_t) / p_t + b - t) / n`` for the
t-th of b, where ``P_t`` is the chance of those before it.

Reference: Des Raj, "Some estimators in sampling with varying probabilities without replacement", JASA 51, 1956.
"""

import numpy as np

from polytag.errors import ParameterError
from polytag.types import Array


def importance_weights(chances: Array, n: int, power: float = 1.0, normalise: bool = True, ordered: bool = False) -> Array:
    """Return the weights of the rows of one batch.

    Args:
        chances: Chance p of each row to be drawn first, in the order of drawing; with ``normalise`` and without ``ordered`` a common
            factor does not matter.
        n: Number of rows there are.
        power: In [0, 1].
        normalise: Divide by the mean over the batch.
        ordered: The weights for rows drawn one after the other without replacement.

    Raises:
        ParameterError: The power lies outside [0, 1].

    Cost: O(b).
    """
    if not 0 <= power <= 1:
        raise ParameterError(f"expected 0 <= power <= 1, but got {power}")
    weights = 1 / (n * chances)
    if ordered:
        gone = np.cumsum(chances) - chances
        weights = weights * (1 - gone) + np.arange(len(chances) - 1, -1, -1) / n
    weights = weights**power
    return weights / weights.mean() if normalise and len(weights) else weights
