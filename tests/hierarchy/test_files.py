"""Hierarchies in files: tables of parents, edge lists, paths, ontologies; what they say is read, what they lack is named."""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.hierarchy.graphs import graphs

from polytag.errors import DataError, ParameterError, PolytagError, ReadError
from polytag.hierarchy import Hierarchy, read_hierarchy, read_obo

OBO = """format-version: 1.2
ontology: toy

[Term]
id: T:1
name: everything ! of it
namespace: toy

[Term]
id: T:2
alt_id: T:20
is_a: T:1 {source="x"} ! everything
relationship: part_of T:3 ! elsewhere
relationship: regulates T:4

[Term]
id: T:3
is_a: T:1

[Term]
id: T:4
is_a: T:20 ! by another name
is_a: T:3

[Term]
id: T:5
is_a: T:9
is_obsolete: true

[Typedef]
id: part_of
is_a: overlaps
"""
TREE = Hierarchy.from_edges([("a", "b"), ("a", "c")])


@pytest.fixture
def put(tmp_path: Path) -> object:
    def write(text: str, name: str = "file.csv") -> Path:
        path = tmp_path / name
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", ["h.csv", "h.tsv", "h.csv.gz"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(h=graphs(), data=st.data())
def test_tables_of_parents_come_back(tmp_path: Path, name: str, h: Hierarchy, data: st.DataObject) -> None:
    words = st.text('ab ,\t"\n/é', min_size=1, max_size=5).map(str.strip).filter(bool)
    names = data.draw(st.lists(words, min_size=h.q, max_size=h.q, unique=True))
    h = Hierarchy(tuple(names), h.edges)
    h.write_parents(tmp_path / name)
    assert read_hierarchy(tmp_path / name) == h


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        ("node,parent\na,\nb,a\nc,a\n", "h.csv", {}),
        ("\ufeffNode,Parent\r\na,\r\n\r\nb, a\r\nc,a\r\n", "h.csv", {}),
        ("parent\tnode\ttitle\n\ta\tA\na\tb\tB\na\tc\tC\n", "h.txt", {}),
        ("a,\nb,a\nc,a\n", "h.csv", {"format": "parents"}),
        ("parent,child\na,b\na,c\n", "h.csv", {}),
        ("parent,child\na,b\na,c\n", "h.csv", {"direction": "parent_to_child", "tree": True}),
        ("a\tb\na\tc\n", "h.tsv", {"format": "edges", "direction": "parent_to_child"}),
    ],
)
def test_tables(put: object, text: str, name: str, settings: dict) -> None:
    assert read_hierarchy(put(text, name), **settings) == TREE


def test_columns_of_an_edge_list_say_the_direction(put: object) -> None:
    assert set(read_hierarchy(put("child,parent\nb,a\nc,a\n")).to_edges()) == {("a", "b"), ("a", "c")}
    h = read_hierarchy(put("b,a\nc,a\n"), "edges", direction="child_to_parent")
    assert set(h.to_edges()) == {("a", "b"), ("a", "c")}


def test_paths(put: object) -> None:
    assert read_hierarchy(put("path\na/b\nc\n", "h.txt")).names == ("a", "c", "a/b")
    assert read_hierarchy(put("a.b, c\n", "h.txt"), "paths", separator=".").names == ("a", "a.b, c")


def test_ontologies(put: object) -> None:
    h = read_hierarchy(put(OBO, "toy.obo"))
    assert h == Hierarchy.from_obo(put(OBO, "toy.obo.gz")) == read_hierarchy(put(OBO, "toy.txt"))
    assert h.names == ("T:1", "T:2", "T:3", "T:4")
    assert set(h.to_edges()) == {("T:1", "T:2"), ("T:1", "T:3"), ("T:2", "T:4"), ("T:3", "T:4")}
    more = read_hierarchy(put(OBO, "toy.obo"), relations=["is_a", "part_of"])
    assert set(more.to_edges()) - set(h.to_edges()) == {("T:3", "T:2")}
    ontology = read_obo(put(OBO, "toy.obo"))
    assert ontology.titles["T:1"] == "everything ! of it"
    assert ontology.primary == {"T:20": "T:2"}


REFUSED = {
    "unknown form": ("a,b\n", {}, ReadError, r"h\.csv, line 1: expected the columns node and parent.* but found 'a,b'"),
    "empty file": ("", {}, ReadError, "but found ''"),
    "three cells": ("node,parent\na,\nb,a,c\n", {}, ReadError, r"line 3: expected 2 cells, as in the first line, but found 3"),
    "one cell": ("a\n", {"format": "parents"}, ReadError, "line 1: expected two cells, but found 1"),
    "no label": ("node,parent\n,a\n", {}, ReadError, "line 2: expected a label and its parent or nothing"),
    "empty end": ("parent,child\na,b\na,\n", {}, ReadError, "line 3: expected a name in every cell"),
    "open quote": ('node,parent\n"a,\n', {}, ReadError, "expected a table"),
    "no direction": ("a,b\n", {"format": "edges"}, ParameterError, "or direction='parent_to_child' or 'child_to_parent'"),
    "two directions": ("parent,child\na,b\n", {"direction": "child_to_parent"}, ParameterError, "no other direction than the columns"),
    "no such format": ("a,b\n", {"format": "xml"}, ParameterError, "but got 'xml'"),
    "cycle": ("node,parent\na,b\nb,a\n", {}, DataError, r"h\.csv: expected a hierarchy without cycles, but got a -> b -> a"),
    "unknown parent": ("node,parent\nb,a\n", {}, DataError, r"h\.csv: .*'a', parent of 'b'"),
    "two parents": ("node,parent\na,\nb,\nc,a\nc,b\n", {"tree": True}, DataError, "expected a tree, but 'c' is below 'a' and below 'b'"),
    "empty part": ("path\na//b\n", {}, DataError, r"h\.csv: .*'a//b'"),
    "no term": ("format-version: 1.2\n", {}, ReadError, r"no \[Term\] at all"),
    "obsolete terms": ("[Term]\nid: a\nis_obsolete: true\n", {}, ReadError, "1 terms, all of them obsolete"),
    "no id": ("[Term]\nname: a\n", {}, ReadError, "line 1: expected an id"),
    "id twice": ("[Term]\nid: a\n\n[Term]\nid: a\n", {}, ReadError, r"line 4: .* but found 'a' again \(first in line 1\)"),
    "unknown term": ("[Term]\nid: a\nis_a: b\n", {}, ReadError, "line 3: expected a parent of 'a' that is a term in use, but found 'b'"),
    "no relation": ("[Term]\nid: a\n", {"relations": ()}, ParameterError, r"but got \(\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(put: object, case: str) -> None:
    text, settings, error, message = REFUSED[case]
    with pytest.raises(error, match=message) as raised:
        read_hierarchy(put(text, "h.csv"), **settings)
    assert isinstance(raised.value, PolytagError)


def test_no_text(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_bytes(b"node,parent\n\xff\xfe,\n")
    with pytest.raises(ReadError, match="UTF-8"):
        read_hierarchy(tmp_path / "h.csv")


def test_a_name_that_a_table_would_change(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="white space around them, but got ' a'"):
        Hierarchy.from_edges([(" a", "b")]).write_parents(tmp_path / "h.csv")
