"""``polytag hierarchy``: what it says of sets, files and tables, and how it fails."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from polytag import load_dataset
from polytag.cli import main
from polytag.data.dataset import Dataset
from polytag.data.hierarchies import closed, hierarchy_from, is_separator, with_hierarchy
from polytag.errors import DataError
from polytag.hierarchy import Hierarchy

CLUS = "@relation toy\n@attribute a numeric\n@attribute class hierarchical 1,1/1,1/2,2\n@data\n0.5,1/1\n1,2@1\n2,1/2@1\n"
TABLE = "size,animal,animal/cat,animal/dog,stone\n1,1,1,0,0\n2,0,0,1,0\n3,0,0,0,1\n4,0,1,1,1\n"
LABELS = "animal,animal/cat,animal/dog,stone"


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["hierarchy", *words, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_set_of_the_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hierarchy", "digits-scenes", "--plot", str(tmp_path / "scenes.png")]) == 0
    text = capsys.readouterr().out
    for expected in ("tree", "18", "6, 12", "4.77", "scenes.png"):
        assert expected in text
    assert (tmp_path / "scenes.png").read_bytes()[:4] == b"\x89PNG"
    found = said(["digits-scenes"], capsys)
    assert (found["labels"], found["edges"], found["parts"], found["single_labels"], found["leaves"]) == (18, 12, 6, 2, 14)
    assert (found["rows"], found["rows_violating"]) == (2000, 0)
    assert main(["datasets", "info", "digits-scenes"]) == 0
    assert "tree on 2 levels, 12 edges" in " ".join(capsys.readouterr().out.split())


def test_an_arff_file_is_described_as_declared_and_closed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "toy.arff"
    path.write_text(CLUS, encoding="utf-8")
    found = said([str(path)], capsys)
    assert (found["labels"], found["levels"], found["labels_per_level"]) == (4, 2, [2, 2])
    assert (found["rows"], found["rows_violating"], found["ancestors_added"], found["labels_without_rows"]) == (3, 1, 1, 0)
    assert found["mean_labels_declared"] == pytest.approx(5 / 3)
    assert found["mean_labels_closed"] == pytest.approx(2)
    dotted = tmp_path / "dotted.arff"
    dotted.write_text(CLUS.replace("/", "."), encoding="utf-8")
    assert said([str(dotted), "--hierarchy", "."], capsys) | {"name": ""} == found | {"name": ""}


def test_counts_in_the_plot_are_declared_or_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from polytag.data import hierarchy_plots

    drawn = []
    monkeypatch.setattr(hierarchy_plots, "plot_hierarchy", lambda h, path, counts, title: drawn.append(counts.tolist()))
    path = tmp_path / "toy.arff"
    path.write_text(CLUS, encoding="utf-8")
    for words in ([], ["--closed"]):
        assert main(["hierarchy", str(path), "--plot", str(tmp_path / "x.png"), "--format", "json", *words]) == 0
    assert drawn == [[2, 1, 1, 1], [3, 1, 1, 1]]
    json.loads(capsys.readouterr().out.split("}")[0] + "}")  # where the plot is does not stand among the JSON


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("parents.csv", "node,parent\nanimal,\ncat,animal\ndog,animal\n"),
        ("edges.csv", "parent,child\nanimal,cat\nanimal,dog\n"),
        ("animals.obo", "format-version: 1.2\n\n[Term]\nid: animal\n\n[Term]\nid: cat\nis_a: animal\n\n[Term]\nid: dog\nis_a: animal\n"),
    ],
)
def test_files_of_hierarchies_have_no_rows(name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    found = said([str(path)], capsys)
    assert (found["labels"], found["edges"], found["labels_per_level"]) == (3, 2, [1, 2])
    assert "rows" not in found


def test_a_table_is_told_what_its_labels_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, parents = tmp_path / "table.csv", tmp_path / "parents.csv"
    table.write_text(TABLE, encoding="utf-8")
    parents.write_text(
        "node,parent\nthing,\nanimal,thing\nanimal/cat,animal\nanimal/dog,animal\nstone,thing\nwater,thing\n", encoding="utf-8"
    )
    for hierarchy in ("/", str(parents)):
        found = said([str(table), "--label-columns", LABELS, "--hierarchy", hierarchy], capsys)
        assert (found["labels"], found["edges"], found["rows"], found["rows_violating"], found["parts"]) == (4, 2, 4, 2, 2)
        with pytest.warns(UserWarning, match="2 ancestors were added to 2 of 4 rows"):
            data = load_dataset(table, labels=LABELS.split(","), hierarchy=hierarchy)
        assert data.hierarchy == Hierarchy.from_edges([("animal", "animal/cat"), ("animal", "animal/dog")], LABELS.split(","))
        assert data.Y[:, 0].tolist() == [1, 1, 0, 1]


def test_compare_takes_a_hierarchy_for_ones_own_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    cat, dog, stone = (rng.random((3, 60)) < 0.5).astype(int)
    rows = np.column_stack([cat + rng.normal(size=60) / 4, dog, stone, cat | dog, cat, dog, stone])
    table = tmp_path / "table.csv"
    head = f"a,b,c,{LABELS}"
    np.savetxt(table, rows, delimiter=",", header=head, comments="", fmt=["%.4f"] + ["%d"] * 6)
    out = tmp_path / "out"
    words = ["compare", "--dataset", str(table), "--label-columns", LABELS, "--hierarchy", "/", "--model", "linear,chmcnn",
             "--selector", "random", "--folds", "2", "--epochs", "1", "--out", str(out)]  # fmt: skip
    assert main(words) == 0
    assert "h_f1" in capsys.readouterr().out
    assert len(list((out / "records").iterdir())) == 4
    assert main(["report", str(out)]) == 0


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["digit-scenes"], 2, "did you mean 'digits-scenes'"),
        (["digits-scenes", "--format", "yaml"], 2, "'yaml'"),
        (["table.csv", "--label-columns", LABELS], 1, "--hierarchy"),
        (["table.csv", "--label-columns", "stone,animal/cat", "--hierarchy", "/"], 1, "'animal'"),
        (["loop.csv"], 1, "cycle"),
        (["nosuch.csv"], 2, "nosuch.csv"),
    ],
)
def test_what_fails_is_said_in_a_line(
    words: list[str], code: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text(TABLE, encoding="utf-8")
    Path("loop.csv").write_text("parent,child\na,b\nb,a\n", encoding="utf-8")
    assert main(["hierarchy", *words]) == code
    printed = capsys.readouterr()
    assert expected in printed.err
    assert not printed.out


def test_what_is_a_separator() -> None:
    assert all(map(is_separator, ("/", ".", "::", " > ", "|")))
    assert not any(map(is_separator, ("a", "_", "", "tree", "/tmp", "./a.csv", None, 3, ("/",))))
    with pytest.raises(DataError, match="have no names"):
        hierarchy_from("/")


def test_labels_of_a_data_set_are_closed_once() -> None:
    data = Dataset(np.eye(2), np.array([[0, 1], [0, 0]]), label_names=["a", "a/b"])
    with pytest.warns(UserWarning, match="1 ancestors were added to 1 of 2 rows"):
        full = with_hierarchy(data, "/")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert with_hierarchy(full, "/").Y.tolist() == [[1, 1], [0, 0]]
    assert full.hierarchy is not None
    assert closed(full.Y, full.hierarchy)[1] == 0
