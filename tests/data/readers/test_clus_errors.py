"""Every fault of a Clus file gives one ReadError with the file, the line, what was expected and what came."""

import pytest

from polytag.data import read_clus
from polytag.errors import ParameterError, ReadError

HEAD = "@relation r\n@attribute a numeric\n@attribute c {u,v}\n@attribute class hierarchical 1,1/2,3\n@data\n"
GRAPH = HEAD.replace("1,1/2,3", "root/a,a/b,b/c,root/d")

FAULTS = {
    "unknown label": (HEAD + "1,u,1\n1,v,1/2@1/4\n", 7, "labels of the class list", "'1/4'"),
    "unknown label, exact": (HEAD + "1,u,1\n% x\n1,v,2\n", 8, "labels of the class list", "'2'"),
    "label of a graph by its path": (GRAPH + "1,u,a/b\n", 6, "labels of the class list", "'a/b'"),
    "no label": (HEAD + "1,u,\n", 6, "n for none", "''"),
    "a mark too many": (HEAD + "1,u,1@\n", 6, "n for none", "''"),
    "too few cells": (HEAD + "1,u,1\n1,3\n", 7, "3 values", "2"),
    "too many cells": (HEAD + "1,u,1,\n", 6, "3 values", "4"),
    "bad number": (HEAD + "1,u,1\n\nx,u,1\n", 8, "a finite number for 'a'", "'x'"),
    "sparse row of index 0": (HEAD + "{0 1,3 1}\n", 6, "an attribute index between 1 and 3", "'0'"),
    "sparse index too high": (HEAD + "{1 1,3 1}\n{1 1,3 1,4 1}\n", 7, "an attribute index between 1 and 3", "'4'"),
    "sparse index twice": (HEAD + "{1 1,1 2,3 1}\n", 6, "once in a row", "1 again"),
    "sparse row without labels": (
        HEAD + "{1 1,3 1}\n{1 1}\n",
        7,
        "the labels of the row at index 3 ('class'; n for none)",
        "no such index",
    ),
    "no hierarchical attribute": (HEAD.replace("hierarchical 1,1/2,3", "{1,2}"), None, "read_arff", "none"),
    "two of them": (HEAD.replace("a numeric", "a hierarchical 1"), 4, "one attribute of type hierarchical", "'a' and 'class'"),
    "no classes": (HEAD.replace("1,1/2,3", ""), 4, "classes of 'class' separated by commas", "'hierarchical'"),
    "empty class": (HEAD.replace("1,1/2", "1,,1/2"), 4, "none of them empty", "1,,1/2"),
    "empty part": (HEAD.replace("1/2", "1//2"), 4, "parts between '/' are not empty", "'1//2'"),
    "path that starts with the separator": (HEAD.replace("1/2", "/2"), 4, "are not empty", "'/2'"),
    "cycle": (GRAPH.replace("root/d", "c/a"), 4, "classes that make a hierarchy", "a -> c -> b -> a"),
    "roots only": (HEAD.replace("1,1/2,3", "root/GO0003674"), 4, "classes that make a hierarchy", "besides the roots GO0003674, root"),
    "text attribute": (HEAD.replace("{u,v}", "string"), 3, "pass drop=['c']", "'c' of type string"),
    "no data line": (HEAD.replace("@data\n", ""), None, "@data", "end of the file"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_named(tmp_path, case):
    raw, line, expected, came = FAULTS[case]
    path = tmp_path / "bad.arff"
    path.write_text(raw)
    with pytest.raises(ReadError) as caught:
        read_clus(path)
    assert (caught.value.path, caught.value.line) == (path, line)
    assert expected in caught.value.expected
    assert came in caught.value.came


def test_entries_that_are_no_edges(tmp_path):
    path = tmp_path / "bad.arff"
    path.write_text(HEAD)
    with pytest.raises(ReadError, match=r"line 4: expected edges parent/child.*structure='tree'.*found '1'"):
        read_clus(path, "graph")


def test_dropped_names_are_those_of_features(tmp_path):
    path = tmp_path / "bad.arff"
    path.write_text(HEAD)
    with pytest.raises(ReadError, match="the label 'class'"):
        read_clus(path, drop=["class"])
    with pytest.raises(ReadError, match="names in drop to be attributes of the file"):
        read_clus(path, drop=["b"])


def test_settings_that_make_no_sense(tmp_path):
    with pytest.raises(ParameterError, match="expected structure 'auto', 'tree' or 'graph', but got 'dag'"):
        read_clus(tmp_path / "x.arff", "dag")
    for separator in ("", "@", ","):
        with pytest.raises(ParameterError, match="expected a separator"):
            read_clus(tmp_path / "x.arff", separator=separator)


def test_cut_short_and_missing_files(tmp_path):
    with pytest.raises(ReadError, match="a file of that name"):
        read_clus(tmp_path / "nowhere.arff")
    (tmp_path / "cut.arff.gz").write_bytes(b"\x1f\x8b\x08\x00rubbish")
    with pytest.raises(ReadError, match="an undamaged file"):
        read_clus(tmp_path / "cut.arff.gz")
