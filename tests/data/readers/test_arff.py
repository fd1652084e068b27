"""What is written is read, in every dress that ARFF files wear."""

import gzip
import lzma
import tracemalloc

import arff
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.reference import arff_text
from tests.reference.arff_text import TWO_VALUED, Column

from polytag.data.readers import read_arff
from polytag.data.readers.arff_blocks import BlockParser
from polytag.data.readers.decimals import IrregularError

TOY = """% a comment
@RELATION 'toy: -C 2'

@ATTRIBUTE\ty1 {0,1}
@attribute 'the label' \t{0,1}
@Attribute size REAL
@attribute place {HJA,'PC 1',"it's"}
@attribute wild {no, yes}

@DATA
% another comment
1,0,2.5,HJA,yes

0 , 1 ,\t-1e-3 , 'PC 1' , no
0,0,?,"it's",?
1,1,.5,?,yes
"""


def write(folder, text, name="toy.arff"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def full(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else matrix


def test_dense_rows_with_every_kind_of_attribute(tmp_path):
    data = read_arff(write(tmp_path, TOY))
    assert data.label_names == ("y1", "the label")
    assert data.feature_names == ("size", "place=HJA", "place=PC 1", "place=it's", "wild")
    assert data.Y.dtype == np.uint8
    np.testing.assert_array_equal(data.Y, [[1, 0], [0, 1], [0, 0], [1, 1]])
    nan = np.nan
    np.testing.assert_array_equal(data.X, [[2.5, 1, 0, 0, 1], [-1e-3, 0, 1, 0, 0], [nan, 0, 0, 1, nan], [0.5, nan, nan, nan, 1]])
    assert data.name == "toy"


@pytest.mark.parametrize("dress", ["crlf", "tabs", "gzip", "two gzip members", "xz", "bom", "no end", "gzip named arff"])
def test_dress_does_not_matter(tmp_path, dress):
    raw = TOY.encode()
    dressed = {
        "crlf": raw.replace(b"\n", b"\r\n"),
        "tabs": raw.replace(b" {", b"\t\t{"),
        "gzip": gzip.compress(raw),
        "gzip named arff": gzip.compress(raw),
        "two gzip members": gzip.compress(raw[:100]) + gzip.compress(raw[100:]) + b"\0" * 7,
        "xz": lzma.compress(raw),
        "bom": b"\xef\xbb\xbf" + raw,
        "no end": raw.rstrip(),
    }[dress]
    plain = read_arff(write(tmp_path, TOY))
    data = read_arff(write(tmp_path, dressed, "other.arff" if "named" in dress else "other"))
    np.testing.assert_array_equal(data.X, plain.X)
    np.testing.assert_array_equal(data.Y, plain.Y)
    assert data.feature_names == plain.feature_names


def test_sparse_rows_stay_sparse(tmp_path):
    text = (
        "@relation 'r: -C -2'\n@attribute a numeric\n@attribute b {0,1}\n@attribute c real\n@attribute y {0,1}\n@attribute z {0,1}\n@data\n"
    )
    data = read_arff(write(tmp_path, text + "{0 1.5,1 1, 3 1}\n{}\n{ 2 -3 ,4 1 }\n{1 0,2 ?}\n{2 7, 0 1e1}\n"))
    assert isinstance(data.X, sparse.csr_array)
    assert isinstance(data.Y, sparse.csr_array)
    assert data.X.dtype == np.float64
    assert data.Y.dtype == np.uint8
    np.testing.assert_array_equal(data.X.toarray(), [[1.5, 1, 0], [0, 0, 0], [0, 0, -3], [0, 0, np.nan], [10, 0, 7]])
    np.testing.assert_array_equal(data.Y.toarray(), [[1, 0], [0, 0], [0, 1], [0, 0], [0, 0]])
    assert data.X.nnz == 6, "explicit zeros are not kept"
    assert data.X.has_sorted_indices


def test_left_out_nominal_value_is_the_first_listed_one(tmp_path):
    text = "@relation r\n@attribute on {1,0}\n@attribute c {red,green}\n@attribute y {1,0}\n@attribute n numeric\n@data\n"
    data = read_arff(write(tmp_path, text + "{}\n{0 0,1 green,2 0}\n{1 ?,3 4}\n"), labels=["y"])
    assert data.feature_names == ("on", "c=red", "c=green", "n")
    np.testing.assert_array_equal(data.X.toarray(), [[1, 1, 0, 0], [0, 0, 1, 0], [1, np.nan, np.nan, 4]])
    np.testing.assert_array_equal(data.Y.toarray(), [[1], [0], [1]])


@pytest.mark.parametrize("rows", ["?,1\n1,?\n0,2\n", "{0 ?,1 1}\n{0 1,1 ?}\n{1 2}\n"])
def test_unknown_labels_are_nan(tmp_path, rows):
    data = read_arff(write(tmp_path, "@relation 'r: -C 1'\n@attribute y {0,1}\n@attribute a numeric\n@data\n" + rows))
    assert data.Y.dtype == np.float32
    np.testing.assert_array_equal(data.Y, [[np.nan], [1], [0]])


def test_numeric_labels_of_zero_and_one_are_labels(tmp_path):
    data = read_arff(write(tmp_path, "@relation r\n@attribute a NUMERIC\n@attribute y NUMERIC\n@data\n3.0,1.0\n1,0.0\n"), labels=-1)
    assert data.Y.dtype == np.uint8
    np.testing.assert_array_equal(data.Y, [[1], [0]])


def test_dropped_columns_may_hold_anything(tmp_path):
    text = "@relation r\n@attribute id string\n@attribute when date 'yyyy-MM-dd'\n@attribute a numeric\n@attribute y {0,1}\n@data\n"
    data = read_arff(write(tmp_path, text + "'it\\'s, here',2020-01-01,1,0\nx y,?,2,1\n"), labels=["y"], drop=["id", "when"])
    assert data.feature_names == ("a",)
    np.testing.assert_array_equal(data.X, [[1], [2]])


def test_names_keep_their_backslashes_when_unquoted_and_lose_them_when_quoted(tmp_path):
    labels = "@attribute 'Swainson\\'s Thrush' {0,1}\n@attribute TAG_m\\'usica {0,1}\n"
    text = "@relation r\n" + labels + '@attribute "a \\"b\\"" numeric\n@attribute c{0,1}\n@data\n1,0,1,1\n'
    data = read_arff(write(tmp_path, text), labels=2)
    assert data.label_names == ("Swainson's Thrush", "TAG_m\\'usica")
    assert data.feature_names == ('a "b"', "c")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_names_and_categories_in_both_encodings(tmp_path, encoding):
    text = "@relation r\n@attribute né {über,ä}\n@attribute y {0,1}\n@data\nä,1\nüber,0\n"
    data = read_arff(write(tmp_path, text.encode(encoding)), labels=-1)
    assert data.feature_names == ("né=über", "né=ä")
    np.testing.assert_array_equal(data.X, [[0, 1], [1, 0]])


def test_a_file_without_rows_is_an_empty_set(tmp_path):
    data = read_arff(write(tmp_path, "@relation 'r: -C 1'\n@attribute y {0,1}\n@attribute a numeric\n@data\n\n"))
    assert (data.n, data.d, data.q) == (0, 1, 1)


def test_many_blocks_are_joined_in_order(tmp_path, rng):
    X = rng.integers(0, 10**6, (20000, 3))
    rows = "".join(f"{a},{b},{c},{a % 2}\n" for a, b, c in X.tolist())
    head = "@relation r\n@attribute a numeric\n@attribute b numeric\n@attribute c numeric\n@attribute y {0,1}\n@data\n"
    data = read_arff(write(tmp_path, head + rows), labels=-1)
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.Y[:, 0], X[:, 0] % 2)
    pairs = "".join(f"{{0 {a},1 {b},2 {c}{',3 1' * (a % 2)}}}\n" for a, b, c in X.tolist())
    data = read_arff(write(tmp_path, head + pairs), labels=-1)
    np.testing.assert_array_equal(data.X.toarray(), X)
    np.testing.assert_array_equal(data.Y.toarray()[:, 0], X[:, 0] % 2)


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**12), 10**12).map(str),
    st.decimals(-1000, 1000, places=5).map(str),
    st.sampled_from(["0", "0", "0", "1", "0.0", "-0", "5.", ".25", "+3", "1e3", "007"]),
)
WORDS = st.text(st.sampled_from("abcXYZ_09 -.,'\"{}%\\?:é"), min_size=1, max_size=6).filter(lambda s: s == s.strip())


