"""Correlation among positive cells, and the share of it around a row, equal the dense forms of the specification."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.reference import dynamics
from tests.reference.selectors import neighbours

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.selectors import local_correlation
from polytag.selectors.local_correlation import LocalCorrelation, labels_around

X = np.array([[0.0], [1.0], [2.1], [5.0], [6.2]])
Y = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]])


def dense(starts, columns, q):
    return np.array([np.isin(np.arange(q), columns[starts[i] : starts[i + 1]]) for i in range(len(starts) - 1)]).astype(int)


def random_case(rng, n=40, q=7):
    x, y = rng.normal(size=(n, 3)), (rng.random((n, q)) < np.linspace(0.6, 0.05, q)).astype(float)
    y[3], y[5], y[:, 4], x[8] = 0, 1, 0, x[2]
    return x, y, rng.random((n, q))


def test_hand_example():
    assert dense(*labels_around(LabelIndex.from_labels(Y), X, 2), 3).tolist() == [[1, 1, 1]] * 3 + [[1, 0, 1]] * 2


@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy, sparse.csr_array])
@pytest.mark.parametrize("k", [0, 1, 6, 39])
def test_labels_around_equal_the_text(rng, wrap, k):
    x, y, _ = random_case(rng)
    found = dense(*labels_around(LabelIndex.from_labels(y), wrap(x), k), y.shape[1])
    assert np.array_equal(found, dynamics.present(y, neighbours(x, k)))


@pytest.mark.parametrize("block", [1, 50, 2**20])
def test_matrix_and_shares_equal_the_text(rng, monkeypatch, block):
    monkeypatch.setattr(local_correlation, "_PAIRS", block)
    x, y, metric = random_case(rng)
    metric[y[:, 6] == 1, 6] = 0  # a label whose positive cells are all 0
    index = LabelIndex.from_labels(y)
    local = LocalCorrelation(index, x, 6)
    matrix = local.matrix(metric[y == 1])
    np.testing.assert_allclose(matrix, dynamics.correlation(metric, y), rtol=1e-12, atol=1e-15)
    sums = matrix.sum(axis=1)
    np.testing.assert_allclose(sums, [1, 1, 1, 1, 0, 1, 0], atol=1e-12)
    shares = local.shares(matrix)
    expected = dynamics.shares(matrix, dynamics.present(y, neighbours(x, 6)))[y == 1]
    np.testing.assert_allclose(shares, expected, rtol=1e-12, atol=1e-15)
    assert ((shares >= 0) & (shares <= 1)).all()


def test_scopes(rng):
    x, y, metric = random_case(rng)
    index = LabelIndex.from_labels(y)
    matrix = LocalCorrelation(index, None, scope="global").matrix(metric[y == 1])
    np.testing.assert_allclose(LocalCorrelation(index, None, scope="global").shares(matrix), 1.0)
    assert not LocalCorrelation(index, None, scope="none").shares(matrix).any()
    near, all_rows = LocalCorrelation(index, x, 1).shares(matrix), LocalCorrelation(index, x, 100).shares(matrix)
    assert (near <= all_rows + 1e-12).all()
    assert near.min() < 0.9
    np.testing.assert_allclose(all_rows, 1.0)


def test_one_row_and_no_labels():
    local = LocalCorrelation(LabelIndex.from_labels(np.ones((1, 2))), np.zeros((1, 3)))
    matrix = local.matrix(np.array([0.5, 0.25]))
    np.testing.assert_allclose(matrix, 0.5)
    np.testing.assert_allclose(local.shares(matrix), 1.0)
    empty = LocalCorrelation(LabelIndex.from_labels(np.zeros((4, 2))), np.zeros((4, 3)))
    assert not empty.matrix(np.empty(0)).any()
    assert empty.shares(np.zeros((2, 2))).shape == (0,)


def test_nothing_of_size_n_times_q(rng):
    n, q = 20_000, 400
    rows, columns = np.repeat(np.arange(n), 3), rng.integers(0, q, size=3 * n)
    y = sparse.coo_array((np.ones(3 * n), (rows, columns)), shape=(n, q)).tocsr()
    y.data[:] = 1
    index, x = LabelIndex.from_labels(y), rng.normal(size=(n, 2)).astype(np.float32)
    local = LocalCorrelation(index, x, 6, scope="global")
    tracemalloc.start()
    matrix = local.matrix(np.ones(len(index.columns)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert matrix.shape == (q, q)
    assert peak < 0.5 * n * q * 8


@pytest.mark.parametrize(("params", "message"), [({"x": None}, "x="), ({"neighbours": -1}, "-1"), ({"scope": "near"}, "near")])
def test_impossible_parameters(params, message):
    with pytest.raises(ParameterError, match=message):
        LocalCorrelation(LabelIndex.from_labels(Y), **{"x": X, **params})
