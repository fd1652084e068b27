"""Hard draws ranks as the specification says, with equal chances for equal losses."""

import numpy as np
import pytest
import torch
from tests.reference.selectors import chi_square, hard_probabilities, ordered_tuples

from polytag.errors import ParameterError
from polytag.selectors import Hard

MEANS = np.array([0.2, 0.4, 0.9, 0.3, 0.1])


def known(losses, **params):
    selector = Hard(np.zeros((len(losses), 1)), params.pop("batch_size", 2), warmup=0, **params)
    selector.losses[:] = losses
    selector.begin_epoch()
    return selector


def test_hand_example():
    np.testing.assert_allclose(known(MEANS, pressure=32).probabilities(), np.array([4, 16, 32, 8, 2]) / 62, rtol=1e-12)


def test_ratio_of_largest_to_smallest():
    p = known(np.arange(50.0), pressure=64).probabilities()
    assert p.max() / p.min() == pytest.approx(64 ** (49 / 50))


@pytest.mark.parametrize("losses", [MEANS, [0.5, 0.1, 0.5, 0.5, 0.2], [0.3] * 5, [0, 0, 1, 1, 1]])
@pytest.mark.parametrize("pressure", [1, 8, 64])
def test_both_samplers_follow_the_exact_law(losses, pressure):
    expected = hard_probabilities(losses, pressure)
    for sampler in ("rejection", "dense"):
        selector = known(np.array(losses), pressure=pressure, sampler=sampler, seed=2)
        np.testing.assert_allclose(selector.probabilities(), expected, rtol=1e-12)
        statistic, limit = chi_square([selector.draw(2).tolist() for _ in range(4000)], ordered_tuples(expected, 2))
        assert statistic < limit


def test_equal_losses_are_uniform_and_index_ties_are_not():
    np.testing.assert_allclose(known(np.ones(6)).probabilities(), 1 / 6)
    p = known(np.ones(6), ties="index").probabilities()
    assert (np.diff(p) > 0).all()


def test_any_increasing_transform_changes_nothing(rng):
    losses = rng.gamma(1.0, size=40)
    p = known(losses).probabilities()
    assert np.array_equal(p, known(losses**3).probabilities())
    losses[losses.argmax()] *= 2
    assert np.array_equal(p, known(losses).probabilities())


def test_permuted_rows_give_permuted_probabilities(rng):
    losses = rng.integers(0, 5, size=40).astype(float)
    order = rng.permutation(40)
    np.testing.assert_allclose(known(losses[order]).probabilities(), known(losses).probabilities()[order], rtol=1e-12)


def test_ranks_follow_at_each_epoch_or_step():
    for rerank, follows in (("epoch", False), ("step", True)):
        selector = known(np.arange(6.0), rerank=rerank)
        next(iter(selector))
        selector.update(torch.tensor([0]), torch.full((1, 1), 50.0))
        assert bool(selector.probabilities().argmax() == 0) is follows
        selector.begin_epoch()
        assert selector.probabilities().argmax() == 0


def test_rows_never_seen_are_the_hardest():
    selector = Hard(np.zeros((5, 1)), 2, warmup=0, rerank="step")
    selector.update(torch.tensor([1, 3]), torch.tensor([[2.0], [1.0]]))
    p = selector.probabilities()
    assert p[3] < p[1] < p[0] == p[2] == p[4]


def test_schedule_lowers_the_pressure():
    selector = known(MEANS, pressure=100, pressure_end=1, schedule=(10, 100))
    pressures = []
    for selector.epoch in (0, 10, 55, 100, 200):
        pressures.append(selector.current_pressure)
    np.testing.assert_allclose(pressures, [100, 100, 10, 1, 1])
    selector.begin_epoch()
    np.testing.assert_allclose(selector.probabilities(), 0.2)


@pytest.mark.parametrize("params", [{"pressure": 0.5}, {"pressure_end": 0}, {"schedule": (5, 5)}, {"ties": "max"}, {"rerank": "never"}])
def test_impossible_parameters(params):
    with pytest.raises(ParameterError):
        Hard(np.zeros((5, 1)), 2, **params)
