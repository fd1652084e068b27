"""ActiveBias follows its formulas on hand examples, equals the cell-by-cell form, and draws by the exact law."""

import numpy as np
import pytest
import torch
from tests.reference.baselines import (
    TOY_PREDICTIONS,
    TOY_Y,
    active_bias_probabilities,
    active_bias_scores,
    quantised_probabilities,
)
from tests.reference.selectors import chi_square, informed, ordered_tuples

from polytag.errors import DataError, ParameterError
from polytag.selectors.active_bias import ActiveBias
from polytag.testing.selectors import check_selector

SPREAD = {1: [0.435262, 0.530434, 0.290175, 0.482848, 0.482848], 0: [0.354779, 0.431953, 0.236519, 0.393366, 0.393366]}
VARIANTS = [
    {},
    {"ddof": 0},
    {"confidence": False},
    {"statistic": "closeness"},
    {"mapping": "quantised", "confidence": False},
]


def told(predictions, Y, **params):
    """Return a selector that was told each of the predictions for all rows, with its distribution renewed."""
    return informed(ActiveBias(Y, params.pop("batch_size", 2), warmup=0, **params), [torch.logit(torch.tensor(p)) for p in predictions])


def wandering(rng, n=40, q=5, steps=30, unknown=False, **params):
    """Return a selector that was told random batches, the labels, and the predictions at the visits of each row."""
    Y = (rng.random((n, q)) < 0.4).astype(float)
    if unknown:
        Y[rng.random((n, q)) < 0.2] = np.nan
    selector, visits = ActiveBias(Y, 4, warmup=0, **params), [[] for _ in range(n)]
    for _ in range(steps):
        rows = rng.choice(n, size=4, replace=False)
        p = rng.random((4, q)).astype(np.float32)
        selector.update(torch.from_numpy(rows), torch.logit(torch.from_numpy(p)))
        for row, values in zip(rows, p):
            visits[row].append(values)
    selector.begin_epoch()
    return selector, Y, visits


@pytest.mark.parametrize("ddof", [0, 1])
def test_hand_example(ddof):
    p = told(TOY_PREDICTIONS, TOY_Y, ddof=ddof).probabilities()
    weights = np.array(SPREAD[ddof]) + np.mean(SPREAD[ddof])
    np.testing.assert_allclose(p, weights / weights.sum(), rtol=3e-6)


def test_hand_example_of_the_published_multi_label_map():
    p = told(TOY_PREDICTIONS, TOY_Y, confidence=False, mapping="quantised", pressure=32).probabilities()
    np.testing.assert_allclose(p, np.array([8, 32, 1, 16, 16]) / 73, rtol=1e-9)  # Q = 2 0 5 1 1, and 32 ** (1 / 5) = 2


def test_two_visits_with_and_without_the_uncertainty_of_the_variance():
    predictions = [np.array([[0.5], [0.5]]), np.array([[0.5], [0.9]])]  # variance .08, and .08 + .08 ** 2 / 1
    for confidence, spread in ((False, 0.08**0.5), (True, 0.0864**0.5)):
        selector = told(predictions, np.ones((2, 1)), confidence=confidence)
        np.testing.assert_allclose(selector.probabilities(), [0.25, 0.75], rtol=1e-5)  # 0 and s, each plus s / 2
        np.testing.assert_allclose(selector._variability(np.array([0, 1])), [0, spread], atol=1e-6)


def test_closeness_is_largest_where_the_mean_is_a_half():
    p = told([np.array([[0.5], [0.9]])], np.ones((2, 1)), statistic="closeness").probabilities()
    np.testing.assert_allclose(p, np.array([0.25 + 0.17, 0.09 + 0.17]) / 0.68, rtol=1e-6)


@pytest.mark.parametrize("params", VARIANTS)
@pytest.mark.parametrize("unknown", [False, True])
def test_equals_the_form_with_a_history(rng, params, unknown):
    selector, Y, visits = wandering(rng, unknown=unknown, **params)
    scores = active_bias_scores(Y, visits, **{k: v for k, v in params.items() if k != "mapping"})
    assert None in scores
    expected = active_bias_probabilities(scores)
    if params.get("mapping") == "quantised":
        known = [s for s in scores if s is not None]
        expected = quantised_probabilities([max(known) if s is None else s for s in scores], 8)
    np.testing.assert_allclose(selector.probabilities(), expected, rtol=1e-4)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_draws_follow_the_exact_law(rng, k):
    selector, Y, visits = wandering(rng, n=9 if k < 4 else 5, seed=3)
    expected = active_bias_probabilities(active_bias_scores(Y, visits))
    drawn = [selector.draw(k).tolist() for _ in range(6000)]
    statistic, limit = chi_square(drawn, ordered_tuples(expected, k))
    assert statistic < limit


def test_weighting_draws_uniformly_and_weighs_by_the_same_numbers():
    selector = told(TOY_PREDICTIONS, TOY_Y, use="weighting")
    np.testing.assert_allclose(selector.probabilities(), 0.2)
    rows = torch.tensor([1, 2, 4])
    weights = np.array(SPREAD[1]) + np.mean(SPREAD[1])
    np.testing.assert_allclose(selector.weights(rows), weights[rows] / weights[rows].mean(), rtol=3e-6)
    assert told(TOY_PREDICTIONS, TOY_Y).weights(rows) is None


