"""Comparisons on labels with a hierarchy: scores made coherent after training, what the records then hold, and what the tables show."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.bench.conftest import filled, made_record

from polytag import metrics, registry
from polytag.bench import Experiment, Method, Protocol, Results, Store, run_cell
from polytag.bench.cell import derived_seeds
from polytag.bench.fitting import Fitted, fit_classical, fit_deep
from polytag.bench.judging import judged
from polytag.bench.spec import SHOWN_METRICS
from polytag.bench.store import content_hash
from polytag.bench.tables import all_tables, method_rank_table, score_tables, values_csv
from polytag.cli.app import main
from polytag.data import Dataset
from polytag.data.catalogue import load_dataset
from polytag.data.prepare import Preparation, PreparedSplit
from polytag.data.splits import kfold
from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.thresholds import Threshold
from polytag.training import Run

PROTOCOL = Protocol(folds=3, epochs=3, batch_size=64)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    data = load_dataset("digits-scenes")
    return data.take(np.arange(500))


@pytest.fixture(scope="module")
def parts(digits: Dataset) -> PreparedSplit:
    return Preparation().prepare(digits, kfold(digits, 3)[0])


def test_closing_ends_all_violations_and_says_how_many_there_were(digits: Dataset) -> None:
    records = {how: run_cell(digits, Method(model="linear", closure=how), PROTOCOL, 0, 0) for how in (None, "up", "down", "product")}
    raw = records.pop(None)
    assert raw.metrics["hvr"] > 0
    assert "hvr_before_closure" not in raw.metrics
    assert (raw.dataset["levels"], raw.dataset["edges"]) == (2, 12)
    assert {"h_f1", "micro_f1_level_1", "micro_f1_level_2", "hvr_scores"} <= set(raw.metrics)
    for record in records.values():
        assert record.metrics["hvr_before_closure"] == raw.metrics["hvr"]
        assert record.metrics["hvr"] == record.metrics["hvr_scores"] == 0
        assert record.history[0]["loss"] == raw.history[0]["loss"]
        assert record.key != raw.key
    assert len({record.metrics["micro_ap"] for record in records.values()}) == 3


def test_a_closed_cell_is_what_it_says_by_hand(parts: PreparedSplit) -> None:
    h = parts.test.hierarchy
    assert h is not None
    fitted = fit_deep(Method(model="linear"), PROTOCOL, parts, derived_seeds(0, 0))
    proba, held_out = h.constrain(fitted.proba(parts.test)), h.constrain(fitted.proba(parts.valid))
    found = judged(Method(model="linear", closure="up"), fitted, parts)
    assert found == metrics.evaluate(parts.test.Y, proba, threshold=0.5, hierarchy=h) | {"hvr_before_closure": found["hvr_before_closure"]}
    cuts = Threshold.named("f1").fit(held_out, parts.valid.Y).values
    found = judged(Method(model="linear", closure="up", threshold="f1"), fitted, parts)
    assert found["h_f1"] == metrics.h_f1(parts.test.Y, proba > cuts, hierarchy=h)
    assert found["hvr_before_closure"] == metrics.hvr(parts.test.Y, fitted.proba(parts.test) > cuts, hierarchy=h)


def test_cuts_of_different_height_do_not_break_a_closed_method(parts: PreparedSplit) -> None:
    h = parts.test.hierarchy
    assert h is not None
    fitted = fit_deep(Method(model="linear"), PROTOCOL, parts, derived_seeds(0, 0))
    for how in ("up", "down"):
        found = judged(Method(model="linear", closure=how, threshold="label_f1"), fitted, parts)
        assert found["hvr"] == 0 < found["hvr_before_closure"]
    levels = judged(Method(model="linear", threshold="level_f1"), fitted, parts)
    rule = Threshold.named("level_f1", hierarchy=h).fit(fitted.proba(parts.valid), parts.valid.Y)
    assert levels["h_f1"] == metrics.h_f1(parts.test.Y, rule.predict(fitted.proba(parts.test)), hierarchy=h)
    assert levels["hvr"] == 0


def test_decisions_of_a_model_are_closed_as_sets(parts: PreparedSplit) -> None:
    h = parts.test.hierarchy
    assert h is not None
    proba = np.zeros((parts.test.n, h.q))
    own = np.random.default_rng(0).random(proba.shape) < 0.3
    fitted = Fitted(lambda data: proba, lambda data: own, Run(history=[]), 0.0, {})
    raw = judged(Method(model="mlknn"), fitted, parts)
    assert raw["h_f1"] == metrics.h_f1(parts.test.Y, own, hierarchy=h)
    for how, kept in (("up", h.close(own)), ("down", h.constrain(own.astype(float), "down") > 0.5)):
        found = judged(Method(model="mlknn", closure=how), fitted, parts)
        assert found["micro_f1"] == metrics.micro_f1(parts.test.Y, kept)
        assert found["hvr_before_closure"] == raw["hvr"] > found["hvr"] == 0


def test_without_a_hierarchy_there_is_nothing_to_close(tiny: str, digits: Dataset) -> None:
    for wrong, message in (
        ({"closure": "up"}, "a hierarchy for closure='up', but tiny has none"),
        ({"closure": "up", "threshold": "level_f1"}, "closure='up' and threshold='level_f1'"),
    ):
        with pytest.raises(DataError, match=message):
            run_cell(tiny, Method(model="linear", **wrong), PROTOCOL, 0, 0)
    plain = run_cell(replace(digits, hierarchy=None), Method(model="mlknn"), PROTOCOL, 0, 0)
    assert "hvr" not in plain.metrics
    assert "levels" not in plain.dataset


class Told:
    """A classical model that needs a hierarchy, and says what it was given."""

    NEEDS_HIERARCHY = True

    def __init__(self, *, hierarchy: Hierarchy, random_state: int | None = None) -> None:
        self.hierarchy = hierarchy

    def fit(self, X: Any, Y: Any) -> "Told":
        self.frequency = np.asarray(Y.mean(axis=0)).ravel()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.tile(np.asarray(self.hierarchy.levels) / 10, (X.shape[0], 1))

    def predict(self, X: Any) -> np.ndarray:
        return self.predict_proba(X) > 0.15


def test_classical_models_that_need_a_hierarchy_get_it(parts: PreparedSplit, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.names("classical")
    monkeypatch.setitem(registry._METHODS["classical"], "told", Told)
    assert parts.test.hierarchy is not None
    fitted = fit_classical(Method(model="told"), parts, derived_seeds(0, 0))
    assert np.array_equal(fitted.proba(parts.test)[0] * 10, parts.test.hierarchy.levels)
    assert Method(model="told").hierarchical == "the model 'told'"
    bare = replace(digits, hierarchy=None)
    with pytest.raises(DataError, match="a hierarchy for the model 'told'"):
        run_cell(bare, Method(model="told"), PROTOCOL, 0, 0)
    with pytest.raises(DataError, match="a hierarchy for told"):
        fit_classical(Method(model="told"), Preparation().prepare(bare, kfold(bare, 3)[0]), derived_seeds(0, 0))


def test_a_method_says_how_it_is_closed_and_leaves_no_trace_if_it_is_not() -> None:
    assert Method(model="mlp", loss="bce", closure="up", threshold=0.4).backbone == "mlp(loss=bce, closure=up, threshold=0.4)"
    assert "closure" not in Method(model="mlp").identity()
    assert Method(model="mlp", closure="down").identity()["closure"] == "down"
    with pytest.raises(ParameterError, match="'up', 'down' or 'product', but got 'upp'"):
        Method(model="mlp", closure="upp")


def test_methods_are_crossed_with_closures() -> None:
    grid = Experiment.grid(["digits-scenes"], ["linear", "mlknn"], ["random", "adaptive"], closures=["none", "up"])
    assert [(method.backbone, method.strategy) for method in grid.methods] == [
        ("linear", "random"), ("linear", "adaptive"), ("linear(closure=up)", "random"), ("linear(closure=up)", "adaptive"),
        ("mlknn", "none"), ("mlknn(closure=up)", "none"),
    ]  # fmt: skip


def test_the_hierarchy_is_part_of_the_content(digits: Dataset) -> None:
    bare, other = (replace(digits, hierarchy=h) for h in (None, Hierarchy(digits.label_names, np.array([[1, 0]]))))
    assert len({content_hash(each) for each in (digits, bare, other)}) == 3
    assert content_hash(bare) == content_hash(Dataset(digits.X, digits.Y))


def test_tables_show_more_where_the_labels_have_a_hierarchy(tmp_path: Path) -> None:
    experiment = Experiment.grid(["digits-scenes", "yeast"], ["linear"], ["random", "hard", "adaptive"], closures=["none"])
    hashes = filled(Store(tmp_path), experiment)
    under = {"micro_ap": 0.4, "h_f1": 0.5, "hvr": 0.1, "hvr_before_closure": 0.2}
    records = []
    for cell in experiment.cells():
        record = made_record(experiment, cell, hashes[cell.dataset])
        records.append(replace(record, metrics=record.metrics | (under if cell.dataset == "digits-scenes" else {})))
    both = Results(experiment, records)
    assert both.shown("digits-scenes") == [*SHOWN_METRICS, "micro_ap", "h_f1", "hvr"]
    assert both.shown("yeast") == both.ranked == list(SHOWN_METRICS)
    tables = score_tables(both)
    assert tables[0].header[-3:] == ["micro_ap ↑", "h_f1 ↑", "hvr ↓"]
    assert tables[1].header[-1] == "one_error ↓"
    assert "0.1000 ± 0.0000" in tables[0].rows[0]
    assert "hvr_before_closure,min,0.2" in values_csv(both)
    alone = Results(Experiment(datasets=["digits-scenes"], methods=experiment.methods), records[: len(records) // 2])
    assert alone.ranked == [*SHOWN_METRICS, "micro_ap", "h_f1"]
    assert method_rank_table(alone).header[2:-1] == [*tables[1].header[1:], "micro_ap ↑", "h_f1 ↑"]
    assert any("hvr" in grid.to_markdown() for grid in all_tables(alone))
    asked = Results(Experiment(datasets=["digits-scenes"], methods=experiment.methods, metrics=["hvr"]), records[: len(records) // 2])
    assert asked.shown("digits-scenes") == asked.ranked == ["hvr"]


def test_compare_with_and_without_closure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["compare", "--dataset", "digits-scenes", "--model", "linear", "--selector", "random", "--closure", "none,up",
             "--folds", "2", "--epochs", "1", "--out", str(out)]  # fmt: skip
    assert main(words) == 0
    assert "4/4" in capsys.readouterr().out
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "linear(closure=up)" in report
    assert "hvr ↓" in report
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "records").iterdir()]
    closed = [record["metrics"] for record in records if "closure" in record["method"]]
    assert len(closed) == 2
    assert all(found["hvr"] == 0 for found in closed)
    assert main([*words[:-1], str(tmp_path / "other"), "--closure", "upp"]) == 2
    assert "'up', 'down' or 'product', but got 'upp'" in capsys.readouterr().err
