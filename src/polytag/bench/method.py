"""What is trained in a comparison, as a frozen specification that is plain JSON and names all its problems at once."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from polytag import registry
from polytag.errors import ParameterError, PolytagError, UnknownNameError
from polytag.thresholds import Threshold

NO_SELECTOR = "none"
"""Selector of methods that have no batches."""


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
    """What is trained: a deep model and how its batches are chosen, or a classical one.

    Args:
        model: Name of a deep or classical model.
        selector: Name of the batch selector; a classical model has none, and ``"none"`` stands here whatever was asked for.
        loss: Name of the loss; ``None`` is the model's own.
        threshold: Probability above which a label is predicted, or a rule fitted on the validation rows (``polytag.thresholds``). Under
            0.5 classical models decide by their own rule.
        model_params: Further parameters of the model.
        selector_params: Further parameters of the selector.
        loss_params: Further parameters of the loss.

    Raises:
        ParameterError: A name or parameter does not exist; the message names all that do not.
    """

    model: str = "clif"
    selector: str = "random"
    loss: str | None = None
    threshold: float | str = 0.5
    model_params: dict[str, Any] = Field(default_factory=dict)
    selector_params: dict[str, Any] = Field(default_factory=dict)
    loss_params: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _classical_has_no_batches(cls, values: Any) -> Any:
        if values.get("model") in registry.names("classical"):
            return {**values, "selector": NO_SELECTOR, "selector_params": {}}
        return values

    @field_validator("model")
    @classmethod
    def _model_exists(cls, name: str) -> str:
        known = [*registry.names("model"), *registry.names("classical")]
        if name not in known:
            raise ValueError(registry.unknown("model", name, known))
        return name

    @field_validator("selector", "loss")
    @classmethod
    def _name_exists(cls, name: str | None, info: Any) -> str | None:
        if name is not None and name != NO_SELECTOR:
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

    @field_validator("model_params", "selector_params", "loss_params")
    @classmethod
    def _parameters_exist(cls, params: dict[str, Any] | None, info: Any) -> dict[str, Any] | None:
        kind = info.field_name.removesuffix("_params")
        name = info.data.get(kind)
        if params and name is not None:
            known = parameters("classical" if kind == "model" and name in registry.names("classical") else kind, name)
            for given in params:
                if known and given not in known:
                    raise ValueError(registry.unknown(f"parameter of {kind} {name!r}", given, sorted(known)))
        return params

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.is_classical and self.loss is not None:
            raise ValueError(f"expected no loss for the classical model {self.model!r}, which has its own, but got {self.loss!r}")
        if self.loss is not None and "loss" not in parameters("model", self.model):
            raise ValueError(f"expected no loss for the model {self.model!r}, whose objective is its own, but got {self.loss!r}")
        if self.selector == NO_SELECTOR and not self.is_classical:
            raise ValueError(f"expected a batch selector for the deep model {self.model!r}, but got none; name one, such as 'random'")
        return self

    @property
    def is_classical(self) -> bool:
        """Whether the model is a classical one, without batches."""
        return self.model in registry.names("classical")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Kinds of data that the model reads, see ``Dataset.kind``."""
        return ("table",) if self.is_classical else registry.get("model", self.model).INPUTS

    def tokenizer(self) -> Any:
        """Return what turns texts into the model's own tokens; ``None``: words learnt from the training rows."""
        return None if self.is_classical else registry.get("model", self.model).tokenizer(self.model_params)

    @property
    def backbone(self) -> str:
        """What the rows of one table share: everything but the selector."""
        loss = {} if self.loss is None else {"loss": _label(self.loss, self.loss_params or {})}
        cut = {} if self.threshold == 0.5 else {"threshold": self.threshold}
        return _label(self.model, {**loss, **cut, **self.model_params})

    @property
    def strategy(self) -> str:
        """The selector with its parameters."""
        return _label(self.selector, self.selector_params)


def parameters(kind: str, name: str) -> set[str]:
    """Return the keyword parameters that a registered method can be given; empty when it takes anything."""
    known = registry.keywords(registry.get(kind, name))
    return known | {"preset"} if known and kind == "model" else known


def _named(kind: str, name: str) -> None:
    try:
        registry.get(kind, name)
    except UnknownNameError as error:
        raise ValueError(str(error)) from None


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
