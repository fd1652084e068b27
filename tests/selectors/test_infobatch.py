"""InfoBatch leaves out what its paper leaves out, and its weights make up for it exactly."""

import itertools

import numpy as np
import pytest
import torch
from tests.reference.candidates import Scripted, batches_of, mean_bce
from tests.reference.selectors import chi_square

from polytag.errors import DataError, ParameterError
from polytag.selectors.base import shuffled_pass
from polytag.selectors.infobatch import InfoBatch

MEANS = np.array([0.287682, 0.320070, 0.422837, 0.602503, 0.236299])


def known(losses, batch_size=2, **params):
    """Return a selector that knows the losses and stands before an epoch that leaves rows out."""
    selector = InfoBatch(np.zeros((len(losses), 1)), batch_size, **params)
    selector.losses[:] = losses
    selector.epoch = 1
    return selector


def passed(selector):
    """Return rows and weights of an epoch, without news."""
    rows = list(selector)
    return torch.cat(rows).tolist(), [selector.row_weights(batch.numpy()) for batch in rows]


def test_hand_example():
    assert known(MEANS).prunable().tolist() == [0, 1, 4]


@pytest.mark.parametrize("ratio", [0.5, 0.2])
def test_the_weighted_sum_is_unbiased(ratio, rng):
    """Over all outcomes of leaving rows out, the weighted sum over the epoch has the sum over all rows as its mean."""
    values, expected = rng.normal(size=(5, 3)), np.zeros(3)
    for left_out in itertools.product([True, False], repeat=3):
        selector = known(MEANS, ratio=ratio)
        selector.generator = Scripted([ratio / 2 if out else (1 + ratio) / 2 for out in left_out])
        rows, weights = passed(selector)
        assert sorted(rows) == sorted({2, 3} | {row for row, out in zip((0, 1, 4), left_out) if not out})
        chance = np.prod([ratio if out else 1 - ratio for out in left_out])
        expected += chance * sum(w * values[row] for row, w in zip(rows, torch.cat(weights).double().numpy()))
    np.testing.assert_allclose(expected, values.sum(axis=0), rtol=1e-6)


def test_law_of_an_epoch():
    selector, seen = known(MEANS, batch_size=5, ratio=0.3, seed=1), []
    for _ in range(2000):
        selector.begin_epoch()
        seen.append(selector.draw(5).tolist())
    chances = {}
    for size in range(2, 6):
        for rows in itertools.permutations(range(5), size):
            if {2, 3} <= set(rows):
                orders = np.prod(range(1, size + 1))
                chances[rows] = 0.7 ** (size - 2) * 0.3 ** (5 - size) / orders
    assert sum(chances.values()) == pytest.approx(1)
    statistic, limit = chi_square(seen, chances)
    assert statistic < limit


