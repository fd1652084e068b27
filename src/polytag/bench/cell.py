"""The straight path, from a data set to one record: whoever reads one file reads this one."""

import time
from datetime import UTC, datetime
from typing import Any

import numpy as np

from polytag import registry
from polytag.bench.record import Record, environment
from polytag.bench.spec import Method, Protocol, parameters
from polytag.bench.store import cell_key, content_hash
from polytag.data.catalogue import load_dataset
from polytag.data.dataset import Dataset
from polytag.data.prepare import Preparation
from polytag.data.splits import kfold
from polytag.data.table import Table
from polytag.metrics import evaluate
from polytag.models.base import MultiLabelModel
from polytag.selectors.base import BatchSelector
from polytag.thresholds import Threshold
from polytag.training import Callback, predict, shared
from polytag.types import Array


def run_cell(
    dataset: str | Dataset,
    method: Method,
    protocol: Protocol,
    fold: int,
    seed: int,
    *,
    device: str = "cpu",
    callbacks: tuple[Callback, ...] = (),
) -> Record:
    """Train a method on one fold and test it there.

    Rows, first weights, warm-up batches and dropout depend on seed and fold only, so that all methods start from the same place.

    Args:
        dataset: The data set, or its name or path.
        method: What is trained.
        protocol: How.
        fold: Which fold is tested on, from 0.
        seed: Seed.
        device: Where the model lives.
        callbacks: Watchers of the training.

    Raises:
        DataError: The data do not suit the protocol.
        DivergenceError: The training loss became NaN or infinite.

    Cost: that of the training; reading and splitting come on top.
    """
    start = time.perf_counter()
    data = load_dataset(dataset) if isinstance(dataset, str) else dataset
    preparation = Preparation(**protocol.preparation)
    tested = data if preparation.count_on == "train" else data.with_labels(preparation.kept_labels(data))
    split = kfold(tested, protocol.folds, **{"seed": seed, **protocol.split})[fold]
    parts = preparation.prepare(data, split)
    train, test = Table(parts.train, device), Table(parts.test, device)
    valid = Table(parts.valid, device) if parts.valid.n else None

    weights_seed, batches_seed, noise_seed = derived_seeds(seed, fold)
    model = build_model(method, protocol, train, weights_seed)
    building = time.perf_counter()
    selector = build_selector(method, protocol, train, batches_seed)
    setup = time.perf_counter() - building

    trainer = protocol.trainer(type(model), plain=method.selector == "random", seed=noise_seed, callbacks=callbacks)
    run = trainer.fit(shared(model), train, selector, valid)

    held_out = train if valid is None else valid
    cut = Threshold.named(method.threshold).fit(probabilities(model, held_out, protocol), held_out.dataset.Y)
    scores = evaluate(test.dataset.Y, probabilities(model, test, protocol), threshold=cut.values, undefined=protocol.undefined)

    name = dataset if isinstance(dataset, str) else dataset.name
    data_hash = content_hash(data)
    return Record(
        key=cell_key(data_hash, method, protocol, fold, seed),
        dataset={"name": name, "hash": data_hash, "n": data.n, "d": data.d, "q": data.q},
        method=method.identity(),
        protocol=protocol.identity(),
        fold=fold,
        seed=seed,
        metrics=scores,
        history=run.to_dict()["history"],
        best_epoch=run.best_epoch,
        training={name: getattr(trainer, name) for name in ("lr", "weight_decay", "warmup_epochs")},
        prepared=parts.description,
        seconds={"train": run.seconds, "select": run.select_seconds, "setup": setup, "total": time.perf_counter() - start},
        environment={**environment(device), "finished": datetime.now(UTC).isoformat(timespec="seconds")},
    )


def derived_seeds(seed: int, fold: int) -> list[int]:
    """Return independent seeds for weights, batches and noise; they know nothing of the method.

    Example:
        >>> derived_seeds(0, 1) == derived_seeds(0, 1), derived_seeds(0, 1) == derived_seeds(1, 0)
        (True, False)
    """
    return [int(word) for word in np.random.SeedSequence(seed, spawn_key=(fold,)).generate_state(3)]


def build_model(method: Method, protocol: Protocol, train: Table, seed: int) -> MultiLabelModel:
    """Build the model of a method for these training rows."""
    kind: type[MultiLabelModel] = registry.get("model", method.model)
    params: dict[str, Any] = dict(method.model_params)
    if protocol.model_preset in kind.PRESETS:
        params.setdefault("preset", protocol.model_preset)
    if method.loss is not None:
        params["loss"] = registry.get("loss", method.loss)()
    return kind.from_data(train, seed=seed, **params)


def build_selector(method: Method, protocol: Protocol, train: Table, seed: int) -> BatchSelector:
    """Build the selector of a method for these training rows."""
    params: dict[str, Any] = dict(method.selector_params)
    if method.selector == "random" and protocol.plain_random:
        params.setdefault("order", "sequential")
    if protocol.compat is not None and "compat" in parameters("selector", method.selector):
        params.setdefault("compat", protocol.compat)
    if "epochs" in parameters("selector", method.selector):
        params.setdefault("epochs", protocol.epochs)
    selector: BatchSelector = registry.get("selector", method.selector)(
        train.targets, protocol.batch_size, x=train.dataset.X, seed=seed, **params
    )
    return selector


def probabilities(model: MultiLabelModel, table: Table, protocol: Protocol) -> Array:
    """Return the probability of each label for each row, shape (n, q), float64."""
    return np.asarray(predict(model, table, precision=protocol.precision).double().sigmoid().numpy())
