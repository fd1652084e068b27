"""Labels come back in the form in which they came, whoever learnt from them, and bad ones are refused."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from polytag.data.targets import complete_labels, read_target
from polytag.errors import DataError

Y = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]])
KINDS = {
    "array": Y,
    "float32": Y.astype(np.float32),
    "bool": Y.astype(bool),
    "csr_array": sparse.csr_array(Y),
    "csr_matrix": sparse.csr_matrix(Y.astype(np.int8)),
    "coo_array": sparse.coo_array(Y),
    "frame": pd.DataFrame(Y, columns=["a", 7, ("b", "c")]),
    "one column": Y[:, :1],
    "one sparse column": sparse.csr_array(Y[:, :1]),
    "one frame column": pd.DataFrame({"word": ["out", "in", "in"]}),
    "numbers": np.array([3.0, -1.0, 3.0]),
    "words": np.array(["yes", "no", "no"]),
    "always 1": np.ones(3, dtype=np.int8),
}


def dense(labels) -> np.ndarray:
    return labels.toarray() if sparse.issparse(labels) else np.asarray(labels)


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_comes_back_as_it_was(kind: str, complete: bool) -> None:
    given = KINDS[kind]
    labels, target = read_target(given, complete=complete)
    assert set(np.unique(dense(labels))) <= {0, 1}
    assert not complete or (isinstance(labels, np.ndarray) and labels.dtype == np.uint8)
    back = target.restore(dense(labels).astype(bool))
    if isinstance(given, pd.DataFrame):
        pd.testing.assert_frame_equal(back, given)
        assert target.names == tuple(str(name) for name in given.columns)
        return
    assert type(back) is (sparse.csr_array if kind == "coo_array" else type(given))
    assert back.dtype == given.dtype
    np.testing.assert_array_equal(dense(back), dense(given))
    assert target.names == ()


@pytest.mark.parametrize(
    ("kind", "values"), [("words", ["no", "yes"]), ("one column", [0, 1]), ("one sparse column", [0, 1]), ("always 1", [0, 1])]
)
def test_the_two_values_of_a_single_label(kind: str, values: list) -> None:
    single = read_target(KINDS[kind])[1].single
    assert single is not None
    assert single.tolist() == values
    assert read_target(Y)[1].single is None


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_unknown_labels_are_kept_unless_all_must_be_known(wrap) -> None:
    unknown = Y.astype(float)
    unknown[1, 2] = np.nan
    np.testing.assert_array_equal(dense(read_target(wrap(unknown))[0]), unknown)
    with pytest.raises(DataError, match="1 cells are unknown"):
        read_target(wrap(unknown), complete=True)


def test_complete_labels_leave_out_stored_zeros() -> None:
    stored = sparse.csr_array((np.array([1, 0, 1]), np.array([0, 1, 2]), np.array([0, 2, 3])), shape=(2, 3))
    np.testing.assert_array_equal(complete_labels(stored), [[1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "y is None"),
        (Y * 2, "but got 2$"),
        (sparse.csr_array(Y * 2), "but got 2$"),
        (np.where(Y == 1, np.inf, 0.0), "0, 1 or NaN .*, but got inf$"),
        (Y[None], r"shape \(n, q\)"),
        (np.array([0.0, np.nan, 1.0]), "NaN"),
        (np.array([0, 1, 2]), "multiclass"),
        (np.array(["yes", "yes"]), "got only 'yes'"),
    ],
)
@pytest.mark.parametrize("complete", [False, True])
def test_what_is_no_set_of_labels_is_refused(given, said: str, complete: bool) -> None:
    with pytest.raises(DataError, match=said):
        read_target(given, complete=complete)


def test_complete_labels_reads_lists_too() -> None:
    assert complete_labels([[1, 0], [0, 1]]).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(DataError, match="1 cells are unknown"):
        complete_labels([[1, float("nan")]])
