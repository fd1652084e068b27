"""Every model with every loss, label enhancement and batch selector, each of them as text."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polytag import registry
from polytag.bench.method import NO_SELECTOR, PARTS, RATES, parameters
from polytag.bench.notation import read_call
from polytag.errors import ParameterError


def crossed(
    models: Iterable[str],
    selectors: Iterable[str],
    losses: Iterable[str | None] = (None,),
    enhancers: Iterable[str | None] = (None,),
    closures: Iterable[str | None] = (None,),
    *,
    pressure: float | None = None,
    search: Mapping[str, Sequence[Any]] | None = None,
    shared: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the arguments of ``Method`` for each combination; classical models are combined with closures only.

    Args:
        models: Names, with parameters if wanted: ``"clif(hidden=256)"``.
        selectors: The same.
        losses: The same; ``None`` is the model's own.
        enhancers: The same; ``None`` and ``"none"`` are none.
        closures: ``"up"``, ``"down"`` and ``"product"``; ``None`` and ``"none"`` are none.
        pressure: Selection pressure of those selectors that have one.
        search: Values to choose from; each method searches for those that it has.
        shared: What all methods share; ``enhance_params`` go to those with an enhancement.

    Raises:
        ParameterError: Something is asked for that no combination has.

    Example:
        >>> [found.get("enhance") for found in crossed(["linear"], ["random"], enhancers=["none", "flem(strategy=s)"])]
        [None, 'flem']
    """
    losses, shared, search = list(losses), dict(shared or {}), dict(search or {})
    guides = [None if text is None or text == NO_SELECTOR else text for text in enhancers]
    calls = [read_call(model) for model in models]
    _check(calls, losses, guides, shared)
    of_models, of_selectors, of_guides = (shared.pop(f"{part}_params", {}) for part in ("model", "selector", "enhance"))
    found: list[dict[str, Any]] = []
    ways = [None if text == NO_SELECTOR else text for text in closures]
    for (model, model_params), loss, guide, way, (selector, selector_params) in itertools.product(
        calls, losses, guides, ways, [read_call(selector) for selector in selectors]
    ):
        method = {"model": model, "model_params": of_models | model_params, "selector": selector, **shared, **_nonempty(closure=way)}
        method["selector_params"] = _pressure(selector, pressure) | of_selectors | selector_params
        if model not in registry.names("classical"):
            method |= _part("loss", loss, {}) | _part("enhance", guide, of_guides)
        found.append(method)
    for name in search:
        if not any(_has(method, name) for method in found):
            known = sorted({each for method in found for each in _searchable(method)})
            raise ParameterError(registry.unknown("parameter to search for in these methods", name, known))
    return [method | _nonempty(search={name: list(values) for name, values in search.items() if _has(method, name)}) for method in found]


def _check(calls: Sequence[tuple[str, Any]], losses: list[str | None], guides: list[str | None], shared: Mapping[str, Any]) -> None:
    """Refuse what no method of the comparison could have."""
    only_classical = bool(calls) and all(model in registry.names("classical") for model, _ in calls)
    for what, given in (("loss", losses), ("label enhancement", guides)):
        if only_classical and any(name is not None for name in given):
            listed = ", ".join(str(name) for name in given)
            raise ParameterError(f"expected no {what} where all models are classical, which are trained in their own way, but got {listed}")
    if shared.get("enhance_params") and not any(guides):
        raise ParameterError(f"expected an enhancer for the parameters {shared['enhance_params']}, but got none; name one, such as 'flem'")


def _part(name: str, text: str | None, common: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a loss or an enhancement."""
    if text is None:
        return {}
    chosen, params = read_call(text)
    return {name: chosen, **_nonempty(**{f"{name}_params": {**common, **params}})}


def _pressure(selector: str, pressure: float | None) -> dict[str, Any]:
    has = pressure is not None and selector in registry.names("selector") and "pressure" in parameters("selector", selector)
    return {"pressure": pressure} if has else {}


def _has(method: Mapping[str, Any], name: str) -> bool:
    """Say whether a method has what is to be searched for; what makes no sense for any method is left to ``Method`` to refuse."""
    if method["model"] in registry.names("classical"):
        return False
    part = name.partition(".")[0]
    if part not in PARTS:
        return True
    chosen = method.get(part)
    return chosen is not None and (chosen not in registry.names(PARTS[part]) or name in _searchable(method))


def _searchable(method: Mapping[str, Any]) -> set[str]:
    """Return what can be searched for in a method."""
    if method["model"] in registry.names("classical"):
        return set()
    found = set(RATES)
    for part, kind in PARTS.items():
        if method.get(part) in registry.names(kind):
            found |= {f"{part}.{name}" for name in parameters(kind, method[part])}
    return found


def _nonempty(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
