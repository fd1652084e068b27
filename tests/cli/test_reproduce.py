"""``polytag reproduce``: what it runs, what it says is missing, and what it leaves."""

import json
from pathlib import Path

import numpy as np
import pytest

from polytag.cli import main

TOML = """
key = "tiny"
title = "A tiny paper"
authors = "Somebody"
venue = "Nowhere"
year = 2026
url = "https://example.org"
protocol = "clean"
control = "BCE"
notes = ["read with care"]
metrics = {{ hamming_loss = "HL", macro_auc = "AUC" }}

methods = [
  {{ name = "BCE", model = "linear" }},
  {{ name = "ML-kNN", model = "mlknn(k=3)" }},
  {{ name = "FL, gamma 1", model = "linear", loss = "focal(gamma=1)", note = "ours" }},
  {{ name = "GLLE", model = "linear", loss = "bce", optional = true }},
]
sets = [
  {{ name = "A", data = "{a}", size = {{ train = 27, test = 31 }} }},
  {{ name = "B", data = "{b}", group = "large" }},
  {{ name = "VOC07", folder = "voc07", get = "take pictures" }},
]
questions = [{{ title = "Is FL better?", pairs = [["FL, gamma 1", "BCE", "ML-kNN"]] }}]

[groups.main]
title = "all"
protocol = {{ epochs = 1, folds = 2 }}

[groups.large]
protocol = {{ epochs = 1, folds = 2 }}
without = {{ "ML-kNN" = "takes too long" }}

[trial]
data = "{a}"
methods = ["BCE", "FL, gamma 1"]
protocol = {{ epochs = 1, folds = 2 }}
"""
NUMBERS = "method,dataset,metric,value\nBCE,A,HL,0.2\nML-kNN,A,HL,0.3\nBCE,average rank,HL,1\n"


def write(folder: Path, name: str, seed: int) -> str:
    rng = np.random.default_rng(seed)
    rows = "".join(f"{i % 2},{(i // 2) % 2},{rng.random():.3f},{i % 2 + rng.random():.3f}\n" for i in range(60))
    head = f"@relation '{name}: -C 2'\n@attribute y0 {{0,1}}\n@attribute y1 {{0,1}}\n@attribute a numeric\n@attribute b numeric\n@data\n"
    (folder / f"{name}.arff").write_text(head + rows, encoding="utf-8")
    return str(folder / f"{name}.arff")


@pytest.fixture
def paper(tmp_path: Path) -> str:
    (tmp_path / "tiny.toml").write_text(TOML.format(a=write(tmp_path, "a", 0), b=write(tmp_path, "b", 1)), encoding="utf-8")
    (tmp_path / "tiny.csv").write_text(NUMBERS, encoding="utf-8")
    return str(tmp_path / "tiny.toml")


