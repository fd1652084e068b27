"""The folder that a comparison leaves behind."""

import json
import sys
from pathlib import Path

import pytest

from polytag import papers
from polytag.bench import Experiment, Store, run_experiment, write_report
from polytag.bench.plots import file_name, plot_convergence
from polytag.bench.report import load_experiment, save_experiment
from polytag.bench.results import Results
from polytag.bench.runner import plan
from polytag.errors import MissingExtraError, ResumeError, UnknownNameError

from .conftest import PROTOCOL, filled, made_record


@pytest.fixture
def experiment() -> Experiment:
    return Experiment.grid(
        ["yeast"], ["linear"], ["random", "adaptive"], protocol={"folds": 2, "epochs": 3, "keep": "last"}, metrics=["macro_auc"]
    )


def test_the_folder_says_everything(experiment: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path)
    report = write_report(store, experiment, filled(store, experiment), remarks=["a remark"])
    assert {file.relative_to(tmp_path).as_posix() for file in report.files} == {
        "table.md",
        "table.csv",
        "report.md",
        "plots/yeast-linear.png",
    }
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for expected in (
        "> a remark", "cells: 4 of 4", "![yeast-linear](plots/yeast-linear.png)", "| keep | **last** | clean: best |", "| epochs | **3** |",
        "| preparation.scale_on | train |", "| yeast | 60 | 4 | 3 | 3 | 4 | 0 | 27/3/30 |", "1 thread(s)", "- linear: lr 0.001", "seeds: 0",
    ):  # fmt: skip
        assert expected in text
    assert (tmp_path / "plots/yeast-linear.png").read_bytes()[:4] == b"\x89PNG"
    assert "**0.6855" not in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert report.notes == []


def test_the_report_covers_what_was_asked_for_only(experiment: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path)
    hashes = filled(store, experiment)
    other = Experiment.grid(["yeast"], ["linear"], ["hard"], protocol={"folds": 2, "epochs": 9})
    filled(store, other)
    (store.records / "notes.txt").write_text("mine", encoding="utf-8")
    report = write_report(store, experiment, hashes)
    assert len(report.results.records) == 4
    assert report.notes == ["notes.txt is not a record that this version can read"]
    assert "hard" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_an_experiment_comes_back_from_its_folder(experiment: Experiment, tmp_path: Path) -> None:
    save_experiment(Store(tmp_path), experiment, {"yeast": "x"})
    again, hashes = load_experiment(tmp_path)
    assert again == experiment
    assert hashes == {"yeast": "x"}
    (tmp_path / "experiment.json").write_text(json.dumps({"experiment": {"datasets": ["nosuch"]}}), encoding="utf-8")
    with pytest.raises(ResumeError, match="nosuch"):
        load_experiment(tmp_path)
    with pytest.raises(ResumeError, match=r"experiment\.json"):
        load_experiment(tmp_path / "empty")


def test_records_of_different_machines_are_pointed_out(experiment: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path)
    hashes = filled(store, experiment)
    cell = next(experiment.cells())
    record = made_record(experiment, cell, hashes["yeast"])
    store.put(made_record(experiment, cell, hashes["yeast"], environment={**record.environment, "device": "H200", "threads": 4}))
    notes = write_report(store, experiment, hashes).notes
    assert any("devices (H200, cpu)" in note for note in notes)
    assert any("numbers of threads (1, 4)" in note for note in notes)


def test_a_selector_that_never_chose_is_pointed_out(tiny: str, tmp_path: Path) -> None:
    store, methods = Store(tmp_path), ["random", "hard(warmup=1)", "adaptive"]
    experiment = Experiment.grid([tiny], ["linear"], methods, protocol=PROTOCOL)  # two epochs, where Adaptive's warm-up has three
    run_experiment(experiment, store)
    (note,) = [note for note in write_report(store, experiment, plan(experiment)[1]).notes if "warm-up" in note]
    assert note.startswith("adaptive chose no batch in 2 cells")
    assert sorted(record.training.get("plain_epochs", -1) for record in store.all()) == [-1, -1, 1, 1, 2, 2]


