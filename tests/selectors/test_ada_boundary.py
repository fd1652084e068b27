"""AdaBoundary measures distances as specified, follows each update, and both of its samplers draw by the exact law."""

import numpy as np
import pytest
import torch
from tests.reference.baselines import TOY_PREDICTIONS, TOY_Y, boundary_distance, boundary_probabilities
from tests.reference.selectors import chi_square, ordered_tuples

from polytag.errors import DataError, ParameterError
from polytag.selectors.ada_boundary import AdaBoundary
from polytag.testing.selectors import check_selector

VARIANTS = ["near", "easy", "hard", "uniform"]


def told(P, Y, **params):
    """Return a selector that knows the predictions of all rows."""
    selector = AdaBoundary(Y, params.pop("batch_size", 2), warmup=0, **params)
    selector.update(torch.arange(len(Y)), torch.logit(torch.tensor(P, dtype=torch.float64)))
    selector.begin_epoch()
    return selector


def test_hand_example_over_all_labels():
    selector = told(TOY_PREDICTIONS[2], TOY_Y, over="all", pressure=32)
    np.testing.assert_allclose(selector._largest.values, [0.25, 0.25, 0.166667, 0.291667, 0.291667], atol=5e-7)
    np.testing.assert_allclose(selector.probabilities(), np.array([1, 1, 4, 1, 1]) / 8, rtol=1e-9)  # Q = 5 5 3 5 5


def test_hand_example_over_relevant_labels():
    Y = np.array([[0, 0, 1, 0], [0, 0, 0, 0]])
    selector = told([[0.9, 0.6, 0.2, 0.1], [0.3, 0.45, 0.05, 0.05]], Y, pressure=16)
    distances = [(0.4 + 0.1 + 0.3) / 3, 0.05]  # label 2 and the best two; the best one
    np.testing.assert_allclose(selector._largest.values, distances, atol=1e-12)
    np.testing.assert_allclose(selector.probabilities(), [0.2, 0.8])  # Q = 2 1


def test_wrong_predictions_are_at_negative_distance():
    P, Y = [[0.9, 0.9], [0.9, 0.2], [0.1, 0.2]], np.array([[1, 1], [1, 0], [1, 1]])
    signed = [0.4, 0.35, -0.35]
    for variant, levels in (("easy", [0, 1, 3]), ("hard", [3, 3, 0])):
        selector = told(P, Y, variant=variant, over="all", pressure=8)
        np.testing.assert_allclose(selector._largest.values, signed, atol=1e-12)
        weights = 2.0 ** -np.array(levels)
        np.testing.assert_allclose(selector.probabilities(), weights / weights.sum(), rtol=1e-9)


def test_uniform_gives_each_bin_of_distances_the_same_chance():
    p = told([[0.9], [0.9], [0.9], [0.6]], np.ones((4, 1)), variant="uniform", bins=2).probabilities()
    np.testing.assert_allclose(p, [1 / 6, 1 / 6, 1 / 6, 1 / 2])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("over", ["relevant", "all"])