@st.composite
def tables(draw, words=WORDS):
    n = draw(st.integers(0, 5))
    kinds = st.one_of(
        st.just(()),
        st.sampled_from(TWO_VALUED),
        st.lists(words, min_size=1, max_size=4, unique=True).map(tuple).filter(arff_text.real_categories),
    )
    features = draw(st.lists(kinds, min_size=1, max_size=5))
    labels = draw(st.lists(st.sampled_from(TWO_VALUED[:3]), min_size=1, max_size=3))
    names = draw(st.lists(words, min_size=len(features) + len(labels), max_size=len(features) + len(labels), unique=True))
    columns = []
    for name, categories in zip(names, [*features, *labels]):
        cells = st.sampled_from(categories) if categories else NUMBERS
        columns.append(Column(name, categories, draw(st.lists(st.one_of(cells, cells, cells, st.none()), min_size=n, max_size=n))))
    return columns, len(labels)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(tables())
def test_dense_and_sparse_form_of_the_same_table_agree_with_the_table(tmp_path, table):
    columns, q = table
    if len(columns) == q:
        columns = [Column("first feature", (), ["1"] * len(columns[0].cells)), *columns]
    parts = [column.numbers() for column in columns]
    d = len(columns) - q
    X = np.concatenate([values for values, _ in parts[:d]], axis=1)
    Y = np.concatenate([values for values, _ in parts[d:]], axis=1)
    for write_rows in (arff_text.dense, arff_text.sparse):
        data = read_arff(write(tmp_path, write_rows(columns, f"r: -C -{q}")))
        np.testing.assert_array_equal(full(data.X), X)
        np.testing.assert_array_equal(full(data.Y), Y)
        assert list(data.feature_names) == [name for _, names in parts[:d] for name in names]
        assert list(data.label_names) == [column.name for column in columns[d:]]


