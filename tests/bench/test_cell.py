"""One cell: the straight path, fair starts, honest bookkeeping."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from polytag.bench import Method, Protocol, Record, run_cell
from polytag.bench.cell import derived_seeds
from polytag.bench.fitting import build_model, build_selector
from polytag.bench.parts import published_parts, published_split
from polytag.bench.spec import Experiment
from polytag.bench.store import cell_key, content_hash
from polytag.data.catalogue import load_dataset
from polytag.data.dataset import Dataset
from polytag.data.mapped import write_mapped
from polytag.data.parted import seal
from polytag.data.prepare import Preparation
from polytag.data.splits import kfold
from polytag.data.synthetic import make_multilabel
from polytag.data.table import Table
from polytag.errors import DataError, ParameterError
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


def test_sets_without_published_parts_are_named_with_those_that_have_them(tiny: str) -> None:
    protocol = Protocol(preset="flem-2022", epochs=1)
    for source, message in (
        ("digits-scenes", "'digits-scenes' has only full; those that have are bibtex, .*, goemotions, .*, reuters21578"),
        (tiny, "has no parts by that name"),
    ):
        with pytest.raises(DataError, match=message):
            run_cell(source, Method(model="linear"), protocol, 0, 0)


def test_a_folder_of_features_has_published_parts(tmp_path: Path) -> None:
    whole, _ = make_multilabel(60, 5, 3, cardinality=1.5, seed=3)
    ends = {"train": (0, 30), "valid": (30, 40), "test": (40, 60)}
    for part, (start, end) in ends.items():
        write_mapped(tmp_path / part, [(whole.X[start:end], whole.Y[start:end])], name="made")
    seal(tmp_path, {"parts": {part: end - start for part, (start, end) in ends.items()}})
    folder, protocol = str(tmp_path), Protocol(preset="flem-2022", epochs=1)
    record = run_cell(folder, Method(model="linear"), protocol, 0, 0)
    assert record.prepared["rows"] == {"train": 30, "valid": 10, "test": 20}
    assert run_cell(load_dataset(folder), Method(model="linear"), protocol, 0, 0, source=folder).metrics == record.metrics
    shared = Protocol(preset="flem-2022", epochs=1, split={"valid": 0.25})
    assert run_cell(folder, Method(model="linear"), shared, 0, 0).prepared["rows"] == {"train": 22, "valid": 8, "test": 20}
    assert Experiment(datasets=[folder], methods=[{"model": "linear"}], protocol=shared).datasets == (folder,)
    joined = Protocol(epochs=1, split={"parts": "published", "valid_from": "joined"}, keep="last")
    assert run_cell(folder, Method(model="linear", threshold="f1"), joined, 0, 0).prepared["rows"] == {"train": 40, "valid": 0, "test": 20}


def test_parts_are_joined_row_by_row_and_the_training_part_alone_where_there_is_no_other() -> None:
    whole, _ = make_multilabel(20, 5, 3, cardinality=1.5, seed=3)
    rows = {"train": np.array([1, 4, 9]), "valid": np.array([0, 5]), "test": np.array([2, 3])}
    split = published_split(rows, whole, {"valid_from": "joined", "valid": 0.0, "order": 1})
    assert [part.tolist() for part in split] == [[0, 1, 4, 5, 9], [], [2, 3]]
    without = {part: rows[part] for part in ("train", "test")}
    alone = published_split(without, whole, {"valid_from": "joined", "valid": 0.0, "order": 1})
    assert [part.tolist() for part in alone] == [[1, 4, 9], [], [2, 3]]


@pytest.mark.data
def test_reuters_is_cut_as_the_flem_paper_cuts_it(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    data = load_dataset("reuters21578")
    rows = published_parts("reuters21578", data)
    assert [(part, rows[part][0], rows[part][-1]) for part in rows] == [("train", 0, 7769), ("test", 7770, 10788)]
    switches = Protocol(preset="flem-2022").split
    splits = [published_split(rows, data, switches, seed) for seed in (0, 1, 0)]
    for split in splits:
        assert tuple(map(len, split)) == (5827, 1943, 3019)
        assert np.array_equal(np.sort(np.concatenate(split)), np.arange(10789))
        assert np.array_equal(split.test, rows["test"])
    assert np.array_equal(splits[0].valid, splits[2].valid)
    assert not np.array_equal(splits[0].valid, splits[1].valid)
    often = data.labels.counts > 100
    shares = data.take(splits[0].valid).labels.counts[often] / data.take(rows["train"]).labels.counts[often]
    assert np.abs(shares - 0.25).max() < 0.01


@pytest.mark.data
def test_a_published_validation_part_is_taken_unless_a_share_is_asked_for(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    data = load_dataset("goemotions")
    rows = published_parts("goemotions", data)
    as_published, shared, none = (
        published_split(rows, data, Protocol(preset="flem-2022", split=split).split) for split in ({}, {"valid": 0.25}, {"valid": 0})
    )
    assert tuple(map(len, as_published)) == (43410, 5426, 5427)
    assert tuple(map(len, shared)) == (32557, 10853, 5427)
    assert tuple(map(len, none)) == (43410, 0, 5427)


@pytest.mark.data
@pytest.mark.parametrize("name", ["yeast", "scene"])
def test_published_parts_are_found_in_the_whole_set_in_any_order(name: str, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    data, test = load_dataset(name), load_dataset(name, "test")
    mixed = data.take(np.random.default_rng(0).permutation(data.n))
    for whole in (data, mixed):
        found = whole.take(published_parts(name, whole)["test"])
        assert found.n == test.n
        assert np.array_equal(np.sort(found.X.sum(axis=1)), np.sort(test.X.sum(axis=1)))
        assert np.array_equal(found.labels.counts, test.labels.counts)
    changed = replace(data, X=data.X + 1)
    with pytest.raises(DataError, match="rows that are not the same"):
        published_parts(name, changed.take(np.arange(data.n)[::-1]))
    with pytest.raises(DataError, match="rows that are not the same"):
        published_parts(name, data.take(np.arange(data.n - 1)))


@pytest.mark.data
def test_a_cell_on_published_parts_tests_on_the_test_part(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    protocol = Protocol(preset="flem-2022", epochs=2)
    method = Method(model="linear", enhance="flem", search={"enhance.alpha": [1e-3, 1e-2]})
    records = [run_cell("emotions", method, protocol, 0, 0), run_cell(load_dataset("emotions"), method, protocol, 0, 0)]
    assert records[0].prepared["rows"] == {"train": 293, "valid": 98, "test": 202}
    assert records[0].key == records[1].key
    assert records[0].metrics == records[1].metrics
    experiment = Experiment(datasets=["emotions"], methods=[method], protocol={"preset": "flem-2022", "seeds": [0, 1]})
    assert [(cell.fold, cell.seed) for cell in experiment.cells()] == [(0, 0), (0, 1)]
    with pytest.raises(ParameterError, match="valid"):
        run_cell("emotions", method, Protocol(preset="flem-2022", split={"valid": 1.5}), 0, 0)
