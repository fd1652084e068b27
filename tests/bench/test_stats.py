"""Rank tests: published numbers, SciPy, and enumeration by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from polytag import papers
from polytag.bench import stats
from polytag.errors import DataError, ParameterError

# Liu et al. (FLEM), Table 2, Hamming loss in units of 1e-4: 8 data sets, 12 methods.
FLEM = np.array(
    [
        [448, 138, 281, 323, 363, 369, 1011, 232],
        [861, 94, 586, 801, 1205, 1071, 2244, 869],
        [282, 42, 249, 235, 196, 218, 867, 145],
        [294, 43, 249, 240, 195, 221, 867, 147],
        [281, 43, 254, 239, 197, 214, 865, 147],
        [286, 43, 255, 256, 199, 214, 862, 145],
        [288, 41, 244, 238, 200, 219, 870, 143],
        [281, 45, 244, 231, 196, 209, 852, 156],
        [276, 45, 242, 229, 194, 209, 857, 153],
        [276, 40, 239, 226, 191, 207, 850, 138],
        [271, 40, 243, 228, 192, 209, 849, 139],
        [271, 41, 237, 231, 192, 209, 848, 137],
    ]
).T  # fmt: skip


def test_average_ranks_of_the_flem_table() -> None:
    ranks = stats.average_ranks(FLEM, "min")
    assert ranks.tolist() == [11.125, 11.875, 6.75, 8.0625, 7.3125, 7.75, 7.25, 6.125, 5.0625, 1.875, 2.5, 2.3125]
    shown = stats.average_ranks(FLEM, "min", ties="min")
    assert shown.tolist() == [11.125, 11.875, 6.5, 7.75, 7, 7.5, 7.125, 5.625, 4.75, 1.75, 2.125, 1.875]


def test_friedman_of_the_flem_table() -> None:
    result = stats.friedman(FLEM, "min")
    assert result.chi2 == pytest.approx(69.35576923, abs=1e-8)
    assert result.chi2_ties == pytest.approx(70.24612660, abs=1e-8)
    assert result.f == pytest.approx(26.03971119, abs=1e-8)
    assert result.chi2_ties == pytest.approx(scipy_stats.friedmanchisquare(*FLEM.T).statistic, rel=1e-12)
    assert result.p == pytest.approx(scipy_stats.chi2.sf(result.chi2, 11))
    assert result.f_p < 1e-10


def test_friedman_when_all_blocks_agree() -> None:
    result = stats.friedman([[1, 2, 3], [1, 2, 3], [1, 2, 3]], "max")
    assert result.ranks.tolist() == [3, 2, 1]
    assert result.f_p == 0.0
    with pytest.raises(DataError, match="at least 3 methods"):
        stats.friedman([[1, 2], [1, 2]], "max")


def test_critical_differences() -> None:
    assert stats.critical_difference(12, 8) == pytest.approx(5.89147786, abs=1e-6)
    by_k = {2: 1.960, 3: 2.344, 4: 2.569, 5: 2.728, 10: 3.164, 20: 3.544}
    for k, q in by_k.items():
        assert stats.critical_difference(k, 1) / np.sqrt(k * (k + 1) / 6) == pytest.approx(q, abs=6e-4)
    assert stats.critical_difference(2, 10, 0.1) == pytest.approx(1.645 * np.sqrt(0.1), abs=1e-3)
    assert stats.critical_difference(2, 7, control=True) == pytest.approx(stats.critical_difference(2, 7), abs=1e-6)
    assert stats.critical_difference(5, 7, control=True) < stats.critical_difference(5, 7)
    with pytest.raises(ParameterError, match="k=1"):
        stats.critical_difference(1, 8)


def test_groups_are_maximal_and_never_contained() -> None:
    assert stats.indistinct_groups([1.0, 2.0, 3.0, 9.0], 5.0) == [(0, 1, 2)]
    assert stats.indistinct_groups([1.0, 5.0, 9.0], 1.0) == []
    assert stats.indistinct_groups([3.0, 2.0, 1.0, 2.5], 1.0) == [(2, 1), (1, 3, 0)]


@pytest.mark.parametrize(
    ("model", "metric", "p", "statistic"),
    [
        ("c2ae", "macro_f1", 0.000244140625, 0),
        ("mpvae", "macro_f1", 0.001708984375, 4),
        ("c2ae", "macro_auc", 0.001220703125, 3),
        ("mpvae", "macro_auc", 0.00048828125, 1),
        ("clif", "macro_f1", 0.021484375, 13),
    ],
)
def test_wilcoxon_of_the_published_table(model: str, metric: str, p: float, statistic: float) -> None:
    paper = papers.load_paper("adaptive-2024")
    names = paper.datasets
    random, adaptive = ([paper.value(model, name, selector, metric) for name in names] for selector in ("random", "adaptive"))
    assert len(names) == 13
    result = stats.wilcoxon(adaptive, random, "max", ties="ignore")
    assert (result.p, result.statistic) == (p, statistic)


def enumerated(differences: np.ndarray) -> float:
    """Return the exact p by walking through all signs."""
    places = scipy_stats.rankdata(np.abs(differences))
    total = places.sum()
    low = min(places[differences > 0].sum(), places[differences < 0].sum())
    sums = [sum(p for p, up in zip(places, signs) if up) for signs in itertools.product([0, 1], repeat=len(places))]
    return sum(min(s, total - s) <= low for s in sums) / len(sums)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_wilcoxon_with_ties_and_zeros_is_the_enumeration(values: list[int]) -> None:
    differences = np.array(values, dtype=float)
    kept = differences[differences != 0]
    expected = enumerated(kept) if len(kept) else 1.0
    result = stats.wilcoxon(differences, np.zeros(len(values)))
    assert result.p == pytest.approx(expected)
    assert (result.wins, result.draws, result.losses) == tuple(
        int(n) for n in ((differences > 0).sum(), (differences == 0).sum(), (differences < 0).sum())
    )


@pytest.mark.parametrize("n", [5, 13, 50])
def test_wilcoxon_is_scipys_exact_test(n: int, rng: np.random.Generator) -> None:
    a, b = rng.normal(size=n), rng.normal(size=n) + 0.3
    theirs = scipy_stats.wilcoxon(a, b, method="exact")
    ours = stats.wilcoxon(a, b)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.statistic, ours.method) == (theirs.statistic, "exact")


@pytest.mark.parametrize("zeros", ["wilcox", "pratt"])
def test_wilcoxon_of_many_pairs_is_scipys_normal_approximation(zeros: str, rng: np.random.Generator) -> None:
    a = rng.integers(-6, 9, size=120).astype(float)
    theirs = scipy_stats.wilcoxon(a, zero_method=zeros, method="asymptotic", correction=False)
    ours = stats.wilcoxon(a, np.zeros(120), zeros=zeros)  # type: ignore[arg-type]
    assert ours.method == "normal"
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)


def test_rounding_noise_makes_no_order_of_equal_differences() -> None:
    a, b = np.array([0.3, 0.8, 0.5]), np.array([0.2, 0.7, 0.6])
    assert len(set(np.abs(a - b))) > 1
    assert stats.wilcoxon(a, b).statistic == 2.0


def test_direction_decides_who_wins() -> None:
    assert stats.wilcoxon([1, 2, 3], [2, 3, 5], "min").wins == 3
    assert stats.wilcoxon([1, 2, 3], [2, 3, 5], "max").losses == 3
    with pytest.raises(DataError, match="NaN"):
        stats.wilcoxon([1, np.nan], [2, 3])


def test_holm() -> None:
    assert stats.holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    adjusted = stats.holm([np.nan, 0.02])
    assert np.isnan(adjusted[0])
    assert adjusted[1] == 0.02


def test_ranks_refuse_nan() -> None:
    with pytest.raises(DataError, match="without NaN"):
        stats.ranks([[1.0, np.nan]], "max")
