"""Write ARFF text the slow and obvious way, and say what a reader must make of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TWO_VALUED = [("0", "1"), ("1", "0"), ("no", "yes"), ("TRUE", "FALSE"), ("n", "Y")]
POSITIVE = {"1", "yes", "true", "y"}
DISGUISES = [{"0", "1"}, {"0.0", "1.0"}, {"no", "yes"}, {"false", "true"}, {"n", "y"}, {"f", "t"}]


def real_categories(categories: Sequence[str]) -> bool:
    """Say whether categories are more than 0 and 1 in disguise."""
    return not any({category.lower() for category in categories} <= pair for pair in DISGUISES)


@dataclass(frozen=True)
class Column:
    """A column: its name, its categories (none for numbers) and its cells as text (``None`` for a missing one)."""

    name: str
    categories: tuple[str, ...]
    cells: Sequence[str | None]

    @property
    def binary(self) -> bool:
        return self.categories in TWO_VALUED

    def numbers(self) -> tuple[np.ndarray, list[str]]:
        """Return the features (n, columns) that the column must become, and their names."""
        if self.categories and not self.binary:
            rows = [[math.nan if cell is None else float(cell == c) for c in self.categories] for cell in self.cells]
            return np.array(rows, dtype=float).reshape(len(rows), len(self.categories)), [f"{self.name}={c}" for c in self.categories]
        if self.binary:
            values = [math.nan if cell is None else float(cell.lower() in POSITIVE) for cell in self.cells]
        else:
            values = [math.nan if cell is None else float(cell) for cell in self.cells]
        return np.array(values)[:, None], [self.name]


def quote(text: str) -> str:
    plain = text and text != "?" and not any(mark in text for mark in " ,'\"{}%\\\t")
    return text if plain else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def header(columns: Sequence[Column], relation: str) -> str:
    lines = [f"@relation {quote(relation)}", ""]
    for column in columns:
        kind = "{" + ",".join(map(quote, column.categories)) + "}" if column.categories else "numeric"
        lines.append(f"@attribute {quote(column.name)} {kind}")
    return "\n".join([*lines, "@data", ""])


def cell_text(column: Column, cell: str | None) -> str:
    if cell is None:
        return "?"
    return quote(cell) if column.categories else cell


def dense(columns: Sequence[Column], relation: str) -> str:
    rows = zip(*(column.cells for column in columns))
    return header(columns, relation) + "".join(",".join(map(cell_text, columns, row)) + "\n" for row in rows)


def sparse(columns: Sequence[Column], relation: str) -> str:
    """Leave out zeros, and first categories."""

    def left_out(column: Column, cell: str | None) -> bool:
        if cell is None:
            return False
        return cell == column.categories[0] if column.categories else float(cell) == 0

    text = header(columns, relation)
    for row in zip(*(column.cells for column in columns)):
        named = [(j, c, v) for j, (c, v) in enumerate(zip(columns, row)) if not left_out(c, v)]
        text += "{" + ",".join(f"{j} {cell_text(c, v)}" for j, c, v in named) + "}\n"
    return text
