"""Labels with known truth: chosen cardinality, imbalance, correlation and noise, and the scores that no model can beat."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from polytag.data.dataset import Dataset
from polytag.errors import ParameterError
from polytag.types import Array


def make_multilabel(
    n: int,
    d: int = 20,
    q: int = 10,
    *,
    cardinality: float = 2.0,
    imbalance: float = 3.0,
    correlation: float = 0.2,
    noise: float = 0.3,
    seed: int = 0,
) -> tuple[Dataset, Array]:
    """Draw a data set from a model that is known exactly, with the probability of each label given the features.

    The model is a multivariate probit. With ``x ~ N(0, I)``, a direction ``w_j`` of length 1 for each label and noise ``e ~ N(0, R)``::

        t_j = sqrt(1 - noise) w_j . x + sqrt(noise) e_j          (standard normal)
        y_j = 1 if t_j > -ndtri(p_j), so that P(y_j = 1) = p_j
        P(y_j = 1 | x) = ndtr((ndtri(p_j) + sqrt(1 - noise) w_j . x) / sqrt(noise))

    The frequencies follow a power law ``p_j = p_1 j^-a``, with ``a`` such that the mean of ``p_1 / p_j`` is the wanted MeanIR and ``p_1``
    such that they add up to the cardinality. Directions and noise share a common part, ``w_j = sqrt(correlation) w_0 + sqrt(1 -
    correlation) v_j`` and the same for e; with d > q the ``v_j`` are orthogonal to each other and the correlation of ``t_j`` and ``t_k``
    is exactly ``correlation``, otherwise they are random and it is so on average.

    Args:
        n: Number of rows.
        d: Number of features, at least 2.
        q: Number of labels.
        cardinality: Expected number of labels of a row.
        imbalance: MeanIR, mean over labels of the frequency of the commonest label over that of the label; 1 for equally frequent labels.
        correlation: Correlation of the labels' latent variables, in [0, 1]; the same in what the features explain and in the noise.
        noise: Share of the latent variance that the features do not explain, in [0, 1]; 0 makes the labels a function of the features.
        seed: Decides everything that is left to chance.

    Returns:
        The data set, labels ordered from common to rare, and the Bayes-optimal scores ``P(y_j = 1 | x)``, shape (n, q).

    Raises:
        ParameterError: A value is out of range, or the commonest label would have to be in every row.

    Cost: O(n d q).

    Example:
        >>> data, scores = make_multilabel(1000, d=5, q=3, cardinality=1.2, noise=0.1)
        >>> bool((abs(data.Y.mean(axis=0) - scores.mean(axis=0)) < 0.03).all())
        True
    """
    _check(n, d, q, correlation, noise)
    frequencies = label_frequencies(q, cardinality, imbalance)
    rng = np.random.default_rng(seed)
    common, own = _directions(rng, d, q)
    directions = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
    X = rng.standard_normal((n, d))
    shared, single = rng.standard_normal((n, 1)), rng.standard_normal((n, q))
    e = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * single
    known = ndtri(frequencies) + np.sqrt(1 - noise) * X @ directions.T
    Y = (known + np.sqrt(noise) * e > 0).astype(np.uint8)
    scores = ndtr(known / np.sqrt(noise)) if noise > 0 else (known > 0).astype(np.float64)
    return Dataset(X, Y, name="synthetic"), scores


def label_frequencies(q: int, cardinality: float, imbalance: float) -> Array:
    """Return frequencies p_1 >= ... >= p_q that add up to the cardinality and whose mean of ``p_1 / p_j`` is the imbalance.

    Raises:
        ParameterError: There are no such frequencies below 1; the message names the largest possible cardinality.

    Example:
        >>> label_frequencies(2, 0.9, 1.5).tolist()
        [0.6, 0.3]
    """
    if not cardinality > 0:
        raise ParameterError(f"expected a cardinality above 0, but got {cardinality!r}")
    if not imbalance >= 1 or (q == 1 and imbalance > 1):
        raise ParameterError(f"expected an imbalance (MeanIR) of at least 1, and 1 for a single label, but got {imbalance!r} for q={q}")
    numbers = np.arange(1, q + 1, dtype=np.float64)
    steep = 0.0
    if imbalance > 1:
        most = np.log(imbalance * q) / np.log(q)  # the last label alone would exceed the mean here
        steep = brentq(lambda a: float(np.mean(numbers**a)) - imbalance, 0.0, most, xtol=1e-14)
    ratios = numbers**-steep
    frequencies = cardinality * ratios / ratios.sum()
    if frequencies[0] >= 1:
        raise ParameterError(
            f"expected a cardinality below {ratios.sum():.4g}, where the commonest of {q} labels with MeanIR {imbalance} would be in every "
            f"row, but got {cardinality!r}; lower it, or the imbalance"
        )
    return np.asarray(np.round(frequencies, 14))


def _directions(rng: np.random.Generator, d: int, q: int) -> tuple[Array, Array]:
    """Return the common direction (d,) and the labels' own directions (q, d), of length 1 and orthogonal to the common one."""
    if d > q:
        basis = np.linalg.qr(rng.standard_normal((d, q + 1)))[0].T
        return basis[0], basis[1:]
    common = rng.standard_normal(d)
    common /= np.linalg.norm(common)
    own = rng.standard_normal((q, d))
    own -= (own @ common)[:, None] * common
    return common, own / np.linalg.norm(own, axis=1, keepdims=True)


def _check(n: int, d: int, q: int, correlation: float, noise: float) -> None:
    rules = {
        f"n={n!r} (expected at least 1)": n >= 1,
        f"d={d!r} (expected at least 2)": d >= 2,
        f"q={q!r} (expected at least 1)": q >= 1,
        f"correlation={correlation!r} (expected a number in [0, 1])": 0 <= correlation <= 1,
        f"noise={noise!r} (expected a number in [0, 1])": 0 <= noise <= 1,
    }
    wrong = [rule for rule, fits in rules.items() if not fits]
    if wrong:
        raise ParameterError("make_multilabel got " + "; ".join(wrong))
