"""What is compared, on what, and how: three frozen specifications that are plain JSON, and that name all their problems at once."""

import inspect
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from polytag import metrics as metric_functions
from polytag import registry
from polytag.bench.notation import read_call
from polytag.data import catalogue
from polytag.data.prepare import PRESETS, Preparation
from polytag.errors import ParameterError, PolytagError, UnknownNameError
from polytag.models.base import MultiLabelModel
from polytag.thresholds import Threshold
from polytag.training import Trainer

TRAINING_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "clean": {},
    "authors-2024": {
        "epochs": 101,
        "lr": 1e-4,
        "weight_decay": 1e-4,
        "warmup_epochs": 3,
        "keep": "last",
        "compat": "authors",
        "model_preset": "adabatch",
        "plain_random": True,
    },
}
"""What a named protocol says about training; ``polytag.data.prepare.PRESETS`` says the same about splits and preparation."""

SHOWN_METRICS = ("macro_f1", "micro_f1", "macro_auc", "ranking_loss", "hamming_loss", "one_error")
"""Metrics of the tables unless others are asked for; records hold all of them."""


class Specification(BaseModel):
    """A frozen bundle of checked, JSON-able values; a wrong one raises ``ParameterError`` with every problem on a line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ParameterError("\n".join(_problems(error))) from None

    def identity(self) -> dict[str, Any]:
        """Return what decides the result, as JSON values; what is absent (``None``) is left out."""
        return self.model_dump(mode="json", exclude_none=True)


class Method(Specification):
    """What is trained: a model, and how its batches are chosen.

    Args:
        model: Name of the model.
        selector: Name of the batch selector.
        loss: Name of the loss; ``None`` is the model's own.
        threshold: Probability above which a label is predicted, or a rule fitted on the validation rows (``polytag.thresholds``).
        model_params: Further parameters of the model.
        selector_params: Further parameters of the selector.

    Raises:
        ParameterError: A name or parameter does not exist; the message names all that do not.
    """

    model: str = "clif"
    selector: str = "random"
    loss: str | None = None
    threshold: float | str = 0.5
    model_params: dict[str, Any] = Field(default_factory=dict)
    selector_params: dict[str, Any] = Field(default_factory=dict)

    @field_validator("model", "selector", "loss")
    @classmethod
    def _name_exists(cls, name: str | None, info: Any) -> str | None:
        if name is not None:
            _named(info.field_name, name)
        return name

    @field_validator("threshold")
    @classmethod
    def _threshold_exists(cls, rule: float | str) -> float | str:
        try:
            Threshold.named(rule)
        except PolytagError as error:
            raise ValueError(str(error)) from None
        return rule

    @field_validator("model_params", "selector_params")
    @classmethod
    def _parameters_exist(cls, params: dict[str, Any], info: Any) -> dict[str, Any]:
        kind = info.field_name.removesuffix("_params")
        if params and kind in info.data:
            known = parameters(kind, info.data[kind])
            for name in params:
                if known and name not in known:
                    raise ValueError(registry.unknown(f"parameter of {kind} {info.data[kind]!r}", name, sorted(known)))
        return params

    @property
    def backbone(self) -> str:
        """What the rows of one table share: everything but the selector."""
        loss = {} if self.loss is None else {"loss": self.loss}
        cut = {} if self.threshold == 0.5 else {"threshold": self.threshold}
        return _label(self.model, {**loss, **cut, **self.model_params})

    @property
    def strategy(self) -> str:
        """The selector with its parameters."""
        return _label(self.selector, self.selector_params)


class Protocol(Specification):
    """How it is trained and tested. Values that are not given come from the preset; the quirks of a paper are switches among them.

    Args:
        preset: ``"clean"`` or ``"authors-2024"``.
        folds: Number of folds.
        seeds: One complete cross-validation each; not part of a cell's identity, so seeds can be added later.
        split: Switches of ``polytag.data.splits.kfold``: ``valid``, ``valid_from``, ``order``, ``keep_duplicates_together``, and
            ``seed`` to keep the folds the same under all seeds.
        preparation: Switches of ``polytag.data.prepare.Preparation``.
        epochs: Number of epochs.
        batch_size: Rows in a batch.
        lr: Learning rate; ``None`` is the model's own.
        weight_decay: L2 penalty; ``None`` is the model's own.
        warmup_epochs: Epochs over which the learning rate rises.
        clip_norm: Largest norm of the gradient.
        monitor: Metric that says which epoch is best.
        patience: Epochs without improvement before training stops.
        keep: Weights to test: of the ``"best"`` or of the ``"last"`` epoch.
        precision: ``"float32"`` or ``"bfloat16"``.
        measure_train_loss: Measure the loss on all training rows after each epoch, outside the timer, for convergence plots.
        undefined: What a metric is where it is not defined, see ``polytag.metrics.evaluate``.
        compat: ``"authors"``: selectors that have such a switch do what their published code does.
        model_preset: Passed as ``preset`` to models that have presets; ``None`` is the model's own default.
        plain_random: Random runs in a fixed order, without weight decay and without the rise of the learning rate.

    Raises:
        ParameterError: Values make no sense; the message names all that do not.
    """

    preset: Literal["clean", "authors-2024"] = "clean"
    folds: int = Field(default=5, ge=2)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    split: dict[str, Any] = Field(default_factory=dict)
    preparation: dict[str, Any] = Field(default_factory=dict)
    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=128, ge=1)
    lr: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    warmup_epochs: float = Field(default=0.0, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    monitor: str = "macro_auc"
    patience: int | None = Field(default=None, ge=1)
    keep: Literal["best", "last"] = "best"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    measure_train_loss: bool = True
    undefined: Literal["skip", "zero", "one", "nan"] = "skip"
    compat: Literal["authors"] | None = None
    model_preset: str | None = None
    plain_random: bool = False

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        preset = values.get("preset", "clean")
        if preset not in PRESETS or not all(isinstance(values.get(name, {}), Mapping) for name in ("split", "preparation")):
            return values
        nested = {name: {**PRESETS[preset][name], **values.get(name, {})} for name in ("split", "preparation")}
        return {**TRAINING_PRESETS[preset], **values, **nested}

    @field_validator("split")
    @classmethod
    def _split_switches_exist(cls, split: dict[str, Any]) -> dict[str, Any]:
        known = ["valid", "valid_from", "order", "keep_duplicates_together", "seed"]
        for name in split:
            if name not in known:
                raise ValueError(registry.unknown("switch of the split", name, known))
        return split

    @field_validator("preparation")
    @classmethod
    def _preparation_is_possible(cls, switches: dict[str, Any]) -> dict[str, Any]:
        known = list(inspect.signature(Preparation).parameters)
        for name in switches:
            if name not in known:
                raise ValueError(registry.unknown("switch of the preparation", name, known))
        return Preparation(**switches).to_dict()

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError(f"expected different seeds >= 0, but got {list(seeds)}")
        return seeds

    @field_validator("monitor")
    @classmethod
    def _monitor_exists(cls, monitor: str) -> str:
        return monitor if monitor == "loss" else _metric(monitor)

    def identity(self) -> dict[str, Any]:
        """Return what decides the result of a cell: every switch, whatever the preset was called and whichever seeds are asked for."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"preset", "seeds"})

    def trainer(self, model: type[MultiLabelModel], *, plain: bool, **settings: Any) -> Trainer:
        """Return the trainer for a model class.

        Args:
            model: Knows its own learning rate and weight decay.
            plain: Whether this is the Random baseline, which ``plain_random`` trains differently.
            **settings: Seed and callbacks.
        """
        own = model.training_defaults(self.model_preset if self.model_preset in model.PRESETS else None)
        plain = plain and self.plain_random
        lr = own.get("lr", 1e-3) if self.lr is None else self.lr
        weight_decay = own.get("weight_decay", 0.0) if self.weight_decay is None else self.weight_decay
        same = ("epochs", "clip_norm", "monitor", "patience", "keep", "precision", "measure_train_loss")
        return Trainer(
            lr=lr,
            weight_decay=0.0 if plain else weight_decay,
            warmup_epochs=0.0 if plain else self.warmup_epochs,
            **{name: getattr(self, name) for name in same},
            **settings,
        )


