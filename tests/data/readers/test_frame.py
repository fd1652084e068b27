"""Tables through polars and pandas, from files and from frames."""

import gzip
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from polytag.data.readers import read_table
from polytag.errors import MissingExtraError, ParameterError, ReadError

CSV = """id,size,place,wild,y1,y2,tags
a,2.5,HJA,yes,1,no,"red, blue"
b,-1e-3,"PC, 1",no,0,yes,
c,,HJA,?,0,no,blue
d,4,?,no,1,no,"blue,green,blue"
"""
NAN = np.nan
X = np.array([[2.5, 1, 0, 1], [-1e-3, 0, 1, 0], [NAN, 1, 0, NAN], [4, NAN, NAN, 0]])
NAMES = ("size", "place=HJA", "place=PC, 1", "wild")
both = pytest.mark.parametrize("backend", ["polars", "pandas"])


def write(folder, text, name="toy.csv"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@both
@pytest.mark.parametrize("dress", ["csv", "tsv", "semicolon", "gzip", "crlf", "parquet", "latin-1"])
def test_label_columns(tmp_path, backend, dress):
    frame = pd.read_csv(write(tmp_path, CSV), keep_default_na=False, na_values=["", "?"])
    text = {"tsv": frame.to_csv(index=False, sep="\t"), "semicolon": frame.to_csv(index=False, sep=";"), "crlf": CSV.replace("\n", "\r\n")}
    raw = text.get(dress, CSV).encode("latin-1")
    path = write(tmp_path, gzip.compress(raw) if dress == "gzip" else raw, "table.anything")
    if dress == "parquet":
        frame.to_parquet(path)
    data = read_table(path, labels=["y1", "y2"], drop=["id", "tags"], backend=backend)
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.Y, [[1, 0], [0, 1], [0, 0], [1, 0]])
    assert (data.feature_names, data.label_names, data.Y.dtype) == (NAMES, ("y1", "y2"), np.uint8)


@both
def test_one_column_that_lists_the_labels(tmp_path, backend):
    data = read_table(write(tmp_path, CSV), labels="tags", delimiter=",", drop=["id", "y1", "y2"], backend=backend, name="mine")
    assert (data.label_names, data.name) == (("blue", "green", "red"), "mine")
    assert isinstance(data.Y, sparse.csr_array)
    np.testing.assert_array_equal(data.Y.toarray(), [[1, 0, 1], [0, 0, 0], [1, 0, 0], [1, 1, 0]])


@both
def test_numbers_as_listed_labels(tmp_path, backend):
    data = read_table(write(tmp_path, "a,tags\n1,7\n2,\n3,12\n"), labels="tags", delimiter="|", backend=backend)
    assert data.label_names == ("12", "7")


@both
def test_unknown_labels_and_truth_values(tmp_path, backend):
    data = read_table(write(tmp_path, "a,y,z\ntrue,1,False\nfalse,,True\n"), labels=["z", "y"], backend=backend)
    np.testing.assert_array_equal(data.X, [[1], [0]])
    assert data.label_names == ("z", "y")
    np.testing.assert_array_equal(data.Y, np.array([[0, 1], [1, NAN]], np.float32))


@pytest.mark.parametrize("library", [pl, pd])
def test_frames_with_lists(library):
    frame = library.DataFrame({"a": [1.0, 2.0, 3.0], "n": [1, None, 3], "tags": [["x", "y"], [], ["y"]]})
    data = read_table(frame, labels="tags") if library is pl else read_table(frame, labels="tags", delimiter=",")
    assert data.label_names == ("x", "y")
    np.testing.assert_array_equal(data.Y.toarray(), [[1, 1], [0, 0], [0, 1]])
    np.testing.assert_array_equal(data.X, [[1, 1], [2, NAN], [3, 3]])


def test_parquet_of_polars_with_lists(tmp_path):
    path = tmp_path / "toy.parquet"
    pl.DataFrame({"a": [1.0, 2.0], "tags": [["x"], None]}).write_parquet(path)
    np.testing.assert_array_equal(read_table(path, labels="tags").Y.toarray(), [[1], [0]])


