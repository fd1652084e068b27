"""What a metric is: a function of truth and prediction that knows its range, its better end, and what it needs to see."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, Generic, Literal, NamedTuple, ParamSpec, TypeAlias

import numpy as np

from polytag import registry
from polytag.errors import ParameterError
from polytag.types import Array

P = ParamSpec("P")
Undefined: TypeAlias = Literal["skip", "zero", "one", "nan"]
Needs: TypeAlias = Literal["scores", "labels", "probabilities"]
Direction: TypeAlias = Literal["min", "max"]
_NUMBERED = (
    (r"(precision|recall|ndcg|psp)_at_([1-9]\d*)", "{}_at_k", "k"),
    (r"(accuracy|micro_f1|macro_f1)_level_([1-9]\d*)", "level_{}", "level"),
)
_FILL = {"zero": 0.0, "one": 1.0, "nan": np.nan}


class Detail(NamedTuple):
    """A metric's value and what it was averaged from.

    Attributes:
        value: The number that is reported.
        terms: One value for each label or instance, NaN where undefined; for a metric that is not a mean, the value alone.
        used: How many terms entered the value.
    """

    value: float
    terms: Array
    used: int


class Metric(Generic[P]):
    """A metric: call it for the value, call ``terms`` for the value of each label or instance as well.

    Attributes:
        name: Its key in ``evaluate``.
        needs: ``"scores"``, ``"labels"`` (label sets) or ``"probabilities"``.
        range: Smallest and largest possible value.
        direction: ``"max"`` if more is better, ``"min"`` if less is.
        options: Names of the parameters that may still be given; one with ``hierarchy`` among them needs a hierarchy.

    Example:
        >>> from polytag import metrics
        >>> metrics.ranking_loss.direction, metrics.ranking_loss.range
        ('min', (0.0, 1.0))
        >>> metrics.macro_auc.terms([[1, 0], [0, 0]], [[0.9, 0.3], [0.2, 0.1]])
        Detail(value=1.0, terms=array([ 1., nan]), used=1)
    """

    def __init__(
        self, function: Callable[P, Detail | float], name: str, needs: Needs, range: tuple[float, float], direction: Direction
    ) -> None:
        self.name, self.needs, self.range, self.direction = name, needs, range, direction
        self._function = function
        self.options = frozenset(inspect.signature(function).parameters) - frozenset(getattr(function, "keywords", ()))
        functools.update_wrapper(self, function)
        self.__name__ = self.__qualname__ = name

    def __reduce__(self) -> tuple[Callable[[str], "Metric[...]"], tuple[str]]:
        """Pickle by name."""
        return find, (self.name,)

    @property
    def needs_hierarchy(self) -> bool:
        """Whether it must be told which label implies which, as ``hierarchy``."""
        return "hierarchy" in self.options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> float:
        """Return the value."""
        found = self._function(*args, **kwargs)
        return float(found.value if isinstance(found, Detail) else found)

    def terms(self, *args: P.args, **kwargs: P.kwargs) -> Detail:
        """Return the value, the value of each label or instance (NaN where undefined), and how many of them were used."""
        found = self._function(*args, **kwargs)
        return found if isinstance(found, Detail) else Detail(float(found), np.array([float(found)]), 1)

    def __repr__(self) -> str:
        return f"<metric {self.name}: needs {self.needs}, {self.direction}, in [{self.range[0]:g}, {self.range[1]:g}]>"


def metric(
    name: str,
    *,
    needs: Needs,
    range: tuple[float, float] = (0.0, 1.0),
    direction: Direction = "max",
) -> Callable[[Callable[P, Detail | float]], Metric[P]]:
    """Return a decorator that makes a function a metric and registers it, so that ``evaluate(metrics=[name])`` knows it.

    The function takes ``(Y, scores, ...)`` or, when it needs label sets, ``(Y, labels, ...)``, and must accept an ``Outcome`` in the place
    of Y (``Outcome.of`` does that). It returns a number or a ``Detail``.

    Args:
        name: Key in ``evaluate``; lower case.
        needs: What must be given: scores, label sets, or scores within [0, 1].
        range: Smallest and largest possible value.
        direction: ``"max"`` if more is better.

    Example:
        >>> from polytag import metrics
        >>> @metrics.metric("mean_set_size", needs="labels", range=(0.0, np.inf))
        ... def mean_set_size(Y, labels=None):
        ...     return float(metrics.Outcome.of(Y, labels=labels).sets.predicted_by_row.mean())
        >>> metrics.evaluate([[1, 0]], labels=[[1, 1]], metrics=["mean_set_size"])
        {'mean_set_size': 2.0}
    """

    def make(function: Callable[P, Detail | float]) -> Metric[P]:
        return registry.register("metric", name)(Metric(function, name, needs, range, direction))

    return make


def variant(name: str, general: Metric[...], doc: str, **fixed: Any) -> Metric[...]:
    """Register a metric with some of its parameters fixed under a name of its own.

    Args:
        name: Key in ``evaluate``.
        general: The metric.
        doc: What the variant is for, one line.
        **fixed: The parameters and their values.
    """
    function = functools.partial(general._function, **fixed)
    function.__doc__ = doc
    function.__module__ = general.__module__
    return metric(name, needs=general.needs, range=general.range, direction=general.direction)(function)


def find(name: str) -> Metric[...]:
    """Return a metric by name; ``precision_at_7`` and its kin exist for every k, ``micro_f1_level_2`` and its kin for every level.

    Raises:
        UnknownNameError: There is no such metric.
    """
    for pattern, whole, parameter in _NUMBERED:
        at = re.fullmatch(pattern, name)
        if at is not None:
            general: Metric[...] = registry.get("metric", whole.format(at[1]))
            fixed: dict[str, Any] = {parameter: int(at[2])}
            return Metric(functools.partial(general._function, **fixed), name, general.needs, general.range, general.direction)
    found: Metric[...] = registry.get("metric", name)
    return found


def direction(name: str) -> str:
    """Return ``"max"`` if a larger value of the metric is better, ``"min"`` if a smaller one is.

    Raises:
        UnknownNameError: There is no such metric.

    Example:
        >>> direction("hamming_loss")
        'min'
    """
    return find(name).direction


def value_range(name: str) -> tuple[float, float]:
    """Return the smallest and the largest possible value of a metric.

    Raises:
        UnknownNameError: There is no such metric.

    Example:
        >>> value_range("coverage_error")
        (0.0, inf)
    """
    return find(name).range


def mean_of(terms: Array, undefined: Undefined = "skip") -> Detail:
    """Average terms of which some are undefined (NaN): leave those out, count them as 0 or 1, or let the value be NaN.

    Args:
        terms: Shape (n,) or (q,), float64.
        undefined: ``"skip"``, ``"zero"``, ``"one"`` or ``"nan"``.
    """
    if undefined not in ("skip", *_FILL):
        raise ParameterError(f"expected undefined to be 'skip', 'zero', 'one' or 'nan', but got {undefined!r}")
    kept = terms[~np.isnan(terms)] if undefined == "skip" else np.where(np.isnan(terms), _FILL[undefined], terms)
    return Detail(float(kept.mean()) if kept.size else float("nan"), terms, int(kept.size))


def quotient(numerator: Any, denominator: Any) -> Array:
    """Divide element by element; 0/0 is NaN (undefined)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.true_divide(numerator, denominator), dtype=np.float64).reshape(-1)
