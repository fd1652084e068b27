"""Names that a package offers without importing what is behind them until somebody asks (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package whose public names live in other modules.

    Args:
        package: ``__name__`` of the package.
        homes: Public name -> module that holds it; a name that maps to itself with a leading dot is a submodule.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = homes[name]
        module = importlib.import_module(home, package)
        found = module if home == f".{name}" else getattr(module, name)
        setattr(sys.modules[package], name, found)
        return found

    return find, lambda: sorted(homes)
