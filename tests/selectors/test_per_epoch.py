"""A distribution fixed for an epoch is drawn from exactly, also when it is a mixture."""

import numpy as np
import pytest
import torch
from tests.reference.selectors import chi_square, ordered_tuples

from polytag.errors import DataError
from polytag.selectors.per_epoch import PerEpoch
from polytag.selectors.sampling import Categorical

FIRST, SECOND = np.array([4, 16, 32, 16, 2]) / 70, np.array([1, 0, 0, 1, 6]) / 8


class Given(PerEpoch):
    def __init__(self, parts, *, n=5, batch_size=2, seed=0):
        super().__init__(np.zeros((n, 1)), batch_size, seed=seed)
        self.parts = parts

    def mixture(self):
        return self.parts


def started(parts, **params):
    selector = Given(parts, **params)
    selector.begin_epoch()
    return selector


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mixture_has_the_law_of_successive_sampling_from_the_sum(share):
    selector = started([(share, 7 * FIRST), (1 - share, SECOND)])
    p = share * FIRST + (1 - share) * SECOND
    np.testing.assert_allclose(selector.probabilities(), p, rtol=1e-12)
    expected = {rows: chance for rows, chance in ordered_tuples(p, 2).items() if chance > 0}
    statistic, limit = chi_square([selector.draw(2).tolist() for _ in range(8000)], expected)
    assert statistic < limit


def test_rejection_has_the_same_law_as_keys():
    n = 40
    weights = np.concatenate([FIRST, np.full(n - 5, 1e-12)])
    selector = started([(0.5, weights), (0.5, weights[::-1])], n=n, batch_size=2)
    p = selector.probabilities()
    assert selector._proposals.prefers_rejection("auto", n, 2)
    firsts = np.bincount([int(selector.draw(2)[0]) for _ in range(8000)], minlength=n)
    likely = p > 0.001
    statistic = float(((firsts - 8000 * p)[likely] ** 2 / (8000 * p[likely])).sum())
    assert statistic < 27.9  # 99.9 % of chi-square with 9 degrees of freedom


def test_rows_without_a_chance_fill_a_batch_only_at_the_end():
    selector = started([(1.0, np.array([1.0, 1, 0, 0, 0]))], batch_size=4)
    drawn = [selector.draw(4).tolist() for _ in range(50)]
    assert all(set(rows[:2]) == {0, 1} and len(set(rows)) == 4 for rows in drawn)


@pytest.mark.parametrize("bad", [np.array([1, np.nan, 1, 1, 1]), np.zeros(5), np.ones(4), np.array([1, -1, 1, 1, 1.0])])
def test_weights_that_are_no_distribution_are_refused(bad):
    with pytest.raises(DataError, match="Given expected 5 finite weights"):
        started([(1.0, bad)])


def test_the_epoch_in_progress_is_saved():
    saved, other = started([(0.3, FIRST), (0.7, SECOND)]), Given([(1.0, SECOND)])
    state = saved.state_dict()
    other.load_state_dict(state)
    assert np.array_equal(saved.probabilities(), other.probabilities())
    assert [saved.draw(2).tolist() for _ in range(20)] == [other.draw(2).tolist() for _ in range(20)]
    assert all(isinstance(value, torch.Tensor) for name, value in state.items() if name.startswith("component_"))


def test_categorical_never_gives_a_row_of_weight_zero(rng):
    class Ends:
        def random(self, m):
            return np.array([0.0, np.nextafter(1.0, 0.0)])[:m]

    table = Categorical(np.array([0, 0, 3, 0, 5, 0.0]))
    assert table.draw(2, Ends()).tolist() == [2, 4]
    counts = np.bincount(table.draw(20_000, rng), minlength=6)
    np.testing.assert_allclose(counts / 20_000, [0, 0, 3 / 8, 0, 5 / 8, 0], atol=0.015)
