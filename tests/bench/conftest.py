"""A data set of 60 rows as a file, and records made by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polytag.bench import Experiment, Record, Store
from polytag.bench.store import cell_key

PROTOCOL = {"folds": 2, "epochs": 2, "batch_size": 16}


def write_arff(path: Path, n: int = 60, d: int = 4, q: int = 3) -> Path:
    """Write a MEKA file whose labels depend on the features."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    Y = (X @ rng.normal(size=(d, q)) + 0.3 * rng.normal(size=(n, q)) > 0.4).astype(int)
    lines = [f"@relation 'tiny: -C {q}'", *(f"@attribute y{j} {{0,1}}" for j in range(q)), *(f"@attribute x{j} numeric" for j in range(d))]
    rows = [",".join([*map(str, y), *(f"{v:.5f}" for v in x)]) for x, y in zip(X, Y)]
    path.write_text("\n".join([*lines, "@data", *rows, ""]), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_arff(tmp_path_factory.mktemp("data") / "tiny.arff"))


def made_record(experiment: Experiment, cell: Any, data: str = "0" * 32, **changes: Any) -> Record:
    """Return a record without training: the numbers are a function of the cell."""
    size = 0.1 * len(cell.method.selector) / 10 + 0.01 * cell.fold + 0.001 * cell.seed
    epoch = {"loss": 0.7, "seconds": 1.0, "select_seconds": 0.1}
    history = [{"epoch": e, **epoch, "valid": 0.5 + size + 0.01 * e, "train_loss": 0.6 - size - 0.05 * e} for e in range(3)]
    values: dict[str, Any] = {
        "key": cell_key(data, cell.method, experiment.protocol, cell.fold, cell.seed),
        "dataset": {"name": cell.dataset, "hash": data, "n": 60, "d": 4, "q": 3},
        "method": cell.method.identity(),
        "protocol": experiment.protocol.identity(),
        "fold": cell.fold,
        "seed": cell.seed,
        "metrics": {"macro_auc": 0.6 + size, "hamming_loss": 0.4 - size, "macro_f1": float("nan")},
        "history": history,
        "best_epoch": 2,
        "training": {"lr": 1e-3, "weight_decay": 0.0, "warmup_epochs": 0.0},
        "prepared": {"rows": {"train": 27, "valid": 3, "test": 30}, "labels": 3, "features": 4, "rows_dropped": 0},
        "seconds": {"train": 3.0, "select": 0.3, "setup": 0.0, "total": 4.0},
        "environment": {
            "versions": {"polytag": "0", "torch": "0"},
            "system": "s",
            "processor": "p",
            "cores": 1,
            "threads": 1,
            "device": "cpu",
        },
    }
    return Record(**{**values, **changes})


def filled(store: Store, experiment: Experiment) -> dict[str, str]:
    """Put a made record for every cell into a store and return the content hashes."""
    hashes = {name: f"{number:032d}" for number, name in enumerate(experiment.datasets)}
    for cell in experiment.cells():
        store.put(made_record(experiment, cell, hashes[cell.dataset]))
    return hashes
