"""What every deep multi-label model is: logits from x for prediction, an objective from x and y for training."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, Self, cast, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from polytag.data.table import Table
from polytag.errors import DataError, ParameterError, UnknownNameError
from polytag.losses.base import Loss
from polytag.nn.seeding import seeded
from polytag.registry import get, keywords, names, unknown
from polytag.types import Batch


class Objective(NamedTuple):
    """What one training step needs to know.

    Attributes:
        loss: The scalar to call ``backward`` on.
        logits: Classification logits, shape (b, q), from the path that prediction uses, never from a branch that has seen y.
        parts: Named parts of the loss, detached, for watching.
    """

    loss: Float[Tensor, ""]
    logits: Float[Tensor, "b q"]
    parts: dict[str, Tensor] = {}  # noqa: RUF012  (never written to)


def of_one_number(objective: Objective) -> Objective:
    """Return the objective if its loss is one number, as whoever calls ``backward`` on it needs.

    Raises:
        ParameterError: It is a tensor of several, as from a loss with ``reduction="none"``.
    """
    if objective.loss.ndim:
        raise ParameterError(
            f"expected an objective whose loss is one number, but got shape {tuple(objective.loss.shape)}; give the model a loss with "
            "reduction 'mean', 'batch_mean' or 'sum', not 'none'"
        )
    return objective


class Preset(NamedTuple):
    """A named set of choices, such as those of a paper's code.

    Attributes:
        params: Parameters of the model; a function is called with the sizes (d, q).
        training: Changes to the class's ``DEFAULTS``.
    """

    params: Mapping[str, Any]
    training: Mapping[str, Any] = {}


class MultiLabelModel(nn.Module, abc.ABC):
    """A network for multi-label classification.

    A subclass takes ``(d, q, *, ...)`` and defines ``forward`` (prediction), and ``objective`` (training) unless that is nothing but a loss
    of the logits, ``self.loss``. One that needs to see the training labels before it exists (a label graph, class counts) also defines
    ``context``.

    Attributes:
        DEFAULTS: How its authors train it: arguments of ``Trainer`` and the batch size.
            ``"schedule_over"`` is a function from the number of epochs to a ``schedule`` of the trainer.
        PRESETS: Named sets of choices other than the authors' own, which are the defaults.
        INPUTS: Kinds of data that it reads (``Dataset.kind``), the one that suits it best first.
        BATCH_TERMS: Whether a part of the objective belongs to the batch as a whole, so that it is not linear in ``Batch.weight``.
        NEEDS_HIERARCHY: Whether the labels must have a hierarchy, which ``context`` then hands on, and be closed under it.
        config: What ``context`` has chosen by the data (plain values only, no arrays); with these parameters an equal network can be
            built for its ``state_dict`` where the data are no longer at hand.
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {}
    PRESETS: ClassVar[Mapping[str, Preset]] = {}
    INPUTS: ClassVar[tuple[str, ...]] = ("table",)
    BATCH_TERMS: ClassVar[bool] = False
    NEEDS_HIERARCHY: ClassVar[bool] = False

    config: dict[str, Any] = {}  # noqa: RUF012  (replaced, never written to)

    @classmethod
    def from_data(cls, train: Table, *, seed: int = 0, preset: str | None = None, **params: Any) -> Self:
        """Build the model for a training table; the same seed gives the same weights, and the global random state stays as it was.

        Args:
            train: Supplies the sizes and whatever ``context`` takes from the labels.
            seed: Seed of the initial weights.
            preset: A name of ``PRESETS``; ``None`` takes the defaults, which are the original authors' settings.
            **params: Parameters of the class; they win over the preset.

        Raises:
            UnknownNameError: There is no preset of that name.
            ParameterError: The model has no such parameter, or none of that value.
            DataError: The model does not read this kind of data.
        """
        cls.check_inputs(train)
        cls.check_names(params)
        learnt = cls.context(train)
        chosen = {**learnt, **cls.preset_params(preset, train.d, train.q), **params}
        with seeded(seed):
            model = cls(train.d, train.q, **chosen).to(train.device)
        model.config = {name: chosen[name] for name, value in learnt.items() if is_plain(value)}
        return model

    @classmethod
    def check_inputs(cls, train: Table) -> None:
        """Refuse data without labels or features, data of a kind that the model does not read, and labels that are not as it needs them.

        Raises:
            DataError: The message names models that do.
        """
        if train.q < 1 or (train.kind == "table" and train.d < 1):
            raise DataError(f"expected at least one label and one feature, but got {train.q} labels and {train.d} features")
        if train.kind not in cls.INPUTS:
            others = [name for name in names("model") if train.kind in get("model", name).INPUTS]
            or_else = "" if train.kind == "table" else ", or turn the rows into a table of features first"
            raise DataError(
                f"{cls.__name__} reads {' or '.join(cls.INPUTS)}, but got {train.kind} of shape {train.shape} a row; "
                f"models that read {train.kind} are {', '.join(others)}{or_else}"
            )
        if cls.NEEDS_HIERARCHY:
            broken = int((train.hierarchy.violations(train.dataset.Y) > 0).sum())
            if broken:
                raise DataError(
                    f"expected closed labels, every label with all its ancestors, but {broken} of {train.n} rows have a label without a "
                    "parent of it; add the ancestors with hierarchy.close(Y)"
                )

    @classmethod
    def check_names(cls, params: Mapping[str, Any]) -> None:
        """Refuse parameters that the constructor does not have.

        Raises:
            ParameterError: The message names the nearest ones.
        """
        known = keywords(cls)
        for name, value in params.items():
            if known and name not in known and name == "loss":
                raise ParameterError(
                    f"expected no loss for {cls.__name__}, whose objective is its own, but got {type(value).__name__}; leave it out, or "
                    "take a model with a loss to choose, such as 'mlp'"
                )
            if known and name not in known:
                raise ParameterError(unknown(f"parameter of {cls.__name__}", name, sorted(known)))

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return what the constructor needs from the training rows besides their sizes; by default their hierarchy, if it needs one."""
        return {"hierarchy": train.hierarchy.to_dict()} if cls.NEEDS_HIERARCHY else {}

    @classmethod
    def reads(cls, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the kinds of data that the model reads under these parameters, the one that suits it best first."""
        return cls.INPUTS

    @classmethod
    def tokenizer(cls, params: Mapping[str, Any]) -> Any:
        """Return what turns texts into this model's tokens under these parameters; ``None``: words learnt from the training rows."""
        return None

    @classmethod
    def preset_params(cls, preset: str | None, d: int, q: int) -> dict[str, Any]:
        """Return the constructor's parameters under a preset, for these sizes; none for ``None``."""
        params = {} if preset is None else cls._preset(preset).params
        return {name: value(d, q) if callable(value) else value for name, value in params.items()}

    @classmethod
    def training_defaults(cls, preset: str | None = None, *, epochs: int | None = None) -> dict[str, Any]:
        """Return how the model is trained by its authors, or under a preset: arguments of ``Trainer`` and ``batch_size``.

        Args:
            preset: A name of ``PRESETS``; ``None`` takes the defaults.
            epochs: Number of epochs, for a schedule that depends on it; ``None`` takes the authors'.
        """
        found = {**cls.DEFAULTS, **({} if preset is None else cls._preset(preset).training)}
        if "schedule_over" in found:
            found["schedule"] = found.pop("schedule_over")(found["epochs"] if epochs is None else epochs)
        return found

    @classmethod
    def _preset(cls, preset: str) -> Preset:
        if preset not in cls.PRESETS:
            raise UnknownNameError(unknown(f"preset of {cls.__name__}", preset, list(cls.PRESETS)))
        return cls.PRESETS[preset]

    @abc.abstractmethod
    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits for prediction; never sees y, deterministic in evaluation mode."""

    def objective(self, batch: Batch) -> Objective:
        """Return the training loss of a batch, the only place where y is visible; by default the loss ``self.loss`` of the logits."""
        logits = self(batch.x)
        return Objective(cast(Loss, self.loss)(logits, batch.y, batch.weight), logits)

    def begin_epoch(self, epoch: int) -> None:
        """Hear that an epoch of training begins, counted from 0; by default its losses are told, some of which change with it."""
        for module in self.modules():
            if isinstance(module, Loss):
                module.begin_epoch(epoch)

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups; by default one with all parameters at ``lr``."""
        return [{"params": list(self.parameters()), "lr": lr}]


@runtime_checkable
class Decides(Protocol):
    """A model with a threshold of its own, learnt after its weights."""

    def fit_threshold(self, table: Table) -> None:
        """Learn the threshold on training rows."""

    def decide(self, x: Tensor) -> Tensor:
        """Return the labels, 0 or 1."""


def is_plain(value: Any) -> bool:
    """Say whether a value survives JSON."""
    if isinstance(value, Mapping):
        return all(map(is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (str, bool, int, float))