@pytest.mark.parametrize("unknown", [False, True])
def test_equals_the_obvious_form(rng, variant, over, unknown):
    Y, P = (rng.random((50, 8)) < 0.3).astype(float), rng.random((50, 8))
    if unknown:
        Y[rng.random(Y.shape) < 0.3] = np.nan
    selector = told(P, Y, variant=variant, over=over, pressure=20, bins=10)
    distances = [boundary_distance(y, p, over=over, signed=variant != "near") for y, p in zip(Y, P)]
    np.testing.assert_allclose(selector._largest.values, distances, atol=1e-12)
    np.testing.assert_allclose(selector.probabilities(), boundary_probabilities(distances, 20, variant, 10), rtol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("sampler", ["rejection", "dense"])
def test_both_samplers_follow_the_exact_law(rng, variant, sampler):
    P = rng.random((7, 1))
    selector = told(P, np.ones((7, 1)), variant=variant, sampler=sampler, bins=3, seed=2)
    distances = np.abs(P - 0.5)[:, 0] if variant == "near" else (P - 0.5)[:, 0]
    expected = boundary_probabilities(distances.tolist(), 8, variant, 3)
    assert expected.max() > 2 * expected.min()
    statistic, limit = chi_square([selector.draw(2).tolist() for _ in range(6000)], ordered_tuples(expected, 2))
    assert statistic < limit


@pytest.mark.parametrize("pressure", [1, 8, 500])
def test_ratio_is_at_most_the_pressure(rng, pressure):
    for variant in ("near", "easy", "hard"):
        p = told(rng.random((30, 1)), np.ones((30, 1)), variant=variant, pressure=pressure).probabilities()
        assert p.min() > 0
        assert p.max() / p.min() <= pressure * (1 + 1e-9)


def test_updates_count_at_once_unless_densities_are_fixed():
    for variant in VARIANTS:
        selector = told([[0.9], [0.3], [0.3], [0.3]], np.ones((4, 1)), variant=variant)
        before = selector.probabilities()
        selector.update(torch.tensor([3]), torch.tensor([[9.0]]))
        assert np.array_equal(selector.probabilities(), before) is (variant == "uniform")
        selector.begin_epoch()
        assert not np.array_equal(selector.probabilities(), before)


def test_smallest_and_largest_distance_are_exact_after_many_updates(rng):
    selector = told(rng.random((300, 1)), np.ones((300, 1)), variant="hard")
    for _ in range(300):
        rows = rng.choice(300, size=5, replace=False)
        rows[0] = selector._largest.values.argmax()
        rows = np.unique(rows)
        selector.update(torch.from_numpy(rows), torch.from_numpy(rng.normal(size=(len(rows), 1))))
    distances = selector._largest.values
    assert (selector._largest.max, -selector._smallest.max) == (distances.max(), distances.min())
    np.testing.assert_allclose(selector.probabilities(), boundary_probabilities(distances.tolist(), 8, "hard"), rtol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_never_seen_are_the_most_wanted(variant):
    selector = AdaBoundary(np.ones((5, 1)), 2, variant=variant, warmup=0)
    selector.update(torch.tensor([1, 2, 3]), torch.tensor([[0.5], [-1.0], [-1.0]]))
    selector.begin_epoch()
    p = selector.probabilities()
    assert p[0] == p[4] == p.max() > p.min()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("logit", [0.0, 2.0, -500.0])
def test_equal_distances_are_uniform(variant, logit):
    selector = AdaBoundary(np.ones((6, 2)), 2, variant=variant, warmup=0)
    selector.update(torch.arange(5), torch.full((5, 2), logit))
    selector.begin_epoch()
    np.testing.assert_allclose(selector.probabilities(), 1 / 6, rtol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_without_known_labels_is_the_least_wanted(variant):
    Y = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0], [1.0, 1.0]])
    p = told([[0.9, 0.9], [0.5, 0.5], [0.2, 0.9], [0.7, 0.6]], Y, variant=variant).probabilities()
    assert np.isfinite(p).all()
    if variant != "uniform":
        assert p[1] == p.min() < p.max()


def test_permuted_rows_and_labels(rng):
    Y, P = (rng.random((20, 6)) < 0.3).astype(float), rng.integers(1, 5, size=(20, 6)) / 8  # with ties
    rows, columns = rng.permutation(20), rng.permutation(6)
    for variant in VARIANTS:
        p = told(P, Y, variant=variant).probabilities()
        moved = told(P[rows][:, columns], Y[rows][:, columns], variant=variant).probabilities()
        np.testing.assert_allclose(moved, p[rows], rtol=1e-12)


def test_nan_logits_are_refused_or_count_as_wrong():
    logits = torch.tensor([[1.0], [torch.nan]])
    with pytest.raises(DataError, match="instance 1"):
        AdaBoundary(np.ones((2, 1)), 1, warmup=0).update(torch.arange(2), logits)
    selector = AdaBoundary(np.ones((2, 1)), 1, warmup=0, variant="hard", on_nonfinite="max")
    selector.update(torch.arange(2), logits)
    assert selector.probabilities().argmax() == 1


def test_a_batch_does_not_touch_all_rows(rng, monkeypatch):
    selector = told(rng.random((20_000, 1)), np.ones((20_000, 1)), batch_size=16)
    looked = []
    behind = selector._behind
    monkeypatch.setattr(selector, "_behind", lambda rows: (looked.append(len(rows)), behind(rows))[1])
    for _ in range(20):
        assert len(set(selector.draw(16).tolist())) == 16
    assert sum(looked) / 20 < 16 * 8 * 2


@pytest.mark.parametrize(
    "params", [{"pressure": 0.5}, {"variant": "far"}, {"over": "some"}, {"bins": 0}, {"sampler": "alias"}, {"pressure": float("nan")}]
)
def test_impossible_parameters(params):
    with pytest.raises(ParameterError):
        AdaBoundary(np.zeros((5, 1)), 2, **params)


@pytest.mark.parametrize("params", [{"warmup": 0}, {"warmup": 1, "variant": "hard", "over": "all"}, {"warmup": 1, "variant": "uniform"}])
def test_contract(params):
    check_selector(AdaBoundary, **params)