def test_plots_need_their_extra(experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"polytag\[plots\]"):
        plot_convergence(Results(experiment, []), tmp_path)
    store = Store(tmp_path)
    report = write_report(store, experiment, filled(store, experiment))
    assert any("polytag[plots]" in note for note in report.notes)
    assert (tmp_path / "report.md").exists()


@pytest.mark.parametrize("train_loss", [True, False])
def test_curves_of_runs_of_different_length(experiment: Experiment, tmp_path: Path, train_loss: bool) -> None:
    records = []
    for number, cell in enumerate(experiment.cells()):
        record = made_record(experiment, cell)
        history = record.history[: 1 + number % 2] if number < 3 else record.history
        history = [epoch if train_loss else {**epoch, "train_loss": None} for epoch in history]
        records.append(made_record(experiment, cell, history=history))
    (file,) = plot_convergence(Results(experiment, records), tmp_path)
    assert file.stat().st_size > 10_000


def test_of_many_models_those_with_several_strategies_are_drawn(experiment: Experiment, tmp_path: Path) -> None:
    losses = ("bce", "focal", "asl", "hill", "pr", "epr", "lsep", "bpmll")
    methods = [{"model": "mlp", "selector": selector} for selector in ("random", "adaptive")]
    methods += [{"model": "linear", "selector": "random", "loss": loss} for loss in losses]
    many = Experiment(datasets=experiment.datasets, methods=methods, protocol=experiment.protocol)
    records = [made_record(many, cell) for cell in many.cells()]
    assert [path.name.split("-")[-1] for path in plot_convergence(Results(many, records), tmp_path)] == ["mlp.png"] * len(many.datasets)


def test_file_names() -> None:
    assert file_name("/a/b/my set(1).arff") == "my_set_1_.arff"


def test_the_published_numbers_are_verbatim() -> None:
    paper = papers.load_paper("adaptive-2024")
    assert paper.value("c2ae", "corel5k", "random", "macro_f1") == 0.0702
    assert paper.value("dela", "scene", "adaptive", "one_error") == 0.2183
    assert paper.value("dela", "yahoo-business", "adac", "hamming_loss") == 0.0182
    assert paper.value("dela", "cal500", "adac", "macro_auc") == 0.5962
    assert paper.value("clif", "meka-yeast", "random", "ranking_loss") == paper.value("CLIF", "yeast", "Random", "RankLoss") == 0.1679
    assert paper.value("c2ae", "yeast", "random", "ranking_loss") is None
    assert paper.value("c2ae", "yeast", "adaptive", "ranking_loss") is None
    assert paper.value("clif", "yeast", "hard", "macro_auc") is None
    assert paper.dataset_note("yahoo-arts") == "2,314 of 23,146 features and 25 of 26 labels in the paper"
    assert paper.dataset_note("yeast") is None
    assert "ECML PKDD 2024" in paper.citation
    with pytest.raises(UnknownNameError, match="adaptive-2024"):
        papers.load_paper("adaptive-2023")


def test_every_name_of_a_paper_is_one_of_ours() -> None:
    from polytag import metrics
    from polytag.data import catalogue

    paper = papers.load_paper("adaptive-2024")
    assert set(paper._names["datasets"]) <= set(catalogue.names())
    assert set(paper._names["datasets"].values()) == set(paper.datasets)
    assert {metrics.direction(name) for name in paper._names["metrics"]} == {"max", "min"}


def test_the_page_about_comparisons_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmark.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(page.split("```python\n")[1].split("```")[0], "docs/benchmark.md", "exec"), {})
    assert "macro_auc ↑" in capsys.readouterr().out
    assert (tmp_path / "my-results" / "report.md").exists()
