"""Results as tables: means, marks, ranks, tests, time, published values."""

import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from polytag.bench import Experiment, Grid, Results, Store
from polytag.bench import results as results_module
from polytag.bench.report import finished
from polytag.bench.tables import (
    all_tables,
    friedman_tables,
    number,
    published_table,
    rank_table,
    score_tables,
    time_table,
    values_csv,
    wilcoxon_tables,
)

from .conftest import filled, made_record

METRICS = ["macro_auc", "hamming_loss"]


def results(tmp_path: Path, datasets: list[str], **protocol: object) -> Results:
    experiment = Experiment.grid(
        datasets, ["linear"], ["random", "hard", "adaptive"], protocol={"folds": 2, "epochs": 3, **protocol}, metrics=METRICS
    )
    store = Store(tmp_path)
    return Results(experiment, finished(store, experiment, filled(store, experiment)))


def test_scores_are_mean_and_sample_deviation_with_the_best_marked(tmp_path: Path) -> None:
    found = results(tmp_path, ["yeast"], seeds=[0, 1])
    (grid,) = score_tables(found)
    values = found.values("yeast", "linear", "adaptive", "macro_auc")
    assert values.tolist() == pytest.approx([0.68, 0.69, 0.681, 0.691])
    assert grid.header == ["strategy", "macro_auc ↑", "hamming_loss ↓"]
    assert grid.rows[2] == ["adaptive", f"0.6855 ± {values.std(ddof=1):.4f}", f"0.3145 ± {values.std(ddof=1):.4f}"]
    assert grid.marked == {(2, 1), (2, 2)}
    assert "4 test folds" in grid.caption


def test_ranks_follow_the_direction(tmp_path: Path) -> None:
    grid = rank_table(results(tmp_path, ["yeast", "scene"]))
    assert [row[1:] for row in grid.rows] == [
        ["random", "2.00", "2.00", "2.00"],
        ["hard", "3.00", "3.00", "3.00"],
        ["adaptive", "1.00", "1.00", "1.00"],
    ]
    assert grid.marked == {(2, 2), (2, 3), (2, 4)}
    assert "2 data sets" in grid.caption


def test_few_data_sets_are_tested_over_folds_and_it_says_so(tmp_path: Path) -> None:
    found = results(tmp_path, ["yeast", "meka-yeast", "scene"], folds=3)
    assert (found.blocks().over, found.blocks().names, found.blocks().left_out) == ("folds", ("yeast", "scene"), ("meka-yeast",))
    (grid,) = wilcoxon_tables(found)
    assert grid.rows == [
        ["linear", "hard", "0-0-6 0.0312 (0.125)", "0-0-6 0.0312 (0.125)"],
        ["linear", "adaptive", "6-0-0 0.0312 (0.125)", "6-0-0 0.0312 (0.125)"],
    ]
    for expected in ("6 folds of 2 independent data sets", "meka-yeast", "4 tests", "0.031"):
        assert expected in grid.caption


def test_friedman_asks_whether_the_strategies_differ_at_all(tmp_path: Path) -> None:
    found = results(tmp_path, ["yeast", "scene"], folds=3)
    (grid,) = friedman_tables(found)
    assert grid.rows == [["linear", "inf p=0", "inf p=0"]], "all six folds agree on the order of the three"
    assert grid.marked == {(0, 1), (0, 2)}
    assert "over 6 folds" in grid.caption
    assert "less than 1.35" in grid.caption  # 2.3437 sqrt(3 * 4 / (6 * 6)), Demsar's table
    table = found.over_blocks("linear", found.strategies, "macro_auc")
    assert table.shape == (6, 3)
    assert friedman_tables(results(tmp_path / "two", ["yeast"], folds=2)) != []


def test_two_strategies_need_no_friedman_test(tmp_path: Path) -> None:
    experiment = Experiment.grid(["yeast"], ["linear"], ["random", "hard"], protocol={"folds": 2, "epochs": 3}, metrics=METRICS)
    store = Store(tmp_path)
    assert friedman_tables(Results(experiment, finished(store, experiment, filled(store, experiment)))) == []


def test_six_families_are_tested_over_data_sets(tmp_path: Path) -> None:
    sets = ["yeast", "scene", "enron", "cal500", "birds", "emotions", "meka-enron"]
    found = results(tmp_path, sets)
    assert found.blocks().over == "data sets"
    assert found.blocks().names == tuple(sets[:6])
    test = found.compare("linear", "adaptive", "hamming_loss")
    assert test is not None
    assert (test.wins, test.p) == (6, 2 / 2**6)
    (grid,) = wilcoxon_tables(found)
    assert "Pairs over 6 data sets." in grid.caption
    assert "meka-enron" in grid.caption


def test_time_and_share_of_selection(tmp_path: Path) -> None:
    found = results(tmp_path, ["yeast"])
    rows = time_table(found).rows
    assert rows[0] == ["yeast", "linear", "random", "3.0", "10.0 %", "0.00", "4.0", ""]
    assert rows[1][-1] == "not reached"
    assert rows[2][-1] == "+0 %"


