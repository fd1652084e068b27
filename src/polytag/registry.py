"""Methods by name: ``get("selector", "adaptive")`` is the class ``polytag.selectors.Adaptive``.

A method enters with one decorator, ``@register("selector", "adaptive")``. Other packages add theirs through the entry point group
``polytag.methods``: each entry names a module whose import registers what it holds.
"""

import difflib
import importlib
import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, TypeVar

from polytag.errors import ParameterError, UnknownNameError

T = TypeVar("T")

_HOMES = {
    "selector": "selectors",
    "model": "models",
    "classical": "classical",
    "loss": "losses",
    "metric": "metrics",
    "enhancer": "enhance",
}
_METHODS: dict[str, dict[str, Any]] = {kind: {} for kind in _HOMES}
_loaded: set[str] = set()


def register(kind: str, name: str) -> Callable[[T], T]:
    """Return a decorator that files a class or function under ``kind`` and ``name``.

    Args:
        kind: ``"selector"``, ``"model"``, ``"classical"``, ``"loss"``, ``"metric"`` or ``"enhancer"``.
        name: The name that users write; lower case.

    Raises:
        ParameterError: The kind does not exist, or the name is taken by something else.
    """
    if kind not in _METHODS:
        raise ParameterError(f"expected a kind among {sorted(_METHODS)}, but got {kind!r}")

    def enter(method: T) -> T:
        taken = _METHODS[kind].get(name)
        if taken is not None and getattr(taken, "__qualname__", None) != getattr(method, "__qualname__", None):
            raise ParameterError(f"the {kind} name {name!r} already belongs to {taken!r}; choose another name")
        _METHODS[kind][name] = method
        return method

    return enter


def get(kind: str, name: str) -> Any:
    """Return the method registered under ``kind`` and ``name``.

    Raises:
        UnknownNameError: There is no such method; the message names the nearest ones.
    """
    known = _known(kind)
    if name in known:
        return known[name]
    raise UnknownNameError(unknown(kind, name, list(known)))


def names(kind: str) -> list[str]:
    """Return the names of all methods of a kind, in alphabetical order."""
    return sorted(_known(kind))


def keywords(method: Any) -> set[str]:
    """Return the keyword parameters that a class can be given; empty when it takes anything.

    A constructor with ``**others`` passes them on to the one of its base class.
    """
    known: set[str] = set()
    for kind in method.__mro__ if inspect.isclass(method) else ():
        if "__init__" not in vars(kind):
            continue
        found = inspect.signature(vars(kind)["__init__"]).parameters.values()
        known |= {p.name for p in found if p.kind is p.KEYWORD_ONLY or (p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty)}
        if not any(p.kind is p.VAR_KEYWORD for p in found):
            return known
    return set()


def unknown(what: str, name: str, known: list[str]) -> str:
    """Say that ``name`` is unknown, with the nearest known names (used wherever a user types a name)."""
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"known are: {', '.join(sorted(known)) or 'none'}"
    return f"there is no {what} called {name!r}; {hint}"


def _known(kind: str) -> dict[str, Any]:
    if kind not in _METHODS:
        raise UnknownNameError(unknown("kind of method", kind, list(_METHODS)))
    if kind not in _loaded:
        importlib.import_module(f"polytag.{_HOMES[kind]}")
        _loaded.add(kind)
    if "entry points" not in _loaded:
        _loaded.add("entry points")
        for point in entry_points(group="polytag.methods"):
            point.load()
    return _METHODS[kind]