def test_weights_follow_the_latest_predictions():
    selector = told([np.array([[0.5]] * 3)] * 2 + [np.array([[0.6]] * 3)], np.ones((3, 1)), use="weighting", batch_size=1)
    np.testing.assert_allclose(selector.weights(torch.arange(3)), 1, rtol=1e-6)
    selector.update(torch.tensor([0]), torch.tensor([[-3.0]]))
    weights = selector.weights(torch.arange(3))
    assert weights[0] > 1.5 > weights[1] == weights[2]


def test_weights_of_a_warm_up_pass_are_none():
    selector = ActiveBias(np.ones((6, 1)), 3, use="weighting", warmup=2, burn_in=0)
    seen = []
    for _ in range(3):
        for rows in selector:
            seen.append(selector.weights(rows))
            selector.update(rows, torch.randn(3, 1, generator=torch.Generator().manual_seed(len(seen))))
    assert seen[:4] == [None] * 4
    assert all(weights.mean() == pytest.approx(1) for weights in seen[4:])


def test_weights_are_the_same_after_resuming(rng):
    saved, _, _ = wandering(rng, use="weighting")
    resumed = ActiveBias(saved.targets.index, 4, warmup=0, use="weighting", seed=5)
    rows = torch.arange(40)
    assert resumed.weights(rows) is None
    resumed.load_state_dict(saved.state_dict())
    assert torch.equal(resumed.weights(rows), saved.weights(rows))
    assert saved.weights(rows).max() > 1.2 * saved.weights(rows).min()


def test_burn_in_leaves_out_the_first_epochs():
    def visits(**params):
        selector = ActiveBias(np.ones((4, 1)), 2, **params)
        for _ in range(3):
            for rows in selector:
                selector.update(rows, torch.zeros(2, 1))
        return int(selector._visits.sum())

    assert visits(warmup=2) == 4
    assert visits(warmup=2, burn_in=0) == 12
    assert visits(warmup=2, burn_in=1) == 8


def test_rows_with_too_few_visits_count_as_the_most_variable():
    selector = ActiveBias(np.ones((4, 1)), 2, warmup=0)
    for logit in (0.0, 1.0):
        selector.update(torch.tensor([0, 1]), torch.tensor([[logit], [2 * logit]]))
    selector.update(torch.tensor([2]), torch.zeros(1, 1))
    selector.begin_epoch()
    p = selector.probabilities()
    assert p[0] < p[1] == p[2] == p[3]


@pytest.mark.parametrize("params", VARIANTS)
def test_predictions_that_never_change_are_uniform(params):
    certain = torch.full((5, 2), 200.0)
    selector = ActiveBias(np.ones((5, 2)), 2, warmup=0, **params)
    for _ in range(4):
        selector.update(torch.arange(5), certain)
    selector.begin_epoch()
    np.testing.assert_allclose(selector.probabilities(), 0.2, rtol=1e-12)


def test_permuted_rows_give_permuted_probabilities(rng):
    predictions = [rng.random((12, 3)) for _ in range(4)]
    Y, order = (rng.random((12, 3)) < 0.5).astype(float), rng.permutation(12)
    p = told(predictions, Y).probabilities()
    np.testing.assert_allclose(told([x[order] for x in predictions], Y[order]).probabilities(), p[order], rtol=1e-6)


def test_many_rows_are_gone_through_in_blocks(rng, monkeypatch):
    predictions = [rng.random((23, 3)) for _ in range(3)]
    Y = np.ones((23, 3))
    whole = told(predictions, Y).probabilities()
    monkeypatch.setattr("polytag.selectors.active_bias._BLOCK", 12)
    np.testing.assert_array_equal(told(predictions, Y).probabilities(), whole)


def test_nan_logits_are_refused_or_count_as_wrong():
    logits = torch.tensor([[0.0], [torch.nan]])
    with pytest.raises(DataError, match="instance 1"):
        ActiveBias(np.ones((2, 1)), 1, warmup=0).update(torch.arange(2), logits)
    selector = ActiveBias(np.ones((2, 1)), 1, warmup=0, statistic="closeness", on_nonfinite="max")
    selector.update(torch.arange(2), logits)
    np.testing.assert_allclose(selector._mean[:, 0], [0.5, 0], atol=1e-6)


@pytest.mark.parametrize(
    "params",
    [
        {"use": "both"},
        {"statistic": "var"},
        {"ddof": 2},
        {"mapping": "linear"},
        {"pressure": 0.5},
        {"burn_in": -1},
        {"use": "weighting", "mapping": "quantised"},
    ],
)
def test_impossible_parameters(params):
    with pytest.raises(ParameterError):
        ActiveBias(np.zeros((5, 1)), 2, **params)


@pytest.mark.parametrize("params", [{"warmup": 1, "burn_in": 0}, {"warmup": 0, "use": "weighting"}, {"warmup": 0, "mapping": "quantised"}])
def test_contract(params):
    check_selector(ActiveBias, **params)
