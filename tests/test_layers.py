"""Imports point down the layers; siblings do not import each other."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "polytag"
LAYERS = {
    "errors": 0, "registry": 0, "types": 0, "_lazy": 0,
    "hierarchy": 1,
    "data": 2, "metrics": 2, "thresholds": 2,
    "losses": 3, "selectors": 3, "nn": 3,
    "enhance": 4,
    "models": 5, "classical": 5,
    "training": 6,
    "estimators": 7,
    "bench": 8, "papers": 8,
    "cli": 9, "testing": 9,
    "__main__": 10,
}  # fmt: skip


def part_of(path: Path) -> str:
    """Return the top-level part of the package that a file belongs to."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported_parts(path: Path) -> set[str]:
    """Return the parts of polytag that a file imports anywhere, at its top or inside functions."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "polytag" else [node.module or ""]
        else:
            continue
        parts |= {module.split(".")[1] for module in modules if module.startswith("polytag.")}
    return parts


FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    here = part_of(path)
    assert here in LAYERS, f"{here} has no layer: give it one in this test and in docs/design.md"
    for part in imported_parts(path) - {here, "__version__"}:
        if "errors" in (part, here) or LAYERS[here] == 0:
            assert LAYERS[part] == 0, f"layer 0 imports {part}"
            continue
        assert LAYERS[part] < LAYERS[here], (
            f"{path.relative_to(SOURCE)} (layer {LAYERS[here]}) imports polytag.{part} (layer {LAYERS[part]})"
        )


def test_every_layer_name_is_real_or_planned() -> None:
    here = {part_of(path) for path in FILES}
    assert here <= set(LAYERS)
    assert {"data", "metrics", "selectors", "models", "training", "estimators", "bench", "cli"} <= here
