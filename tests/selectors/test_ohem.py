"""OHEM keeps the hardest candidates or cells, exactly so many, and says what it keeps."""

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.reference.candidates import batches_of, best_of_pool_chances, best_rows, cell_weights, mean_bce, seconds_a_step
from tests.reference.selectors import chi_square

from polytag.errors import DataError, ParameterError
from polytag.losses import BCE
from polytag.selectors.ohem import OHEM


@pytest.fixture
def labels(rng):
    return (rng.random((30, 5)) < 0.3).astype(np.float32)


@pytest.fixture
def logits(rng):
    return torch.from_numpy(rng.normal(size=(30, 5)).astype(np.float32))


def test_keeps_the_rows_of_the_slow_form(labels, logits):
    labels[3, 1] = np.nan
    selector = OHEM(labels, 4, pool=3, seed=1)
    for candidates in selector:
        assert len(candidates) == 12
        assert len(set(candidates.tolist())) == 12
        rows = selector.screen(candidates, logits[candidates])
        expected = best_rows(candidates, mean_bce(logits[candidates], labels[candidates]), 4)
        assert rows.tolist() == expected
        assert selector.weights(rows) is None


@pytest.mark.parametrize("losses", [[0.3, 1.0, 2.0, 0.1], [1.0, 1.0, 2.0, 1.0], [1.0] * 4])
@pytest.mark.parametrize(("pool", "k"), [(1.5, 2), (2, 1), (3, 1)])
def test_law_of_the_batch(losses, pool, k):
    selector = OHEM(np.zeros((4, 1)), k, pool=pool, seed=3)
    logits = torch.tensor(losses)[:, None]
    drawn = [selector.screen(rows, logits[rows]).tolist() for _ in range(400) for rows in selector]
    statistic, limit = chi_square(drawn, best_of_pool_chances(losses, round(pool * k), k))
    assert statistic < limit


def test_cell_weights_equal_the_slow_form(labels, logits):
    labels[3, 1], labels[7] = np.nan, np.nan
    for keep in (0.01, 0.25, 0.6, 1):
        selector = OHEM(labels, 12, level="cell", keep=keep, seed=1)
        for drawn in selector:
            rows = selector.screen(drawn, logits[drawn]) if keep < 1 else drawn
            assert sorted(rows.tolist()) == sorted(drawn.tolist())
            weights = selector.weights(rows)
            expected = cell_weights(logits[rows], labels[rows], keep)
            np.testing.assert_allclose(np.ones((12, 5)) * ~np.isnan(labels[rows]) if weights is None else weights, expected, rtol=1e-6)


def test_the_weighted_mean_is_the_mean_over_the_kept_cells(labels, logits):
    selector = OHEM(labels, 8, level="cell", keep=0.25, seed=0)
    rows = next(iter(selector))
    rows = selector.screen(rows, logits[rows])
    y = torch.from_numpy(labels[rows])
    hardest = torch.nn.functional.binary_cross_entropy_with_logits(logits[rows], y, reduction="none").flatten().sort().values[-10:]
    torch.testing.assert_close(BCE()(logits[rows], y, selector.weights(rows)), hardest.mean())


def test_ties_do_not_change_how_many_cells_count(labels):
    selector = OHEM(np.zeros((30, 5)), 6, level="cell", keep=0.3)
    rows = next(iter(selector))
    weights = selector.weights(selector.screen(rows, torch.zeros(6, 5)))
    assert int((weights > 0).sum()) == 9
    assert float(weights.mean()) == pytest.approx(1)


def test_parts_of_a_batch_have_their_weights(labels, logits):
    selector = OHEM(labels, 6, level="cell")
    rows = next(iter(selector))
    rows = selector.screen(rows, logits[rows])
    weights = selector.weights(rows)
    order = torch.tensor([4, 0, 3])
    assert torch.equal(selector.weights(rows[order]), weights[order])
    stranger = next(row for row in range(30) if row not in rows.tolist())
    with pytest.raises(DataError, match=f"row {stranger} is not in it"):
        selector.weights(torch.tensor([stranger]))


@pytest.mark.parametrize("level", ["instance", "cell"])
def test_unknown_rows_only(level):
    selector = OHEM(np.full((9, 2), np.nan), 3, level=level)
    for rows, weights in batches_of(selector, lambda rows: torch.ones(len(rows), 2), 6):
        assert len(set(rows)) == 3
        assert level == "instance" or not np.any(weights)


def test_no_look_where_nothing_can_be_left_out(labels):
    for selector in (OHEM(labels, 30), OHEM(labels, 99), OHEM(labels, 4, pool=1), OHEM(labels, 4, level="cell", keep=1)):
        for rows in selector:
            assert not selector.screening
            assert len(set(rows.tolist())) == selector.batch_size


def test_pool_beyond_the_data_is_all_rows(labels, logits):
    selector = OHEM(labels, 20, pool=4)
    candidates = next(iter(selector))
    assert sorted(candidates.tolist()) == list(range(30))
    assert len(selector.screen(candidates, logits[candidates])) == 20


def test_last_batch_may_be_the_remainder(labels, logits):
    sizes = [len(rows) for rows, _ in batches_of(OHEM(labels, 8, last_batch="remainder"), lambda rows: logits[rows], 8)]
    assert sizes == [8, 8, 8, 6] * 2


@pytest.mark.parametrize("level", ["instance", "cell"])
def test_nan_logits_of_candidates_are_refused_or_hardest(labels, logits, level):
    logits[17] = torch.nan
    selector = OHEM(labels, 10, pool=3, level=level)
    candidates = next(rows for rows in selector if 17 in rows)
    with pytest.raises(DataError, match="instance 17"):
        selector.screen(candidates, logits[candidates])
    tolerant = OHEM(labels, 10, pool=3, level=level, on_nonfinite="max")
    candidates = next(rows for rows in tolerant if 17 in rows)
    rows = tolerant.screen(candidates, logits[candidates])
    assert 17 in rows
    weights = tolerant.weights(rows)
    assert weights is None or bool((weights[rows.tolist().index(17)] > 0).all())


@pytest.mark.parametrize(
    "params",
    [
        {"pool": 0.5},
        {"pool": np.inf},
        {"pool": np.nan},
        {"keep": 0},
        {"keep": 1.1},
        {"keep": np.nan},
        {"level": "label"},
        {"correction": 1},
    ],
)
def test_impossible_parameters(labels, params):
    with pytest.raises(ParameterError):
        OHEM(labels, 4, **params)


def test_no_importance_weights(labels):
    with pytest.raises(ParameterError, match="OHEM has no importance weights"):
        OHEM(labels, 4).importance_weights(torch.arange(4))


@pytest.mark.parametrize("level", ["instance", "cell"])
def test_a_step_on_millions_of_rows(level):
    assert seconds_a_step(OHEM(sparse.csr_array((3_000_000, 4)), 64, level=level)) < 0.01


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_logits_on_a_gpu(labels, logits):
    for level in ("instance", "cell"):
        there = batches_of(OHEM(labels, 4, level=level), lambda rows: logits[rows].cuda(), 10)
        assert there == batches_of(OHEM(labels, 4, level=level), lambda rows: logits[rows], 10)