def test_a_paper_is_run_and_stands_next_to_ours(paper: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["reproduce", paper, "--data", str(tmp_path), "--seeds", "0,1", "--out", str(out)]
    assert main(words) == 0
    text = capsys.readouterr().out
    for expected in (
        "main: 1 data sets, 3 methods, 12 cells", "large: 1 data sets, 2 methods, 8 cells", "rank printed", "Published values next",
        "Is FL better?", "Each method against BCE", "note: read with care", "note: FL, gamma 1: ours", "missing: VOC07: take pictures",
        "note: ML-kNN is left out of large (B): takes too long",
    ):  # fmt: skip
        assert expected in text
    report = (out / "report.md").read_text(encoding="utf-8")
    for expected in (
        "(0.2000)",
        "preset clean",
        "27",
        "- **VOC07**: take pictures",
        "linear(loss=focal(gamma=1))",
        "[large](large/report.md)",
    ):
        assert expected in report
    assert "| ML-kNN | " in report
    assert {path.name for path in out.iterdir()} >= {"report.md", "table.csv", "main", "large"}
    assert len(list((out / "main" / "records").iterdir())) == 12
    assert (out / "large" / "report.md").exists()
    assert main(words) == 0
    assert "12 cells kept" in capsys.readouterr().out
    assert main(["report", str(out / "main")]) == 0


def test_a_choice_of_methods_and_sets(paper: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["reproduce", paper, "--datasets", "b", "--methods", "glle,fl, gamma 1", "--set", "folds=3", "--out", str(out)]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "large: 1 data sets, 2 methods, 6 cells" in text
    assert "missing" not in text
    assert "Published values next" not in text  # nothing is printed of B


def test_the_short_run_has_a_folder_of_its_own(
    paper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", paper, "--short"]) == 0
    assert "short: 1 data sets, 2 methods, 4 cells" in capsys.readouterr().out
    (written,) = tmp_path.glob("polytag-*")
    assert written.name.endswith("-short")  # the report of a whole run, which is kept without that ending, stays
    assert (written / "short" / "report.md").exists()


def test_flem_in_a_minute(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "flem-2022", "--short", "--set", "epochs=1", "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "Does FLEM beat the same linear classifier with BCE?" in text
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "| FLEM-D | alpha " in report
    assert "epochs | **1**" in (tmp_path / "out" / "short" / "report.md").read_text(encoding="utf-8")


OWN_SETTINGS = """
key = "own"
title = "Settings of each set"
authors = "Somebody"
venue = "Nowhere"
year = 2026
url = "https://example.org"
protocol = "clean"
notes = []
metrics = {{ hamming_loss = "HL" }}
extra_metrics = ["macro_auc"]
digits = 2
tolerance = 1.0

[protocols.slow]
epochs = 2
batch_size = 16

[[methods]]
name = "MLP"
model = "mlp(hidden=[{{hidden}}])"

[[methods]]
name = "BCE"
model = "linear"
protocol = "slow"

[[sets]]
name = "A"
data = "{a}"
protocol = {{ epochs = 1, batch_size = 8 }}
params = {{ hidden = 4 }}

[[sets]]
name = "B"
data = "{b}"
protocol = {{ epochs = 1 }}
params = {{ hidden = 8 }}

[groups.main]
protocol = {{ folds = 2 }}

[trial]
data = "{a}"
methods = ["MLP"]
protocol = {{ folds = 2, epochs = 1 }}
params = {{ hidden = 2 }}
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.toml").write_text(OWN_SETTINGS.format(a=write(tmp_path, "a", 0), b=write(tmp_path, "b", 1)), encoding="utf-8")
    (tmp_path / "own.csv").write_text("method,dataset,metric,value\nMLP,A,HL,0.20\nBCE,A,HL,0.30\n", encoding="utf-8")
    return str(tmp_path / "own.toml")


def test_sets_and_methods_with_settings_of_their_own(own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["reproduce", own, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    for expected in ("A: 1 data sets, 1 methods, 2 cells", "B: 1 data sets", "main-slow: 2 data sets, 1 methods, 4 cells", "within 1"):
        assert expected in text
    by_folder = {}
    for folder in ("A", "B", "main-slow"):
        record = json.loads(next((out / folder / "records").iterdir()).read_text(encoding="utf-8"))
        by_folder[folder] = (record["method"]["model_params"], record["protocol"]["epochs"], record["protocol"]["batch_size"])
    assert by_folder == {"A": ({"hidden": [4]}, 1, 8), "B": ({"hidden": [8]}, 1, 128), "main-slow": ({}, 2, 16)}
    report = (out / "report.md").read_text(encoding="utf-8")
    for expected in (
        "(0.20)",
        "macro_auc ↑",
        "[A](A/report.md): A (epochs 1, batch_size 8, hidden 4)",
        "1 of 1",
        "equal in two digits",
        "mlp(hidden=[4]) or mlp(hidden=[8])",
    ):
        assert expected in report
    assert "| MLP | " in report.split("hamming_loss ↓**")[1].split("Rank:")[0]
    for record in (out / "A" / "records").iterdir():
        record.unlink()
    assert main(["reproduce", own, "--report", "--out", str(out)]) == 0
    text, report = capsys.readouterr().out, (out / "report.md").read_text(encoding="utf-8")
    assert "main-slow: 2 data sets" in text
    assert not list((out / "A" / "records").iterdir())
    assert "[B](B/report.md)" in report
    assert "[A](A/report.md)" not in report
    assert main(["reproduce", own, "--report", "--out", str(tmp_path / "nothing")]) == 2
    assert "has none; name it with --out" in capsys.readouterr().err
    assert main(["reproduce", own, "--methods", "bce", "--out", str(out)]) == 0
    assert "4 cells kept" in capsys.readouterr().out  # a choice of methods runs in the same folders
    assert main(["reproduce", own, "--short", "--out", str(tmp_path / "short")]) == 0
    assert "short: 1 data sets, 1 methods, 2 cells" in capsys.readouterr().out


def test_the_list_shows_settings(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", own, "--list"]) == 0
    text = capsys.readouterr().out
    for expected in ("epochs 1, batch_size 8, hidden 4", "protocol slow: epochs 2, batch_size 16", "linear, random, protocol slow"):
        assert expected in text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("params = { hidden = 8 }", "", "B: expected a value for hidden, which MLP takes"),
        ('protocol = "slow"', 'protocol = "slov"', "did you mean 'slow'"),
        ("params = { hidden = 8 }", 'params = { hidden = 8 }\ngroup = "mian"', "did you mean 'main'"),
        ("protocol = { folds = 2 }", 'protocol = { folds = 2 }\nwithout = { "MLB" = "why" }', "did you mean 'MLP'"),
    ],
)
def test_slips_in_settings_are_said(own: str, old: str, new: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(own).read_text(encoding="utf-8")
    assert old in text
    Path(own).write_text(text.replace(old, new), encoding="utf-8")
    assert main(["reproduce", own, "--list"]) == 1
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("key", ["chmcnn-2020", "hcal-2025"])
def test_hierarchies_in_a_minute(key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", key, "--short", "--set", "epochs=1", "--out", str(tmp_path)]) == 0
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    for expected in ("hvr ↓", "h_f1 ↑", "closure=up"):
        assert expected in report
    assert "not finished" not in capsys.readouterr().out


@pytest.mark.data
def test_published_parts_are_taken(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    words = ["reproduce", "flem-2022", "--datasets", "emotions,VOC07", "--methods", "bce,ml-knn", "--set", "epochs=1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert "missing: VOC07: images of PASCAL VOC 2007" in capsys.readouterr().out
    assert "| emotions | emotions | 293 | 98 | 202 | 72 | 6 |" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_the_list_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], paper: str
) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(tmp_path))
    monkeypatch.setenv("POLYTAG_CACHE", str(tmp_path / "cache"))
    assert main(["reproduce", "adaptive-2024", "--list"]) == 0
    text = capsys.readouterr().out
    for expected in ("DELA, AdaC", "polytag datasets fetch mat-rcv1s1", "authors-2024", "missing"):
        assert expected in text
    assert main(["reproduce", paper, "--list"]) == 0
    text = capsys.readouterr().out
    for expected in ("take pictures", "only if named", "without ML-kNN: takes too long", "mlknn(k=3)"):
        assert expected in text


def test_nothing_to_run_is_an_error(paper: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", paper, "--datasets", "VOC07", "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "missing: VOC07: take pictures" in printed.out
    assert "Nothing to run" in printed.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["flem-2023"], "did you mean 'flem-2022'"),
        (["flem-2022", "--methods", "FLEM-X"], "did you mean 'FLEM-"),
        (["flem-2022", "--datasets", "yeasd"], "did you mean 'yeast'"),
        (["flem-2022", "--set", "model.hidden=3"], "switches of the protocol"),
        (["flem-2022", "--short", "--set", "epoks=3"], "epoks"),
        (["flem-2022", "--short", "--seeds", "a"], "whole numbers"),
        (["flem-2022", "--short", "--methods", "FLEM-S"], "leave --short out"),
        (["flem-2022", "--data", "nowhere"], "no folder nowhere"),
    ],
)
def test_what_does_not_exist_is_said(words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", *words, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert expected in printed
    assert not (tmp_path / "out").exists()


def test_failed_cells_are_told(paper: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from polytag.bench import runner

    def breaks(*_: object, **__: object) -> object:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(runner, "run_cell", breaks)
    assert main(["reproduce", paper, "--datasets", "A", "--methods", "BCE", "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "broken on purpose" in printed.err
    assert "note: not finished: BCE on A: 0 of 2 cells" in printed.out


def test_a_paper_without_a_short_run(paper: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(paper).read_text(encoding="utf-8")
    Path(paper).write_text(text[: text.index("[trial]")], encoding="utf-8")
    assert main(["reproduce", paper, "--short"]) == 2
    assert "[trial]" in capsys.readouterr().err


def test_the_example_of_the_page_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text(encoding="utf-8")
    for kind in ("toml", "csv"):
        (tmp_path / f"my-paper.{kind}").write_text(page.split(f"```{kind}\n")[1].split("```")[0], encoding="utf-8")
    assert main(["reproduce", str(tmp_path / "my-paper.toml"), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    for expected in ("(0.2100)", "Does Focal help?", "missing: VOC07: where to find it and what to run"):
        assert expected in text
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "| Digits | digits-scenes | " in report
