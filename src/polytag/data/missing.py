"""Hide labels that are known, to see how a method copes with labels that are not."""

import numpy as np

from polytag.errors import ParameterError
from polytag.types import Array, ArrayLike


def drop_labels(Y: ArrayLike, keep_rate: float | None = None, *, single_positive: bool = False, seed: int = 0) -> Array:
    """Return labels of which some have become unknown (NaN).

    Args:
        Y: Labels (n, q), dense or sparse; 0, 1 or NaN.
        keep_rate: Share of the cells that stay known; each is drawn for itself.
        single_positive: Keep one positive a row, drawn at random, and nothing else; rows without positives become wholly unknown.
        seed: Decides what is kept.

    Returns:
        Dense labels (n, q), float32 (float64 if Y is); cells that were unknown stay so, and Y is as it was.

    Raises:
        ParameterError: Not exactly one of the two ways was chosen, or the rate lies outside [0, 1].

    Cost: O(n q).

    Example:
        >>> drop_labels([[1, 0, 0], [0, 0, 1]], single_positive=True)
        array([[ 1., nan, nan],
               [nan, nan,  1.]], dtype=float32)
    """
    if (keep_rate is None) == (not single_positive):
        raise ParameterError(f"expected either keep_rate or single_positive=True, but got {keep_rate=}, {single_positive=}")
    if keep_rate is not None and not 0 <= keep_rate <= 1:
        raise ParameterError(f"expected 0 <= keep_rate <= 1, but got {keep_rate!r}")
    dense = Y.toarray() if hasattr(Y, "toarray") else Y.detach().cpu().numpy() if hasattr(Y, "detach") else np.asarray(Y)
    kept = np.array(dense, dtype=np.float64 if dense.dtype == np.float64 else np.float32)
    if kept.ndim != 2:
        raise ParameterError(f"expected labels of shape (n, q), but got shape {kept.shape}")
    drawn = np.random.default_rng(seed).random(kept.shape)
    if keep_rate is None:
        score = np.where(kept == 1, drawn, -1.0)
        hidden = np.ones(kept.shape, dtype=bool)
        rows = np.flatnonzero((kept == 1).any(axis=1))
        hidden[rows, score[rows].argmax(axis=1)] = False
    else:
        hidden = drawn >= keep_rate
    kept[hidden] = np.nan
    return kept
