"""LIBSVM text with several labels a row."""

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from polytag.data.readers import read_libsvm
from polytag.errors import DataError, ParameterError, ReadError


def write(folder, text, name="toy.txt"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


PLAIN = "# made by hand\n1,3 1:0.2 5:1e1\n 2:3  4:-0.5 # a row without labels\n\n0\n3\t5:7\n"


def test_rows_of_all_kinds(tmp_path):
    data = read_libsvm(write(tmp_path, PLAIN))
    assert isinstance(data.X, sparse.csr_array)
    assert (data.X.dtype, data.Y.dtype, data.name) == (np.float64, np.uint8, "toy")
    np.testing.assert_array_equal(data.X.toarray(), [[0.2, 0, 0, 0, 10], [0, 3, 0, -0.5, 0], [0] * 5, [0, 0, 0, 0, 7]])
    np.testing.assert_array_equal(data.Y.toarray(), [[0, 1, 0, 1], [0] * 4, [1, 0, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("dress", ["gzip", "crlf", "no end"])
def test_dress_does_not_matter(tmp_path, dress):
    raw = PLAIN.encode()
    path = write(tmp_path, {"gzip": gzip.compress(raw), "crlf": raw.replace(b"\n", b"\r\n"), "no end": raw.rstrip()}[dress], "other")
    np.testing.assert_array_equal(read_libsvm(path).X.toarray(), read_libsvm(write(tmp_path, PLAIN)).X.toarray())


def test_sizes_line_of_the_extreme_classification_repository(tmp_path):
    data = read_libsvm(write(tmp_path, "2 6 4\n1,2 1:0.5\n 5:1\n"))
    assert (data.n, data.d, data.q) == (2, 6, 4)
    assert data.X.toarray()[0, 1] == 0.5, "features count from 0"


def test_given_sizes_and_names(tmp_path):
    path = write(tmp_path, "0 1:1 2:2\n1 3:1\n")
    assert read_libsvm(path, n_features=9, n_labels=5).X.shape == (2, 9)
    assert read_libsvm(path, zero_based=True).X.toarray().tolist() == [[0, 1, 2, 0], [0, 0, 0, 1]]
    assert read_libsvm(path, zero_based=False).X.toarray().tolist() == [[1, 2, 0], [0, 0, 1]]
    assert read_libsvm(write(tmp_path, "1,2 0:1\n"), labels_zero_based=False).Y.toarray().tolist() == [[1, 1]]
    data = read_libsvm(path, label_names=["sky", "sea", "sand"])
    assert (data.q, data.label_names) == (3, ("sky", "sea", "sand"))
    with pytest.raises(ParameterError, match="zero_based"):
        read_libsvm(path, zero_based="maybe")
    with pytest.raises(DataError, match="label names"):
        read_libsvm(path, n_labels=3, label_names=["one"])


@pytest.mark.parametrize(
    ("text", "options", "line", "expected", "came"),
    [
        ("0 1:1\n1 2:x\n", {}, 2, "index:value", "'2:x'"),
        ("0 1:1\n1 2:nan\n", {}, 2, "index:value", "'2:nan'"),
        ("0 1:1\n1 2:1e999\n", {}, 2, "index:value", "'2:1e999'"),
        ("0 1:1\n1 2:1 3\n", {}, 2, "index:value", "'3'"),
        ("0 1:1\n1 2:1 :3\n", {}, 2, "index:value", "':3'"),
        ("0 1:1 1:2\n", {}, 1, "each feature index once", "1 again"),
        ("0 qid:1 1:2\n", {}, 1, "index:value", "'qid:1'"),
        ("0 1:1\n1,1 1:2\n", {}, 2, "each label once", "'1,1'"),
        ("0 1:1\n1.5 1:2\n", {}, 2, "labels such as 1,3", "'1.5'"),
        ("0 1:1\nsky 1:2\n", {}, 2, "labels such as 1,3", "'sky'"),
        ("0 1:1\n1, 1:2\n", {}, 2, "labels such as 1,3", "'1,'"),
        ("0 1:1\n\n1 7:2\n", {"n_features": 5}, 3, "a feature index between 1 and 5", "7"),
        ("0 1:1\n4 1:2\n", {"n_labels": 4}, 2, "a label index between 0 and 3", "4"),
        ("0 1:1\n1 0:2\n", {"zero_based": False}, 2, "a feature index between 1", "0"),
        ("2 3 2\n0 1:1\n", {}, None, "2 rows", "1"),
        ("1 3 2\n0 3:1\n", {}, 2, "a feature index between 0 and 2", "3"),
        ("# nothing\n", {}, None, "rows such as", "empty"),
    ],
)
def test_faults(tmp_path, text, options, line, expected, came):
    path = write(tmp_path, text)
    with pytest.raises(ReadError) as caught:
        read_libsvm(path, **options)
    error = caught.value
    assert (error.path, error.line, expected in error.expected, came in error.came) == (path, line, True, True), str(error)


quietly = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 9), max_size=3, unique=True),
        st.dictionaries(st.integers(0, 400), st.floats(-1e6, 1e6).map(lambda v: round(v, 3)) | st.just(1), max_size=6),
    ),
    min_size=1,
    max_size=8,
)


@quietly
@given(ROWS)
def test_agrees_with_scikit_learn(tmp_path, rows):
    text = "".join(",".join(map(str, labels)) + "".join(f" {k}:{v}" for k, v in sorted(cells.items())) + "\n" for labels, cells in rows)
    kept = [(labels, cells) for labels, cells in rows if labels or cells]
    if not kept:
        return
    data = read_libsvm(write(tmp_path, text), n_features=401, n_labels=10, zero_based=True)
    X = np.zeros((len(kept), 401))
    for i, (_, cells) in enumerate(kept):
        X[i, list(cells)] = list(cells.values())
    np.testing.assert_array_equal(data.X.toarray(), X)
    assert [np.flatnonzero(y).tolist() for y in data.Y.toarray()] == [sorted(labels) for labels, _ in kept]
    if all(labels for labels, _ in kept):
        theirs = load_svmlight_file(str(tmp_path / "toy.txt"), n_features=401, multilabel=True, zero_based=True)[0]
        np.testing.assert_array_equal(data.X.toarray(), theirs.toarray())


@quietly
@given(st.lists(st.sampled_from([*"0123456789:,. #\n\t-e", "1:2", "\n1 ", " 7:0.5", "3 9 9\n", "é"]), max_size=30))
def test_anything_is_parsed_or_refused(tmp_path, pieces):
    try:
        data = read_libsvm(write(tmp_path, "".join(pieces)), n_features=1000)
    except ReadError:
        return
    assert np.isfinite(data.X.data).all()
