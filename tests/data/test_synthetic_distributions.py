"""The artificial label distributions are the published ones, and their labels are what they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytag.data import make_label_distribution
from polytag.data.synthetic_distributions import ticked, true_degrees
from polytag.errors import ParameterError

PUBLISHED = ((4, 2, 1), (1, 2, 4), (1, 4, 2))


def by_hand(x):
    t = [v + 0.5 * v**2 + 0.2 * v**3 + 1 for v in x]
    psi, before = [], 0.0
    for weights in PUBLISHED:
        before = (sum(w * v for w, v in zip(weights, t)) + 0.01 * before) ** 2
        psi.append(before)
    return [value / sum(psi) for value in psi]


def test_three_features_and_labels_are_the_published_set():
    data, degrees = make_label_distribution(200, seed=3)
    assert degrees == pytest.approx(np.array([by_hand(x) for x in data.X]), rel=1e-12)
    assert (data.n, data.d, data.q) == (200, 3, 3)
    assert np.abs(data.X).max() <= 1
    assert np.abs(data.X).max(axis=0) == pytest.approx([1, 1, 1], abs=0.05)


def test_one_row_on_paper():
    """x = (1, 0, -1): t = (2.7, 1, 0.3); 13.1^2 = 171.61, (5.9 + 1.7161)^2 = 58.00497921, (7.3 + 0.5800497921)^2 = 62.095184726..."""
    psi = [171.61, 58.00497921, (7.3 + 0.5800497921) ** 2]
    found = true_degrees(np.array([[1.0, 0.0, -1.0]]), np.array(PUBLISHED, dtype=float))
    assert found[0] == pytest.approx([value / sum(psi) for value in psi], rel=1e-12)


@pytest.mark.parametrize(("d", "q"), [(3, 2), (3, 3), (8, 5), (4, 30)])
def test_any_size(d, q):
    data, degrees = make_label_distribution(300, d, q, seed=1)
    assert degrees.shape == data.Y.shape == (300, q)
    assert degrees.sum(axis=1) == pytest.approx(np.ones(300))
    assert (degrees > 0).all()
    assert set(np.unique(data.Y)) <= {0, 1}
    assert (degrees.std(axis=0) > 0.05 * degrees.mean(axis=0)).all(), "a label says the same of all rows"


def test_the_seed_decides_everything_and_nothing_else_is_touched():
    state = np.random.get_state()[1].copy()  # noqa: NPY002  (the global state must stay)
    first, again, other = (make_label_distribution(50, 6, 4, noise=0.3, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0].X, again[0].X)
    np.testing.assert_array_equal(first[0].Y, again[0].Y)
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0].X, other[0].X)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@given(st.integers(2, 9), st.integers(0, 10**6), st.floats(0.05, 0.95))
def test_labels_are_the_fewest_largest_degrees_that_pass_the_threshold(q, seed, threshold):
    degrees = np.random.default_rng(seed).dirichlet(np.full(q, 0.7), size=20)
    for row, labels in zip(degrees, ticked(degrees, threshold)):
        on, off = row[labels == 1], row[labels == 0]
        assert on.min() >= off.max(initial=0)
        assert on.sum() > threshold - 1e-12
        assert on.sum() - on.min() <= threshold + 1e-12


def test_ties_and_a_threshold_that_is_just_met():
    np.testing.assert_array_equal(ticked(np.array([[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]])), [[1, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(ticked(np.array([[1.0, 0.0]]), 0.99), [[1, 0]])


def test_noise_changes_labels_but_not_the_truth():
    calm, truth = make_label_distribution(4000, 5, 4, seed=2)
    agreement = []
    for noise in (0.0, 0.4, 1.0):
        data, degrees = make_label_distribution(4000, 5, 4, noise=noise, seed=2)
        np.testing.assert_array_equal(data.X, calm.X)
        np.testing.assert_array_equal(degrees, truth)
        agreement.append(float((data.Y == calm.Y).mean()))
    assert agreement[0] == 1 > agreement[1] > agreement[2]
    blind = make_label_distribution(4000, 5, 4, noise=1.0, seed=2)[0]
    correlation = np.corrcoef(np.hstack([blind.X, blind.Y]).T)[:5, 5:]
    assert np.abs(correlation).max() < 4 / math.sqrt(4000)


def test_the_surface():
    data, degrees = make_label_distribution(100, surface=True)
    np.testing.assert_allclose(data.X[:, 2], np.sin(np.pi * (data.X[:, 0] + data.X[:, 1])))
    assert degrees[7] == pytest.approx(by_hand(data.X[7]), rel=1e-12)


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"d": 2}, {"q": 1}, {"noise": -0.1}, {"noise": float("nan")}, {"threshold": 0.0}, {"threshold": 1.0}]
)
def test_values_out_of_range_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ParameterError, match=f"{name}="):
        make_label_distribution(**{"n": 10, **wrong})
