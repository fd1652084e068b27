"""Label distributions with known truth: how much each label describes each row, and the 0/1 labels that are left of it."""

import numpy as np

from polytag.data.dataset import Dataset
from polytag.errors import ParameterError
from polytag.types import Array

_LINEAR, _SQUARE, _CUBE, _CONSTANT = 1.0, 0.5, 0.2, 1.0
_CHAIN = 0.01
_WEIGHTS = np.array([4.0, 2.0, 1.0])
_PUBLISHED = np.array([[0, 1, 2], [2, 1, 0], [1, 2, 0]])
"""Features that labels 1, 2, 3 of the published set weigh by 4, 2 and 1."""


def make_label_distribution(
    n: int, d: int = 3, q: int = 3, *, noise: float = 0.0, threshold: float = 0.5, surface: bool = False, seed: int = 0
) -> tuple[Dataset, Array]:
    """Draw rows whose label distributions are known exactly, and the labels that an annotator who only ticks boxes would give them.

    The artificial set of the label-distribution papers, for any number of features and labels. With ``x`` uniform in [-1, 1]^d::

        t_i   = x_i + 0.5 x_i^2 + 0.2 x_i^3 + 1
        psi_1 = (w_1 . t)^2,   psi_j = (w_j . t + 0.01 psi_(j-1))^2        (each label leans a little on the one before)
        D_j   = psi_j / (psi_1 + ... + psi_q)

    Each ``w_j`` weighs three features by 4, 2 and 1. For d = q = 3 these are the published ones, ``w_1 = (4, 2, 1)``, ``w_2 = (1, 2, 4)``,
    ``w_3 = (1, 4, 2)``; for other sizes the seed chooses three features for each label, so that a large d leaves features without a say.

    Labels: the largest degrees of a row, until their sum passes the threshold; every row has at least one. With noise they are chosen by
    ``(1 - noise) D + noise E``, ``E`` uniform on the simplex, while ``D`` stays the truth.

    Args:
        n: Number of rows.
        d: Number of features, at least 3.
        q: Number of labels, at least 2.
        noise: Share of chance in what labels are chosen by, in [0, 1]; 0 makes them a function of the features.
        threshold: What the degrees of a row's labels add up to at least, in (0, 1).
        surface: Whether the third feature is ``sin(pi (x_1 + x_2))``, which puts the rows of the published set on a surface.
        seed: Decides everything that is left to chance.

    Returns:
        The data set with labels 0 and 1, and the label distributions D, shape (n, q), float64.

    Raises:
        ParameterError: A value is out of range.

    Cost: O(n (d + q log q)).

    Reference: Geng, "Label distribution learning", IEEE TKDE 2016 (the degrees); Xu, Tao and Geng, "Label enhancement for label
    distribution learning", IJCAI 2018 (the surface and the labels).

    Differs: the papers recover the distributions of a grid of 51 x 51 rows on the surface, here rows are drawn at random.

    Example:
        >>> data, degrees = make_label_distribution(500)
        >>> bool((degrees[data.Y == 1].mean() > degrees[data.Y == 0].mean()))
        True
        >>> bool(((degrees * data.Y).sum(axis=1) > 0.5).all())
        True
    """
    _check(n, d, q, noise, threshold)
    rng = np.random.default_rng(seed)
    weights = _weights(d, q, rng)
    X = rng.uniform(-1, 1, size=(n, d))
    if surface:
        X[:, 2] = np.sin(np.pi * (X[:, 0] + X[:, 1]))
    degrees = true_degrees(X, weights)
    chance = rng.dirichlet(np.ones(q), size=n)
    return Dataset(X, ticked((1 - noise) * degrees + noise * chance, threshold), name="label distributions"), degrees


def true_degrees(X: Array, weights: Array) -> Array:
    """Return the label distribution of each row.

    Args:
        X: Features (n, d), meant to lie in [-1, 1].
        weights: What each label weighs the features by, shape (q, d).

    Example:
        >>> true_degrees(np.zeros((1, 3)), np.array([[4.0, 2, 1], [1, 2, 4], [1, 4, 2]])).round(4).tolist()
        [[0.302, 0.3457, 0.3523]]
    """
    powers = _CONSTANT + X * (_LINEAR + X * (_SQUARE + X * _CUBE))
    sums = powers @ weights.T
    psi = np.zeros_like(sums)
    before = np.zeros(len(X))
    for j in range(sums.shape[1]):
        before = psi[:, j] = (sums[:, j] + _CHAIN * before) ** 2
    return np.asarray(psi / psi.sum(axis=1, keepdims=True))


def ticked(degrees: Array, threshold: float = 0.5) -> Array:
    """Return labels 0 and 1: the largest degrees of each row until their sum is above the threshold; of equal ones the first.

    Args:
        degrees: Label distributions (n, q), rows sum to 1.
        threshold: In (0, 1).

    Example:
        >>> ticked(np.array([[0.6, 0.3, 0.1], [0.4, 0.25, 0.35], [0.5, 0.5, 0.0]])).tolist()
        [[1, 0, 0], [1, 0, 1], [1, 1, 0]]
    """
    order = np.argsort(-degrees, axis=1, kind="stable")
    ordered = np.take_along_axis(degrees, order, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered  # what the larger ones add up to
    labels = np.zeros(degrees.shape, dtype=np.uint8)
    np.put_along_axis(labels, order, (before <= threshold).astype(np.uint8), axis=1)
    return labels


def _weights(d: int, q: int, rng: np.random.Generator) -> Array:
    """Return 4, 2, 1 at three features of each label, 0 elsewhere; shape (q, d)."""
    chosen = _PUBLISHED if (d, q) == (3, 3) else np.argsort(rng.random((q, d)), axis=1)[:, :3]
    weights = np.zeros((q, d))
    np.put_along_axis(weights, chosen, np.broadcast_to(_WEIGHTS, (q, 3)), axis=1)
    return weights


def _check(n: int, d: int, q: int, noise: float, threshold: float) -> None:
    rules = {
        f"n={n!r} (expected at least 1)": n >= 1,
        f"d={d!r} (expected at least 3)": d >= 3,
        f"q={q!r} (expected at least 2)": q >= 2,
        f"noise={noise!r} (expected a number in [0, 1])": 0 <= noise <= 1,
        f"threshold={threshold!r} (expected a number in (0, 1))": 0 < threshold < 1,
    }
    wrong = [rule for rule, fits in rules.items() if not fits]
    if wrong:
        raise ParameterError("make_label_distribution got " + "; ".join(wrong))
