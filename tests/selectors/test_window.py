"""The memory of the last predictions gives the changes and entropies of the specification, in any precision."""

import numpy as np
import pytest
import torch
from tests.reference import dynamics

from polytag.errors import ParameterError
from polytag.selectors.window import PredictionWindow, entropy

EVERY = slice(0, 6)


def visits(rng, number, n=6, q=3):
    return rng.normal(0, 3, size=(number, n, q))


def filled(logits, **params):
    window = PredictionWindow(logits.shape[1], logits.shape[2], **{"dtype": "float64", **params})
    for one in logits:
        window.record(np.arange(len(one)), torch.from_numpy(one))
    return window


def probabilities(logits):
    return np.vectorize(dynamics.probability)(logits)


@pytest.mark.parametrize("number", range(1, 13))
@pytest.mark.parametrize("size", [2, 5])
def test_uncertainty_equals_the_text(rng, number, size):
    logits = visits(rng, number)
    expected = dynamics.cells(lambda history: dynamics.uncertainty(history, size), probabilities(logits))
    found = filled(logits, window=size).uncertainty(EVERY).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert ((found >= 0) & (found <= 1)).all()


def test_rows_have_histories_of_their_own(rng):
    logits = visits(rng, 9)
    window = PredictionWindow(6, 3, dtype="float64")
    for visit, one in enumerate(logits):
        rows = np.flatnonzero(np.arange(6) <= visit)[::-1].copy()  # row i comes from visit i on
        window.record(rows, torch.from_numpy(one[rows]))
    proba = probabilities(logits)
    for i in range(6):
        expected = dynamics.cells(dynamics.uncertainty, proba[i:, [i]])
        np.testing.assert_allclose(window.uncertainty(slice(i, i + 1)).numpy(), expected, rtol=1e-10)
    assert window.visits.tolist() == [9, 8, 7, 6, 5, 4]


def test_record_returns_the_change_since_the_last_visit(rng):
    first, second = visits(rng, 2)
    window = PredictionWindow(6, 3, dtype="float64")
    assert not window.record(np.arange(6), torch.from_numpy(first)).any()
    change = window.record(np.array([4, 1]), torch.from_numpy(second[[4, 1]]))
    np.testing.assert_allclose(change.numpy(), abs(probabilities(second) - probabilities(first))[[4, 1]], rtol=1e-10)
    assert window.seen().all()


@pytest.mark.parametrize("number", range(1, 6))
def test_a_running_mean_is_exact_while_the_window_fills(rng, number):
    logits = visits(rng, number)
    expected = filled(logits).change(EVERY).numpy()
    np.testing.assert_allclose(filled(logits, history="running").change(EVERY).numpy(), expected, rtol=1e-12, atol=1e-15)


def test_a_running_mean_forgets_by_a_quarter(rng):
    logits = visits(rng, 7)
    steps = abs(np.diff(probabilities(logits), axis=0))
    expected = steps[:4].mean(axis=0)
    for step in steps[4:]:
        expected = expected + (step - expected) / 4
    np.testing.assert_allclose(filled(logits, history="running").change(EVERY).numpy(), expected, rtol=1e-10)


def test_entropy_is_exact_and_symmetric():
    logits = torch.tensor([0.0, np.log(3), 2.0, 13.8, 40.0], dtype=torch.float64)
    p = torch.sigmoid(-logits[:4])
    expected = -(p * torch.log2(p) + (1 - p) * torch.log2(1 - p))
    torch.testing.assert_close(entropy(logits[:4]), expected, rtol=1e-9, atol=0)
    assert torch.equal(entropy(logits), entropy(-logits))
    assert entropy(logits)[0] == 1
    assert entropy(logits)[4] > 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_certain_predictions_are_clipped(dtype):
    window = PredictionWindow(1, 2, dtype=dtype)
    for _ in range(2):
        change = window.record(np.array([0]), torch.tensor([[1000.0, -1e30]]))
    assert not change.any()
    np.testing.assert_allclose(window.logits(slice(0, 1)).sigmoid().numpy(), [[1 - 1e-6, 1e-6]], rtol=4e-3)
    assert 0 < window.uncertainty(slice(0, 1)).max() < 1.1e-5


def test_half_precision_is_off_by_a_ten_thousandth(rng):
    grid = torch.linspace(-14, 14, 200_001)[:, None]
    half, exact = (PredictionWindow(len(grid), 1, dtype=dtype) for dtype in ("float16", "float64"))
    for window in (half, exact):
        window.record(np.arange(len(grid)), grid)
    rows = slice(0, len(grid))
    assert (half.logits(rows).sigmoid() - exact.logits(rows).sigmoid()).abs().max() < 1.1e-4
    logits = visits(rng, 8, 500, 20)
    half, exact = filled(logits, dtype="float16"), filled(logits)
    rows = slice(0, 500)
    assert (half.uncertainty(rows) - exact.uncertainty(rows)).abs().max() < 2.5e-4


def test_half_precision_invents_no_change(rng):
    logits = np.repeat(visits(rng, 1), 7, axis=0)
    assert not filled(logits, dtype="float16").change(EVERY).any()


@pytest.mark.parametrize(("history", "dtype", "numbers"), [("window", "float16", 10), ("running", "float16", 4), ("window", "float32", 20)])
def test_memory(history, dtype, numbers):
    window = PredictionWindow(1000, 50, history=history, dtype=dtype)
    assert sum(part.nbytes for part in window.memory().values()) == 1000 * 50 * numbers + 1000 * 8


def test_blocks_cover_all_rows_in_order():
    window = PredictionWindow(1000, 700)
    blocks = list(window.blocks())
    assert len(blocks) > 1
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(1000))


@pytest.mark.parametrize("params", [{"window": 1}, {"history": "none"}, {"dtype": "int8"}])
def test_impossible_parameters(params):
    with pytest.raises(ParameterError, match=str(next(iter(params.values())))):
        PredictionWindow(3, 2, **params)
