"""Label enhancement and searches in a comparison: named, crossed, trained, chosen, recorded, and told apart from what came before."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polytag import registry
from polytag.bench import Experiment, Method, Protocol, Results, Store, run_cell, run_experiment
from polytag.bench.cell import derived_seeds
from polytag.bench.fitting import build_model, build_selector, fit_deep
from polytag.bench.report import load_experiment, write_report
from polytag.bench.runner import plan
from polytag.bench.search import candidates, fit_best
from polytag.bench.store import cell_key
from polytag.data import Dataset, Table, make_multilabel
from polytag.data.prepare import Preparation, PreparedSplit
from polytag.data.splits import kfold
from polytag.enhance import FLEM, Enhancer
from polytag.errors import DataError, DivergenceError, ParameterError
from polytag.models import Enhanced
from polytag.training import predict

ROOT = Path(__file__).parents[2]
PROTOCOL = Protocol(folds=3, epochs=3, batch_size=16)


class Shares(Enhancer):
    """Relevant labels share ``sharp`` of a row, all labels the rest."""

    def __init__(self, *, beta: float = 0.5, sharp: float = 0.8, idle: int = 0) -> None:
        super().__init__(beta=beta)
        self.sharp, self.idle = sharp, idle

    def fit_transform(self, X: Any, Y: Any, *, seed: int = 0) -> Any:
        Y = np.asarray(Y.toarray() if hasattr(Y, "toarray") else Y, dtype=float)
        mixed = self.sharp * Y + (1 - self.sharp) / Y.shape[1]
        return mixed / mixed.sum(axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the enhancement a name, here and nowhere else."""
    registry.names("enhancer")
    monkeypatch.setitem(registry._METHODS["enhancer"], "shares", Shares)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return make_multilabel(150, 6, 4, cardinality=1.5, seed=3)[0]


@pytest.fixture
def parts(data: Dataset) -> PreparedSplit:
    return Preparation().prepare(data, kfold(data, 3)[0])


def test_what_is_absent_leaves_no_trace() -> None:
    plain = {"model": "linear", "selector": "random", "threshold": 0.5, "model_params": {}, "selector_params": {}}
    for nothing in ({}, {"enhance": None}, {"enhance_params": {}}, {"search": {}}):
        assert Method(model="linear", **nothing).identity() == plain
    assert Method(model="linear", enhance="shares").identity() == {**plain, "enhance": "shares"}
    assert not {"optimizer", "optimizer_params", "clip_norm"} & set(Protocol(optimizer_params={}).identity())
    assert "parts" not in Protocol().identity()["split"]


@pytest.mark.parametrize("folder", sorted(path.name for path in (ROOT / "results").iterdir() if (path / "experiment.json").exists()))
def test_finished_comparisons_are_still_found(folder: str) -> None:
    experiment, hashes = load_experiment(ROOT / "results" / folder)
    keys = {cell_key(hashes[cell.dataset], cell.method, experiment.protocol, cell.fold, cell.seed) for cell in experiment.cells()}
    assert keys == {path.stem for path in (ROOT / "results" / folder / "records").glob("*.json")}
    record = json.loads(next((ROOT / "results" / folder / "records").glob("*.json")).read_text(encoding="utf-8"))
    assert Method(**record["method"]).identity() == record["method"]
    assert experiment.protocol.identity() == record["protocol"]


