"""The index of positive cells equals what one reads off the matrix, whatever kind of matrix came."""

import numpy as np
import pytest
import torch
from scipy import sparse

from polytag.data import labels
from polytag.data.labels import LabelIndex, index_type
from polytag.errors import DataError


def check(index: LabelIndex, y: np.ndarray) -> None:
    assert (index.n, index.q) == y.shape
    for i in range(index.n):
        np.testing.assert_array_equal(index.labels_of(i), np.flatnonzero(y[i] == 1))
    for j in range(index.q):
        np.testing.assert_array_equal(index.rows_of(j), np.flatnonzero(y[:, j] == 1))
    np.testing.assert_array_equal(index.counts, (y == 1).sum(axis=0))
    np.testing.assert_array_equal(index.sizes, (y == 1).sum(axis=1))


def toy(rng, n=37, q=5):
    y = (rng.random((n, q)) < np.linspace(0.7, 0.0, q)).astype(np.float64)
    y[[0, 5, 6]] = 0
    return y


@pytest.mark.parametrize("block", [1, 4, 2**21])
def test_lists_are_those_of_the_matrix(rng, monkeypatch, block):
    monkeypatch.setattr(labels, "_BLOCK", block)
    y = toy(rng)
    for kind in (y, y.astype(bool), y.astype(np.int8), torch.from_numpy(y), sparse.csr_array(y), sparse.csc_matrix(y), sparse.coo_array(y)):
        check(LabelIndex.from_labels(kind), y)


def test_unknown_cells_and_stored_zeros_do_not_count(rng):
    y = toy(rng)
    y[3, :2] = np.nan
    check(LabelIndex.from_labels(y), y)
    csr = sparse.csr_array(np.nan_to_num(y, nan=2.0))
    csr.data[csr.data == 2] = np.nan
    csr.data[::3] = 0
    check(LabelIndex.from_labels(csr), csr.toarray())


def test_unsorted_rows_are_sorted_and_the_matrix_is_left_as_it_was():
    csr = sparse.csr_array((np.ones(4, dtype=np.uint8), [2, 0, 1, 0], [0, 2, 2, 4]), shape=(3, 3))
    check(LabelIndex.from_labels(csr), csr.toarray())
    assert csr.indices.tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (4, 70000)])
def test_unusual_sizes(shape):
    y = np.zeros(shape)
    y[-1:, -1:] = 1
    index = LabelIndex.from_labels(y)
    assert index.columns.tolist() == [shape[1] - 1] * bool(y.sum())
    assert index.rows.tolist() == [shape[0] - 1] * bool(y.sum())


def test_numbers_are_short_only_where_cell_numbers_fit():
    assert index_type(10**7, 200) is np.int32
    assert index_type(10**7, 300) is np.int64
    assert index_type(10, 50_000) is np.int64  # a pair of labels, j * q + k, must fit too
    wide = LabelIndex.from_labels(sparse.csr_array(([1, 1], ([0, 0], [1, 49_999])), shape=(2, 50_000)))
    assert wide.columns.dtype == np.int64
    index = LabelIndex.from_labels(np.eye(3))
    assert {a.dtype for a in (index.row_starts, index.columns, index.column_starts, index.rows)} == {np.dtype(np.int32)}
    assert index.counts.dtype == index.sizes.dtype == index.cooccurrence().dtype == np.int64


@pytest.mark.parametrize("y", [np.full((2, 2), 2.0), np.zeros(3), np.array([["a", "b"]])])
def test_what_is_no_label_matrix_is_refused(y):
    with pytest.raises(DataError, match="expected labels"):
        LabelIndex.from_labels(y)
