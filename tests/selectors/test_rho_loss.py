"""RHO-LOSS keeps the candidates whose loss can fall furthest, and keeps its reference losses when resumed."""

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.reference.candidates import batches_of, best_of_pool_chances, best_rows, mean_bce, seconds_a_step
from tests.reference.selectors import chi_square

from polytag.errors import DataError, ParameterError
from polytag.selectors.reference_model import cross_fitted_losses
from polytag.selectors.rho_loss import RHOLoss


@pytest.fixture
def labels(rng):
    return (rng.random((60, 4)) < 0.3).astype(np.float32)


@pytest.fixture
def logits(rng):
    return torch.from_numpy(rng.normal(size=(60, 4)).astype(np.float32))


def test_keeps_the_rows_of_the_slow_form(labels, logits, rng):
    labels[3, 1] = np.nan
    irreducible = rng.gamma(1.0, size=60)
    selector = RHOLoss(labels, 3, irreducible=irreducible, seed=1)
    for candidates in selector:
        assert len(set(candidates.tolist())) == 30
        rows = selector.screen(candidates, logits[candidates])
        reducible = mean_bce(logits[candidates], labels[candidates]) - irreducible[candidates]
        assert rows.tolist() == best_rows(candidates, reducible, 3)


@pytest.mark.parametrize("reducible", [[0.3, -1.0, 2.0, 0.1], [-1.0, -1.0, -2.0, -1.0]])
def test_law_of_the_batch(reducible):
    irreducible = np.log(2) - np.array(reducible)
    selector = RHOLoss(np.zeros((4, 1)), 1, ratio=0.5, irreducible=irreducible, seed=3)
    drawn = [selector.screen(rows, torch.zeros(2, 1, dtype=torch.float64)).tolist() for _ in range(400) for rows in selector]
    statistic, limit = chi_square(drawn, best_of_pool_chances(np.round(np.log(2) - irreducible, 9), 2, 1))
    assert statistic < limit


def test_rows_that_cannot_be_learnt_are_left_alone(labels):
    irreducible = np.zeros(60)
    irreducible[[7, 8, 9]] = 10.0
    logits = torch.from_numpy(1 - 2 * labels) * 0.1
    logits[[7, 8, 9]] *= 50  # by far the largest losses
    selector = RHOLoss(labels, 6, irreducible=irreducible)
    assert not {row for rows, _ in batches_of(selector, lambda rows: logits[rows], 20) for row in rows} & {7, 8, 9}


def test_reference_losses_are_computed_when_needed(labels, rng):
    x = rng.normal(size=(60, 3))
    selector = RHOLoss(labels, 6, x=x, seed=5, warmup=1)
    assert "irreducible" not in selector.state_dict()
    expected = cross_fitted_losses(x, labels, seed=5)
    np.testing.assert_array_equal(selector.irreducible, expected)
    resumed = RHOLoss(labels, 6, x=x, seed=6, warmup=1)
    resumed.load_state_dict(selector.state_dict())
    np.testing.assert_array_equal(resumed.irreducible, expected)


@pytest.mark.parametrize("given", [False, True])
def test_goes_on_from_any_step(labels, logits, rng, given):
    x = rng.normal(size=(60, 3))
    how = {"irreducible": rng.gamma(1.0, size=60)} if given else {"x": x}
    make = lambda seed: RHOLoss(labels, 16, seed=seed, warmup=1, **how)  # noqa: E731
    whole = batches_of(make(1), lambda rows: logits[rows], 16)
    for stop in (1, 3, 4, 5, 6, 9):
        first, second = make(1), make(2)
        second.irreducible  # of another seed; must not survive  # noqa: B018
        batches_of(first, lambda rows: logits[rows], stop)
        second.load_state_dict(first.state_dict())
        assert batches_of(second, lambda rows: logits[rows], 16 - stop) == whole[stop:]


def test_no_look_where_nothing_can_be_left_out(labels):
    for selector in (RHOLoss(labels, 60, irreducible=np.zeros(60)), RHOLoss(labels, 7, ratio=1, irreducible=np.zeros(60))):
        for rows in selector:
            assert not selector.screening
            assert len(set(rows.tolist())) == selector.batch_size


def test_pool_beyond_the_data_is_all_rows(labels, logits):
    selector = RHOLoss(labels, 20, irreducible=np.zeros(60))
    candidates = next(iter(selector))
    assert sorted(candidates.tolist()) == list(range(60))
    assert len(selector.screen(candidates, logits[candidates])) == 20


def test_nan_logits_of_candidates_are_refused_or_hardest(labels, logits):
    logits[17] = torch.nan
    selector = RHOLoss(labels, 6, irreducible=np.zeros(60))
    candidates = next(iter(selector))
    with pytest.raises(DataError, match="instance 17"):
        selector.screen(candidates, logits[candidates])
    tolerant = RHOLoss(labels, 6, irreducible=np.r_[np.zeros(17), -1.0, np.zeros(42)], on_nonfinite="max")
    candidates = next(iter(tolerant))
    assert tolerant.screen(candidates, logits[candidates]).tolist()[0] == 17


@pytest.mark.parametrize("params", [{"ratio": 0}, {"ratio": 1.5}, {"ratio": np.nan}, {"correction": 1.0}])
def test_impossible_parameters(labels, params):
    with pytest.raises(ParameterError):
        RHOLoss(labels, 6, irreducible=np.zeros(60), **params)


def test_features_that_the_reference_model_cannot_read(labels):
    with pytest.raises(ParameterError, match="needs the features"):
        RHOLoss(labels, 6)
    for x in (np.zeros((60, 3, 8, 8)), np.full((60, 2), "word")):
        with pytest.raises(ParameterError, match="irreducible="):
            RHOLoss(labels, 6, x=x)
        assert len(RHOLoss(labels, 6, x=x, irreducible=torch.zeros(60))) == 10


@pytest.mark.parametrize("irreducible", [np.zeros(59), np.full(60, np.nan), np.zeros((60, 4))])
def test_reference_losses_that_do_not_fit(labels, irreducible):
    with pytest.raises(DataError, match="60 finite irreducible losses"):
        RHOLoss(labels, 6, irreducible=irreducible)


def test_a_step_on_millions_of_rows():
    n = 3_000_000
    assert seconds_a_step(RHOLoss(sparse.csr_array((n, 4)), 64, irreducible=np.zeros(n))) < 0.01