SIMPLE = st.text(st.sampled_from("abcXYZ_09 -.'"), min_size=1, max_size=6).filter(lambda s: s == s.strip() and not s.endswith("'"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(tables(SIMPLE))
def test_agrees_with_liac_arff(tmp_path, table):
    columns, q = table
    columns = [c for c in columns if not c.categories or c.binary]
    if len(columns) == q:
        columns = [Column("first feature", (), ["1"] * len(columns[0].cells)), *columns]
    text = arff_text.dense(columns, "r")
    rows = arff.loads(text)["data"]
    ours = read_arff(write(tmp_path, text), labels=-q)
    whole = np.concatenate([ours.X, ours.Y.astype(float)], axis=1)
    for j, column in enumerate(columns):
        theirs = Column(column.name, column.categories, [None if r[j] is None else str(r[j]) for r in rows]).numbers()[0]
        np.testing.assert_array_equal(whole[:, j], theirs[:, 0])


def test_the_quick_way_is_taken_for_plain_files(tmp_path, monkeypatch):
    taken = []
    for form in ("_dense", "_sparse"):
        quick = getattr(BlockParser, form)
        monkeypatch.setattr(BlockParser, form, lambda self, block, quick=quick: taken.append(len(block)) or quick(self, block))
    monkeypatch.setattr("polytag.data.readers.arff_rows.RowParser.dense", lambda *_: pytest.fail("exact parser called"))
    monkeypatch.setattr("polytag.data.readers.arff_rows.RowParser.sparse", lambda *_: pytest.fail("exact parser called"))
    head = "@relation r\n@attribute a numeric\n@attribute c {x,y,z}\n@attribute y {0,1}\n@data\n"
    for rows in ("1.25,x,0\n?,z,1\n", "1.25, x, 0\r\n\r\n?,\tz, 1\r\n", "{0 1.25}\n{0 ?,1 z,2 1}\n", "{ 0 1.25 }\n\n{0 ?, 1 z, 2\t1 }\n"):
        data = read_arff(write(tmp_path, head + rows), labels=-1)
        np.testing.assert_array_equal(full(data.X), [[1.25, 1, 0, 0], [np.nan, 0, 0, 1]])
        np.testing.assert_array_equal(full(data.Y), [[0], [1]])
    assert taken


def test_the_exact_way_gives_the_same_bits(tmp_path, monkeypatch, rng):
    values = rng.normal(size=(50, 4)).round(4)
    rows = "".join(",".join(map(str, row)) + ",1\n" for row in values)
    head = "".join(f"@attribute a{j} real\n" for j in range(4))
    path = write(tmp_path, f"@relation r\n{head}@attribute y {{0,1}}\n@data\n{rows}")
    quick = read_arff(path, labels=-1)

    def refuse(*_):
        raise IrregularError

    monkeypatch.setattr(BlockParser, "dense", refuse)
    assert read_arff(path, labels=-1).X.tobytes() == quick.X.tobytes() == values.tobytes()


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_peak_memory_is_at_most_three_times_the_arrays(tmp_path, rng, form):
    values = rng.integers(1, 100_000, (30_000, 12)) / 1000
    head = "@relation r\n" + "".join(f"@attribute a{j} numeric\n" for j in range(12)) + "@attribute y {0,1}\n@data\n"
    if form == "dense":
        rows = "".join(",".join(map(str, row)) + ",1\n" for row in values.tolist())
    else:
        rows = "".join("{" + ",".join(f"{j} {v}" for j, v in enumerate(row)) + ",12 1}\n" for row in values.tolist())
    path = write(tmp_path, head + rows)
    tracemalloc.start()
    data = read_arff(path, labels=-1)
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(full(data.X), values)
    assert highest < 3 * sum(a.nbytes for m in (data.X, data.Y) for a in ([m] if form == "dense" else [m.data, m.indices, m.indptr]))
