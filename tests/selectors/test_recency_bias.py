"""RecencyBias follows its formulas on the hand example, equals the cell-by-cell form, and draws by the exact law."""

import numpy as np
import pytest
import torch
from tests.reference.baselines import TOY_PREDICTIONS, TOY_Y, quantised_probabilities, recent_entropies
from tests.reference.selectors import chi_square, informed, ordered_tuples

from polytag.errors import DataError, ParameterError
from polytag.selectors.recency_bias import RecencyBias
from polytag.testing.selectors import check_selector

ENTROPIES = [1.836592, 0.918296, 0.918296, 0.918296, 0.0]


def told(predictions, Y, **params):
    """Return a selector that was told each of the predictions for all rows, with its distribution renewed."""
    return informed(RecencyBias(Y, params.pop("batch_size", 2), warmup=0, **params), [torch.logit(torch.tensor(p)) for p in predictions])


def wandering(rng, n=40, q=5, unknown=False, **params):
    """Return a selector that was told random batches, the labels, and the predictions at the visits of each row."""
    Y = (rng.random((n, q)) < 0.4).astype(float)
    if unknown:
        Y[rng.random((n, q)) < 0.2] = np.nan
    selector, visits = RecencyBias(Y, 4, warmup=0, **params), [[] for _ in range(n)]
    for _ in range(2 * n):
        rows = rng.choice(n - 1, size=4, replace=False)
        p = rng.random((4, q)).astype(np.float32)
        selector.update(torch.from_numpy(rows), torch.logit(torch.from_numpy(p)))
        for row, values in zip(rows, p):
            visits[row].append(values)
    selector.begin_epoch()
    return selector, Y, visits


def test_hand_example():
    selector = told(TOY_PREDICTIONS, TOY_Y, window=3, pressure=32)
    np.testing.assert_allclose(selector._undecided(slice(None)), ENTROPIES, atol=5e-7)
    np.testing.assert_allclose(selector.probabilities(), np.array([32, 4, 4, 4, 1]) / 45, rtol=1e-9)  # Q = 0 3 3 3 5, 32 ** (1 / 5) = 2


@pytest.mark.parametrize("window", [2, 3, 10, 16])
@pytest.mark.parametrize("unknown", [False, True])
def test_equals_the_form_with_a_history(rng, window, unknown):
    selector, Y, visits = wandering(rng, unknown=unknown, window=window, pressure=20)
    entropies = recent_entropies(Y, visits, window)
    assert entropies.pop() is None  # the last row was never seen
    np.testing.assert_allclose(selector._undecided(slice(39)), entropies, atol=1e-12)
    expected = quantised_probabilities([*selector._undecided(slice(39)).tolist(), max(entropies)], 20)
    np.testing.assert_allclose(selector.probabilities(), expected, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_draws_follow_the_exact_law(rng, k):
    selector, _, _ = wandering(rng, n=9 if k < 4 else 5, window=3, pressure=4, seed=1)
    expected = quantised_probabilities(np.append(h := selector._undecided(slice(-1)), h.max()).tolist(), 4)
    assert expected.max() > 1.5 * expected.min()
    drawn = [selector.draw(k).tolist() for _ in range(6000)]
    statistic, limit = chi_square(drawn, ordered_tuples(expected, k))
    assert statistic < limit


def test_only_the_last_predictions_count():
    swinging, steady = np.array([[0.9], [0.9]]), np.array([[0.1], [0.9]])
    assert told([swinging, steady], np.ones((2, 1)), window=3).probabilities()[0] > 0.9
    np.testing.assert_allclose(told([swinging] + [steady] * 3, np.ones((2, 1)), window=3).probabilities(), 0.5)


def test_exactly_one_half_counts_as_absent():
    half, below = np.array([[0.5], [0.5]]), np.array([[0.4], [0.6]])
    assert told([half, below], np.ones((2, 1)), window=2).probabilities()[1] > 0.9


def test_pressure_falls_over_the_schedule():
    selector = told(TOY_PREDICTIONS, TOY_Y, window=3)
    ratios = []
    for selector.epoch in (0, 10, 55, 100, 200):
        selector.begin_epoch()
        p = selector.probabilities()
        ratios.append(p.max() / p.min())
    np.testing.assert_allclose(ratios, [100, 100, 10, 1, 1])


def test_predictions_that_never_change_are_uniform():
    selector = told([np.array([[0.9, 0.1]] * 4)] * 5, np.ones((4, 2)))
    np.testing.assert_allclose(selector.probabilities(), 0.25, rtol=1e-12)


def test_permuted_rows_give_permuted_probabilities(rng):
    predictions = [rng.random((12, 3)) for _ in range(4)]
    Y, order = np.ones((12, 3)), rng.permutation(12)
    p = told(predictions, Y).probabilities()
    np.testing.assert_allclose(told([x[order] for x in predictions], Y).probabilities(), p[order], rtol=1e-9)


def test_many_rows_are_gone_through_in_blocks(rng, monkeypatch):
    predictions = [rng.random((23, 3)) for _ in range(3)]
    whole = told(predictions, np.ones((23, 3))).probabilities()
    monkeypatch.setattr("polytag.selectors.recency_bias._BLOCK", 12)
    np.testing.assert_array_equal(told(predictions, np.ones((23, 3))).probabilities(), whole)


def test_nan_logits_are_refused_or_count_as_wrong():
    logits = torch.tensor([[1.0], [torch.nan]])
    with pytest.raises(DataError, match="instance 1"):
        RecencyBias(np.zeros((2, 1)), 1, warmup=0).update(torch.arange(2), logits)
    selector = RecencyBias(np.ones((2, 1)), 1, warmup=0, on_nonfinite="max")
    selector.update(torch.arange(2), logits)
    assert selector._recent[:, 0].tolist() == [1, 0]


def test_memory_is_two_bytes_a_cell():
    state = RecencyBias(np.ones((100, 7)), 10).state_dict()
    assert state["recent"].numel() * state["recent"].element_size() == 2 * 100 * 7


@pytest.mark.parametrize("params", [{"window": 1}, {"window": 17}, {"pressure": 0.5}, {"pressure_end": 0}, {"schedule": (5, 5)}])
def test_impossible_parameters(params):
    with pytest.raises(ParameterError):
        RecencyBias(np.zeros((5, 1)), 2, **params)


@pytest.mark.parametrize("params", [{"warmup": 0, "window": 3}, {"warmup": 2, "window": 16, "last_batch": "remainder"}])
def test_contract(params):
    check_selector(RecencyBias, **params)
