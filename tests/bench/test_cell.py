"""One cell: the straight path, fair starts, honest bookkeeping."""

import numpy as np
import pytest
import torch

from polytag.bench import Method, Protocol, Record, run_cell
from polytag.bench.cell import derived_seeds
from polytag.bench.fitting import build_model, build_selector
from polytag.bench.store import cell_key, content_hash
from polytag.data.catalogue import load_dataset
from polytag.data.dataset import Dataset
from polytag.data.prepare import Preparation
from polytag.data.splits import kfold
from polytag.data.table import Table
from polytag.metrics import evaluate
from polytag.training import predict

from .conftest import PROTOCOL


def test_a_record_says_everything(tiny: str) -> None:
    method, protocol = Method(model="linear", selector="adaptive"), Protocol(**PROTOCOL)
    record = run_cell(tiny, method, protocol, 1, 5)
    data = load_dataset(tiny)
    assert record.key == cell_key(content_hash(data), method, protocol, 1, 5)
    assert record.dataset == {"name": tiny, "hash": content_hash(data), "n": 60, "d": 4, "q": 3}
    assert (record.fold, record.seed, len(record.history)) == (1, 5, 2)
    assert {"macro_auc", "hamming_loss", "ndcg_at_3"} <= set(record.metrics)
    assert all(epoch["train_loss"] > 0 and epoch["valid"] is not None for epoch in record.history)
    assert 0 < record.seconds["select"] < record.seconds["train"] < record.seconds["total"]
    assert record.environment["threads"] == torch.get_num_threads()
    assert set(record.environment["versions"]) >= {"python", "torch", "polytag"}
    assert record.prepared["rows"] == {"train": 27, "valid": 3, "test": 30}
    assert Record.from_json(record.to_json()).metrics == pytest.approx(record.metrics, nan_ok=True)


def test_the_path_is_what_it_says(tiny: str) -> None:
    """The same numbers, step by step by hand."""
    method, protocol = Method(model="mlp", selector="hard", threshold=0.4), Protocol(**PROTOCOL)
    record = run_cell(tiny, method, protocol, 0, 0)
    data = load_dataset(tiny)
    parts = Preparation().prepare(data, kfold(data, 2, seed=0)[0])
    train, valid, test = (Table(part) for part in parts[:3])
    weights, batches, noise = derived_seeds(0, 0)
    model = build_model(method, protocol, train, weights)
    run = protocol.trainer(type(model), plain=False, seed=noise).fit(model, train, build_selector(method, protocol, train, batches), valid)
    scores = evaluate(test.dataset.Y, predict(model, test).double().sigmoid().numpy(), threshold=0.4)
    assert record.metrics == pytest.approx(scores, nan_ok=True, rel=0, abs=0)
    assert [epoch["valid"] for epoch in record.history] == [epoch.valid for epoch in run.history]


def test_all_selectors_start_from_the_same_place(tiny: str) -> None:
    """While all still make plain warm-up passes, they cannot be told apart."""
    protocol = Protocol(**PROTOCOL)
    records = [run_cell(tiny, Method(model="mlp", selector=name), protocol, 0, 0) for name in ("random", "hard", "adaptive", "adac")]
    losses = [[epoch["loss"] for epoch in record.history] for record in records]
    assert losses[0] == losses[1] == losses[2] == losses[3]
    assert len({json_of(record.metrics) for record in records}) == 1


def json_of(metrics: dict[str, float]) -> str:
    return repr({name: value for name, value in metrics.items() if not np.isnan(value)})


def test_the_global_random_state_stays_as_it_was(tiny: str) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    run_cell(tiny, Method(model="mlp", selector="adac"), Protocol(**PROTOCOL), 0, 0)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # type: ignore[index]  # noqa: NPY002


def test_the_authors_protocol_runs_with_its_quirks(tiny: str) -> None:
    protocol = Protocol(preset="authors-2024", folds=2, epochs=1, batch_size=16, preparation={"min_label_count": 5})
    data = load_dataset(tiny)
    train = Table(data)
    random = build_selector(Method(model="linear"), protocol, train, 0)
    assert next(iter(random)).tolist() == list(range(16))
    adaptive = build_selector(Method(model="linear", selector="adaptive"), protocol, train, 0)
    assert adaptive.refresh == "epoch"  # type: ignore[attr-defined]
    assert build_model(Method(model="clif"), protocol, train, 0).sigmoid_gate is False
    record = run_cell(tiny, Method(model="linear"), protocol, 0, 0)
    assert record.prepared["rows"] == {"train": 30, "valid": 15, "test": 15}
    assert record.training == {"lr": 1e-4, "weight_decay": 0.0, "warmup_epochs": 0.0}


def test_threshold_rules_and_losses_are_found_by_name(tiny: str) -> None:
    fixed = run_cell(tiny, Method(model="linear"), Protocol(**PROTOCOL), 0, 0)
    fitted = run_cell(tiny, Method(model="linear", loss="bce", threshold="cardinality"), Protocol(**PROTOCOL), 0, 0)
    assert fitted.metrics["macro_auc"] == fixed.metrics["macro_auc"]
    assert fitted.metrics["micro_recall"] != fixed.metrics["micro_recall"]


def test_no_validation_rows_keeps_the_last_epoch(tiny: str) -> None:
    record = run_cell(tiny, Method(model="linear"), Protocol(**PROTOCOL, split={"valid": 0}), 0, 0)
    assert record.best_epoch is None
    assert record.prepared["rows"] == {"train": 30, "valid": 0, "test": 30}


def test_selectors_hear_of_unknown_labels_and_of_the_number_of_epochs() -> None:
    Y = np.tile([[0.0, 1.0], [np.nan, 0.0]], (20, 1))
    table = Table(Dataset(np.arange(40.0)[:, None], Y))
    method = Method(model="linear", selector="infobatch")
    selector = build_selector(method, Protocol(epochs=7), table, 0)
    assert selector.targets.unknown is not None
    assert selector.targets.unknown.counts.tolist() == [20, 0]
    assert selector.epochs == 7
    assert build_selector(method.model_copy(update={"selector_params": {"epochs": 5}}), Protocol(epochs=7), table, 0).epochs == 5
