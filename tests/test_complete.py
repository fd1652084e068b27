"""Whatever is registered is exported, described, and measured against something."""

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from polytag import registry
from polytag.data import Dataset, Table
from polytag.models import MultiLabelModel

ROOT = Path(__file__).parents[1]
METHODS = [(kind, name) for kind in ("selector", "model", "classical", "loss", "enhancer") for name in registry.names(kind)]
HOMES = {"selector": "selectors", "model": "models", "classical": "classical", "loss": "losses", "enhancer": "enhance"}
GOLDEN_OR_REFERENCE = {
    "selector": ["tests/selectors", "tests/reference"],
    "model": ["tests/models", "tests/reference"],
    "classical": ["tests/classical"],
    "loss": ["tests/losses"],
    "enhancer": ["tests/enhance"],
}


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_method_is_exported(kind: str, name: str) -> None:
    method = registry.get(kind, name)
    package = importlib.import_module(f"polytag.{HOMES[kind]}")
    assert getattr(package, method.__name__) is method
    assert method.__name__ in package.__all__


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_method_has_its_own_file_and_says_what_it_is(kind: str, name: str) -> None:
    method = registry.get(kind, name)
    assert method.__module__.rsplit(".", 1)[1] == name
    assert method.__doc__
    assert any("Args:" in (parent.__doc__ or "") for parent in method.__mro__ if parent.__module__.startswith("polytag."))


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_method_has_a_page(kind: str, name: str) -> None:
    assert (ROOT / "docs" / "methods" / HOMES[kind] / f"{name}.md").stat().st_size > 300


@pytest.mark.parametrize("name", registry.names("model"))
def test_the_page_of_a_model_names_its_parameters_and_presets(name: str) -> None:
    model = registry.get("model", name)
    page = (ROOT / "docs" / "methods" / "models" / f"{name}.md").read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    named = {word for code in re.findall(r"`([^`\n]+)`", prose) for word in (code, *re.findall(r"\w+", code))}
    params = inspect.signature(model).parameters.values()
    asked = {param.name for param in params if param.kind is not param.VAR_KEYWORD} - {"d", "q"} - filled_in(model)
    assert asked <= named, f"{page.splitlines()[0]} lacks the parameters {sorted(asked - named)}"
    assert set(model.PRESETS) <= named, f"{page.splitlines()[0]} lacks the presets {sorted(set(model.PRESETS) - named)}"


def filled_in(model: type[MultiLabelModel]) -> set[str]:
    """Return the parameters that ``from_data`` takes from the training rows (``network_context``: for the network inside)."""
    kind = model.INPUTS[0]
    X = {"images": np.zeros((6, 3, 8, 8), np.uint8), "tokens": np.ones((6, 4), np.int32)}.get(kind, np.eye(6))
    Y = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]] * 2)
    tree = [("label_0", "label_1")]
    data = Dataset(X, Y, kind=kind, vocabulary=3 if kind == "tokens" else 0, hierarchy=tree)  # type: ignore[arg-type]
    return {*model.context(Table(data)), "network_context"}


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_method_is_tested_against_numbers(kind: str, name: str) -> None:
    method = registry.get(kind, name)
    texts = [path.read_text(encoding="utf-8") for folder in GOLDEN_OR_REFERENCE[kind] for path in (ROOT / folder).glob("*.py")]
    assert any(method.__name__ in text for text in texts), f"no test under {GOLDEN_OR_REFERENCE[kind]} names {method.__name__}"


def test_every_public_name_exists() -> None:
    polytag = importlib.import_module("polytag")
    for name in polytag.__all__:
        assert getattr(polytag, name) is not None
    for part in ("data", "metrics", "losses", "selectors", "enhance", "models", "classical", "training", "estimators", "bench", "testing"):
        package = importlib.import_module(f"polytag.{part}")
        for name in package.__all__:
            assert getattr(package, name) is not None