FAULTS = [
    ("a,b\n1,2\n3\n", ["b"], {}, 3, "2 values", "1"),
    ("a,b\n1,2\n\n3,4,5\n", ["b"], {}, 4, "2 values", "3"),
    ("a,a,b\n1,2,3\n", ["b"], {}, 1, "column names that differ", "'a' twice"),
    ("", ["b"], {}, 1, "a line of column names", "an empty file"),
    ("a,b\n1,2\n", ["c"], {}, 1, "a column 'c'", "['a', 'b']"),
    ("a,b\n1,2\n", ["b"], {"drop": ["c"]}, 1, "a column 'c'", "['a', 'b']"),
    ("a,b\n1,2\n", ["b"], {"drop": ["b"]}, 1, "columns in drop to be features", "['b']"),
    ("a,b\n1,0\n1,2\n", ["b"], {}, None, "0 or 1 for the label 'b'", "2.0 in row 1"),
    ("a,b\n1,x\n1,y\n2,z\n", ["b"], {}, None, "0 or 1 for the label 'b'", "'x'"),
    ("a,b\ninf,1\n", ["b"], {}, None, "finite numbers in 'a'", "infinite"),
    ("a,b\n" + "".join(f"text {k},1\n" for k in range(300)), ["b"], {}, None, "at most 256 categories", "300 different texts"),
]


@both
@pytest.mark.parametrize(("text", "labels", "options", "line", "expected", "came"), FAULTS)
def test_faults(tmp_path, backend, text, labels, options, line, expected, came):
    path = write(tmp_path, text)
    with pytest.raises(ReadError) as caught:
        read_table(path, labels=labels, backend=backend, **options)
    error = caught.value
    assert (error.path, error.line, expected in error.expected, came in error.came) == (path, line, True, True), str(error)


@both
def test_damaged_files(tmp_path, backend):
    path = tmp_path / "toy.parquet"
    pl.DataFrame({"a": [1.0] * 100, "y": [1] * 100}).write_parquet(path)
    whole = path.read_bytes()
    for broken in (whole[:50], b"PAR1" + b"\0" * 50, gzip.compress(CSV.encode())[:60]):
        with pytest.raises(ReadError):
            read_table(write(tmp_path, broken), labels=["y"], backend=backend)
    with pytest.raises(ReadError, match="CSV row"):
        read_table(write(tmp_path, 'a,b\n1,"' + "x" * 200_000), labels=["b"], backend=backend)


def test_senseless_arguments(tmp_path):
    path = write(tmp_path, CSV)
    for labels in ([], [1], None):
        with pytest.raises(ParameterError, match="labels"):
            read_table(path, labels=labels)
    with pytest.raises(ParameterError, match="backend"):
        read_table(path, labels="y1", backend="excel")
    with pytest.raises(ParameterError, match="data frame"):
        read_table(object(), labels="y1")
    with pytest.raises(ParameterError, match="delimiter"):
        read_table(path, labels="tags", delimiter="")
    dates = pl.DataFrame({"when": ["2020-01-01"], "y": [1]}).with_columns(pl.col("when").str.to_date())
    with pytest.raises(ReadError, match="drop=\\['when'\\]"):
        read_table(dates, labels=["y"])


@pytest.mark.parametrize("absent", [("narwhals",), ("polars", "pandas")])
def test_missing_extras_are_named(tmp_path, monkeypatch, absent):
    for library in absent:
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match="polytag\\[frames\\]"):
        read_table(write(tmp_path, CSV), labels=["y1"])


def test_pandas_serves_where_polars_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    assert read_table(write(tmp_path, CSV), labels=["y1"], drop=["id", "tags"]).n == 4
    with pytest.raises(MissingExtraError, match="polars"):
        read_table(write(tmp_path, CSV), labels=["y1"], backend="polars")
