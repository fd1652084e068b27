"""Every fault gives one ReadError with the file, the line, what was expected and what came."""

import gzip
import lzma

import pytest

from polytag.data.readers import read_arff
from polytag.errors import ParameterError, ReadError

HEAD = "@relation 'r: -C 1'\n@attribute y {0,1}\n@attribute a numeric\n@attribute c {u,v}\n@data\n"


def failure(folder, raw, **options) -> ReadError:
    path = folder / "bad.arff"
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    with pytest.raises(ReadError) as caught:
        read_arff(path, **options)
    error = caught.value
    assert error.path == path
    assert str(path) in str(error)
    assert error.expected
    assert error.came
    return error


ROWS = {
    "too few": ("1,2,u\n0,3\n", 7, "3 values", "2"),
    "too many": ("1,2,u\n\n0,3,u,4\n", 8, "3 values", "4"),
    "truncated last row": ("1,2,u\n0,3,v\n1,", 8, "3 values", "2"),
    "undeclared value": ("1,2,u\n0,3,w\n", 7, "'c' among its declared values {u,v}", "'w'"),
    "nominal value in another case": ("1,2,U\n", 6, "declared values", "'U'"),
    "label value": ("2,2,u\n", 6, "'y' among its declared values {0,1}", "'2'"),
    "bad number": ("1,2x,u\n", 6, "finite number for 'a'", "'2x'"),
    "two numbers": ("1,2 3,u\n", 6, "finite number for 'a'", "'2 3'"),
    "no number": ("1,,u\n", 6, "finite number for 'a'", "''"),
    "nan": ("1,nan,u\n", 6, "finite number for 'a'", "'nan'"),
    "inf": ("1,-inf,u\n", 6, "finite number for 'a'", "'-inf'"),
    "too large": ("1,1e999,u\n", 6, "finite number for 'a'", "'1e999'"),
    "underscore": ("1,1_0,u\n", 6, "finite number for 'a'", "'1_0'"),
    "open quote": ("1,2,'u\n", 6, "closing quote", "'u"),
    "text behind a quote": ("1,2,'u'v\n", 6, "comma after the quoted value", "'u'v"),
    "sparse among dense": ("1,2,u\n{0 1}\n", 7, "values separated by commas", "sparse row"),
    "dense among sparse": ("{0 1}\n1,2,u\n", 7, "sparse row in braces", "'1,2,u'"),
    "open brace": ("{0 1,1 2\n", 6, "closing brace", "1 2"),
    "index out of range": ("{0 1}\n{0 1,3 1}\n", 7, "index between 0 and 2", "'3'"),
    "huge index": ("{99999999999999999999 1}\n", 6, "index between 0 and 2", "'99999999999999999999'"),
    "negative index": ("{-1 1}\n", 6, "an attribute index and a value", "'-1 1'"),
    "repeated index": ("{1 1,1 2}\n", 6, "each attribute index once", "1 again"),
    "index without value": ("{0 1,1}\n", 6, "finite number for 'a'", "''"),
    "trailing comma": ("{0 1,}\n", 6, "an attribute index and a value", "nothing"),
    "sparse bad number": ("{0 1}\n{1 --1}\n", 7, "finite number for 'a'", "'--1'"),
    "sparse undeclared value": ("{2 w}\n", 6, "declared values {u,v}", "'w'"),
    "decimal index": ("{1.0 1}\n", 6, "an attribute index and a value", "'1.0 1'"),
}


@pytest.mark.parametrize("case", ROWS)
def test_faults_in_rows(tmp_path, case):
    rows, line, expected, came = ROWS[case]
    for end in ("\n", "\r\n"):
        error = failure(tmp_path, (HEAD + rows).replace("\n", end))
        assert (error.line, expected in error.expected, came in error.came) == (line, True, True), str(error)


def test_a_fault_behind_many_blocks_has_its_line(tmp_path):
    error = failure(tmp_path, HEAD + "1,2,u\n" * 60000 + "0,oops,v\n" + "1,2,u\n" * 9)
    assert error.line == 5 + 60001
    error = failure(tmp_path, HEAD + "{0 1,1 2}\n" * 60000 + "{0 1,1 2,2 v\n" + "{1 1}\n" * 9)
    assert error.line == 5 + 60001


