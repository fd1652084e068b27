"""Importance sampling has the paper's probabilities and gain, switches as it says, and leaves the gradient unbiased."""

import itertools

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.reference.candidates import Scripted, batches_of, gain, importance_chances, seconds_a_step
from tests.reference.selectors import chi_square

from polytag.errors import DataError, ParameterError
from polytag.losses import BCE
from polytag.selectors.importance import Importance

LABELS = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]], dtype=np.float32)
PREDICTED = np.array([[0.75, 0.75, 0.25], [0.875, 0.5, 0.125], [0.5, 0.25, 0.75], [0.875, 0.25, 0.25], [0.25, 0.125, 0.25]])
LOGITS = torch.logit(torch.from_numpy(PREDICTED))


def screened(selector, logits):
    """Return candidates and batch of the next step."""
    candidates = next(iter(selector))
    return candidates, selector.screen(candidates, logits[candidates])


def test_hand_example():
    selector = Importance(LABELS, 2, presample=2.5, switch="always", momentum=0.0)
    candidates, rows = screened(selector, LOGITS)
    expected = np.array([0.157396, 0.192770, 0.222591, 0.290934, 0.136309])
    np.testing.assert_allclose(importance_chances(LOGITS, LABELS), expected, atol=5e-7)
    np.testing.assert_allclose(selector.weights(rows), 1 / (5 * expected[rows]), rtol=5e-6)
    assert selector.tau == pytest.approx(1.036107, abs=5e-7)
    assert sorted(candidates.tolist()) == [0, 1, 2, 3, 4]


def test_chances_equal_the_slow_form(rng):
    y = (rng.random((40, 6)) < 0.3).astype(np.float32)
    y[3, 1], y[5] = np.nan, np.nan
    logits = torch.from_numpy(rng.normal(size=(40, 6)) * 4)
    selector = Importance(y, 8, switch="always", seed=2, momentum=0.9)
    tau = 0.0
    for candidates in selector:
        P = dict(zip(candidates.tolist(), importance_chances(logits[candidates], y[candidates])))
        rows = selector.screen(candidates, logits[candidates])
        np.testing.assert_allclose(selector.weights(rows), [1 / (24 * P[row]) for row in rows.tolist()], rtol=1e-5)
        tau = 0.9 * tau + 0.1 * gain(list(P.values()))
        assert selector.tau == pytest.approx(tau, rel=1e-9)
        selector.update(rows, logits[rows])
        assert selector.tau == pytest.approx(tau, rel=1e-9), "a batch drawn by importance does not tell the gain"


def test_law_of_the_batch():
    selector = Importance(LABELS[:3], 2, presample=1.5, switch="always", seed=5)
    P = importance_chances(LOGITS[:3], LABELS[:3])
    drawn = [screened(selector, LOGITS)[1].tolist() for _ in range(2000)]
    statistic, limit = chi_square(drawn, {(i, j): P[i] * P[j] for i, j in itertools.product(range(3), repeat=2)})
    assert statistic < limit


def test_the_weighted_gradient_is_unbiased(rng):
    """Over all candidates and all draws, the gradient of the weighted loss has that of the whole set as its mean."""
    n, B, b = 4, 3, 2
    x, y = torch.from_numpy(rng.normal(size=(n, 2))), LABELS[:n]
    weight = torch.from_numpy(rng.normal(size=(2, 3))).requires_grad_()

    def gradient(rows, weights=None):
        loss = BCE()(x[rows] @ weight, torch.from_numpy(y[rows]).double(), weights)
        return torch.autograd.grad(loss, weight)[0].numpy()

    logits = (x @ weight).detach()
    selector = Importance(y, b, presample=B / b, switch="always")
    expected, total = np.zeros((2, 3)), 0.0
    for candidates in itertools.combinations(range(n), B):
        P = importance_chances(logits[list(candidates)], y[list(candidates)])
        middles = np.cumsum(P) - P / 2
        for places in itertools.product(range(B), repeat=b):
            selector.generator = np.random.default_rng(0)
            next(iter(selector))
            selector.generator = Scripted(middles[list(places)])
            rows = selector.screen(torch.tensor(candidates), logits[list(candidates)])
            assert rows.tolist() == [candidates[place] for place in places]
            chance = P[list(places)].prod() / 4  # four ways to choose the candidates
            expected, total = expected + chance * gradient(rows, selector.weights(rows)), total + chance
    assert total == pytest.approx(1)
    np.testing.assert_allclose(expected, gradient(torch.arange(n)), rtol=1e-5, atol=1e-8)


