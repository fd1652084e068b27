"""Importance weights make a batch speak for all rows equally: shown by enumerating every batch there is."""

import itertools

import numpy as np
import pytest
import torch
from tests.reference.selectors import ordered_tuples

from polytag.errors import ParameterError
from polytag.selectors import AdaC, Adaptive, Hard, Random
from polytag.selectors.correction import importance_weights

X, Y = np.arange(6.0)[:, None], np.eye(6)[:, :3]
VALUES = np.array([3.0, -1.0, 4.0, 1.0, -5.0, 9.0])


def knowing(cls, **params):
    """Return a selector in its selection phase, which has seen every row once."""
    selector = cls(Y, params.pop("batch_size", 3), x=X, warmup=1, seed=0, **params)
    for number, rows in enumerate(selector):
        selector.update(rows, torch.from_numpy(VALUES[rows.numpy()])[:, None].expand(-1, 3) / 2 + number)
    selector.begin_epoch()
    return selector


@pytest.mark.parametrize("cls", [Adaptive, Hard])
@pytest.mark.parametrize("b", [1, 2, 3, 6])
def test_ordered_weights_are_unbiased_over_all_batches_without_replacement(cls, b):
    selector = knowing(cls, batch_size=b)
    p = selector.probabilities()
    assert p.max() > 1.5 * p.min()
    mean = sum(
        chance * float((selector.importance_weights(torch.tensor(rows), normalise=False, ordered=True).numpy() * VALUES[list(rows)]).mean())
        for rows, chance in ordered_tuples(p, b).items()
    )
    assert mean == pytest.approx(VALUES.mean(), abs=1e-5)


@pytest.mark.parametrize("b", [1, 2, 3])
def test_plain_weights_are_unbiased_over_all_batches_with_replacement(b):
    p = knowing(Adaptive).probabilities()
    mean = weight_sum = 0.0
    for rows in itertools.product(range(6), repeat=b):
        chance, weights = np.prod(p[list(rows)]), importance_weights(p[list(rows)], 6, normalise=False)
        mean += chance * (weights * VALUES[list(rows)]).mean()
        weight_sum += chance * weights.mean()
    assert mean == pytest.approx(VALUES.mean())
    assert weight_sum == pytest.approx(1.0)


def test_without_weights_the_batches_are_biased():
    p = knowing(Adaptive).probabilities()
    assert abs(float(p @ VALUES) - VALUES.mean()) > 0.5


def test_normalised_weights_have_mean_one_and_need_no_sum():
    rows = torch.tensor([5, 0, 3])
    selector = knowing(Adaptive)
    weights = selector.importance_weights(rows)
    assert float(weights.mean()) == pytest.approx(1.0)
    p = selector.probabilities()[rows]
    np.testing.assert_allclose(weights, (1 / p) / (1 / p).mean(), rtol=1e-6)
    np.testing.assert_allclose(importance_weights(p, 6), importance_weights(7 * p, 6))


def test_power_goes_from_no_correction_to_all_of_it():
    rows, selector = torch.tensor([5, 0, 3]), knowing(Adaptive)
    full = selector.importance_weights(rows, normalise=False)
    torch.testing.assert_close(selector.importance_weights(rows, power=0.5, normalise=False), full.sqrt())
    assert torch.equal(selector.importance_weights(rows, power=0.0), torch.ones(3))
    with pytest.raises(ParameterError, match=r"power <= 1, but got 2"):
        selector.importance_weights(rows, power=2)


def test_correction_makes_them_the_weights_of_the_batch():
    selector = knowing(Adaptive, correction=1.0)
    rows = next(iter(selector))
    torch.testing.assert_close(selector.weights(rows), selector.importance_weights(rows))
    assert knowing(Adaptive).weights(rows) is None
    assert Adaptive(Y, 3, x=X, correction=1.0).weights(rows) is None, "a plain pass needs none"
    assert torch.equal(Adaptive(Y, 3, x=X).importance_weights(rows), torch.ones(3))


def test_own_weights_and_correction_multiply():
    class Doubling(Adaptive):
        def row_weights(self, rows):
            return torch.full((len(rows), 3), 2.0)

    selector = knowing(Doubling, correction=1.0)
    rows = torch.tensor([5, 0])
    torch.testing.assert_close(selector.weights(rows), 2 * selector.importance_weights(rows)[:, None].expand(2, 3))


def test_random_has_weights_of_one_and_adac_has_none():
    assert torch.equal(Random(Y, 3).importance_weights(torch.tensor([1, 2])), torch.ones(2))
    with pytest.raises(ParameterError, match="use Adaptive"):
        AdaC(Y, 3, x=X).importance_weights(torch.tensor([1, 2]))
    with pytest.raises(ParameterError, match="correction=0"):
        AdaC(Y, 3, x=X, correction=0.5)
