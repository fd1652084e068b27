"""Label paths of rows become closed labels and a hierarchy, and come back as paths or as an array of levels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.hierarchy.graphs import with_labels

from polytag.errors import DataError
from polytag.hierarchy import Hierarchy, label_paths, path_levels, path_names

few = settings(max_examples=60, deadline=None)
path = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@few
@given(rows=st.lists(st.lists(path, max_size=3), min_size=1).filter(any))
def test_paths_in_and_out(rows: list[list[str]]) -> None:
    found = label_paths(rows)
    h = found.hierarchy
    assert (found.Y.dtype, found.declared.dtype, found.Y.shape) == (np.uint8, np.uint8, (len(rows), h.q))
    for k, row in enumerate(rows):
        assert {h.names[j] for j in found.declared[[k]].indices} == set(row)
        ancestors = {"/".join(each.split("/")[: length + 1]) for each in row for length in range(each.count("/") + 1)}
        assert {h.names[j] for j in found.Y[[k]].indices} == ancestors
        assert set(path_names(h, found.Y)[k]) == {each for each in row if not any(other.startswith(each + "/") for other in row)}
    assert found.added == found.Y.nnz - found.declared.nnz
    again = label_paths(["@".join(row) for row in path_names(h, found.Y)], hierarchy=h)
    np.testing.assert_array_equal(again.Y.toarray(), found.Y.toarray())
    assert path_names(h, found.Y.toarray()) == path_names(h, found.declared) == path_names(h, found.Y)


@few
@given(drawn=with_labels())
def test_names_in_and_out_of_any_graph(drawn: tuple[Hierarchy, np.ndarray]) -> None:
    h, Y = drawn
    written = path_names(h, Y)
    np.testing.assert_array_equal(label_paths(written, hierarchy=h).Y.toarray(), h.close(Y))
    np.testing.assert_array_equal(label_paths(written, hierarchy=h).declared.toarray(), h.leaves(Y))


@few
@given(rows=st.lists(st.one_of(path, st.just("")), min_size=1).filter(any))
def test_levels_in_and_out(rows: list[str]) -> None:
    array = np.array([(row.split("/") if row else []) + [""] * (4 - len(row.split("/") if row else [])) for row in rows], dtype=object)
    found = label_paths(array)
    np.testing.assert_array_equal(found.Y.toarray(), label_paths(rows).Y.toarray())
    back = path_levels(found.hierarchy, found.Y)
    assert back.tolist() == array[:, : found.hierarchy.depth].tolist()
    assert label_paths(pd.DataFrame(array).replace("", None)).hierarchy == found.hierarchy


def test_names_of_a_tree_that_are_no_paths() -> None:
    h = Hierarchy.from_parents({"animal": "", "cat": "animal", "TCP/IP": ""})
    Y = [[1, 1, 0], [0, 0, 1]]
    assert path_names(h, Y) == [["animal/cat"], [r"TCP\/IP"]]
    assert path_names(h, Y, separator=".") == [["animal.cat"], ["TCP/IP"]]
    assert path_levels(h, Y).tolist() == [["animal", "cat"], ["TCP/IP", ""]]
    for rows in (["animal/cat", r"TCP\/IP"], ["cat", "TCP/IP"], np.array([["animal", "cat"], ["TCP/IP", ""]])):
        assert label_paths(rows, hierarchy=h).Y.toarray().tolist() == Y


def test_a_path_of_the_tree_goes_before_a_name_that_looks_like_it() -> None:
    h = Hierarchy.from_parents({"a": "", "b": "a", "a/b": ""})
    Y = np.eye(3, dtype=np.uint8)
    assert path_names(h, Y) == [["a"], ["a/b"], [r"a\/b"]]
    assert label_paths(path_names(h, Y), hierarchy=h).declared.toarray().tolist() == Y.tolist()


def test_names_of_a_graph() -> None:
    h = Hierarchy.from_edges([("a", "c"), ("b", "c"), ("c", "c/d")])
    assert path_names(h, [[1, 1, 1, 0], [1, 1, 1, 1]]) == [["c"], ["c/d"]]
    assert label_paths(["c/d"], hierarchy=h).Y.toarray().tolist() == [[1, 1, 1, 1]]


def test_other_marks() -> None:
    found = label_paths(["a.b;c", ""], separator=".", mark=";")
    assert found.hierarchy.names == ("a", "c", "a.b")
    assert path_names(found.hierarchy, found.Y, separator=".") == [["c", "a.b"], []]
    assert label_paths(pd.Series(["a/b", "a"], index=[7, 3])).Y.toarray().tolist() == [[1, 1], [1, 0]]


def test_unknown_cells_are_no_labels() -> None:
    h = Hierarchy.from_paths(["a/b"])
    assert path_names(h, [[1, np.nan], [np.nan, np.nan]]) == [["a"], []]
    assert path_names(h, sparse.csr_array((0, 2))) == []
    assert path_levels(h, np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a/b", "but got one string 'a/b'; put it into a list"),
        ([["a"], None], r"but row 1 is None; write '' or \[\]"),
        ([float("nan")], "but row 0 is nan"),
        ([["a", 3]], r"but row 0 is \['a', 3\]"),
        (["a//b"], "but got 'a//b'"),
        (["a@"], "but got ''"),
        (np.array([["a", "", "b"]]), "empty cells only at the right"),
        (["", ""], "none of the 2 rows has one; give hierarchy="),
    ],
)
def test_refused(rows: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        label_paths(rows)


def test_a_label_absent_from_the_hierarchy() -> None:
    with pytest.raises(DataError, match="row 1 has 'a/z', which is none of its 2; add it"):
        label_paths(["a", "a/z"], hierarchy=Hierarchy.from_paths(["a/b"]))


def test_no_array_of_levels() -> None:
    with pytest.raises(DataError, match="row 1 has 'a' and 'b'; take path_names"):
        path_levels(Hierarchy.from_paths(["a", "b"]), [[1, 0], [1, 1]])
    with pytest.raises(DataError, match="'c' has several parents"):
        path_levels(Hierarchy.from_edges([("a", "c"), ("b", "c")]), [[1, 1, 1]])