def test_switches_on_with_the_gain_and_off_without():
    n, b = 300, 10
    selector = Importance(np.zeros((n, 1)), b, seed=0)
    assert selector.threshold == pytest.approx((3 * b + 3 * b) / (3 * b))
    uneven = torch.where(torch.arange(n) < 12, 3.0, -8.0)[:, None]  # few rows have all the gradient: tau near 5 at B = n
    taus, seen, batches = 0.0, [], iter(())
    for step in range(160):
        logits = uneven if step < 80 else torch.zeros(n, 1)
        rows = next(batches, None)
        if rows is None:
            batches = iter(selector)
            rows = next(batches)
        seen.append(selector.screening)
        assert selector.screening is (taus > selector.threshold)
        if selector.screening:
            assert len(rows) == 3 * b
            rows = selector.screen(rows, logits[rows])
            assert selector.weights(rows) is not None
        else:
            assert len(set(rows.tolist())) == b
            assert selector.weights(rows) is None
        selector.update(rows, logits[rows])
        taus = selector.tau
    assert not seen[0]
    assert any(seen[:81])
    assert not any(seen[100:])


def test_the_gain_of_uniform_batches_needs_no_look():
    selector = Importance(LABELS, 3, threshold=100.0)
    tau = 0.0
    for rows in selector:
        assert not selector.screening
        selector.update(rows, LOGITS[rows])
        tau = 0.9 * tau + 0.1 * gain(importance_chances(LOGITS[rows], LABELS[rows]))
        assert selector.tau == pytest.approx(tau)


def test_no_gradient_at_all_is_uniform():
    selector = Importance(np.zeros((6, 2)), 2, switch="always", momentum=0.0)
    _, rows = screened(selector, torch.full((6, 2), -1e4))
    np.testing.assert_allclose(selector.weights(rows), 1)
    assert selector.tau == pytest.approx(1)


def test_a_batch_of_everything_is_a_permutation():
    for size in (5, 9):
        selector = Importance(LABELS, size, switch="always")
        for rows, weights in batches_of(selector, lambda rows: LOGITS[rows], 4):
            assert sorted(rows) == [0, 1, 2, 3, 4]
            assert weights is None


@pytest.mark.parametrize("params", [{"switch": "always"}, {"threshold": 0.5}])
def test_goes_on_from_any_step(params, rng):
    y, logits = (rng.random((23, 3)) < 0.4).astype(float), torch.from_numpy(rng.normal(size=(23, 3)))
    whole = batches_of(Importance(y, 4, seed=1, **params), lambda rows: logits[rows], 30)
    assert any(weights is not None for _, weights in whole)
    for stop in range(1, 16):
        first, second = Importance(y, 4, seed=1, **params), Importance(y, 4, seed=2, **params)
        batches_of(first, lambda rows: logits[rows], stop)
        second.load_state_dict(first.state_dict())
        assert batches_of(second, lambda rows: logits[rows], 30 - stop) == whole[stop:]


def test_nan_logits_are_refused_or_the_largest_gradients():
    logits = LOGITS.clone()
    logits[3, 0] = torch.nan
    looking, uniform = Importance(LABELS, 2, presample=2.5, switch="always"), Importance(LABELS, 2)
    candidates = next(iter(looking))
    with pytest.raises(DataError, match="instance 3"):
        looking.screen(candidates, logits[candidates])
    with pytest.raises(DataError, match="instance 3"):
        uniform.update(torch.tensor([0, 3]), logits[[0, 3]])
    tolerant = Importance(LABELS, 2, presample=2.5, switch="always", on_nonfinite="max")
    logits[3] = 15 - 30 * torch.from_numpy(LABELS[3])  # what takes the place of NaN
    expected = importance_chances(logits, LABELS)
    assert expected.argmax() == 3
    logits[3, 0] = torch.nan
    rows = screened(tolerant, logits)[1]
    np.testing.assert_allclose(tolerant.weights(rows), 1 / (5 * expected[rows]), rtol=1e-5)


@pytest.mark.parametrize(
    "params",
    [
        {"presample": 1},
        {"presample": np.inf},
        {"presample": np.nan},
        {"switch": "never"},
        {"threshold": -1},
        {"threshold": np.nan},
        {"momentum": 1},
    ],
)
def test_impossible_parameters(params):
    with pytest.raises(ParameterError):
        Importance(LABELS, 2, **params)


def test_a_step_on_millions_of_rows():
    assert seconds_a_step(Importance(sparse.csr_array((3_000_000, 4)), 64, switch="always")) < 0.01


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_logits_on_a_gpu():
    there = batches_of(Importance(LABELS, 2, switch="always"), lambda rows: LOGITS[rows].cuda(), 10)
    assert there == batches_of(Importance(LABELS, 2, switch="always"), lambda rows: LOGITS[rows], 10)
