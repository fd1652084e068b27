"""Deep models, classical ones, losses and kinds of data, all through the one path of a cell."""

from pathlib import Path

import numpy as np
import pytest

from polytag.bench import Experiment, Method, Protocol, Results, Store, run_cell, run_experiment
from polytag.bench.report import write_report
from polytag.bench.runner import plan
from polytag.bench.tables import all_tables, method_rank_table
from polytag.classical import MLkNN
from polytag.data import Dataset, make_multilabel
from polytag.data.prepare import Preparation
from polytag.data.splits import kfold
from polytag.errors import DataError, ParameterError
from polytag.metrics import evaluate

PROTOCOL = Protocol(folds=3, epochs=2)


def words(n: int = 90) -> Dataset:
    rng = np.random.default_rng(0)
    vocabulary = np.array(["tea", "wine", "milk", "red", "green", "old", "cup", "glass"])
    texts = [" ".join(rng.choice(vocabulary, 5)) for _ in range(n)]
    labels = np.array([[word in text.split() for word in ("tea", "wine", "milk")] for text in texts], dtype=np.uint8)
    return Dataset(np.array(texts, dtype=object)[:, None], labels, ["text"], ["tea", "wine", "milk"], "words", kind="text")


def test_a_classical_cell_holds_what_the_model_says_by_hand() -> None:
    data, _ = make_multilabel(150, 6, 4, cardinality=1.5, seed=3)
    record = run_cell(data, Method(model="mlknn", model_params={"k": 7}), PROTOCOL, 1, 0)
    parts = Preparation().prepare(data, kfold(data, 3, seed=0, **Protocol().split)[1])
    model = MLkNN(k=7).fit(parts.train.X, parts.train.Y)
    by_hand = evaluate(parts.test.Y, model.predict_proba(parts.test.X), labels=model.predict(parts.test.X))
    assert record.metrics["macro_auc"] == by_hand["macro_auc"]
    assert record.metrics["micro_f1"] == by_hand["micro_f1"]
    assert record.method["selector"] == "none"
    assert len(record.history) == 1
    assert record.best_epoch is None


def test_a_classical_model_can_have_thresholds_of_its_own() -> None:
    data, _ = make_multilabel(150, 6, 4, cardinality=1.5, seed=3)
    plain, cut = (run_cell(data, Method(model="br", threshold=threshold), PROTOCOL, 0, 0) for threshold in (0.5, "label_f1"))
    assert plain.metrics["macro_auc"] == cut.metrics["macro_auc"]
    assert plain.metrics["macro_f1"] != cut.metrics["macro_f1"]


def test_a_deep_model_with_a_threshold_of_its_own_decides_by_it() -> None:
    data, _ = make_multilabel(150, 6, 4, cardinality=1.5, seed=3)
    own, cut = (run_cell(data, Method(model="bpmll", threshold=threshold), PROTOCOL, 0, 0) for threshold in (0.5, 0.5001))
    assert own.metrics["macro_auc"] == cut.metrics["macro_auc"]
    assert own.metrics["micro_f1"] != cut.metrics["micro_f1"]


def test_classical_models_are_crossed_with_no_selector_and_no_loss() -> None:
    grid = Experiment.grid(["digits-scenes"], ["linear", "mlknn(k=5)", "br"], ["random", "adaptive"], losses=["bce", "focal"])
    named = [(method.backbone, method.strategy) for method in grid.methods]
    assert named == [
        ("linear(loss=bce)", "random"),
        ("linear(loss=bce)", "adaptive"),
        ("linear(loss=focal)", "random"),
        ("linear(loss=focal)", "adaptive"),
        ("mlknn(k=5)", "none"),
        ("br", "none"),
    ]
    with pytest.raises(ParameterError, match="loss"):
        Experiment.grid(["digits-scenes"], ["br"], ["random"], losses=["focal"])
    with pytest.raises(ParameterError, match="expected no loss for the classical model 'br'"):
        Method(model="br", loss="bce")
    with pytest.raises(ParameterError, match="expected a batch selector for the deep model"):
        Method(model="linear", selector="none")
    with pytest.raises(ParameterError, match="parameter of model 'mlknn' called 'kk'"):
        Method(model="mlknn", model_params={"kk": 3})
    with pytest.raises(ParameterError, match="no model called 'mlknm'; did you mean 'mlknn'"):
        Method(model="mlknm")
    with pytest.raises(ParameterError, match="whose objective is its own"):
        Method(model="mpvae", loss="asl")


def test_losses_with_parameters_learn_their_counts_from_the_training_rows() -> None:
    data, _ = make_multilabel(120, 6, 4, cardinality=1.5, seed=3)
    method = Method(model="linear", loss="cb", loss_params={"beta": 0.99})
    assert method.backbone == "linear(loss=cb(beta=0.99))"
    assert run_cell(data, method, PROTOCOL, 0, 0).metrics != run_cell(data, Method(model="linear"), PROTOCOL, 0, 0).metrics
    assert Method(model="linear", loss="bce").identity() == {
        "model": "linear", "selector": "random", "loss": "bce", "threshold": 0.5, "model_params": {}, "selector_params": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    "method", [Method(model="linear"), Method(model="rnn", selector="d2ace"), Method(model="br")], ids=lambda m: m.model
)
def test_texts_become_what_the_model_reads_learnt_from_training_rows(method: Method) -> None:
    data = words()
    record = run_cell(data, method, Protocol(folds=3, epochs=40, batch_size=16, lr=0.02, preparation={"text": {"min_count": 1}}), 0, 0)
    assert record.metrics["macro_auc"] > 0.9
    assert record.prepared["text"] == {"min_count": 1}


def test_pictures_go_only_to_models_that_read_them() -> None:
    X = np.random.default_rng(0).integers(0, 256, (30, 3, 16, 16), dtype=np.uint8)
    data = Dataset(X, np.eye(2, dtype=np.uint8)[np.arange(30) % 2], name="pictures", kind="images")
    assert run_cell(data, Method(model="small_cnn", selector="adaptive"), PROTOCOL, 0, 0).metrics["hamming_loss"] <= 1
    with pytest.raises(DataError, match="MLP reads table, but got images"):
        run_cell(data, Method(model="mlp"), PROTOCOL, 0, 0)
    with pytest.raises(DataError, match="br reads table, but got images"):
        run_cell(data, Method(model="br"), PROTOCOL, 0, 0)


def test_a_report_of_many_models_ranks_all_methods(tmp_path: Path) -> None:
    experiment = Experiment.grid(
        ["digits-scenes"], ["linear", "mlp(hidden=[8])", "mlknn"], ["random", "hard", "adaptive"],
        protocol={"folds": 2, "epochs": 1}, metrics=["macro_auc"],
    )  # fmt: skip
    store = Store(tmp_path)
    outcomes = run_experiment(experiment, store)
    assert [outcome.error for outcome in outcomes] == [""] * 14
    results = Results(experiment, [outcome.record for outcome in outcomes if outcome.record is not None])
    tables = {grid.title: grid for grid in all_tables(results)}
    assert [row[:2] for row in tables["digits-scenes"].rows][-1] == ["mlknn", "none"]
    assert len(tables["digits-scenes"].rows) == 7
    ranks = [float(row[2]) for row in method_rank_table(results).rows]
    assert sum(ranks) == 28  # ties share
    assert {row[0] for row in tables["Average ranks"].rows} == {"linear", "mlp(hidden=[8])"}
    report = write_report(store, experiment, plan(experiment)[1])
    assert all("warm-up" in note for note in report.notes)
