"""Scores become chances as the specification says; schedules have its values."""

import numpy as np
import pytest

from polytag.errors import DataError, ParameterError
from polytag.selectors.pressure import check_pressure, check_schedule, exponential, quantised_weights


def test_schedule_of_the_specification():
    table = {0: 8, 10: 8, 20: 6.3496, 40: 4, 55: 2.8284, 70: 2, 99: 1.0234, 100: 1, 200: 1}
    for epoch, value in table.items():
        assert exponential(8, 1, 10, 100, epoch) == pytest.approx(value, abs=5e-5)


def test_quantised_scores_by_hand():
    # D2ACE, uncertainty (specification 7.5): Q = 1 1 1 2 5
    weights = quantised_weights(np.array([3.034125, 3.056448, 3.093185, 2.618544, 1.680009]), 8, lowest=1)
    np.testing.assert_allclose(weights / weights.sum(), [0.259793, 0.259793, 0.259793, 0.171399, 0.049222], atol=5e-7)


@pytest.mark.parametrize("pressure", [1, 2, 8, 64])
def test_properties(rng, pressure):
    scores = rng.normal(size=200)
    weights = quantised_weights(scores, pressure)
    assert weights.max() == 1
    assert weights.max() / weights.min() <= pressure * (1 + 1e-12)
    order = np.argsort(scores)
    assert (np.diff(weights[order]) >= 0).all()
    np.testing.assert_allclose(quantised_weights(3 * scores, pressure), weights)
    shuffled = rng.permutation(200)
    assert np.array_equal(quantised_weights(scores[shuffled], pressure), weights[shuffled])


def test_few_levels_round_and_equal_scores_are_equal():
    assert len(set(quantised_weights(np.arange(100.0), 8, levels=4))) == 5
    assert (quantised_weights(np.full(7, 3.0), 8) == 1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_refused_by_name(bad):
    with pytest.raises(DataError, match="instance 2"):
        quantised_weights(np.array([1.0, 2.0, bad]), 8)


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, -1])
def test_pressure_below_one_is_refused(bad):
    with pytest.raises(ParameterError, match="pressure >= 1"):
        check_pressure(bad)


@pytest.mark.parametrize("bad", [(10, 10), (10, 5), (1, 2, 3)])
def test_schedules_go_forward(bad):
    with pytest.raises(ParameterError, match="first < last"):
        check_schedule(bad)
