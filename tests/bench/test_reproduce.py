"""The experiment of a paper, run again: what is put together, what is found, and what the tables say."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polytag import metrics
from polytag.bench import Store, stats
from polytag.bench.grid import Grid
from polytag.bench.reproduce import Arm, Case, Leg, Reproduced, arm, leg
from polytag.bench.reproduce_report import Frame, reproduction_grids, write_reproduction
from polytag.bench.reproduce_tables import (
    closeness_grid,
    friedman_grid,
    metric_grid,
    order_grid,
    pairs_grid,
    reproduction_csv,
    side_by_side,
)
from polytag.errors import ParameterError

from .conftest import made_record

PRINTED = {("BCE", "A"): 0.30, ("FL", "A"): 0.20, ("FLEM", "A"): 0.10, ("BCE", "B"): 0.30, ("FL", "B"): 0.25}
ARMS = (arm("BCE", "linear"), arm("FL", "linear", loss="focal"), arm("FLEM", "linear", selector="hard"))
RULES = {"folds": 2, "epochs": 1}


def printed(method: str, dataset: str, metric: str) -> float | None:
    return PRINTED.get((method, dataset)) if metric == "hamming_loss" else None


def rank(method: str, metric: str) -> float | None:
    return {"BCE": 3.0, "FL": 2.0, "FLEM": 1.0}[method] if metric == "hamming_loss" else None


def made(tmp_path: Path, values: dict[tuple[str, str], float], *, arms: tuple[Arm, ...] = ARMS, without: str = "") -> Reproduced:
    """Return a reproduction whose cells hold these Hamming losses, +- 0.01 over two folds; on ``without`` FLEM does not run."""
    cases = {name: Case(name, data, family) for name, data, family in
             (("A", "yeast", "yeast"), ("B", "scene", "scene"), ("C", "meka-scene", "scene"), ("D", "enron", "enron"))}  # fmt: skip
    names = dict.fromkeys(case for _, case in values)
    shown = ["hamming_loss", "macro_auc"]
    legs = [leg("main", "", arms, [cases[name] for name in names if name != without], shown, RULES)]
    if without:
        legs.append(leg("other", "", arms[:2], [cases[without]], shown, RULES))
    result = Reproduced(legs, printed, rank)
    for part in legs:
        store = Store(tmp_path / part.name)
        fill(part, store, values)
        result.add(part, store, {case.data: case.data for case in part.cases})
    return result


def fill(part: Leg, store: Store, values: dict[tuple[str, str], float]) -> None:
    by_data = {case.data: case.name for case in part.cases}
    by_method = {str(each.method.identity()): each.name for each in part.arms}
    for cell in part.experiment.cells():
        value = values.get((by_method[str(cell.method.identity())], by_data[cell.dataset]))
        if value is not None:
            loss = value + (0.01 if cell.fold else -0.01)
            store.put(made_record(part.experiment, cell, cell.dataset, metrics={"hamming_loss": loss, "macro_auc": 1 - loss}))


ALL = {("BCE", "A"): 0.3, ("FL", "A"): 0.25, ("FLEM", "A"): 0.2, ("BCE", "B"): 0.3, ("FL", "B"): 0.2, ("FLEM", "B"): 0.25}


def cells(grid: Grid | None) -> dict[str, list[str]]:
    assert grid is not None
    return {row[0]: list(row[1:]) for row in grid.rows}


def test_methods_are_read_in_the_notation_of_tables() -> None:
    found = arm("x", "clif(hidden=64)", "hard")
    assert (found.name, found.method.backbone, found.method.strategy) == ("x", "clif(hidden=64)", "hard")
    assert arm("FL", "linear", loss="focal(gamma=1)").method.loss_params == {"gamma": 1}
    flem = arm("FLEM-S", "linear", enhance="flem(strategy=s)", search={"enhance.beta": (0.1, 0.01)}).method
    assert (flem.enhance, flem.enhance_params, flem.search) == ("flem", {"strategy": "s"}, {"enhance.beta": [0.1, 0.01]})
    assert arm("ML-kNN", "mlknn").method.selector == "none"
    with pytest.raises(ParameterError, match="did you mean 'linear'"):
        arm("x", "lineal")


def test_later_switches_count_and_nested_ones_are_merged() -> None:
    rules = {"preset": "clean", "epochs": 30, "split": {"valid": 0.25}}, {"folds": 3, "split": {"order": 2}}, {"epochs": 2, "seeds": [0, 1]}
    part = leg("main", "", ARMS[:1], [Case("A", "yeast", "yeast")], ["hamming_loss"], *rules)
    protocol = part.experiment.protocol
    assert (protocol.epochs, protocol.folds, protocol.seeds) == (2, 3, (0, 1))
    assert protocol.split["valid"] == 0.25
    assert protocol.split["order"] == 2
    assert len(list(part.experiment.cells())) == 6


def test_values_are_found_by_the_papers_names(tmp_path: Path) -> None:
    result = made(tmp_path, ALL)
    assert result.arms == ["BCE", "FL", "FLEM"]
    assert [case.name for case in result.cases] == ["A", "B"]
    assert result.mean("FL", "A", "hamming_loss") == pytest.approx(0.25)
    assert result.deviation("FL", "A", "hamming_loss") == pytest.approx(np.std([0.24, 0.26], ddof=1))
    assert np.isnan(result.mean("FL", "A", "one_error"))
    assert result.missing() == []


def test_ours_stands_next_to_the_printed_value(tmp_path: Path) -> None:
    grid = metric_grid(made(tmp_path, ALL), "hamming_loss")
    assert grid.header == ["method", "A", "B", "rank here", "rank printed"]
    assert cells(grid) == {
        "BCE": ["0.3000 (0.3000)", "0.3000 (0.3000)", "3.00", "3"],
        "FL": ["0.2500 (0.2000)", "0.2000 (0.2500)", "1.50", "2"],
        "FLEM": ["0.2000 (0.1000)", "0.2500", "1.50", "1"],
    }
    assert grid.marked == {(2, 1), (1, 2)}
    assert "averaged over 2 data sets among 3 methods" in grid.caption
    assert metric_grid(made(tmp_path, ALL), "macro_auc").header == ["method", "A", "B", "rank here"]


def test_the_difference_says_which_is_better(tmp_path: Path) -> None:
    grid = side_by_side(made(tmp_path, {**ALL, ("FLEM", "A"): 0.1}))
    assert grid is not None
    found = {(row[0], row[1]): (row[5], row[6]) for row in grid.rows}
    assert found == {
        ("A", "BCE"): ("+0.0000", "equal"),
        ("A", "FL"): ("+0.0500", "published"),
        ("A", "FLEM"): ("+0.0000", "equal"),
        ("B", "BCE"): ("+0.0000", "equal"),
        ("B", "FL"): ("-0.0500", "here"),
    }
    assert "Better here in 1, in the paper in 1, equal in four digits in 3 of 5." in grid.caption


def test_values_are_shown_with_the_digits_of_the_paper(tmp_path: Path) -> None:
    result = replace(made(tmp_path, {**ALL, ("FLEM", "A"): 0.1004}), digits=3)
    grid = side_by_side(result)
    assert grid is not None
    found = {(row[0], row[1]): (row[3], row[4], row[6]) for row in grid.rows}
    assert found["A", "FLEM"] == ("0.100", "0.1004 ± 0.0141", "equal")
    assert "equal in three digits in 3 of 5." in grid.caption
    assert cells(metric_grid(result, "hamming_loss"))["FLEM"][0] == "0.1004 (0.100)"


def test_extra_metrics_stand_beside_and_are_not_tested(tmp_path: Path) -> None:
    result = replace(made(tmp_path, ALL), extra=("macro_auc",))
    assert (result.metrics, result.tested) == (["hamming_loss", "macro_auc"], ["hamming_loss"])
    grid = side_by_side(result)
    assert grid is not None
    assert grid.header[-2:] == ["better", "macro_auc ↑"]
    assert grid.rows[1][-1] == "0.7500"
    assert order_grid(result).header == ["data set", "hamming_loss ↓"]  # type: ignore[union-attr]
    assert [row[0] for row in friedman_grid(result).rows] == ["hamming_loss ↓"]  # type: ignore[union-attr]
    assert pairs_grid(result, "", [["FLEM", "BCE"]]).header == ["method", "against", "hamming_loss ↓"]  # type: ignore[union-attr]
    assert [grid.title for grid in reproduction_grids(result, Frame("A paper"))][:2] == ["hamming_loss ↓", "macro_auc ↑"]
    assert "macro_auc" in reproduction_csv(result)


def test_how_many_sets_come_near_the_published_value(tmp_path: Path) -> None:
    result = made(tmp_path, {**ALL, ("BCE", "B"): 0.304, ("FL", "B"): 0.246})
    assert closeness_grid(result) is None  # no tolerance is named
    found = cells(closeness_grid(replace(result, tolerance=0.005)))
    assert found == {
        "BCE": ["hamming_loss ↓", "2 of 2", "+0.0020", "0.0020", "0.0040"],
        "FL": ["hamming_loss ↓", "1 of 2", "+0.0230", "0.0270", "0.0500"],
        "FLEM": ["hamming_loss ↓", "0 of 1", "+0.1000", "0.1000", "0.1000"],
    }
    assert closeness_grid(replace(result, tolerance=0.005, printed=lambda *_: None)) is None


def test_a_data_set_whose_methods_run_in_several_legs_counts_once(tmp_path: Path) -> None:
    cases = [Case("A", "yeast", "yeast"), Case("B", "scene", "scene")]
    shown = ["hamming_loss"]
    legs = [
        leg("A", "", ARMS[:2], cases[:1], shown, RULES, {"batch_size": 4}),
        leg("B", "", ARMS[:2], cases[1:], shown, RULES, {"batch_size": 8}),
        leg("main-own", "", ARMS[2:], cases, shown, RULES, group="main"),
    ]
    result = Reproduced(legs, printed, rank)
    for part in legs:
        store = Store(tmp_path / part.name)
        fill(part, store, ALL)
        result.add(part, store, {case.data: case.data for case in part.cases})
    assert [case.name for case in result.cases] == ["A", "B"]
    assert result.arms == result.ranked == ["BCE", "FL", "FLEM"]
    assert cells(metric_grid(result, "hamming_loss"))["FLEM"] == ["0.2000 (0.1000)", "0.2500", "1.50", "1"]
    assert [part.group for part in legs] == ["", "", "main"]


def test_kendalls_tau_of_the_printed_order(tmp_path: Path) -> None:
    assert cells(order_grid(made(tmp_path, ALL))) == {"A": ["+1.00 (3)", "-"]}  # on B only two values are printed


def test_a_method_that_is_left_out_somewhere_is_not_ranked(tmp_path: Path) -> None:
    values = {**ALL, ("BCE", "D"): 0.2, ("FL", "D"): 0.1}
    result = made(tmp_path, values, without="D")
    grid = metric_grid(result, "hamming_loss")
    assert cells(grid)["FLEM"] == ["0.2000 (0.1000)", "0.2500", "-", "-", "1"]
    assert cells(grid)["BCE"][-2] == "2.00"
    assert "averaged over 3 data sets among 2 methods, without FLEM" in grid.caption


def test_unfinished_data_sets_are_named_and_not_ranked(tmp_path: Path) -> None:
    values = {key: value for key, value in ALL.items() if key != ("FL", "B")}
    result = made(tmp_path, values)
    assert result.missing() == ["FL on B: 0 of 2 cells"]
    grid = metric_grid(result, "hamming_loss")
    assert cells(grid)["FL"][:2] == ["0.2500 (0.2000)", "- (0.2500)"]
    assert "averaged over 1 data set" in grid.caption
    assert "values are missing: B" in grid.caption


def test_friedman_over_independent_data_sets(tmp_path: Path) -> None:
    values = {**ALL, **{(name, "C"): ALL[name, "B"] for name in ("BCE", "FL", "FLEM")},
              ("BCE", "D"): 0.3, ("FL", "D"): 0.2, ("FLEM", "D"): 0.1}  # fmt: skip
    grid = friedman_grid(made(tmp_path, values))
    expected = stats.friedman([[0.3, 0.25, 0.2], [0.3, 0.2, 0.25], [0.3, 0.2, 0.1]], "min")
    row = cells(grid)["hamming_loss ↓"]
    assert row == [f"{expected.f:.2f}", f"{expected.f_p:.2g}", "3", "3", f"{stats.critical_difference(3, 3):.2f}", "FLEM", "BCE, FL"]
    assert grid is not None
    assert "Left out as other versions of the same data: C" in grid.caption


def test_a_claim_is_tested_against_the_best_rival_of_each_data_set(tmp_path: Path) -> None:
    result = made(tmp_path, {**ALL, ("BCE", "D"): 0.1, ("FL", "D"): 0.2, ("FLEM", "D"): 0.15})
    mine, theirs = result.against("FLEM", ["BCE", "FL"], "hamming_loss")
    np.testing.assert_allclose(mine, [0.2, 0.25, 0.15])
    np.testing.assert_allclose(theirs, [0.25, 0.2, 0.1])
    mine, theirs = result.against("FLEM", ["BCE", "FL"], "macro_auc")
    np.testing.assert_allclose(theirs, [0.75, 0.8, 0.9])
    grid = pairs_grid(result, "Is it?", [["FLEM", "BCE", "FL"], ["FLEM", "BCE"], ["nobody", "BCE"], ["FLEM", "nobody"]])
    assert grid is not None
    assert [row[:2] for row in grid.rows] == [["FLEM", "best of BCE, FL"], ["FLEM", "BCE"]]
    assert grid.rows[0][2].startswith("1-0-2 -0.01667 p=1 ")
    assert grid.rows[1][2].startswith("2-0-1 +0.03333 ")
    assert grid.rows[1][3].startswith("2-0-1 +0.03333 ")  # the same for a metric of the other direction
    assert "for the 4 tests" in grid.caption
    assert "chosen on the test rows" in grid.caption
    assert pairs_grid(result, "", [["FLEM", "nobody"]]) is None


def test_everything_significant_is_marked(tmp_path: Path) -> None:
    names = ["yeast", "scene", "enron", "emotions", "bibtex", "birds", "cal500"]
    arms = ARMS[:2]
    part = leg("main", "", arms, [Case(name, name, name) for name in names], ["hamming_loss", "macro_auc"], RULES)
    values = {(method, name): 0.1 + 0.01 * at + 0.1 * (method == "BCE") for at, name in enumerate(names) for method in ("BCE", "FL")}
    store = Store(tmp_path)
    fill(part, store, values)
    result = Reproduced([part], printed, rank)
    result.add(part, store, dict(zip(names, names)))
    grid = pairs_grid(result, "", [["FL", "BCE"]])
    assert grid is not None
    assert grid.rows[0][2] == "7-0-0 +0.10000 p=0.016 (0.031)"
    assert grid.marked == {(0, 2), (0, 3)}


def test_the_report_holds_everything(tmp_path: Path) -> None:
    result = made(tmp_path, ALL)
    frame = Frame("A paper", ["by somebody"], ["a note"], "BCE", [("Is FLEM better?", [["FLEM", "BCE"]])],
                  {"A": {"train": 100, "q": 3}}, {"VOC07": "take pictures"})  # fmt: skip
    grids, notes = write_reproduction(result, tmp_path, frame)
    titles = [grid.title for grid in grids]
    assert titles[:3] == ["hamming_loss ↓", "macro_auc ↑", "Published values next to ours"]
    assert titles[-2:] == ["Is FLEM better?", "Each method against BCE"]
    assert notes == ["a note"]
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for expected in (
        "“A paper”", "- by somebody", "> a note", "- **VOC07**: take pictures", "[main](main/report.md)", "| A | yeast | 27 (100) |",
        "![ranks-hamming_loss](plots/ranks-hamming_loss.png)", "| FLEM | linear | hard |",
    ):  # fmt: skip
        assert expected in text
    assert (tmp_path / "plots" / "ranks-hamming_loss.png").read_bytes()[:4] == b"\x89PNG"
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 12
    assert (rows[0]["published"], rows[1]["published"]) == ("0.3", "")
    assert float(rows[0]["difference"]) == pytest.approx(0, abs=1e-12)
    assert reproduction_csv(result) == (tmp_path / "table.csv").read_text(encoding="utf-8")


def test_unfinished_data_sets_of_a_method_share_a_line(tmp_path: Path) -> None:
    values = {key: value for key, value in ALL.items() if key[0] != "FL" and key != ("BCE", "B")}
    assert sorted(made(tmp_path, values).missing()) == ["BCE on B: 0 of 2 cells", "FL on A, B: 0 of 2 cells each"]


def test_nothing_is_said_where_nothing_ran(tmp_path: Path) -> None:
    result = made(tmp_path, {("nobody", "A"): 0.1})
    grids = reproduction_grids(result, Frame("A paper", control="BCE"))
    assert [grid.title for grid in grids] == ["hamming_loss ↓", "macro_auc ↑"]
    assert "no ranks" in grids[0].caption
    assert len(result.missing()) == 3


def test_what_the_validation_rows_chose_is_shown(tmp_path: Path) -> None:
    result = made(tmp_path, ALL)
    for fold, alpha in ((0, 0.1), (1, 0.01)):
        record = result.records("FLEM", "A")[fold]
        record.prepared["search"] = {"chosen": {"enhance.alpha": alpha}}
    for record in result.records("FLEM", "B"):
        record.prepared["search"] = {"chosen": {"enhance.strategy": "t", "enhance.low_rank": None, "enhance.hidden": 2000000}}
    write_reproduction(result, tmp_path, Frame("A paper"))
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| FLEM | alpha 0.1 (1); alpha 0.01 (1) | strategy t, low_rank None, hidden 2000000 |" in text


def test_the_metrics_follow_the_conventions_of_the_flem_paper() -> None:
    """Ties are errors, worst rank in ties, coverage (mean depth - 1) / c with empty rows at depth 0, labels without positives dropped."""
    from sklearn.metrics import average_precision_score, coverage_error, label_ranking_loss

    rng = np.random.default_rng(0)
    Y = (rng.random((40, 5)) < 0.3).astype(int)
    Y[0], Y[1], Y[:, 4] = 0, 1, 0
    scores = rng.integers(-4, 5, (40, 5)) / 4.0  # logits; many ties
    proba = 1 / (1 + np.exp(-scores))
    found = metrics.evaluate(Y, proba, threshold=0.5, undefined="skip")
    assert found["hamming_loss"] == pytest.approx(np.mean((scores > 0) != Y))
    assert found["ranking_loss"] == pytest.approx(label_ranking_loss(Y, scores))
    assert found["coverage_norm"] == pytest.approx((coverage_error(Y, scores) - 1) / 5)
    assert found["macro_ap"] == pytest.approx(np.mean([average_precision_score(Y[:, j], scores[:, j]) for j in range(4)]))
    authors = metrics.evaluate(Y, scores, labels=scores > 0, metrics=["flem_ranking_loss", "flem_coverage", "flem_map"])
    assert [found["ranking_loss"], found["coverage_norm"], found["macro_ap"]] == pytest.approx(list(authors.values()))
