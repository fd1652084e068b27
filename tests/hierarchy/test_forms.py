"""Hierarchies from pairs, tables of parents, paths and arrays of levels, back again, and what is refused."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hierarchy.graphs import graphs

from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.hierarchy.paths import join_path, split_path

few = settings(max_examples=60, deadline=None)
parts = st.lists(st.text("ab/:\\ >", min_size=1).filter(str.strip), min_size=1, max_size=4)


@pytest.mark.parametrize("separator", ["/", ".", "::", " > ", "//"])
@few
@given(given_parts=parts)
def test_paths_come_apart_as_they_were_put_together(separator: str, given_parts: list[str]) -> None:
    assert split_path(join_path(given_parts, separator), separator) == tuple(given_parts)


def test_separators_inside_names() -> None:
    h = Hierarchy.from_paths([r"music/rock\/pop/punk", r"C:\files"])
    assert h.names == (r"C:\files", "music", r"music/rock\/pop", r"music/rock\/pop/punk")
    assert Hierarchy.from_paths(["a.b.c"], separator=".").depth == 3


@few
@given(h=graphs())
def test_round_trips(h: Hierarchy) -> None:
    assert Hierarchy.from_edges(h.to_edges(), h.names) == h
    assert Hierarchy.from_edges([pair[::-1] for pair in h.to_edges()], h.names, direction="child_to_parent") == h
    assert Hierarchy.from_parents(h.to_parents()) == h
    rows = [(name, parent) for name, above in h.to_parents().items() for parent in above or [""]]
    assert Hierarchy.from_parents(rows) == h


@few
@given(paths=st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=1), seed=st.randoms())
def test_paths_in_any_order_make_the_same_tree(paths: list[list[str]], seed: Any) -> None:
    written = ["/".join(path) for path in paths]
    h = Hierarchy.from_paths(written)
    shuffled = written + written[:2]
    seed.shuffle(shuffled)
    assert Hierarchy.from_paths(shuffled) == h
    assert Hierarchy.from_levels([path + [""] * (4 - len(path)) for path in paths]) == h
    assert set(h.names) == {"/".join(path[: k + 1]) for path in paths for k in range(len(path))}
    assert list(h.names) == sorted(h.names, key=lambda name: (name.count("/"), name))
    assert h.levels.tolist() == [name.count("/") + 1 for name in h.names]
    assert all(h.names[child].rpartition("/")[0] == h.names[parent] for child, parent in h.edges)
    names = sorted(h.names, reverse=True)
    assert Hierarchy.from_paths([], names) == Hierarchy.from_paths(written, names) == h.ordered(names)


def test_children_before_parents_and_equal_names_below_different_parents() -> None:
    h = Hierarchy.from_paths(["01/01", "02/01", "01"])
    assert h.names == ("01", "02", "01/01", "02/01")
    assert h.to_edges() == [("01", "01/01"), ("02", "02/01")]


def test_levels_from_frames_and_numbers() -> None:
    frame = pd.DataFrame({"top": ["a", "b", "a"], "end": ["x", None, np.nan]})
    assert Hierarchy.from_levels(frame).names == ("a", "b", "a/x")
    assert Hierarchy.from_levels(np.array([[1.0, 2.0], [1.0, np.nan]])).names == ("1.0", "1.0/2.0")


def test_tables_of_parents() -> None:
    h = Hierarchy.from_parents({"a": "", "b": None, "c": [], "d": "a", "e": ["d", "b"], 7: float("nan")})
    assert h.to_parents() == {"a": [], "b": [], "c": [], "d": ["a"], "e": ["b", "d"], "7": []}
    assert Hierarchy.from_parents([("b", "a"), ("a", ""), ("b", "a")], tree=True).to_edges() == [("a", "b")]


def test_a_root_is_left_out() -> None:
    h = Hierarchy.from_edges([("root", "a"), ("a", "b"), ("root", "b")], root="root")
    assert (h.names, h.to_edges()) == (("a", "b"), [("a", "b")])


def test_levels_are_longest_paths() -> None:
    h = Hierarchy.from_edges([("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("x", "d")])
    assert dict(zip(h.names, h.levels.tolist())) == {"a": 1, "b": 2, "c": 3, "d": 4, "x": 1}
    assert [[h.names[k] for k in here] for here in h.by_level] == [["a", "x"], ["b"], ["c"], ["d"]]


def test_a_hierarchy_of_whatever_describes_one() -> None:
    h = Hierarchy.from_paths(["a/b", "c"])
    names = ["a/b", "c", "a"]
    for value in (h, h.to_dict(), h.to_parents(), ["a/b", "c"], [("a", "a/b")]):
        assert Hierarchy.of(value, names) == h.ordered(names)
    assert Hierarchy.of([], ["a"]).names == ("a",)


LONG = [(f"n{k}", f"n{(k + 1) % 50}") for k in range(50)]
REFUSED = {
    "cycle": (lambda: Hierarchy.from_edges([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]), r"cycles, but got (\w) -> \w -> \w -> \1 "),
    "cycle below a top": (lambda: Hierarchy.from_parents({"t": "", "a": ["t", "b"], "b": "a"}), "but got (a -> b -> a|b -> a -> b) "),
    "own parent": (lambda: Hierarchy.from_parents({"a": "a"}), "but got a -> a "),
    "long cycle": (lambda: Hierarchy.from_edges(LONG), r"-> \.\.\. \(30 more\) -> n0 "),
    "unknown parent": (lambda: Hierarchy.from_parents({"cat": "animal"}), "row for every label, but 'animal', parent of 'cat', has none"),
    "edge to an unknown label": (lambda: Hierarchy.from_edges([("a", "b")], ["a"]), "but 'b' is none of them"),
    "edge that is no pair": (lambda: Hierarchy.from_edges([("a", "b", "c")]), r"\(parent, child\), but got \('a', 'b', 'c'\)"),
    "edge that is a word": (lambda: Hierarchy.from_edges(["ab"]), "pairs of names .* but got 'ab'"),
    "edge with an empty name": (lambda: Hierarchy.from_edges([("a", "")]), r"but got \('a', ''\)"),
    "empty label": (lambda: Hierarchy.from_parents({"": "a", "a": ""}), "name for every label"),
    "row that is no pair": (lambda: Hierarchy.from_parents([("a",)]), r"pairs of names \(label, parent\), but got \('a',\)"),
    "two parents in a tree": (
        lambda: Hierarchy.from_parents([("a", ""), ("b", ""), ("c", "b"), ("c", "a")], tree=True),
        "expected a tree, but 'c' is below 'a' and below 'b'",
    ),
    "two parents in a tree of edges": (lambda: Hierarchy.from_edges([("a", "c"), ("b", "c")], tree=True), "'c' is below 'a' and below 'b'"),
    "empty part": (lambda: Hierarchy.from_paths(["a//b"]), "but got 'a//b'"),
    "empty part at the end": (lambda: Hierarchy.from_paths(["a/"]), "but got 'a/'"),
    "empty path": (lambda: Hierarchy.from_paths([""]), "but got ''"),
    "path outside the names": (lambda: Hierarchy.from_paths(["a/b"], ["a/b"]), "among the names, but 'a' is not"),
    "name twice": (lambda: Hierarchy.from_paths(["a"], ["a", "a"]), "every label once, but 'a' stands there twice"),
    "empty level in the middle": (lambda: Hierarchy.from_levels([["a", "", "c"]]), r"only at the right .* \['a', '', 'c'\]"),
    "nothing": (lambda: Hierarchy.from_paths([]), "at least one label, but got none"),
    "text": (lambda: Hierarchy.of("tree.csv"), "read a file with read_hierarchy"),
    "numbers that are no pairs": (lambda: Hierarchy(("a", "b"), np.array([0, 1, 1])), r"of shape \(m, 2\), but got int64 \(3,\)"),
    "numbers that are not whole": (lambda: Hierarchy(("a", "b"), np.array([[0.5, 1]])), "whole numbers"),
    "number too high": (lambda: Hierarchy(("a", "b"), np.array([[1, 2]])), "labels 0 to 1, but got 1 to 2"),
    "names of other data": (lambda: Hierarchy(("a", "b"), np.zeros((0, 2))).ordered(["a", "x"]), r"lacks \['x'\] and has \['b'\] besides"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        make()


def test_no_such_direction_or_separator() -> None:
    with pytest.raises(ParameterError, match="but got 'up'"):
        Hierarchy.from_edges([("a", "b")], direction="up")  # type: ignore[arg-type]
    for separator in ("", "\\"):
        with pytest.raises(ParameterError, match="separator of at least one character"):
            Hierarchy.from_paths(["a"], separator=separator)