def test_time_to_the_loss_of_the_control() -> None:
    experiment = Experiment.grid(["yeast"], ["linear"], ["random", "adaptive"], protocol={"folds": 2, "epochs": 3})
    records = []
    for cell in experiment.cells():
        record = made_record(experiment, cell)
        fast = cell.method.selector == "adaptive"
        history = [
            {**epoch, "train_loss": (0.4, 0.3, 0.2)[e] - 0.1 * fast, "seconds": 1.2 if fast else 1.0}
            for e, epoch in enumerate(record.history)
        ]
        records.append(replace(record, history=history))
    found = Results(experiment, records)
    assert found.time_to_loss("yeast", "linear", "adaptive") == pytest.approx((2.4 - 3.0) / 3.0)
    assert found.time_to_loss("yeast", "linear", "random") == 0.0
    silent = [replace(record, history=[{**epoch, "train_loss": None} for epoch in record.history]) for record in records]
    assert Results(experiment, silent).time_to_loss("yeast", "linear", "adaptive") is None


def test_published_values_stand_next_to_ours_with_the_signs(tmp_path: Path) -> None:
    found = results(tmp_path, ["yeast"])
    printed = {
        ("random", "macro_auc"): 0.7,
        ("adaptive", "macro_auc"): 0.71,
        ("random", "hamming_loss"): 0.2,
        ("adaptive", "hamming_loss"): 0.21,
    }
    (grid,) = published_table(found, lambda model, dataset, selector, metric: printed.get((selector, metric)))
    assert [row[2:5] + row[6:] for row in grid.rows] == [
        ["random", "macro_auc ↑", "0.7000", ""],
        ["random", "hamming_loss ↓", "0.2000", ""],
        ["adaptive", "macro_auc ↑", "0.7100", "+ / +"],
        ["adaptive", "hamming_loss ↓", "0.2100", "- / +"],
    ]
    assert "holds here in 1 of 2 comparisons" in grid.caption
    assert published_table(found, lambda *_: None) == []


def test_missing_cells_are_shown_as_such(tmp_path: Path) -> None:
    experiment = Experiment.grid(
        ["yeast", "scene"], ["linear"], ["random", "adaptive"], protocol={"folds": 2, "epochs": 3}, metrics=METRICS
    )
    first = next(experiment.cells())
    found = Results(experiment, [made_record(experiment, first)])
    assert found.missing == 7
    assert math.isnan(found.mean("scene", "linear", "adaptive", "macro_auc"))
    assert math.isnan(found.deviation("yeast", "linear", "random", "macro_auc"))
    tables = all_tables(found, lambda *_: None)
    assert tables[1].rows[1] == ["adaptive", "-", "-"]
    assert "NOT the same for all: random 1, adaptive 0" in tables[0].caption
    assert wilcoxon_tables(found) == []
    assert np.isnan(found.average_ranks("linear", "macro_auc")[0]).all()


def test_one_strategy_needs_no_ranks(tmp_path: Path) -> None:
    experiment = Experiment.grid(["yeast"], ["linear"], ["adaptive"], protocol={"folds": 2, "epochs": 3}, metrics=METRICS)
    store = Store(tmp_path)
    tables = all_tables(Results(experiment, finished(store, experiment, filled(store, experiment))))
    assert [grid.title for grid in tables] == ["yeast, linear", "Time"]
    assert tables[0].marked == frozenset()


def test_csv_holds_every_metric(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(values_csv(results(tmp_path, ["yeast"]), lambda *_: 0.5))))
    assert {row["metric"] for row in rows} == {"macro_auc", "hamming_loss"}
    assert rows[0] | {"mean": "", "std": ""} == {
        "dataset": "yeast", "model": "linear", "strategy": "random", "metric": "macro_auc", "direction": "max", "mean": "", "std": "",
        "folds": "2", "published": "0.5",
    }  # fmt: skip
    assert float(rows[0]["mean"]) == pytest.approx(0.665)


def test_a_grid_prints_itself_everywhere() -> None:
    grid = Grid("A [b] title", ["name", "value"], [["a|b", "1.0 ± 0.1"], ["[c]", "-"]], "Read me.", frozenset({(0, 1)}))
    assert grid.to_markdown() == (
        "**A [b] title**\n\n| name | value |\n| --- | ---: |\n| a\\|b | **1.0 ± 0.1** |\n| [c] | - |\n\nRead me.\n"
    )
    assert grid.to_csv() == "name,value\na|b,1.0 ± 0.1\n[c],-\n"
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(grid.to_rich())
    text = console.export_text()
    for expected in ("A [b] title", "1.0 ± 0.1*", "[c]", "Read me."):
        assert expected in text


def test_numbers() -> None:
    assert number(float("nan"), 0.1) == "-"
    assert number(1.23456, digits=2) == "1.23"
    assert results_module.ENOUGH_FAMILIES == 6
