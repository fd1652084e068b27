"""Records on disk: whole or absent, found by content."""

import json
import math
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from polytag.bench import Experiment, Method, Protocol, Record, Store
from polytag.bench.store import cell_key, content_hash, write_whole
from polytag.data.dataset import Dataset

from .conftest import made_record

EXPERIMENT = Experiment.grid(["digits-scenes"], ["linear"], ["random"], protocol={"folds": 2, "epochs": 1})
CELL = next(EXPERIMENT.cells())


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    store, record = Store(tmp_path), made_record(EXPERIMENT, CELL)
    store.put(record)
    again = store.get(record.key)
    assert again is not None
    assert math.isnan(again.metrics["macro_f1"])
    assert again.to_json() == record.to_json()
    assert "NaN" not in record.to_json()
    assert [found.key for found in store.all()] == [record.key]
    assert store.problems() == []


def test_damaged_and_foreign_files_are_named_and_count_as_not_run(tmp_path: Path) -> None:
    store, record = Store(tmp_path), made_record(EXPERIMENT, CELL)
    store.put(record)
    path = store.records / f"{record.key}.json"
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    (store.records / "notes.txt").write_text("mine", encoding="utf-8")
    (store.records / "other.json").write_text(json.dumps({"a": 1}), encoding="utf-8")
    (store.records / f"{'f' * 32}.json").write_text(record.to_json(), encoding="utf-8")
    assert store.get(record.key) is None
    assert len(store.problems()) == 4
    assert list(store.all()) == []
    store.put(record)
    assert store.get(record.key) is not None
    assert (store.records / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_record_of_another_layout_is_refused() -> None:
    values = json.loads(made_record(EXPERIMENT, CELL).to_json())
    with pytest.raises(ValueError, match="format 1"):
        Record.from_json(json.dumps({**values, "format": 2}))


def test_a_write_that_breaks_off_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, record = Store(tmp_path), made_record(EXPERIMENT, CELL)
    store.put(record)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("polytag.bench.store.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        store.put(made_record(EXPERIMENT, CELL, best_epoch=0))
    kept = store.get(record.key)
    assert kept is not None
    assert kept.best_epoch == record.best_epoch == 2
    assert [path.name for path in store.records.iterdir()] == [f"{record.key}.json"]


def write_often(path: str, letter: str) -> None:
    for _ in range(50):
        write_whole(Path(path), letter * 100_000)


def test_many_writers_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_whole(path, "c" * 100_000)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(str(path), letter)) for letter in "ab"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        text = path.read_text(encoding="utf-8")
        assert len(text) == 100_000
        assert len(set(text)) == 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert [found.name for found in tmp_path.iterdir()] == ["file.json"]


def test_success_forgets_the_failure(tmp_path: Path) -> None:
    store, record = Store(tmp_path), made_record(EXPERIMENT, CELL)
    assert store.fail(record.key, "traceback").read_text(encoding="utf-8") == "traceback"
    store.put(record)
    assert list(store.failures.iterdir()) == []


def test_content_hash_sees_every_cell_and_no_name() -> None:
    X, Y = np.arange(6.0).reshape(3, 2), np.eye(3, 2)
    base = content_hash(Dataset(X, Y))
    assert content_hash(Dataset(X.copy(), Y, name="other", label_names=["a", "b"])) == base
    assert content_hash(Dataset(np.asfortranarray(X), Y)) == base
    assert content_hash(Dataset(X, Y[::-1])) != base
    assert content_hash(Dataset(X + np.array([[0, 0], [0, 0], [0, 1e-9]]), Y)) != base
    assert content_hash(Dataset(X, Y.reshape(3, 2)[:, ::-1])) != base
    stored = sparse.csr_array(X)
    assert content_hash(Dataset(stored, sparse.csr_array(Y))) == content_hash(Dataset(stored.copy(), sparse.csr_array(Y)))


def test_the_key_changes_with_everything_that_matters() -> None:
    method, protocol = Method(model="linear"), Protocol()
    keys = [
        cell_key("d", method, protocol, 0, 0),
        cell_key("e", method, protocol, 0, 0),
        cell_key("d", Method(model="linear", selector="adaptive"), protocol, 0, 0),
        cell_key("d", method, Protocol(epochs=3), 0, 0),
        cell_key("d", method, protocol, 1, 0),
        cell_key("d", method, protocol, 0, 1),
    ]
    assert len(set(keys)) == len(keys)
    assert cell_key("d", method, Protocol(seeds=[0, 7]), 0, 0) == keys[0]
