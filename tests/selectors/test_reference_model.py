"""The reference model judges no row that it has seen, learns what can be learnt, and touches nothing global."""

import time

import numpy as np
import pytest
import torch
from scipy import sparse

from polytag.data.catalogue.loading import load_dataset
from polytag.data.labels import LabelIndex
from polytag.errors import DataError, ParameterError
from polytag.selectors.reference_model import cross_fitted_losses
from polytag.selectors.targets import Targets


@pytest.fixture
def table(rng):
    x = rng.normal(size=(300, 5)).astype(np.float32)
    return x, (x[:, :3] > 0).astype(np.float32)


def test_learns_what_can_be_learnt_and_not_the_noise(table):
    x, y = table
    noisy = np.arange(0, 300, 20)
    y[noisy] = 1 - y[noisy]
    losses = cross_fitted_losses(x, y, seed=1)
    assert losses.shape == (300,)
    assert losses.dtype == np.float64
    clean = np.setdiff1d(np.arange(300), noisy)
    assert losses[clean].mean() < 0.4 < np.log(2) < losses[noisy].min()


def test_no_row_has_a_part_in_its_own_judgement(table):
    """Turning a row's labels around changes its own loss as the unchanged network says, and that of the other half only otherwise."""
    x, y = table
    losses = cross_fitted_losses(x, y, seed=3)
    row = int(losses.argmin())
    turned = y.copy()
    turned[row] = 1 - turned[row]
    after = cross_fitted_losses(x, turned, seed=3)
    changed = after != losses
    assert changed[row]
    assert after[row] > losses[row]
    others = np.delete(changed, row)
    assert others.sum() == 150  # the half that is scored by the network that saw the row
    z_sum = np.exp(-3 * losses[row]) + np.exp(-3 * after[row])
    assert z_sum < 1  # both losses come from one network: the two products of probabilities cannot exceed 1


def test_same_for_all_kinds_of_tables_and_labels(table):
    x, y = table
    expected = cross_fitted_losses(x, y, seed=2, epochs=6)
    for features in (x.astype(np.float64), torch.from_numpy(x), sparse.csr_array(x), sparse.csc_matrix(x)):
        np.testing.assert_array_equal(cross_fitted_losses(features, y, seed=2, epochs=6), expected)
    for labels in (torch.from_numpy(y), sparse.csr_array(y), LabelIndex.from_labels(y), Targets(y)):
        np.testing.assert_array_equal(cross_fitted_losses(x, labels, seed=2, epochs=6), expected)
    assert not np.array_equal(cross_fitted_losses(x, y, seed=3, epochs=6), expected)


def test_global_state_is_left_alone(table):
    x, y = table
    expected = cross_fitted_losses(x, y, epochs=3)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    torch.rand(3)
    try:
        with torch.inference_mode():
            np.testing.assert_array_equal(cross_fitted_losses(x, y, epochs=3), expected)
        with torch.no_grad():
            torch.set_rng_state(state)
            np.testing.assert_array_equal(cross_fitted_losses(x, y, epochs=3), expected)
            assert not torch.is_grad_enabled()
        assert torch.equal(torch.get_rng_state(), state)
        assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    finally:
        torch.set_rng_state(state)


def test_unknown_labels_do_not_count(table):
    x, y = table
    y[:, 2] = np.nan
    y[5] = np.nan
    losses = cross_fitted_losses(x, y, seed=2)
    assert losses[5] == 0
    others = np.delete(losses, 5)
    assert (others > 0).all()
    assert others.mean() < 0.35


@pytest.mark.parametrize("n", [1, 2, 3, 7, 11])
def test_few_rows(n):
    losses = cross_fitted_losses(np.ones((n, 2)), np.ones((n, 3)), epochs=4)
    assert losses.shape == (n,)
    assert np.isfinite(losses).all()
    assert (losses > 0).all() == (n > 1)


def test_stops_when_it_gets_no_better(rng):
    x, y = rng.normal(size=(400, 10)), (rng.random((400, 4)) < 0.3).astype(float)
    patient, hasty = (cross_fitted_losses(x, y, patience=patience, rate=0.02).mean() for patience in (100, 5))
    one = cross_fitted_losses(x, y, epochs=1, rate=0.02).mean()
    assert hasty <= one + 0.05
    assert patient < 0.8  # the best state is taken, not the last: 100 epochs on noise end far above


@pytest.mark.parametrize("x", [np.zeros((9, 2, 2)), np.zeros(9), np.full((9, 1), "a"), [[0.0]] * 9, torch.zeros(9, 2).to_sparse()])
def test_features_that_are_no_table(x):
    with pytest.raises(ParameterError, match="irreducible="):
        cross_fitted_losses(x, np.zeros((9, 1)))


def test_features_that_do_not_fit():
    with pytest.raises(DataError, match="as many rows"):
        cross_fitted_losses(np.zeros((8, 2)), np.zeros((9, 1)))
    with pytest.raises(DataError, match="reference loss of instance"):
        cross_fitted_losses(np.full((9, 2), np.nan), np.zeros((9, 1)))


@pytest.mark.data
def test_on_yeast(real_data, monkeypatch):
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    dataset = load_dataset("yeast")
    y = dataset.Y.toarray() if hasattr(dataset.Y, "toarray") else np.asarray(dataset.Y)
    start = time.perf_counter()
    losses = cross_fitted_losses(dataset.X, dataset.Y)
    assert time.perf_counter() - start < 30  # about 2 s on one core
    prior = y.mean(axis=0)
    assert losses.mean() < -(y * np.log(prior) + (1 - y) * np.log(1 - prior)).mean() - 0.03