def test_a_method_says_how_its_labels_are_enhanced() -> None:
    method = Method(model="linear", loss="bce", enhance="shares", enhance_params={"sharp": 0.5}, search={"selector.order": ["shuffled"]})
    assert method.backbone == "linear(loss=bce, enhance=shares(sharp=0.5))"
    assert method.strategy == "random(order=['shuffled'])"
    assert Method(model="linear", enhance="shares", search={"enhance.beta": [0.1, 0.2]}).backbone == (
        "linear(enhance=shares, enhance.beta=[0.1, 0.2])"
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "mlknn", "enhance": "shares"}, "expected no label enhancement for the classical model 'mlknn'"),
        ({"model": "mlknn", "search": {"model.k": [5, 10]}}, "nothing to search for the classical model 'mlknn'"),
        ({"enhance": "sharse"}, "no enhancer called 'sharse'; did you mean 'shares'"),
        ({"enhance": "shares", "enhance_params": {"shrap": 1}}, "parameter of enhancer 'shares' called 'shrap'; did you mean 'sharp'"),
        ({"enhance": "none"}, "expected a label enhancement"),
        ({"enhance_params": {"sharp": 1}}, "expected a label enhancement"),
        ({"search": {"enhance.sharp": [1]}}, "the method has none"),
        ({"enhance": "shares", "search": {"enhance.shrap": [1]}}, "did you mean 'sharp'"),
        ({"enhance": "shares", "enhance_params": {"sharp": 1}, "search": {"enhance.sharp": [1]}}, "got both"),
        ({"search": {"lr": []}}, "expected different values"),
        ({"search": {"lr": [0.1, 0.1]}}, "expected different values"),
        ({"search": {"epochs": [1]}}, "but got 'epochs'"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Method(**{"model": "linear", **wrong})


def test_the_cross_has_methods_with_and_without_enhancement() -> None:
    grid = Experiment.grid(
        ["digits-scenes"], ["linear", "mlknn"], ["random", "adaptive"], losses=["bce", "focal"],
        enhancers=["none", "shares(sharp=1)", "flem(strategy=s)"], search={"enhance.alpha": [0.1, 0.2], "selector.pressure": [2, 4]},
        method={"enhance_params": {"beta": 0.25}},
    )  # fmt: skip
    assert len(grid.methods) == 2 * 3 * 2 + 1
    by_name = {(method.backbone, method.strategy): method for method in grid.methods}
    assert by_name["mlknn", "none"].search is None
    assert by_name["linear(loss=bce)", "random"].search is None
    assert by_name["linear(loss=bce)", "adaptive(pressure=[2, 4])"].search == {"selector.pressure": [2, 4]}
    assert by_name["linear(loss=focal, enhance=shares(beta=0.25, sharp=1))", "random"].search is None
    assert by_name["linear(loss=bce, enhance=flem(beta=0.25, strategy=s), enhance.alpha=[0.1, 0.2])", "random"].enhance == "flem"
    for wrong, message in (
        ({"models": ["mlknn"], "enhancers": ["shares"]}, "expected no label enhancement where all models are classical"),
        ({"models": ["linear"], "method": {"enhance_params": {"beta": 0.5}}}, "expected an enhancer for the parameters"),
        ({"models": ["linear"], "enhancers": ["shares"], "search": {"enhance.bata": [1]}}, "did you mean 'enhance.beta'"),
        ({"models": ["linear"], "search": {"nosuch.beta": [1]}}, "expected model"),
    ):
        with pytest.raises(ParameterError, match=message):
            Experiment.grid(["digits-scenes"], selectors=["random"], **wrong)


def test_an_enhanced_cell_is_what_it_says_by_hand(parts: PreparedSplit) -> None:
    method, seeds = Method(model="linear", enhance="flem", enhance_params={"beta": 0.5, "hidden": 8}), derived_seeds(0, 0)
    fitted = fit_deep(method, PROTOCOL, parts, seeds)
    train = Table(parts.train)
    model = build_model(method, PROTOCOL, train, seeds.weights)
    learner = Enhanced.around(model, FLEM(beta=0.5, hidden=8), train, seed=seeds.weights + 1)
    trainer = PROTOCOL.trainer(type(model), plain=True, seed=seeds.noise)
    trainer.fit(learner, train, build_selector(method, PROTOCOL, train, seeds.batches), Table(parts.valid))
    expected = predict(model, Table(parts.test)).double().sigmoid().numpy()
    assert np.array_equal(fitted.proba(parts.test), expected)
    plain = fit_deep(Method(model="linear"), PROTOCOL, parts, seeds)
    assert not np.array_equal(plain.proba(parts.test), expected)


def test_without_share_of_the_distributions_the_model_is_what_it_is_without_enhancement(data: Dataset) -> None:
    methods = [Method(model="mlp"), Method(model="mlp", enhance="flem", enhance_params={"beta": 0.0, "hidden": 8})]
    plain, enhanced = (run_cell(data, method, PROTOCOL, 0, 0) for method in methods)
    assert enhanced.metrics == plain.metrics
    assert enhanced.key != plain.key
    assert [epoch["valid"] for epoch in enhanced.history] == [epoch["valid"] for epoch in plain.history]
    assert enhanced.seconds["setup"] > 0


def test_a_search_trains_every_combination_and_keeps_the_best_on_the_validation_rows(parts: PreparedSplit) -> None:
    method = Method(model="linear", enhance="shares", search={"lr": [1e-5, 0.1], "enhance.beta": [0.0, 0.9]})
    protocol, seeds = Protocol(epochs=3, batch_size=16, monitor="hamming_loss"), derived_seeds(0, 0)
    found = fit_best(method, protocol, parts, seeds)
    assert found.search is not None
    by_hand = []
    for lr in (1e-5, 0.1):
        for beta in (0.0, 0.9):
            plain = Method(model="linear", enhance="shares", enhance_params={"beta": beta})
            fitted = fit_deep(plain, protocol.model_copy(update={"lr": lr}), parts, seeds)
            by_hand.append(({"lr": lr, "enhance.beta": beta}, min(epoch.valid or 0.0 for epoch in fitted.run.history), fitted))
    best = min(by_hand, key=lambda each: each[1])  # of equals the first
    assert [(each["values"], each["valid"]) for each in found.search["candidates"]] == [each[:2] for each in by_hand]
    assert found.search["chosen"] == best[0]
    assert found.search["tried"] == 4
    assert found.search["seconds"] > sum(epoch.seconds for epoch in found.run.history)
    assert found.training["lr"] == best[0]["lr"] == 0.1
    assert np.array_equal(found.proba(parts.test), best[2].proba(parts.test))


def test_distributions_are_recovered_once_for_every_setting_of_their_method(parts: PreparedSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    recovered: list[float] = []
    recover = Shares.fit_transform

    def counted(self: Shares, X: Any, Y: Any, *, seed: int = 0) -> Any:
        recovered.append(self.sharp)
        return recover(self, X, Y, seed=seed)

    monkeypatch.setattr(Shares, "fit_transform", counted)
    search = {"enhance.beta": [0.0, 0.5, 0.9], "lr": [1e-3, 1e-2], "enhance.sharp": [0.6, 0.9]}
    fit_best(Method(model="linear", enhance="shares", search=search), Protocol(epochs=1, batch_size=16), parts, derived_seeds(0, 0))
    assert sorted(recovered) == [0.6, 0.9]


@pytest.mark.parametrize(("monitor", "expected"), [("macro_auc", 0.1), ("loss", 0.1)])
def test_the_better_end_of_the_monitor_is_looked_for(parts: PreparedSplit, monitor: str, expected: float) -> None:
    method = Method(model="linear", search={"lr": [1e-6, 0.1]})
    found = fit_best(method, Protocol(epochs=5, batch_size=16, monitor=monitor), parts, derived_seeds(0, 0))
    assert found.training["lr"] == expected


def test_of_equals_the_first_wins_and_what_diverges_loses(parts: PreparedSplit) -> None:
    equal = Method(model="linear", enhance="shares", search={"enhance.idle": [3, 1, 2]})
    found = fit_best(equal, PROTOCOL, parts, derived_seeds(0, 0)).search
    assert found is not None
    assert found["chosen"] == {"enhance.idle": 3}
    assert len({each["valid"] for each in found["candidates"]}) == 1
    search = {"lr": [1e38, 0.1]}
    wild = Protocol(epochs=8, batch_size=16, optimizer="sgd", optimizer_params={"momentum": 0.9}, weight_decay=0.5)
    found = fit_best(Method(model="linear", search=search), wild, parts, derived_seeds(0, 0)).search
    assert found is not None
    assert found["chosen"] == {"lr": 0.1}
    assert np.isnan(found["candidates"][0]["valid"])
    with pytest.raises(DivergenceError, match="every combination of lr diverged"):
        fit_best(Method(model="linear", search={"lr": [1e38, 1e37]}), wild, parts, derived_seeds(0, 0))


def test_of_the_last_epoch_the_last_value_counts(parts: PreparedSplit) -> None:
    method = Method(model="linear", search={"lr": [0.5, 0.01]})
    protocol = Protocol(epochs=6, batch_size=16, keep="last", monitor="loss")
    found = fit_best(method, protocol, parts, derived_seeds(0, 0)).search
    assert found is not None
    last = [fit_deep(each.method, each.protocol, parts, derived_seeds(0, 0)).run.history[-1].valid for each in candidates(method, protocol)]
    assert [each["valid"] for each in found["candidates"]] == last


def test_a_search_needs_validation_rows(data: Dataset) -> None:
    method = {"model": "linear", "search": {"lr": [0.1, 0.2]}}
    with pytest.raises(ParameterError, match="expected validation rows to search for lr by"):
        Experiment(datasets=["digits-scenes"], methods=[method], protocol={"split": {"valid": 0}})
    with pytest.raises(DataError, match="expected validation rows to choose lr by"):
        run_cell(data, Method(**method), Protocol(folds=3, epochs=1, split={"valid": 0}), 0, 0)


def test_the_record_and_the_report_tell_of_the_search(tmp_path: Path) -> None:
    experiment = Experiment.grid(
        ["digits-scenes"], ["linear"], ["random"], enhancers=["none", "shares", "flem(hidden=4)"],
        search={"enhance.beta": [0.1, 0.5], "enhance.alpha": [0.1]}, protocol={"folds": 2, "epochs": 1}, metrics=["hamming_loss"],
    )  # fmt: skip
    store = Store(tmp_path)
    outcomes = run_experiment(experiment, store)
    assert [outcome.error for outcome in outcomes] == [""] * 6
    records = [outcome.record for outcome in outcomes if outcome.record is not None]
    assert [record.prepared.get("search", {}).get("tried") for record in records] == [None, 2, 2] * 2
    assert set(records[2].prepared["search"]["chosen"]) == {"enhance.beta", "enhance.alpha"}
    assert len(Results(experiment, records).backbones) == 3
    report = write_report(store, experiment, plan(experiment)[1])
    assert "linear(enhance=flem(hidden=4), enhance.beta=[0.1, 0.5], enhance.alpha=[0.1])" in (tmp_path / "report.md").read_text()
    assert all(outcome.kept for outcome in run_experiment(experiment, store))
    assert not report.notes


def test_the_global_random_state_stays_as_it_was_under_a_search(parts: PreparedSplit) -> None:
    state = torch.get_rng_state()
    fit_best(Method(model="mlp", enhance="flem", search={"enhance.alpha": [0.1, 0.9]}), PROTOCOL, parts, derived_seeds(0, 0))
    assert torch.equal(state, torch.get_rng_state())
