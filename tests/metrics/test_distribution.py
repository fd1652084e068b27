"""Measures of recovered label distributions: by hand, at the edges, and what must hold of any distributions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytag import metrics, registry
from polytag.errors import DataError
from polytag.metrics.distribution import MEASURES, evaluate_distributions

TRUE = [[0.5, 0.3, 0.2], [0.0, 0.25, 0.75]]
FOUND = [[0.4, 0.2, 0.4], [0.0, 0.75, 0.25]]
BY_HAND = {
    "chebyshev": (0.2 + 0.5) / 2,
    "clark": (math.sqrt(1 / 81 + 1 / 25 + 1 / 9) + math.sqrt(0.25 + 0.25)) / 2,
    "canberra": (1 / 9 + 1 / 5 + 1 / 3 + 0.5 + 0.5) / 2,
    "kullback_leibler": (0.5 * math.log(5 / 4) + 0.3 * math.log(3 / 2) + 0.2 * math.log(1 / 2) + 0.5 * math.log(3)) / 2,
    "cosine": (0.34 / math.sqrt(0.38 * 0.36) + 0.375 / 0.625) / 2,
    "intersection": (0.8 + 0.5) / 2,
}


def pair(seed, q=5, n=7, sparse=False):
    """Return two sets of distributions, with zeros if wished."""
    rng = np.random.default_rng(seed)
    found = rng.dirichlet(np.full(q, 0.6), size=(2, n))
    if sparse:
        kept = rng.random((2, n, q)) < 0.5
        kept[..., 0] = True
        found = found * kept
        found /= found.sum(axis=-1, keepdims=True)
    return found


@pytest.mark.parametrize("name", MEASURES)
def test_by_hand(name):
    assert getattr(metrics, name)(TRUE, FOUND) == pytest.approx(BY_HAND[name], rel=1e-12)


def test_all_at_once_in_the_papers_order():
    found = metrics.evaluate_distributions(TRUE, FOUND)
    assert list(found) == list(MEASURES)
    assert found == pytest.approx(BY_HAND)
    assert not set(found) & set(registry.names("metric"))


@given(st.integers(0, 10**6), st.booleans())
def test_ranges_and_the_best_value(seed, sparse):
    D, found = pair(seed, sparse=sparse)
    limits = {"chebyshev": 1, "clark": math.sqrt(5), "canberra": 5, "kullback_leibler": 40, "cosine": 1, "intersection": 1}
    best = evaluate_distributions(D, D)
    for name, value in evaluate_distributions(D, found).items():
        assert 0 <= value <= limits[name]
        assert best[name] == pytest.approx(1.0 if MEASURES[name] == "max" else 0.0, abs=1e-12)
        assert value < best[name] if MEASURES[name] == "max" else value > best[name]


@given(st.integers(0, 10**6), st.booleans())
def test_order_does_not_matter_and_rows_are_averaged(seed, sparse):
    D, found = pair(seed, sparse=sparse)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(7), rng.permutation(5)
    whole = evaluate_distributions(D, found)
    assert evaluate_distributions(D[rows][:, columns], found[rows][:, columns]) == pytest.approx(whole)
    single = [evaluate_distributions(D[[i]], found[[i]]) for i in range(7)]
    assert {name: np.mean([row[name] for row in single]) for name in MEASURES} == pytest.approx(whole)


@given(st.integers(0, 10**6), st.booleans())
def test_relations(seed, sparse):
    D, found = pair(seed, sparse=sparse)
    whole = evaluate_distributions(D, found)
    for name in set(MEASURES) - {"kullback_leibler"}:
        assert evaluate_distributions(found, D)[name] == pytest.approx(whole[name])
    assert whole["intersection"] == pytest.approx(1 - np.abs(D - found).sum(axis=1).mean() / 2)
    assert whole["chebyshev"] <= 1 - whole["intersection"] + 1e-12
    assert whole["clark"] <= whole["canberra"] + 1e-12 <= math.sqrt(5) * whole["clark"] + 1e-9
    one = slice(0, 1)  # Pinsker's inequality
    assert metrics.kullback_leibler(D[one], found[one]) >= 0.5 * np.abs(D[one] - found[one]).sum() ** 2 - 1e-12


def test_zeros():
    D, found = [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]
    assert metrics.clark(D, found) == pytest.approx(math.sqrt(2))
    assert metrics.canberra(D, found) == 2
    assert metrics.kullback_leibler(D, found) == pytest.approx(-math.log(np.finfo(float).eps))
    assert metrics.kullback_leibler(D, found, least=1e-3) == pytest.approx(math.log(1000))
    assert metrics.kullback_leibler([[0.0, 1.0]], [[0.5, 0.5]]) == pytest.approx(math.log(2))
    assert metrics.cosine(D, found) == 0


def test_single_precision_is_good_enough():
    D = pair(0)[0]
    assert metrics.cosine(D, D.astype(np.float32)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("D", "found", "message"),
    [
        ([[0.5, 0.5]], [[0.5, 0.3, 0.2]], r"\(1, 2\) and \(1, 3\)"),
        ([0.5, 0.5], [0.5, 0.5], r"\(2,\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), r"\(0, 2\)"),
        ([[1.0, 1.0]], [[0.5, 0.5]], "true degrees.*row sums in .2, 2."),
        ([[0.5, 0.5]], [[1.5, -0.5]], "recovered degrees"),
        ([[0.5, 0.5]], [[math.nan, 0.5]], "recovered degrees"),
    ],
)
def test_what_is_no_distribution_is_refused(D, found, message):
    with pytest.raises(DataError, match=message):
        evaluate_distributions(D, found)
