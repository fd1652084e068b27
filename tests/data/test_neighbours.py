"""Neighbours are exact: ties and equal rows by row number, whatever the kind of features."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.reference import classical as slow
from tests.reference import selectors as reference

from polytag.data import neighbours
from polytag.data.neighbours import NeighbourSearch
from polytag.errors import DataError


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
    for kind in (np.asarray, torch.from_numpy, sparse.csr_array):
        assert np.array_equal(NeighbourSearch(kind(X)).of_training_rows(k), expected)
    monkeypatch.setattr(neighbours, "_DENSE", 0)
    monkeypatch.setattr(neighbours, "_BLOCK", 500)
    for kind in (sparse.csr_matrix, sparse.coo_array, np.asarray):
        search = NeighbourSearch(kind(X))
        assert np.array_equal(search.of_training_rows(k), expected)
        assert np.array_equal(search.of_training_rows(k, np.arange(len(X))[::-3]), expected[::-3])


def test_integers_booleans_and_images(rng):
    X = rng.integers(0, 255, size=(40, 3, 2, 2), dtype=np.uint8)
    expected = reference.neighbours(X.reshape(40, -1).astype(float), 4)
    assert np.array_equal(NeighbourSearch(X).of_training_rows(4), expected)
    assert np.array_equal(NeighbourSearch(torch.from_numpy(X)).of(X[:9], 5)[:, 0], np.arange(9))
    flags = rng.random((40, 6)) < 0.5
    assert np.array_equal(NeighbourSearch(flags).of_training_rows(4), reference.neighbours(flags.astype(float), 4))


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_array])
def test_nan_is_refused(wrap):
    known, unknown = wrap(np.array([[1.0], [2.0], [0.0]])), wrap(np.array([[1.0], [np.nan], [0.0]]))
    with pytest.raises(DataError, match="finite"):
        NeighbourSearch(unknown)
    with pytest.raises(DataError, match="finite"):
        NeighbourSearch(known).of(unknown, 1)
    assert NeighbourSearch(known).of(known[:0], 2).shape == (0, 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 2**20), st.sampled_from([3, 1000]), st.booleans())
def test_neighbours_are_exact(n: int, d: int, seed: int, different: int, small_blocks: bool) -> None:
    rng = np.random.default_rng(seed)
    x, rows = rng.integers(0, different, (n, d)) / 8, rng.integers(0, different, (7, d)) / 8
    k = int(rng.integers(1, n))
    inside = [slow.nearest(x, x[i], k, leave_out=i) for i in range(n)]
    outside = [slow.nearest(x, row, k) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        if small_blocks:
            patch.setattr(neighbours, "_BLOCK", 2 * n)
        for whole in (1, 8):  # eighths go through the second look, whole numbers do not
            for kind, often in ((np.asarray, 0.05), (sparse.csr_array, 0.05), (sparse.csr_array, 0.99), (sparse.csr_array, 2)):
                patch.setattr(neighbours, "_OFTEN", often)  # sparse rows made dense; some columns; none
                search = NeighbourSearch(kind(x * whole))
                np.testing.assert_array_equal(search.of_training_rows(k), inside)
                np.testing.assert_array_equal(search.of(kind(rows * whole), k), outside)


def test_ties_go_to_the_first_rows_and_equal_rows_are_neighbours() -> None:
    same = np.ones((6, 2))
    search = NeighbourSearch(same * 0.3)
    np.testing.assert_array_equal(search.of_training_rows(2), [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1]])
    np.testing.assert_array_equal(search.of(same[:1], 3), [[0, 1, 2]])


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_neighbours_of_rows_far_from_1(scale: float) -> None:
    rng = np.random.default_rng(0)
    x, rows = rng.normal(size=(50, 4)), rng.normal(size=(9, 4))
    expected = NeighbourSearch(x).of(rows, 5)
    np.testing.assert_array_equal(NeighbourSearch(x * scale).of(rows * scale, 5), expected)
    far = NeighbourSearch(x).of(np.vstack([rows, np.full((1, 4), 1e9)]), 5)
    np.testing.assert_array_equal(far[:9], expected)


def test_rows_that_float32_cannot_tell_apart() -> None:
    x = 1e6 + np.array([[0.0], [1e-4], [3e-4], [7e-4], [50.0], [-50.0]])
    np.testing.assert_array_equal(NeighbourSearch(x).of_training_rows(1)[:, 0], [1, 0, 1, 2, 3, 0])
