"""Texts with labels: from tables of any kind, from the news wire, and from the catalogue."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from polytag import load_dataset, load_parts
from polytag.data import catalogue
from polytag.data.readers.goemotions import read_goemotions
from polytag.data.readers.reuters import read_reuters
from polytag.data.readers.texts import read_texts
from polytag.data.stats import describe
from polytag.data.tokenizer import Tokenizer
from polytag.errors import ParameterError, ReadError, UnknownNameError

CSV = 'id,title,comment,joy,fear,stars\n1,Yes,"Lovely, really\nlovely",1,0,5\n2,No,,0,1,2\n3,NA,naïve,1,1,1\n'
BACKENDS = ["polars", "pandas"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "set.csv"
    path.write_text(CSV, encoding="utf-8")
    return path


@pytest.mark.parametrize("backend", BACKENDS)
def test_texts_and_the_columns_of_zero_and_one(table, backend):
    data = read_texts(table, text_column="comment", backend=backend)
    assert (data.kind, data.name, data.feature_names, data.label_names) == ("text", "set", ("comment",), ("joy", "fear"))
    assert data.X.tolist() == [["Lovely, really\nlovely"], [""], ["naïve"]]
    assert data.Y.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert data.X.dtype == object


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_text_columns_in_the_order_asked_for(table, backend):
    data = read_texts(table, text_column=["comment", "title"], labels=["fear"], backend=backend)
    assert data.feature_names == ("comment", "title")
    assert data.X[:, 1].tolist() == ["Yes", "No", ""]
    assert data.label_names == ("fear",)
    assert data.take([2, 0]).X[0, 0] == "naïve"
    assert Tokenizer.fit(data.X[:, 0], min_count=1).transform(data.X[:, 0]).shape == (3, 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_column_that_lists_the_labels(tmp_path, backend):
    path = tmp_path / "set.tsv"
    path.write_text("text\ttags\nred rose\tflower, red\nnothing\t\nsky\tblue\n", encoding="utf-8")
    data = read_texts(path, text_column="text", labels="tags", delimiter=",", backend=backend)
    assert data.label_names == ("blue", "flower", "red")
    assert data.Y.toarray().tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]


def test_other_sources_give_the_same_set(table, tmp_path):
    frame = pd.read_csv(table, keep_default_na=False, na_values=["NA"])
    frame.to_parquet(tmp_path / "set.parquet")
    packed = tmp_path / "set.csv.gz"
    packed.write_bytes(gzip.compress(table.read_bytes()))
    first = read_texts(table, text_column="comment")
    for source in (frame, tmp_path / "set.parquet", packed):
        other = read_texts(source, text_column="comment", name="set")
        assert np.array_equal(first.X, other.X)
        assert np.array_equal(first.Y, other.Y)
        assert first.label_names == other.label_names


def test_unknown_labels_stay_unknown(tmp_path):
    path = tmp_path / "set.csv"
    path.write_text("text,a,b\nx,1,\ny,?,0\n", encoding="utf-8")
    data = read_texts(path, text_column="text")
    assert data.label_names == ("a", "b")
    assert np.array_equal(data.Y, [[1, np.nan], [np.nan, 0]], equal_nan=True)


def test_errors_say_what_is_wrong(table, tmp_path):
    with pytest.raises(ReadError, match=r"expected a column 'coment', but found columns \['id', 'title', 'comment'"):
        read_texts(table, text_column="coment")
    with pytest.raises(ReadError, match=r"texts in the column 'stars', but found 5 in row 0"):
        read_texts(table, text_column="stars")
    with pytest.raises(ReadError, match=r"label 'stars'.*found 5.0"):
        read_texts(table, text_column="comment", labels=["stars"])
    with pytest.raises(ReadError, match="the labels \\['comment'\\]"):
        read_texts(table, text_column="comment", labels=["comment"])
    with pytest.raises(ParameterError, match="labels to be a column"):
        read_texts(table, text_column="comment", labels=[])
    with pytest.raises(ParameterError, match="text_column"):
        read_texts(table, text_column=[])
    path = tmp_path / "bare.csv"
    path.write_text("text,stars\nx,3\n", encoding="utf-8")
    with pytest.raises(ReadError, match=r"labels=\.\.\."):
        read_texts(path, text_column="text")


def test_load_dataset_takes_a_table_with_its_columns(table):
    data = load_dataset(str(table), text_column="comment")
    assert (data.kind, data.label_names) == ("text", ("joy", "fear"))
    assert load_dataset(table, text_column=["title", "comment"], labels=["joy"]).feature_names == ("title", "comment")
    with pytest.raises(ReadError, match="'coment'"):
        load_dataset(table, text_column="coment")
    with pytest.raises(ParameterError, match="both"):
        load_dataset(table, text_column="comment", image_column="title")
    with pytest.raises(ParameterError, match="read_table"):
        load_dataset(table)
    with pytest.raises(UnknownNameError, match="no file"):
        load_dataset("nowhere/set.csv", text_column="comment")
    with pytest.raises(ParameterError, match="holds no texts"):
        load_dataset("digits-scenes", text_column="text")
    with pytest.raises(ParameterError, match="knows its labels"):
        load_dataset("digits-scenes", labels=["a"])


def test_load_dataset_takes_a_table_of_numbers_with_its_labels(tmp_path):
    path = tmp_path / "set.csv"
    path.write_text("size,joy,fear\n1.5,1,0\n2,0,1\n", encoding="utf-8")
    data = load_dataset(path, labels=["joy", "fear"])
    assert (data.kind, data.X.tolist(), data.Y.tolist()) == ("table", [[1.5], [2.0]], [[1, 0], [0, 1]])


def test_columns_are_refused_where_the_file_names_its_labels(tmp_path):
    path = tmp_path / "toy.arff"
    path.write_text("@relation 'toy: -C 1'\n@attribute y {0,1}\n@attribute a numeric\n@data\n1,2.5\n", encoding="utf-8")
    with pytest.raises(ParameterError, match=r"expected a table \(\.csv"):
        load_dataset(path, text_column="a")


ARTICLES = """<!DOCTYPE lewis SYSTEM "lewis.dtd">
<REUTERS TOPICS="YES" LEWISSPLIT="TRAIN" NEWID="1">
<TOPICS><D>grain</D><D>wheat</D></TOPICS>
<TEXT>&#2;
<TITLE>WHEAT &lt;W> &amp; CO</TITLE>
<DATELINE>  PARIS - </DATELINE><BODY>Prices rose.
 Reuter
