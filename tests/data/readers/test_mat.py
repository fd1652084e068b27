"""MATLAB arrays: q x n targets, dense or sparse, 0/1 or -1/1."""

import numpy as np
import pytest
from scipy import io, sparse

from polytag.data.readers import read_mat
from polytag.errors import ReadError

X = np.array([[0.5, 0, 2], [0, 1, 0], [3, 0, 0], [0, 0, 1]])
Y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], dtype=np.uint8)


def save(folder, **variables):
    path = folder / "toy.mat"
    io.savemat(path, variables)
    return path


@pytest.mark.parametrize("target", [Y.T, Y, Y.T * 2.0 - 1, Y.T.astype(bool), Y.T * np.int16(2) - 1])
def test_dense_targets(tmp_path, target):
    data = read_mat(save(tmp_path, data=X, target=target))
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.Y, Y)
    assert (data.X.dtype, data.Y.dtype, data.name) == (np.float64, np.uint8, "toy")


@pytest.mark.parametrize("target", [Y.T, Y.T * 2.0 - 1])
def test_sparse_arrays_stay_sparse(tmp_path, target):
    path = save(tmp_path, fea=sparse.csc_matrix(X), gnd=sparse.csc_matrix(target.astype(float)))
    data = read_mat(path, "fea", "gnd", name="other")
    assert isinstance(data.X, sparse.csr_array)
    assert isinstance(data.Y, sparse.csr_array)
    np.testing.assert_array_equal(data.X.toarray(), X)
    np.testing.assert_array_equal(data.Y.toarray(), Y)
    assert data.Y.nnz == Y.sum()
    assert data.name == "other"


def test_unknown_labels(tmp_path):
    target = Y.T.astype(float)
    target[1, 2] = np.nan
    data = read_mat(save(tmp_path, data=X, target=target))
    assert data.Y.dtype == np.float32
    np.testing.assert_array_equal(data.Y, target.T)


def test_square_target_is_q_by_n(tmp_path):
    target = np.array([[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(read_mat(save(tmp_path, data=X, target=target)).Y, target.T)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"data": X}, "a variable 'target'"),
        ({"data": X, "target": Y[:3, :2]}, "'target' of shape (q, 4)"),
        ({"data": X, "target": Y.T * 2}, "non-binary label"),
        ({"data": X, "target": "text"}, "matrix of numbers"),
        ({"data": X.astype(complex) * 1j, "target": Y.T}, "matrix of numbers"),
        ({"data": np.full((4, 2), np.inf), "target": Y.T}, "finite numbers"),
        ({"data": np.zeros((4, 2, 2)), "target": Y.T}, "real matrix"),
    ],
)
def test_faults(tmp_path, variables, expected):
    path = save(tmp_path, **variables)
    with pytest.raises(ReadError) as caught:
        read_mat(path)
    assert expected in caught.value.expected
    assert caught.value.path == path


def test_files_that_are_not_matlab(tmp_path):
    path = save(tmp_path, data=X, target=Y.T)
    whole = path.read_bytes()
    for broken in (
        b"",
        b"plain text, nothing else",
        whole[:150],
        whole[:-9],
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x00" * 99,
    ):
        path.write_bytes(broken)
        with pytest.raises(ReadError):
            read_mat(path)
    with pytest.raises(ReadError, match="a file of that name"):
        read_mat(tmp_path / "none.mat")
