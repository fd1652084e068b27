"""What is compared, on what, and how: three frozen specifications that are plain JSON, and that name all their problems at once."""

import inspect
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import torch
from pydantic import Field, field_validator, model_validator

from polytag import metrics as metric_functions
from polytag import registry
from polytag.bench.crossing import crossed
from polytag.bench.method import Method, Specification
from polytag.bench.presets import DATA_PRESETS, JOINED, PUBLISHED, TRAINING_PRESETS, filled_split, split_problems
from polytag.data import catalogue
from polytag.data.prepare import Preparation
from polytag.errors import PolytagError, UnknownNameError
from polytag.models.base import MultiLabelModel
from polytag.training import Trainer

OPTIMIZERS: Mapping[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}
"""Optimisers by name."""

SHOWN_METRICS = ("macro_f1", "micro_f1", "macro_auc", "ranking_loss", "hamming_loss", "one_error")
"""Metrics of the tables unless others are asked for; records hold all of them."""

SHOWN_UNDER_A_HIERARCHY = ("micro_ap", "h_f1", "hvr")
"""Metrics that the tables show besides where the labels have a hierarchy, unless others are asked for."""


class Protocol(Specification):
    """How it is trained and tested. Values that are not given come from the preset; the quirks of a paper are switches among them.

    Args:
        preset: ``"clean"``, ``"authors-2024"``, ``"flem-2022"`` or ``"chmcnn-2020"``, see ``polytag.bench.presets``.
        folds: Number of folds; 1 where the parts are the published ones.
        seeds: One complete cross-validation each; not part of a cell's identity, so seeds can be added later.
        split: Switches of ``polytag.data.splits.kfold``: ``valid``, ``valid_from``, ``order``, ``keep_duplicates_together``, and
            ``seed`` to keep the folds the same under all seeds. ``"parts": "published"`` tests on the test part as published and takes
            ``valid``, stratified, from its training part, or with ``"valid_from": "published"`` the published validation part where the
            set has one (which is so where ``valid`` is not given). ``"valid_from": "joined"`` trains on the published training and
            validation parts together, which leaves no validation rows; it wants ``keep="last"``.
        preparation: Switches of ``polytag.data.prepare.Preparation``.
        epochs: Number of epochs.
        batch_size: Rows in a batch.
        lr: Learning rate; ``None`` is the model's own.
        weight_decay: L2 penalty; ``None`` is the model's own.
        warmup_epochs: Epochs over which the learning rate rises; 0 leaves it to the model, which may have its own.
        clip_norm: Largest norm of the gradient, or ``"adaptive"``, see ``Trainer``; ``None`` leaves it to the model.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``; ``None`` is the model's own.
        optimizer_params: Further arguments of that optimiser, such as ``{"amsgrad": True}``.
        monitor: Metric that says which epoch is best.
        patience: Epochs without improvement before training stops.
        keep: Weights to test: of the ``"best"`` or of the ``"last"`` epoch.
        precision: ``"float32"`` or ``"bfloat16"``.
        compile: Compile the training step, see ``Trainer``; classical models are left as they are.
        measure_train_loss: Measure the loss on all training rows after each epoch, outside the timer, for convergence plots.
        undefined: What a metric is where it is not defined, see ``polytag.metrics.evaluate``.
        compat: ``"authors"``: selectors that have such a switch do what their published code does.
        model_preset: Passed as ``preset`` to models that have presets; ``None`` is the model's own default.
        plain_random: Random runs in a fixed order, without weight decay and without the rise of the learning rate.

    Raises:
        ParameterError: Values make no sense; the message names all that do not.
    """

    preset: Literal["clean", "authors-2024", "flem-2022", "chmcnn-2020"] = "clean"
    folds: int = Field(default=5, ge=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    split: dict[str, Any] = Field(default_factory=dict)
    preparation: dict[str, Any] = Field(default_factory=dict)
    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=128, ge=1)
    lr: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    warmup_epochs: float = Field(default=0.0, ge=0)
    clip_norm: Annotated[float, Field(gt=0)] | Literal["adaptive"] | None = None
    optimizer: str | None = None
    optimizer_params: dict[str, Any] | None = None
    monitor: str = "macro_auc"
    patience: int | None = Field(default=None, ge=1)
    keep: Literal["best", "last"] = Field(default="best", validate_default=True)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    measure_train_loss: bool = True
    undefined: Literal["skip", "zero", "one", "nan"] = "skip"
    compat: Literal["authors"] | None = None
    model_preset: str | None = None
    plain_random: bool = False

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        preset = values.get("preset", "clean")
        if preset not in TRAINING_PRESETS or not all(isinstance(values.get(name, {}), Mapping) for name in ("split", "preparation")):
            return values
        split = filled_split(preset, values.get("split", {}), values.get("folds"))
        preparation = {**DATA_PRESETS[preset]["preparation"], **values.get("preparation", {})}
        folds = {"folds": 1} if split.get("parts") == PUBLISHED else {}
        return {**folds, **TRAINING_PRESETS[preset], **values, "split": split, "preparation": preparation}

    @field_validator("split")
    @classmethod
    def _split_switches_exist(cls, split: dict[str, Any], info: Any) -> dict[str, Any]:
        problems = split_problems(split, info.data.get("folds"))
        if problems:
            raise ValueError("\n".join(problems))
        return split

    @field_validator("keep")
    @classmethod
    def _an_epoch_can_be_chosen(cls, keep: str, info: Any) -> str:
        if keep == "best" and info.data.get("split", {}).get("valid_from") == JOINED:
            raise ValueError("expected keep='last' with split.valid_from=joined, which leaves no validation rows to find the best epoch by")
        return keep

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

    @field_validator("optimizer")
    @classmethod
    def _optimizer_exists(cls, name: str | None) -> str | None:
        if name is not None and name not in OPTIMIZERS:
            raise ValueError(registry.unknown("optimizer", name, list(OPTIMIZERS)))
        return name

    @field_validator("optimizer_params")
    @classmethod
    def _optimizer_params_exist(cls, params: dict[str, Any] | None, info: Any) -> dict[str, Any] | None:
        name = info.data.get("optimizer")
        if params and name is None:
            raise ValueError(f"expected optimizer_params together with a known optimizer, but got {params}; name one, such as 'adamw'")
        known = set(inspect.signature(OPTIMIZERS[name]).parameters) - {"params", "lr", "weight_decay"} if params else set()
        for given in params or {}:
            if given not in known:
                raise ValueError(registry.unknown(f"parameter of optimizer {name!r}", given, sorted(known)))
        return params or None

    @field_validator("monitor")
    @classmethod
    def _monitor_exists(cls, monitor: str) -> str:
        return monitor if monitor == "loss" else _metric(monitor)

    def identity(self) -> dict[str, Any]:
        """Return what decides the result of a cell: every switch, whatever the preset was called and whichever seeds are asked for."""
        later = set() if self.compile else {"compile"}  # not there when the first cells were recorded, whose keys stay
        return self.model_dump(mode="json", exclude_none=True, exclude={"preset", "seeds"} | later)

    def trainer(self, model: type[MultiLabelModel], *, plain: bool, preset: str | None = None, **settings: Any) -> Trainer:
        """Return the trainer for a model class.

        Args:
            model: Knows its own optimiser, learning rate, schedule, weight decay and bound of the gradient.
            preset: The model's preset, if the method names one.
            plain: Whether this is the Random baseline, which ``plain_random`` trains differently.
            **settings: Seed and callbacks.
        """
        own = model.training_defaults(preset or (self.model_preset if self.model_preset in model.PRESETS else None), epochs=self.epochs)
        plain = plain and self.plain_random
        same = ("epochs", "monitor", "patience", "keep", "precision", "compile", "measure_train_loss")
        chosen = {name: own[name] for name in ("optimizer", "optimizer_params", "schedule") if name in own}
        if self.optimizer is not None:
            chosen |= {"optimizer": OPTIMIZERS[self.optimizer], "optimizer_params": dict(self.optimizer_params or {})}
        return Trainer(
            lr=own.get("lr", 1e-3) if self.lr is None else self.lr,
            weight_decay=0.0 if plain else own.get("weight_decay", 0.0) if self.weight_decay is None else self.weight_decay,
            warmup_epochs=0.0 if plain else self.warmup_epochs or own.get("warmup_epochs", 0.0),
            clip_norm=own.get("clip_norm") if self.clip_norm is None else self.clip_norm,
            **{name: getattr(self, name) for name in same},
            **chosen,
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
        reading: How ``load_dataset`` reads files: which columns are text, images and labels.

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
    reading: dict[str, Any] | None = None

    @field_validator("datasets")
    @classmethod
    def _datasets_exist(cls, datasets: tuple[str, ...]) -> tuple[str, ...]:
        found, bad = [], []
        for name in datasets:
            try:
                found.append(name if Path(name).exists() else catalogue.entry(name).name)
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
        losses: Any = (None,),
        enhancers: Any = (None,),
        closures: Any = (None,),
        pressure: float | None = None,
        search: Mapping[str, Any] | None = None,
        method: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> Self:
        """Cross models with selectors, losses, label enhancements and ways to make scores coherent.

        Args:
            datasets: Names.
            models: Names, with parameters if wanted: ``"clif(hidden=256)"``.
            selectors: The same: ``"d2ace(hardness=code)"``.
            losses: The same: ``"asl(gamma_negative=2)"``; ``None`` is the model's own. Classical models are crossed with none.
            enhancers: The same: ``"flem(strategy=s)"``; ``None`` or ``"none"`` is none. Classical models are crossed with none.
            closures: ``"up"``, ``"down"``, ``"product"``: how scores are made coherent with the hierarchy of the labels after training;
                ``None`` or ``"none"`` leaves them as they are.
            pressure: Selection pressure of those selectors that have one.
            search: Values to choose from by the validation rows, see ``Method``; each method searches for those that it has.
            method: What all methods share, for example ``{"threshold": 0.4}``.
            **rest: ``protocol``, ``metrics`` and ``reading``.

        Raises:
            ParameterError: As the class; or a loss, an enhancement or a search that no method of the comparison has.
        """
        methods: Any = crossed(models, selectors, losses, enhancers, closures, pressure=pressure, search=search, shared=method)
        return cls(datasets=datasets, methods=methods, **rest)

    @model_validator(mode="after")
    def _something_to_search_by(self) -> Self:
        searched = next((method.search for method in self.methods if method.search), None)
        if searched and self.protocol.split.get("valid") == 0 and self.protocol.split.get("valid_from") in ("train", JOINED):
            raise ValueError(
                f"expected validation rows to search for {', '.join(searched)} by, but got split.valid=0; set split.valid=0.1 or more"
            )
        return self

    def cells(self) -> Iterator[Cell]:
        """Walk through all runs; those that share data and folds are neighbours, so that every method has results early."""
        protocol = self.protocol
        for dataset, seed, fold in itertools.product(self.datasets, protocol.seeds, range(protocol.folds)):
            for method in self.methods:
                yield Cell(dataset, method, fold, seed)


def _metric(name: str) -> str:
    try:
        metric_functions.direction(name)
    except PolytagError as error:
        raise ValueError(str(error)) from None
    return name