&#3;</BODY></TEXT>
</REUTERS>
<REUTERS TOPICS="YES" LEWISSPLIT="TRAIN" NEWID="2">
<TOPICS><D>gold</D></TOPICS>
<TEXT TYPE="UNPROC">&#2;
GOLD ROSE
&#3;</TEXT>
</REUTERS>
<REUTERS TOPICS="NO" LEWISSPLIT="TRAIN" NEWID="3">
<TOPICS><D>grain</D></TOPICS>
<TEXT>&#2;<TITLE>LEFT OUT</TITLE></TEXT>
</REUTERS>
<REUTERS TOPICS="YES" LEWISSPLIT="NOT-USED" NEWID="4">
<TOPICS><D>grain</D></TOPICS>
<TEXT>&#2;<TITLE>LEFT OUT TOO</TITLE></TEXT>
</REUTERS>
"""
MORE = """<REUTERS TOPICS="YES" LEWISSPLIT="TEST" NEWID="5">
<TOPICS><D>grain</D><D>corn</D></TOPICS>
<TEXT TYPE="BRIEF">&#2;
******<TITLE>CORN CAF\xc9</TITLE>Blah blah.
&#3;</TEXT>
</REUTERS>
<REUTERS TOPICS="YES" LEWISSPLIT="TRAIN" NEWID="6">
<TOPICS></TOPICS>
<TEXT>&#2;<TITLE>NO TOPIC</TITLE></TEXT>
</REUTERS>
<REUTERS TOPICS="YES" LEWISSPLIT="TEST" NEWID="7">
<TOPICS><D>gold</D></TOPICS>
<TEXT>&#2;<TITLE>GOLD</TITLE><BODY>Fell.</BODY></TEXT>
</REUTERS>
"""


@pytest.fixture
def wire(tmp_path: Path) -> dict[str, Path]:
    paths = {"documents00": tmp_path / "0.sgm", "documents01": tmp_path / "1.sgm.gz"}
    paths["documents00"].write_bytes(ARTICLES.encode("latin-1"))
    paths["documents01"].write_bytes(gzip.compress(MORE.encode("latin-1")))
    return paths


def test_articles_of_the_split_with_topics_of_both_parts(wire):
    data = read_reuters(wire)
    assert (data.kind, data.feature_names, data.label_names) == ("text", ("title", "body", "text"), ("gold", "grain"))
    assert data.X.tolist() == [
        ["WHEAT <W> & CO", "Prices rose.\n Reuter", "WHEAT <W> & CO\nPrices rose.\n Reuter"],
        ["", "GOLD ROSE", "GOLD ROSE"],
        ["CORN CAFÉ", "", "CORN CAFÉ"],
        ["GOLD", "Fell.", "GOLD\nFell."],
    ]
    assert data.Y.toarray().tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]
    assert np.array_equal(np.concatenate([read_reuters(wire, part).X for part in ("train", "test")]), data.X)


def test_damaged_articles_are_named(wire):
    wire["documents00"].write_text(ARTICLES.replace('TOPICS="YES" LEWISSPLIT="TRAIN" NEWID="2"', 'NEWID="2"'), encoding="latin-1")
    with pytest.raises(ReadError, match=r"0\.sgm, line 10: expected an article with TOPICS"):
        read_reuters(wire)
    wire["documents00"].write_text("nothing", encoding="latin-1")
    with pytest.raises(ReadError, match=r"articles in SGML.*'nothing'"):
        read_reuters(wire)


def test_comments_in_three_parts(tmp_path):
    lines = {
        "train": 'so “good”\t0,2\ta\n"quoted\u2028\t1\tb\n',
        "valid": "meh\t1\tc\n",
        "test": "wow\t2,0\td\r\n",
        "labels": "joy\nfear\nawe",
    }
    paths = {part: tmp_path / part for part in lines}
    for part, text in lines.items():
        paths[part].write_bytes(text.encode())
    data = read_goemotions(paths)
    assert data.X[:, 0].tolist() == ["so “good”", '"quoted\u2028', "meh", "wow"]
    assert data.Y.toarray().tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert read_goemotions(paths, "test").n == 1
    paths["valid"].write_text("meh\t3\tc\n")
    with pytest.raises(ReadError, match=r"valid, line 1: expected text, label numbers below 3"):
        read_goemotions(paths)


REAL = {
    "reuters21578": ({"train": 7770, "test": 3019}, 90, (1.235, 0.0137, 384.739)),
    "goemotions": ({"train": 43410, "valid": 5426, "test": 5427}, 28, (1.176, 0.0420, 28.354)),
}


@pytest.mark.data
@pytest.mark.usefixtures("text_folders")
@pytest.mark.parametrize("name", REAL)
def test_real_texts_have_the_published_numbers(name):
    parts, q, (cardinality, density, mean_ir) = REAL[name]
    data, expected = load_dataset(name), catalogue.entry(name).expected
    assert (data.n, data.d, data.q, data.kind) == (sum(parts.values()), expected.d, q, "text")
    assert data.n == expected.n
    measures = describe(data)
    assert round(measures["cardinality"], 3) == cardinality == expected.cardinality
    assert round(measures["density"], 4) == density
    assert round(measures["mean_ir"], 3) == mean_ir == expected.mean_ir
    assert measures["rows_without_label"] == measures["empty_labels"] == 0
    assert data.feature_names == ("text",)
    assert all(data.X[:, 0])
    assert all(isinstance(text, str) for text in data.X.ravel())
    read = load_parts(name)
    assert {part: one.n for part, one in read.items()} == parts
    assert all(one.label_names == data.label_names for one in read.values())


@pytest.mark.data
@pytest.mark.usefixtures("text_folders")
def test_columns_and_parts_of_a_real_set_are_chosen_by_name():
    data = load_dataset("reuters", "test", text_column="title")
    assert (data.name, data.feature_names, data.n) == ("reuters21578/test", ("title",), 3019)
    assert data.X[0, 0].startswith("ASIAN EXPORTERS FEAR DAMAGE")
    both = load_dataset("reuters", "test", text_column=["body", "title"])
    assert both.X[0, 1] == data.X[0, 0]
    with pytest.raises(UnknownNameError, match="'titel'; did you mean 'title'"):
        load_dataset("reuters", text_column="titel")
    with pytest.raises(UnknownNameError, match="no part of 'reuters21578' called 'dev'"):
        load_dataset("reuters", "dev")


@pytest.fixture(scope="session")
def text_notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def text_folders(real_data: Path, text_notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    monkeypatch.setenv("POLYTAG_CACHE", str(text_notes))
    monkeypatch.setenv("POLYTAG_OFFLINE", "1")
