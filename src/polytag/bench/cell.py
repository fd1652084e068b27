"""The straight path, from a data set to one record: whoever reads one file reads this one."""

import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from polytag.bench.fitting import Seeds, fit_classical
from polytag.bench.judging import judged
from polytag.bench.method import Method
from polytag.bench.parts import published_parts, published_split
from polytag.bench.presets import PUBLISHED
from polytag.bench.record import Record, environment
from polytag.bench.search import fit_best
from polytag.bench.spec import Protocol
from polytag.bench.store import cell_key, content_hash
from polytag.data.catalogue import load_dataset
from polytag.data.dataset import Dataset
from polytag.data.prepare import Preparation
from polytag.data.splits import kfold
from polytag.errors import DataError
from polytag.training import Callback


def run_cell(
    dataset: str | Dataset,
    method: Method,
    protocol: Protocol,
    fold: int,
    seed: int,
    *,
    source: str | None = None,
    device: str = "cpu",
    callbacks: tuple[Callback, ...] = (),
    resume: Path | None = None,
) -> Record:
    """Train a method on one fold and test it there.

    Rows, first weights, warm-up batches and dropout depend on seed and fold only, so that all methods start from the same place.

    Args:
        dataset: The data set, or its name or path.
        method: What is trained.
        protocol: How.
        fold: Which fold is tested on, from 0.
        seed: Seed.
        source: Name or path that published parts are looked up by, where the data set is given itself; ``None`` takes its name.
        device: Where the model lives.
        callbacks: Watchers of the training.
        resume: A checkpoint file, written once a minute; if it exists already, the training of a deep model continues from it.

    Raises:
        DataError: The data do not suit the protocol: a model does not read them, they have no published parts, a hierarchy is needed
            and there is none, ...
        DivergenceError: The training loss became NaN or infinite.

    Cost: that of the training; reading and splitting come on top.
    """
    start = time.perf_counter()
    data = load_dataset(dataset) if isinstance(dataset, str) else dataset
    if method.hierarchical and data.hierarchy is None:
        raise DataError(
            f"expected labels with a hierarchy for {method.hierarchical}, but {data.name or 'the data set'} has none; give it one "
            "(Dataset(..., hierarchy=)), or compare without (closure none)"
        )
    batchless = {"neighbours": "auto"} if method.is_classical else {}
    preparation = Preparation(**{**protocol.preparation, **batchless})
    tested = data if preparation.count_on == "train" else data.with_labels(preparation.kept_labels(data))
    if protocol.split.get("parts") == PUBLISHED:
        known_as = source or (dataset if isinstance(dataset, str) else dataset.name)
        split = published_split(published_parts(known_as, data), tested, protocol.split, seed)
    else:
        split = kfold(tested, protocol.folds, **{"seed": seed, **protocol.split})[fold]
    parts = preparation.prepare(data, split, inputs=method.inputs, tokenizer=method.tokenizer() if data.kind == "text" else None)

    seeds = derived_seeds(seed, fold)
    if method.is_classical:
        fitted = fit_classical(method, parts, seeds)
    else:
        fitted = fit_best(method, protocol, parts, seeds, device=device, callbacks=callbacks, resume=resume)

    scores = judged(method, fitted, parts, undefined=protocol.undefined)

    name = dataset if isinstance(dataset, str) else dataset.name
    data_hash = content_hash(data)
    return Record(
        key=cell_key(data_hash, method, protocol, fold, seed),
        dataset={"name": name, "hash": data_hash, "n": data.n, "d": data.d, "q": data.q, **_shape(data)},
        method=method.identity(),
        protocol=protocol.identity(),
        fold=fold,
        seed=seed,
        metrics=scores,
        history=fitted.run.to_dict()["history"],
        best_epoch=fitted.run.best_epoch,
        training=fitted.training,
        prepared={**parts.description, **({} if fitted.search is None else {"search": fitted.search})},
        seconds={
            "train": fitted.run.seconds,
            "select": fitted.run.select_seconds,
            "setup": fitted.setup,
            "total": time.perf_counter() - start,
        },
        environment={**environment(device), "finished": datetime.now(UTC).isoformat(timespec="seconds")},
    )


def _shape(data: Dataset) -> dict[str, int]:
    """Return the size of the hierarchy; nothing where there is none."""
    return {} if data.hierarchy is None else {"edges": len(data.hierarchy.edges), "levels": data.hierarchy.depth}


def derived_seeds(seed: int, fold: int) -> Seeds:
    """Return independent seeds for weights, batches and noise; they know nothing of the method.

    Example:
        >>> derived_seeds(0, 1) == derived_seeds(0, 1), derived_seeds(0, 1) == derived_seeds(1, 0)
        (True, False)
    """
    return Seeds(*(int(word) for word in np.random.SeedSequence(seed, spawn_key=(fold,)).generate_state(3)))