HEADERS = {
    "empty file": ("", None, "an ARFF header", "empty file"),
    "blank file": (" \n\n", None, "an ARFF header", "empty file"),
    "no data line": (HEAD.replace("@data\n", ""), None, "@data", "end of the file"),
    "no attributes": ("@relation r\n@data\n1\n", 2, "at least one @attribute", "none"),
    "not ARFF": ("a,b\n1,2\n", 1, "@relation NAME", "'a,b'"),
    "unknown keyword": (HEAD.replace("@attribute a", "@column a"), 3, "@attribute NAME TYPE", "@column"),
    "duplicate attribute": (HEAD.replace("@attribute c", "@attribute 'a'"), 4, "names that differ", "'a' again (first in line 3)"),
    "unknown type": (HEAD.replace("a numeric", "a relational"), 3, "'a' to be numeric", "relational"),
    "labels of Clus": (HEAD.replace("a numeric", "a hierarchical 1,1/2"), 3, "read_clus", "hierarchical attribute 'a'"),
    "no type": (HEAD.replace("a numeric", "a"), 3, "'a' to be numeric", "nothing"),
    "open categories": (HEAD.replace("{u,v}", "{u,v"), 4, "'c' to be numeric", "{u,v"),
    "empty category": (HEAD.replace("{u,v}", "{u,,v}"), 4, "separated by commas", "{u,,v}"),
    "no category": (HEAD.replace("{u,v}", "{}"), 4, "separated by commas", "{}"),
    "category quote": (HEAD.replace("{u,v}", "{'u,v}"), 4, "separated by commas", "{'u,v}"),
    "repeated category": (HEAD.replace("{u,v}", "{u,u}"), 4, "that differ", "'u' twice"),
    "text attribute": (HEAD.replace("a numeric", "a string"), 3, "pass drop=['a']", "'a' of type string"),
    "date attribute": (HEAD.replace("a numeric", "a date"), 3, "pass drop=['a']", "'a' of type date"),
    "label with three values": (HEAD.replace("{0,1}", "{0,1,2}"), 2, "non-binary label 'y'", "{0,1,2}"),
    "too many labels": (HEAD.replace("-C 1", "-C 3"), 1, "between 1 and 2", "3"),
    "no labels": (HEAD.replace("-C 1", "-C 0"), 1, "between 1 and 2", "0"),
    "nothing says": (HEAD.replace(": -C 1", ""), 1, "pass labels=", "no such XML file"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_faults_in_headers(tmp_path, case):
    raw, line, expected, came = HEADERS[case]
    error = failure(tmp_path, raw)
    assert (error.line, expected in error.expected, came in error.came) == (line, True, True), str(error)


@pytest.mark.parametrize("rows", ["1,0.5,u\n", "{0 1,1 0.5}\n", "'1','0.5','u'\n"])
def test_numeric_label_that_is_not_binary(tmp_path, rows):
    error = failure(tmp_path, HEAD + rows, labels=["a"])
    assert error.line == 6
    assert "non-binary label" in error.expected
    assert error.came == "'0.5'"


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_broken_compression(tmp_path, pack):
    packed = pack((HEAD + "1,2,u\n" * 5000).encode())
    for broken in (packed[:-20], packed[: len(packed) // 2], packed[:40] + b"\xff" * 20 + packed[60:]):
        error = failure(tmp_path, broken)
        assert error.expected == "an undamaged file"


def test_text_behind_a_gzip_member(tmp_path):
    assert failure(tmp_path, gzip.compress(HEAD.encode()) + b"tail").expected == "an undamaged file"


def test_unreadable_places(tmp_path):
    with pytest.raises(ReadError, match="a file of that name"):
        read_arff(tmp_path / "none.arff")
    with pytest.raises(ReadError, match="an undamaged file"):
        read_arff(tmp_path)


@pytest.mark.parametrize(("drop", "came"), [(["nothing"], "'nothing'"), (["y"], "the label 'y'")])
def test_dropping_what_cannot_be_dropped(tmp_path, drop, came):
    assert failure(tmp_path, HEAD, drop=drop).came == came


@pytest.mark.parametrize("labels", [0, True, 1.5, [], [1], {"y": 1}])
def test_labels_that_make_no_sense(tmp_path, labels):
    path = tmp_path / "toy.arff"
    path.write_text(HEAD)
    with pytest.raises(ParameterError, match="expected labels to be"):
        read_arff(path, labels=labels)


def test_the_parser_of_one_row_is_linear(tmp_path):
    """A long row of blanks and quotes must not take quadratic time."""
    for filler in (" " * 300_000, "'" + "\\'" * 150_000, "," * 300_000, "{" * 300_000):
        failure(tmp_path, HEAD + "1,2" + filler + "\n")
        failure(tmp_path, HEAD + "{0 1,1 " + filler + "\n")
        failure(tmp_path, HEAD.replace("a numeric", f"a {{{filler}x"))
    failure(tmp_path, HEAD.replace("{u,v}", "{" + "u," * 150_000 + "u}"))
    failure(tmp_path, HEAD.replace("{u,v}", "{" + "".join(f"'{k}', " for k in range(50_000)) + "}"))
