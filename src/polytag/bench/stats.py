"""Is one method really better? Ranks and rank tests over tables of results, exact where that is possible.

Every function takes a table ``values`` of shape (N, k): N blocks (data sets, or folds), k methods, one number each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special
from scipy import stats as distributions

from polytag.errors import DataError, ParameterError
from polytag.types import Array, ArrayLike

EXACT_UP_TO = 50
"""Pairs up to which the Wilcoxon test enumerates its null distribution."""


@dataclass(frozen=True)
class Wilcoxon:
    """Result of a two-sided Wilcoxon signed-rank test.

    Attributes:
        statistic: The smaller of the two rank sums.
        p: Two-sided p-value; 1 when nothing differs.
        method: ``"exact"``, ``"exact, ties ignored"`` or ``"normal"``.
        wins: Pairs in which the first method is better.
        draws: Pairs without a difference.
        losses: Pairs in which it is worse.
    """

    statistic: float
    p: float
    method: str
    wins: int
    draws: int
    losses: int


@dataclass(frozen=True)
class Friedman:
    """Result of the Friedman test and of its sharper form by Iman and Davenport.

    Attributes:
        ranks: Average rank of each method, 1 is best.
        chi2: Friedman's statistic without tie correction.
        chi2_ties: The same with tie correction, as SciPy computes it.
        p: p-value of ``chi2`` with k - 1 degrees of freedom.
        f: Statistic of Iman and Davenport; infinite when all blocks agree.
        f_p: Its p-value, with k - 1 and (k - 1)(N - 1) degrees of freedom.
    """

    ranks: Array
    chi2: float
    chi2_ties: float
    p: float
    f: float
    f_p: float


def ranks(values: ArrayLike, direction: Literal["max", "min"], ties: Literal["average", "min"] = "average") -> Array:
    """Rank the methods within each block: 1 is best.

    Args:
        values: Shape (N, k).
        direction: Whether large or small is good.
        ties: Equal values share their average rank; ``"min"``, the best of their ranks, is for display only.

    Returns:
        Shape (N, k).

    Raises:
        DataError: The table is not two-dimensional or has a NaN.

    Example:
        >>> ranks([[0.9, 0.8, 0.9]], "max")
        array([[1.5, 3. , 1.5]])
    """
    table = _table(values)
    return np.asarray(distributions.rankdata(-table if direction == "max" else table, method=ties, axis=1), dtype=np.float64)


def average_ranks(values: ArrayLike, direction: Literal["max", "min"], ties: Literal["average", "min"] = "average") -> Array:
    """Return the mean over blocks of ``ranks``, shape (k,)."""
    return np.asarray(ranks(values, direction, ties).mean(axis=0))


def wilcoxon(
    first: ArrayLike,
    second: ArrayLike,
    direction: Literal["max", "min"] = "max",
    *,
    zeros: Literal["wilcox", "pratt"] = "wilcox",
    ties: Literal["exact", "ignore"] = "exact",
) -> Wilcoxon:
    """Test whether two methods differ over the same blocks (two-sided Wilcoxon signed-rank test).

    The absolute differences are ranked; T is the smaller sum of ranks with one sign. Up to 50 pairs the null distribution of T (every
    sign as likely as its opposite) is counted exactly, for the average ranks that ties give too; beyond that the normal approximation
    with tie correction is used.

    Args:
        first: Values of the first method, shape (N,).
        second: Values of the second method.
        direction: Whether large or small is good; decides what a win is, not the p-value.
        zeros: ``"wilcox"`` drops pairs without a difference, ``"pratt"`` ranks them first and then drops them.
        ties: ``"ignore"`` takes the printed tables' distribution (ranks 1 ... N) although there are ties, as many papers do.

    Returns:
        Statistic, p-value, the method used, and wins, draws, losses of ``first``.

    Raises:
        DataError: Shapes differ, or a value is NaN.

    Cost: O(N^3) for N up to 50, O(N log N) beyond.

    Reference: Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1945; Demšar, JMLR 2006.

    Example:
        >>> wilcoxon([0.9, 0.8, 0.7, 0.9, 0.8], [0.8, 0.7, 0.5, 0.6, 0.4]).p
        0.0625
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or not a.size or np.isnan(a - b).any():
        raise DataError(f"expected two equally long lists of numbers, but got shapes {a.shape} and {b.shape}, or a NaN")
    difference = _without_rounding_noise(a - b if direction == "max" else b - a, max(np.abs(a).max(), np.abs(b).max()))
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    draws = a.size - wins - losses
    ranked = difference[difference != 0] if zeros == "wilcox" else difference
    places = distributions.rankdata(np.abs(ranked))[ranked != 0] if ranked.size else ranked
    signs = np.sign(ranked[ranked != 0])
    if not places.size:
        return Wilcoxon(0.0, 1.0, "exact", wins, draws, losses)
    low = float(min(places[signs > 0].sum(), places[signs < 0].sum()))
    if places.size > EXACT_UP_TO:
        return Wilcoxon(low, _normal_p(low, places), "normal", wins, draws, losses)
    ignored = ties == "ignore" and len(np.unique(places)) < places.size
    p = _exact_p(low, np.arange(1.0, places.size + 1) if ignored else places)
    return Wilcoxon(low, p, "exact, ties ignored" if ignored else "exact", wins, draws, losses)