def test_an_epoch_is_a_pass_over_the_rows_that_stay(rng):
    losses = rng.gamma(1.0, size=200)
    selector = known(losses, batch_size=16, seed=3)
    batches = list(selector)
    rows = torch.cat(batches).numpy()
    assert len(set(rows.tolist())) == len(rows) == selector.size < 200
    assert len(batches) == len(selector) == -(-len(rows) // 16)
    assert [len(batch) for batch in batches[:-1]] == [16] * (len(batches) - 1)
    easy = losses < losses.mean()
    assert set(np.flatnonzero(~easy)) <= set(rows)
    assert easy[rows].sum() == pytest.approx(easy.sum() / 2, rel=0.25)
    np.testing.assert_array_equal(selector.row_weights(rows), np.where(easy[rows], 2.0, 1.0))
    np.testing.assert_array_equal(selector.density(), np.where(easy, 0.5, 1.0))


def test_learns_the_losses_of_its_batches(rng):
    y = (rng.random((40, 3)) < 0.4).astype(float)
    y[4, 0] = np.nan
    logits = torch.from_numpy(rng.normal(size=(40, 3)))
    selector = InfoBatch(y, 8, seed=2)
    first = batches_of(selector, lambda rows: logits[rows], 5)
    assert [row for rows, _ in first for row in rows] == shuffled_pass(40, 2, 0).tolist()
    assert all(weights is None for _, weights in first)
    np.testing.assert_allclose(selector.losses, mean_bce(logits, y), rtol=1e-9)
    easy = mean_bce(logits, y) < mean_bce(logits, y).mean()
    for rows, weights in batches_of(selector, lambda rows: logits[rows], 3):
        assert weights == np.where(easy[rows], 2.0, 1.0).tolist()


def test_rows_never_seen_stay():
    selector = InfoBatch(np.zeros((6, 1)), 6, warmup=0)
    assert sorted(next(iter(selector)).tolist()) == list(range(6))
    selector.losses[:3], selector.step = [0.1, 0.2, 0.9], 0
    for _ in range(40):
        selector.begin_epoch()
        assert set(selector.draw(6).tolist()) >= {2, 3, 4, 5}
        assert selector.prunable().tolist() == [0, 1]


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 1 / 3])
def test_equal_losses_leave_nothing_out(value):
    for n in (3, 7, 61, 1000):
        selector = known(np.full(n, value))
        assert len(selector.prunable()) == 0
        rows, weights = passed(selector)
        assert sorted(rows) == list(range(n))
        assert all(weight is None for weight in weights)


def test_the_last_epochs_use_all_rows():
    selector = known(MEANS, epochs=8, delta=0.75)
    for selector.epoch in (6, 7, 20):
        selector.begin_epoch()
        assert selector.size == 5
        assert selector.row_weights(np.arange(5)) is None
        np.testing.assert_array_equal(selector.probabilities(), 0.2)
    selector.epoch = 5
    selector.begin_epoch()
    assert selector.row_weights(np.arange(5)).tolist() == [2, 2, 1, 1, 2]


def test_ratio_zero_leaves_nothing_out():
    selector = known(MEANS, ratio=0)
    rows, weights = passed(selector)
    assert sorted(rows) == [0, 1, 2, 3, 4]
    assert torch.cat(weights).tolist() == [1] * 5


def test_a_correction_takes_the_place_of_the_weights():
    selector = known(MEANS, batch_size=5, correction=1.0, seed=1)
    rows = next(iter(selector))
    own = known(MEANS, batch_size=5, seed=1)
    assert torch.equal(next(iter(own)), rows)
    torch.testing.assert_close(selector.weights(rows), own.weights(rows) / own.weights(rows).mean())


def test_goes_on_from_any_step(rng):
    logits = torch.from_numpy(rng.normal(size=(23, 1)))
    make = lambda seed: InfoBatch(np.zeros((23, 1)), 4, seed=seed, epochs=6)  # noqa: E731
    whole = batches_of(make(1), lambda rows: logits[rows], 40)
    for stop in range(1, 30):
        first, second = make(1), make(2)
        batches_of(first, lambda rows: logits[rows], stop)
        second.load_state_dict(first.state_dict())
        assert len(second) == len(first)
        assert batches_of(second, lambda rows: logits[rows], 40 - stop) == whole[stop:]


def test_nan_logits_are_refused_or_hardest():
    logits = torch.tensor([[0.0], [torch.nan]])
    with pytest.raises(DataError, match="instance 3"):
        known(MEANS).update(torch.tensor([1, 3]), logits)
    tolerant = known(MEANS, on_nonfinite="max")
    tolerant.update(torch.tensor([1, 4]), logits)
    assert tolerant.losses[4] == pytest.approx(np.log(2))  # the largest, since that of row 1 was told in the same batch


@pytest.mark.parametrize("params", [{"ratio": 1}, {"ratio": -0.1}, {"ratio": np.nan}, {"delta": 1.1}, {"delta": -1}, {"epochs": 0}])
def test_impossible_parameters(params):
    with pytest.raises(ParameterError):
        InfoBatch(np.zeros((5, 1)), 2, **params)
