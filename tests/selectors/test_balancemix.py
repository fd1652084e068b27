"""BalanceMix follows its formulas on the hand example, equals the cell-by-cell form, and draws by the exact law."""

import numpy as np
import pytest
import torch
from tests.reference.baselines import TOY_PREDICTIONS, TOY_Y, balancemix_probabilities
from tests.reference.selectors import chi_square, ordered_tuples

from polytag.errors import DataError, ParameterError
from polytag.selectors.balancemix import BalanceMix
from polytag.testing.selectors import check_selector


def told(P, Y, parts=1, **params):
    """Return a selector that was told the predictions of all rows, a part at a time, with its distribution renewed."""
    selector = BalanceMix(Y, params.pop("batch_size", 2), warmup=1, **params)
    for rows in np.array_split(np.arange(len(Y)), parts):
        selector.update(torch.from_numpy(rows), torch.logit(torch.tensor(P[rows], dtype=torch.float64)))
    selector.epoch = 1
    selector.begin_epoch()
    return selector


def test_hand_example():
    selector = told(TOY_PREDICTIONS[2], TOY_Y, parts=3)
    np.testing.assert_allclose(selector._confidence, [[0.75, 0.625, 0.5], [0.75, 0.791667, 0.791667]], atol=5e-7)
    np.testing.assert_allclose(3 * selector._scores(), [2.166667, 2.166667, 2.041667, 2.041667, 2.333333], atol=1e-6)
    np.testing.assert_allclose(selector.probabilities(), [0.197980, 0.197980, 0.210101, 0.210101, 0.183838], atol=5e-7)


@pytest.mark.parametrize("unknown", [False, True])
def test_equals_the_obvious_form(rng, unknown):
    Y, P = (rng.random((40, 6)) < np.linspace(0.6, 0.1, 6)).astype(float), rng.random((40, 6))
    if unknown:
        Y[rng.random(Y.shape) < 0.3] = np.nan
    np.testing.assert_allclose(told(P, Y, parts=7).probabilities(), balancemix_probabilities(Y, P), rtol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_draws_follow_the_exact_law(rng, k):
    n = 9 if k < 3 else 5
    Y, P = (rng.random((n, 3)) < 0.3).astype(float), rng.random((n, 3)) * 0.3
    expected = balancemix_probabilities(Y, P)
    assert expected.max() > 1.5 * expected.min()
    selector = told(P, Y, seed=4)
    statistic, limit = chi_square([selector.draw(k).tolist() for _ in range(6000)], ordered_tuples(expected, k))
    assert statistic < limit


def test_rows_with_rare_labels_come_more_often():
    Y = np.array([[1, 0]] * 18 + [[1, 1]] * 2, dtype=float)
    p = told(np.tile([0.9, 0.1], (20, 1)), Y).probabilities()  # a model that knows the frequencies only
    assert p[18:].min() > 1.5 * p[:18].max()


def test_confidence_is_that_of_the_last_epoch_only():
    Y = np.array([[1, 1], [0, 1], [0, 0]], dtype=float)
    selector = BalanceMix(Y, 3, warmup=0)
    for P in (np.full((3, 2), 0.3), np.full((3, 2), 0.6), TOY_PREDICTIONS[2][:3, :2]):
        rows = next(iter(selector))
        np.testing.assert_equal(rows.sort().values.numpy(), [0, 1, 2])
        selector.update(torch.arange(3), torch.logit(torch.tensor(P)))
    next(iter(selector))
    np.testing.assert_allclose(selector.probabilities(), balancemix_probabilities(Y, P), rtol=1e-6)


def test_a_label_that_was_not_seen_keeps_its_confidence():
    Y = np.array([[1.0, 0.0], [0.0, 1.0]])
    selector = BalanceMix(Y, 1, warmup=0)
    selector.update(torch.tensor([0, 1]), torch.tensor([[2.0, -2.0], [-1.0, 1.0]]))
    selector.epoch = 1
    selector.update(torch.tensor([1]), torch.tensor([[-3.0, 3.0]]))
    selector.epoch = 2
    selector.begin_epoch()
    confident = torch.sigmoid(torch.tensor([[2.0, 3.0], [3.0, 2.0]])).numpy()  # P of both labels, A of both
    np.testing.assert_allclose(selector._confidence, confident, rtol=1e-6)


def test_a_label_never_seen_has_the_lowest_confidence_known():
    selector = BalanceMix(np.eye(3), 1, warmup=0)
    selector.update(torch.tensor([0]), torch.tensor([[1.0, -2.0, -3.0]]))
    selector.epoch = 1
    selector.begin_epoch()
    low, middle, high = torch.sigmoid(torch.tensor([1.0, 2.0, 3.0])).tolist()
    scores = np.array([low + middle + high, low + low + high, low + middle + low])
    np.testing.assert_allclose(selector.probabilities(), 1 / scores / (1 / scores).sum(), rtol=1e-6)


def test_nothing_known_and_everything_wrong_are_uniform():
    selector = BalanceMix(TOY_Y, 2, warmup=0)
    selector.begin_epoch()
    np.testing.assert_allclose(selector.probabilities(), 0.2)
    selector.update(torch.arange(5), torch.from_numpy(300 - 600 * TOY_Y))
    selector.epoch = 1
    selector.begin_epoch()
    np.testing.assert_allclose(selector.probabilities(), 0.2, rtol=1e-12)


def test_a_row_without_known_labels_is_the_least_wanted():
    Y = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0], [np.nan, 1.0]])
    p = told(np.full((4, 2), 0.3), Y).probabilities()
    assert p[1] == p.min() == p[[0, 2, 3]].min()


def test_permuted_rows_give_permuted_probabilities(rng):
    Y, P, order = (rng.random((20, 4)) < 0.3).astype(float), rng.random((20, 4)), rng.permutation(20)
    np.testing.assert_allclose(told(P[order], Y[order]).probabilities(), told(P, Y).probabilities()[order], rtol=1e-12)


def test_many_rows_are_gone_through_in_blocks(rng, monkeypatch):
    Y, P = (rng.random((23, 4)) < 0.3).astype(float), rng.random((23, 4))
    whole = told(P, Y).probabilities()
    monkeypatch.setattr("polytag.selectors.balancemix._BLOCK", 5)
    np.testing.assert_array_equal(told(P, Y).probabilities(), whole)


def test_memory_does_not_hold_cells():
    state = told(np.full((50, 30), 0.4), np.eye(50)[:, :30]).state_dict()
    assert sum(value.numel() for value in state.values() if isinstance(value, torch.Tensor)) == 50 + 6 * 30


def test_nan_logits_are_refused_or_count_as_wrong():
    logits = torch.tensor([[1.0], [torch.nan]])
    with pytest.raises(DataError, match="instance 1"):
        BalanceMix(np.ones((2, 1)), 1).update(torch.arange(2), logits)
    selector = BalanceMix(np.ones((2, 1)), 1, on_nonfinite="max")
    selector.update(torch.arange(2), logits)
    assert selector._sums[0, 0] == pytest.approx(torch.sigmoid(torch.tensor(1.0)).item(), abs=1e-5)


def test_impossible_parameters():
    with pytest.raises(ParameterError):
        BalanceMix(np.zeros((5, 1)), 2, warmup=-1)


@pytest.mark.parametrize("params", [{"warmup": 0}, {"warmup": 2, "last_batch": "remainder"}])
def test_contract(params):
    check_selector(BalanceMix, **params)