def holm(p: ArrayLike) -> Array:
    """Adjust p-values for having tested several things: the i-th smallest of m is multiplied by m - i + 1, kept monotone, cut at 1.

    A NaN (no test possible) stays NaN and does not count.

    Reference: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
        [0.03, 0.06, 0.06]
    """
    given = np.asarray(p, dtype=np.float64)
    adjusted = np.full(given.shape, np.nan)
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return adjusted


def friedman(values: ArrayLike, direction: Literal["max", "min"]) -> Friedman:
    """Test whether any of three or more methods differs from the others over the blocks.

    ``chi2 = 12 N / (k (k + 1)) * (sum R_j^2 - k (k + 1)^2 / 4)``, ``F = (N - 1) chi2 / (N (k - 1) - chi2)``.

    Args:
        values: Shape (N, k).
        direction: Whether large or small is good.

    Raises:
        DataError: Fewer than three methods, or fewer than two blocks.

    Reference: Friedman, JASA 1937; Iman and Davenport, Communications in Statistics 1980; Demšar, JMLR 2006.
    """
    places = ranks(values, direction)
    blocks, k = places.shape
    if k < 3 or blocks < 2:
        raise DataError(f"the Friedman test needs at least 3 methods and 2 blocks, but got {k} and {blocks}; use wilcoxon for two methods")
    means = places.mean(axis=0)
    chi2 = float(12 * blocks / (k * (k + 1)) * ((means**2).sum() - k * (k + 1) ** 2 / 4))
    tied = sum(float((np.unique(row, return_counts=True)[1] ** 3 - np.unique(row, return_counts=True)[1]).sum()) for row in places)
    correction = 1 - tied / (blocks * (k**3 - k))
    room = blocks * (k - 1) - chi2
    f = math.inf if room <= 1e-9 else (blocks - 1) * chi2 / room
    f_p = 0.0 if math.isinf(f) else float(distributions.f.sf(f, k - 1, (k - 1) * (blocks - 1)))
    chi2_ties = chi2 / correction if correction > 0 else math.nan
    return Friedman(means, chi2, chi2_ties, float(distributions.chi2.sf(chi2, k - 1)), f, f_p)


def critical_difference(k: int, blocks: int, alpha: float = 0.05, *, control: bool = False) -> float:
    """Return the difference of average ranks from which on two of k methods differ.

    ``CD = q sqrt(k (k + 1) / (6 N))``; q from the studentised range (Nemenyi: all pairs) or, against one control, from the normal
    distribution at ``alpha / (k - 1)`` (Bonferroni-Dunn).

    Args:
        k: Number of methods.
        blocks: N, number of blocks.
        alpha: Level of the test.
        control: Compare with one control only.

    Raises:
        ParameterError: Fewer than two methods or no block, or alpha outside (0, 1).

    Reference: Nemenyi, PhD thesis, Princeton 1963; Dunn, JASA 1961; Demšar, JMLR 2006.

    Example:
        >>> round(critical_difference(12, 8), 4)
        5.8915
    """
    if k < 2 or blocks < 1 or not 0 < alpha < 1:
        raise ParameterError(f"expected k >= 2, blocks >= 1 and 0 < alpha < 1, but got k={k}, blocks={blocks}, alpha={alpha}")
    if control:
        q = float(special.ndtri(1 - alpha / (2 * (k - 1))))
    else:
        q = float(distributions.studentized_range.ppf(1 - alpha, k, np.inf)) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * blocks))


def indistinct_groups(mean_ranks: Sequence[float], difference: float) -> list[tuple[int, ...]]:
    """Return the largest groups of methods whose average ranks lie within a critical difference (the bars of a CD diagram).

    Args:
        mean_ranks: Average rank of each method.
        difference: The critical difference.

    Returns:
        Groups of method numbers, best rank first; groups of one are left out.

    Example:
        >>> indistinct_groups([1.0, 3.0, 1.5, 2.2], 1.0)
        [(0, 2), (2, 3), (3, 1)]
    """
    order = np.argsort(mean_ranks, kind="stable")
    groups: list[tuple[int, ...]] = []
    reached = 0
    for start in range(len(order)):
        end = start
        while end + 1 < len(order) and mean_ranks[order[end + 1]] - mean_ranks[order[start]] <= difference:
            end += 1
        if end > start and end + 1 > reached:
            groups.append(tuple(int(method) for method in order[start : end + 1]))
            reached = end + 1
    return groups


def _table(values: ArrayLike) -> Array:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or np.isnan(table).any():
        raise DataError(f"expected a table of shape (blocks, methods) without NaN, but got shape {table.shape}")
    return table


def _without_rounding_noise(differences: Array, scale: float) -> Array:
    """Round away what subtraction adds in the last bits, so that equal differences of printed numbers tie."""
    step = float(scale) * 1e-12
    return np.asarray(np.round(differences / step) * step) if step > 0 else differences


def _exact_p(low: float, places: Array) -> float:
    """Return the two-sided p of a rank sum, counting all 2^N signs; doubled ranks are whole numbers even with ties."""
    doubled = np.rint(2 * places).astype(np.int64)
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1.0
    for place in doubled:
        ways[place:] = ways[place:] + ways[:-place]
    share = ways[: round(2 * low) + 1].sum() / 2.0 ** len(doubled)
    return float(min(1.0, 2 * share))


def _normal_p(low: float, places: Array) -> float:
    """Return the two-sided p from the normal approximation; the sum of squared ranks holds the tie correction."""
    mean, deviation = places.sum() / 2, math.sqrt((places**2).sum() / 4)
    return float(min(1.0, 2 * special.ndtr((low - mean) / deviation)))