class Cell(NamedTuple):
    """One training run of an experiment."""

    dataset: str
    method: Method
    fold: int
    seed: int


class Experiment(Specification):
    """Every method on every data set under one protocol.

    Args:
        datasets: Names of the catalogue, or paths.
        methods: What is compared.
        protocol: How.
        metrics: Metrics of the tables, in their order.

    Raises:
        ParameterError: Something does not exist or makes no sense; the message names all problems.

    Example:
        >>> grid = Experiment.grid(["digits-scenes"], ["linear"], ["random", "adaptive"], protocol={"folds": 2, "epochs": 1})
        >>> len(list(grid.cells()))
        4
    """

    datasets: tuple[str, ...] = Field(min_length=1)
    methods: tuple[Method, ...] = Field(min_length=1)
    protocol: Protocol = Field(default_factory=Protocol)
    metrics: tuple[str, ...] = Field(default=SHOWN_METRICS, min_length=1)

    @field_validator("datasets")
    @classmethod
    def _datasets_exist(cls, datasets: tuple[str, ...]) -> tuple[str, ...]:
        found, bad = [], []
        for name in datasets:
            try:
                found.append(name if Path(name).is_file() else catalogue.entry(name).name)
            except UnknownNameError as error:
                bad.append(str(error))
        if bad:
            raise ValueError("\n".join(bad))
        return tuple(dict.fromkeys(found))

    @field_validator("methods")
    @classmethod
    def _methods_differ(cls, methods: tuple[Method, ...]) -> tuple[Method, ...]:
        return tuple({json.dumps(method.identity(), sort_keys=True): method for method in methods}.values())

    @field_validator("metrics")
    @classmethod
    def _metrics_exist(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_metric(name) for name in metrics))

    @classmethod
    def grid(
        cls,
        datasets: Any,
        models: Any,
        selectors: Any,
        *,
        pressure: float | None = None,
        method: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> Self:
        """Cross models with selectors.

        Args:
            datasets: Names.
            models: Names, with parameters if wanted: ``"clif(hidden=256)"``.
            selectors: The same: ``"d2ace(hardness=code)"``.
            pressure: Selection pressure of those selectors that have one.
            method: What all methods share, for example ``{"threshold": 0.4}``.
            **rest: ``protocol`` and ``metrics``.
        """

        def params(selector: str) -> dict[str, Any]:
            has = pressure is not None and selector in registry.names("selector") and "pressure" in parameters("selector", selector)
            return {"pressure": pressure} if has else {}

        shared = dict(method or {})
        of_models, of_selectors = shared.pop("model_params", {}), shared.pop("selector_params", {})
        methods: Any = [
            {"model": m, "selector": s, "model_params": of_models | mp, "selector_params": params(s) | of_selectors | sp, **shared}
            for (m, mp), (s, sp) in itertools.product(map(read_call, models), map(read_call, selectors))
        ]
        return cls(datasets=datasets, methods=methods, **rest)

    def cells(self) -> Iterator[Cell]:
        """Walk through all runs; those that share data and folds are neighbours, so that every method has results early."""
        protocol = self.protocol
        for dataset, seed, fold in itertools.product(self.datasets, protocol.seeds, range(protocol.folds)):
            for method in self.methods:
                yield Cell(dataset, method, fold, seed)


def parameters(kind: str, name: str) -> set[str]:
    """Return the keyword parameters that a registered method can be given; empty when it takes anything.

    A constructor with ``**others`` passes them on to the one of its base class.
    """
    known = {"preset"} if kind == "model" else set()
    method = registry.get(kind, name)
    for kind_of in method.__mro__ if inspect.isclass(method) else ():
        if "__init__" not in vars(kind_of):
            continue
        found = inspect.signature(vars(kind_of)["__init__"]).parameters.values()
        known |= {p.name for p in found if p.kind is p.KEYWORD_ONLY}
        if not any(p.kind is p.VAR_KEYWORD for p in found):
            return known
    return set()


def _named(kind: str, name: str) -> None:
    try:
        registry.get(kind, name)
    except UnknownNameError as error:
        raise ValueError(str(error)) from None


def _metric(name: str) -> str:
    try:
        metric_functions.direction(name)
    except PolytagError as error:
        raise ValueError(str(error)) from None
    return name


def _label(name: str, params: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value}' for key, value in params.items())})" if params else name


def _problems(error: ValidationError) -> list[str]:
    """Return one line a problem: where it is, and what is wrong there."""
    lines = []
    for problem in error.errors():
        if problem["type"] == "too_short" and problem["input"]:
            continue  # it is only short of the entries that are wrong themselves, which are named too
        cause = problem.get("ctx", {}).get("error")
        if cause is not None:
            lines += str(cause).splitlines()
        else:
            place = ".".join(str(part) for part in problem["loc"])
            lines.append(f"{place}: {problem['msg'].lower()}, but got {problem['input']!r}")
    return list(dict.fromkeys(lines))
