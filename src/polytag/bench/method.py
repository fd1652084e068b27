"""What is trained in a comparison, as a frozen specification that is plain JSON and names all its problems at once."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from polytag import registry
from polytag.errors import ParameterError, PolytagError, UnknownNameError
from polytag.hierarchy.constraint import How
from polytag.thresholds import Threshold

NO_SELECTOR = "none"
"""Selector of methods that have no batches."""

RATES = ("lr", "weight_decay")
"""What ``Method.search`` may look for besides parameters of the model, the loss, the selector and the enhancer."""

PARTS = {"model": "model", "loss": "loss", "selector": "selector", "enhance": "enhancer"}
"""Parts of a method, and what the registry calls them."""


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
    """What is trained: a deep model, how its batches are chosen and its labels enhanced, or a classical one.

    Args:
        model: Name of a deep or classical model.
        selector: Name of the batch selector; a classical model has none, and ``"none"`` stands here whatever was asked for.
        loss: Name of the loss; ``None`` is the model's own.
        threshold: Probability above which a label is predicted, or a rule fitted on the validation rows (``polytag.thresholds``). Under
            0.5 classical models decide by their own rule.
        closure: How probabilities, and label sets that a model decides by itself, are made coherent with the hierarchy of the labels
            after training: ``"up"``, ``"down"`` or ``"product"``, see ``Hierarchy.constrain``; ``None`` leaves them as they are.
        model_params: Further parameters of the model.
        selector_params: Further parameters of the selector.
        loss_params: Further parameters of the loss.
        enhance: Name of the label enhancement under which a deep model is trained; ``None`` for none.
        enhance_params: Further parameters of the enhancement.
        search: Values to choose from by the validation rows, such as ``{"enhance.alpha": [1e-4, 1e-3], "lr": [0.01, 0.1]}``: names are
            ``model.*``, ``loss.*``, ``selector.*``, ``enhance.*``, ``lr`` and ``weight_decay``; every combination is trained.

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
    enhance: str | None = None
    enhance_params: dict[str, Any] | None = None
    search: dict[str, list[Any]] | None = None
    closure: How | None = None

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

    @field_validator("selector", "loss", "enhance")
    @classmethod
    def _name_exists(cls, name: str | None, info: Any) -> str | None:
        if name is not None and name != NO_SELECTOR:
            _named(PARTS[info.field_name], name)
        return name

    @field_validator("threshold")
    @classmethod
    def _threshold_exists(cls, rule: float | str) -> float | str:
        try:
            Threshold.named(rule)
        except PolytagError as error:
            raise ValueError(str(error)) from None
        return rule

    @field_validator("model_params", "selector_params", "loss_params", "enhance_params")
    @classmethod
    def _parameters_exist(cls, params: dict[str, Any] | None, info: Any) -> dict[str, Any] | None:
        part = info.field_name.removesuffix("_params")
        name = info.data.get(part)
        if params and name is not None:
            known = parameters("classical" if part == "model" and name in registry.names("classical") else PARTS[part], name)
            for given in params:
                if known and given not in known:
                    raise ValueError(registry.unknown(f"parameter of {PARTS[part]} {name!r}", given, sorted(known)))
        return params

    @field_validator("enhance_params", "search")
    @classmethod
    def _nothing_is_absent(cls, values: dict[str, Any] | None) -> dict[str, Any] | None:
        return values or None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.is_classical and self.loss is not None:
            raise ValueError(f"expected no loss for the classical model {self.model!r}, which has its own, but got {self.loss!r}")
        if self.loss is not None and "loss" not in parameters("model", self.model):
            raise ValueError(f"expected no loss for the model {self.model!r}, whose objective is its own, but got {self.loss!r}")
        if self.selector == NO_SELECTOR and not self.is_classical:
            raise ValueError(f"expected a batch selector for the deep model {self.model!r}, but got none; name one, such as 'random'")
        if self.is_classical and self.enhance is not None:
            raise ValueError(
                f"expected no label enhancement for the classical model {self.model!r}, but got {self.enhance!r}; it needs a "
                "model that is trained batch by batch, such as 'linear'"
            )
        if self.enhance == NO_SELECTOR or (self.enhance is None and self.enhance_params):
            raise ValueError(
                f"expected a label enhancement, such as one of {registry.names('enhancer')}, but got {self.enhance!r} with the "
                f"parameters {self.enhance_params}; leave both out for none"
            )
        problems = [problem for name, values in (self.search or {}).items() if (problem := self._problem_of_search(name, values))]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problem_of_search(self, name: str, values: list[Any]) -> str | None:
        """Say what is wrong with one line of ``search``; ``None`` if nothing is."""
        if self.is_classical:
            return (
                f"expected nothing to search for the classical model {self.model!r}, but got {name!r}; give its parameters in model_params"
            )
        if not values or len({repr(value) for value in values}) < len(values):
            return f"expected different values to choose from for {name!r}, but got {values!r}"
        return None if name in RATES else self._problem_of_name(name)

    def _problem_of_name(self, name: str) -> str | None:
        part, dot, parameter = name.partition(".")
        if not dot or part not in PARTS:
            return f"expected model.*, loss.*, selector.*, enhance.*, lr or weight_decay to search for, but got {name!r}"
        chosen = getattr(self, part)
        if chosen is None:
            return f"expected a {PARTS[part]} whose {parameter!r} is searched for, but the method has none; name one, or drop {name!r}"
        known = parameters(PARTS[part], chosen)
        if known and parameter not in known:
            return registry.unknown(f"parameter of {PARTS[part]} {chosen!r}", parameter, sorted(known))
        if parameter in (getattr(self, f"{part}_params") or {}):
            return f"expected {name!r} either given or searched for, but got both; leave one out"
        return None

    @property
    def is_classical(self) -> bool:
        """Whether the model is a classical one, without batches."""
        return self.model in registry.names("classical")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Kinds of data that the model reads, see ``Dataset.kind``."""
        return ("table",) if self.is_classical else registry.get("model", self.model).reads(self.model_params)

    @property
    def hierarchical(self) -> str:
        """What of it needs a hierarchy over the labels; empty if nothing does."""
        kind = registry.get("classical" if self.is_classical else "model", self.model)
        asking = [f"the model {self.model!r}"] if getattr(kind, "NEEDS_HIERARCHY", False) else []
        asking += [] if self.closure is None else [f"closure={self.closure!r}"]
        asking += ["threshold='level_f1'"] if self.threshold == "level_f1" else []
        return " and ".join(asking)

    def tokenizer(self) -> Any:
        """Return what turns texts into the model's own tokens; ``None``: words learnt from the training rows."""
        return None if self.is_classical else registry.get("model", self.model).tokenizer(self.model_params)

    @property
    def backbone(self) -> str:
        """What the rows of one table share: everything but the selector."""
        loss = {} if self.loss is None else {"loss": _label(self.loss, self.loss_params or {})}
        enhance = {} if self.enhance is None else {"enhance": _label(self.enhance, self.enhance_params or {})}
        closure = {} if self.closure is None else {"closure": self.closure}
        cut = {} if self.threshold == 0.5 else {"threshold": self.threshold}
        searched = {name: values for name, values in (self.search or {}).items() if not name.startswith("selector.")}
        return _label(self.model, {**loss, **enhance, **closure, **cut, **self.model_params, **searched})

    @property
    def strategy(self) -> str:
        """The selector with its parameters; values in brackets are chosen from by the validation rows."""
        searched = {name.removeprefix("selector."): values for name, values in (self.search or {}).items() if name.startswith("selector.")}
        return _label(self.selector, {**self.selector_params, **searched})


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
