"""Neighbours are exact: ties and equal rows by row number, whatever the kind of features."""

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.reference import selectors as reference

from polytag.errors import DataError
from polytag.selectors import neighbours
from polytag.selectors.neighbours import nearest_rows


def whole(rng):
    return rng.integers(0, 3, size=(70, 4)).astype(float)


def scaled(rng):
    return whole(rng) * 0.1 + 7


def far_from_zero(rng):
    return 1e4 + rng.normal(size=(70, 5))


def repeated(rng):
    return np.repeat(rng.normal(size=(14, 3)), 5, axis=0)


def binary(rng):
    return (rng.random((70, 30)) < 0.1).astype(float)


def constant(rng):
    return np.full((70, 2), 0.3)


@pytest.mark.parametrize("features", [whole, scaled, far_from_zero, repeated, binary, constant])
@pytest.mark.parametrize("k", [1, 5, 69])
def test_equals_the_loop(rng, features, k, monkeypatch):
    X = features(rng)
    expected = reference.neighbours(X, k)
    rows = np.arange(len(X))
    assert np.array_equal(nearest_rows(X, rows, k), expected)
    assert np.array_equal(nearest_rows(torch.from_numpy(X), rows, k), expected)
    assert np.array_equal(nearest_rows(sparse.csr_array(X), rows, k), expected)
    monkeypatch.setattr(neighbours, "_DENSE", 0)
    monkeypatch.setattr(neighbours, "_BLOCK", 500)
    assert np.array_equal(nearest_rows(sparse.csr_matrix(X), rows, k), expected)
    assert np.array_equal(nearest_rows(X, rows[::-3], k), expected[::-3])


def test_integers_booleans_and_images(rng):
    X = rng.integers(0, 255, size=(40, 3, 2, 2), dtype=np.uint8)
    expected = reference.neighbours(X.reshape(40, -1).astype(float), 4)
    assert np.array_equal(nearest_rows(X, np.arange(40), 4), expected)
    flags = rng.random((40, 6)) < 0.5
    assert np.array_equal(nearest_rows(flags, np.arange(40), 4), reference.neighbours(flags.astype(float), 4))


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_array])
def test_nan_is_refused(wrap):
    with pytest.raises(DataError, match="finite"):
        nearest_rows(wrap(np.array([[1.0], [np.nan], [0.0]])), np.arange(3), 1)
