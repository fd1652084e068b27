"""From a method and prepared rows to something that predicts: deep models batch by batch, classical ones in one go."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polytag import registry
from polytag.bench.method import Method, parameters
from polytag.bench.spec import Protocol
from polytag.data.dataset import Dataset
from polytag.data.prepare import PreparedSplit
from polytag.data.table import Table
from polytag.enhance import Companion, Enhancer, Recovered
from polytag.errors import DataError
from polytag.models.base import Decides, MultiLabelModel
from polytag.models.enhanced import Enhanced
from polytag.models.frozen import with_encoder_view
from polytag.selectors.base import BatchSelector
from polytag.training import Callback, Epoch, Run, decide, predict, shared
from polytag.types import Array

_SAVE_SECONDS = 60.0


class Fitted(NamedTuple):
    """A trained method.

    Attributes:
        proba: Probabilities (or votes in [0, 1]) of a prepared data set, shape (n, q), float64.
        labels: The method's own decisions, shape (n, q); ``None`` where probabilities above one half are meant.
        run: How training went.
        setup: Seconds that building the selector took, features of the encoder for it (``neighbours="encoder"``) included, and recovering
            label distributions, where they were not known yet.
        training: Learning rate and the like, where the protocol leaves them to the model, and how many epochs the selector's warm-up took.
        search: What was chosen by the validation rows, and from what; ``None`` where there was no choice.
    """

    proba: Callable[[Dataset], Array]
    labels: Callable[[Dataset], Array] | None
    run: Run
    setup: float
    training: dict[str, Any]
    search: dict[str, Any] | None = None


class Seeds(NamedTuple):
    """Independent seeds of a cell."""

    weights: int
    batches: int
    noise: int


def fit_deep(
    method: Method,
    protocol: Protocol,
    parts: PreparedSplit,
    seeds: Seeds,
    *,
    device: str = "cpu",
    callbacks: tuple[Callback, ...] = (),
    recovered: dict[str, Companion] | None = None,
    resume: Path | None = None,
) -> Fitted:
    """Train a deep model on batches that the selector chooses.

    Args:
        method: What is trained.
        protocol: How.
        parts: Prepared rows.
        seeds: Seeds of weights, batches and noise.
        device: Where the model lives.
        callbacks: Watchers of the training.
        recovered: Where label distributions are kept between calls for the same rows and seeds, see ``enhanced``.
        resume: A checkpoint file, written once a minute; if it exists already, training continues from it.
    """
    train = Table(parts.train, device)
    model = build_model(method, protocol, train, seeds.weights)
    building = time.perf_counter()
    if protocol.preparation.get("neighbours") == "encoder":
        train, recovered = with_encoder_view(train, model), None  # distributions recovered by another encoder are not these
    learner = enhanced(method, model, train, seeds.weights, recovered)
    selector = build_selector(method, protocol, train, seeds.batches)
    setup = time.perf_counter() - building
    preset = method.model_params.get("preset")
    trainer = protocol.trainer(type(model), plain=method.selector == "random", preset=preset, seed=seeds.noise, callbacks=callbacks)
    valid = Table(parts.valid, device) if parts.valid.n else None
    run = trainer.fit(shared(learner), train, selector, valid, resume=resume, save_every=_SAVE_SECONDS)

    def proba(data: Dataset) -> Array:
        return np.asarray(predict(model, Table(data, device), precision=protocol.precision).double().sigmoid().numpy())

    training = {name: getattr(trainer, name) for name in ("lr", "weight_decay", "warmup_epochs")}
    if math.isfinite(selector.warmup):
        training["plain_epochs"] = min(math.ceil(selector.warmup), len(run.history))
    return Fitted(proba, _own_decisions(model, train), run, setup, training)


def _own_decisions(model: Any, train: Table) -> Callable[[Dataset], Array] | None:
    """Let a model that has a threshold of its own learn it; return how it decides, or ``None``."""
    if not isinstance(model, Decides):
        return None
    model.fit_threshold(train)

    return lambda data: decide(model, Table(data, train.device))


def fit_classical(method: Method, parts: PreparedSplit, seeds: Seeds) -> Fitted:
    """Fit a classical model on the training rows; the validation rows stay unseen, as for the weights of deep models.

    Args:
        method: What is fitted.
        parts: Prepared rows.
        seeds: The first one seeds the model, if it has a ``random_state``.

    Raises:
        DataError: The rows are no table, or the model needs a hierarchy over the labels and there is none.
    """
    if parts.train.kind != "table":
        came = parts.train.kind
        others = [name for name in registry.names("model") if came in registry.get("model", name).INPUTS]
        raise DataError(f"{method.model} reads table, but got {came}; models that read {came} are {', '.join(others)}")
    kind, chosen = registry.get("classical", method.model), dict(method.model_params)
    if "random_state" in parameters("classical", method.model):
        chosen.setdefault("random_state", seeds.weights % 2**32)
    if getattr(kind, "NEEDS_HIERARCHY", False):
        if parts.train.hierarchy is None:
            raise DataError(f"expected labels with a hierarchy for {method.model}, but the data set has none; give it one")
        chosen.setdefault("hierarchy", parts.train.hierarchy)
    model = kind(**chosen)
    start = time.perf_counter()
    model.fit(parts.train.X, parts.train.Y)
    seconds = time.perf_counter() - start
    run = Run(history=[Epoch(0, float("nan"), seconds, 0.0)])

    def proba(data: Dataset) -> Array:
        return np.asarray(model.predict_proba(data.X), dtype=np.float64).reshape(data.n, data.q)

    def labels(data: Dataset) -> Array:
        found = model.predict(data.X)
        return np.asarray(found.toarray() if hasattr(found, "indptr") else found).reshape(data.n, data.q)

    return Fitted(proba, labels, run, 0.0, {})


def build_model(method: Method, protocol: Protocol, train: Table, seed: int) -> MultiLabelModel:
    """Build the model of a method for these training rows."""
    kind: type[MultiLabelModel] = registry.get("model", method.model)
    params: dict[str, Any] = dict(method.model_params)
    if protocol.model_preset in kind.PRESETS:
        params.setdefault("preset", protocol.model_preset)
    if method.loss is not None:
        params["loss"] = registry.get("loss", method.loss).from_data(train, **(method.loss_params or {}))
    return kind.from_data(train, seed=seed, **params)


def enhanced(
    method: Method, model: MultiLabelModel, train: Table, seed: int, recovered: dict[str, Companion] | None = None
) -> MultiLabelModel:
    """Return what is trained: the model, or the model with its label enhancement beside it, which starts from a seed of its own.

    Args:
        method: What is trained.
        model: What predicts.
        train: Training rows.
        seed: Seed of the model.
        recovered: Label distributions recovered from these rows so far, which are taken from here and put here: they do not depend on the
            model, nor on their share in the loss.
    """
    if method.enhance is None:
        return model
    params = method.enhance_params or {}
    enhancer: Enhancer = registry.get("enhancer", method.enhance)(**params)
    recipe = repr((method.enhance, sorted((name, value) for name, value in params.items() if name != "beta")))
    if recovered is not None and recipe in recovered:
        return Enhanced(model, recovered[recipe], beta=enhancer.beta, kind=train.kind)
    found = Enhanced.around(model, enhancer, train, seed=seed + 1)
    if recovered is not None and isinstance(found.companion, Recovered):
        recovered[recipe] = found.companion
    return found


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
        train.targets, protocol.batch_size, x=train.dataset.features, seed=seed, **params
    )
    return selector
