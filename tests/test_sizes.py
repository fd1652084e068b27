"""Files, functions and classes stay readable: the caps of the design."""

import ast
from pathlib import Path
from statistics import median

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "polytag"
FILES = sorted(SOURCE.rglob("*.py"))
FILE, FUNCTION, CLASS = 400, 60, 250


def length(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Return the lines of a definition without its docstring."""
    lines = (node.end_lineno or 0) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_sizes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert length(node) <= FUNCTION, f"{node.name} has {length(node)} lines"
        if isinstance(node, ast.ClassDef):
            assert length(node) <= CLASS, f"{node.name} has {length(node)} lines"


def test_the_median_file_is_short() -> None:
    assert median(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES) <= 120


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=lambda path: str(path.relative_to(SOURCE)))
def test_init_files_only_reexport(path: Path) -> None:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.For | ast.While), (
            f"{node.name if hasattr(node, 'name') else node} is defined here"
        )


def test_no_box_of_odds_and_ends() -> None:
    assert not [path for path in SOURCE.rglob("*") if path.stem in {"utils", "helpers", "common", "misc"}]
