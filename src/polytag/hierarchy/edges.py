"""Edges between named labels: read from pairs of names, and from tables of parents."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from polytag.errors import DataError, ParameterError
from polytag.types import Array

Direction: TypeAlias = Literal["parent_to_child", "child_to_parent"]
"""Which of a pair of names comes first."""

Named: TypeAlias = tuple[tuple[str, ...], Array]
"""Names of the labels, and (child, parent) numbers, shape (m, 2)."""


def read_edges(
    edges: Iterable[Any], names: Sequence[str] | None = None, direction: Direction = "parent_to_child", root: str | None = None
) -> Named:
    """Return names and edges of the labels in pairs of names.

    Args:
        edges: Pairs of names.
        names: All labels, in their order; ``None`` takes those of the edges in order of appearance.
        direction: Which of a pair comes first.
        root: Name of an artificial root, which is left out with its edges.

    Raises:
        DataError: An edge is no pair, has an empty name, or names a label that is not among ``names``.
        ParameterError: There is no such direction.
    """
    if direction not in ("parent_to_child", "child_to_parent"):
        raise ParameterError(f"expected direction 'parent_to_child' or 'child_to_parent', but got {direction!r}")
    pairs = [_pair(edge, "(parent, child)" if direction == "parent_to_child" else "(child, parent)") for edge in edges]
    given = [name for pair in pairs for name in pair] if names is None else [str(name) for name in names]
    kept = [name for name in (dict.fromkeys(given) if names is None else given) if name != root]
    number = {name: k for k, name in enumerate(kept)}
    inner = [pair for pair in pairs if root is None or root not in pair]
    unknown = next((name for pair in inner for name in pair if name not in number), None)
    if unknown is not None:
        raise DataError(
            f"expected edges between the given labels, but {unknown!r} is none of them; add it to the labels, or drop its edges"
        )
    numbers = np.array([(number[a], number[b]) for a, b in inner], dtype=np.int64).reshape(-1, 2)
    return tuple(kept), numbers if direction == "child_to_parent" else numbers[:, ::-1]


def read_parents(table: Any) -> Named:
    """Return names and edges of the labels in a table of parents.

    Args:
        table: A mapping from each label to its parent or a list of parents; or rows (label, parent), several for several parents. A label
            at the top has the parent ``""``, ``None`` or an empty list.

    Raises:
        DataError: A row is no pair, a name is empty, or a parent has no row of its own.
    """
    rows = table.items() if isinstance(table, Mapping) else (_pair(row, "(label, parent)", empty=True) for row in table)
    above: dict[str, list[str]] = {}
    for label, value in rows:
        node = str(label)
        if not node.strip():
            raise DataError(f"expected a name for every label, but a row has the empty one {label!r} with the parent {value!r}")
        above.setdefault(node, []).extend(_parents(value))
    unknown = next(((node, parent) for node, parents in above.items() for parent in parents if parent not in above), None)
    if unknown is not None:
        raise DataError(
            f"expected a row for every label, but {unknown[1]!r}, parent of {unknown[0]!r}, has none; give it one with an empty parent, or "
            "take from_edges, which needs none"
        )
    number = {node: k for k, node in enumerate(above)}
    edges = [(number[node], number[parent]) for node, parents in above.items() for parent in parents]
    return tuple(above), np.array(edges, dtype=np.int64).reshape(-1, 2)


def check_tree(named: Named) -> Named:
    """Return what came, if no label has several parents.

    Raises:
        DataError: A label has.
    """
    names, edges = named
    edges = np.unique(edges, axis=0)
    again = np.flatnonzero(edges[1:, 0] == edges[:-1, 0])
    if len(again):
        (child, first), (_, second) = edges[again[0]], edges[again[0] + 1]
        raise DataError(
            f"expected a tree, but {names[child]!r} is below {names[first]!r} and below {names[second]!r}; give the two different names, "
            "such as their paths, or drop tree=True"
        )
    return named


def _pair(value: Any, what: str, empty: bool = False) -> tuple[str, Any]:
    """Return a pair, its names as strings; with ``empty`` the second may be missing."""
    pair = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if len(pair) != 2 or not (empty or all(_filled(name) for name in pair)):
        raise DataError(f"expected pairs of names {what}, but got {value!r}")
    return str(pair[0]), pair[1] if empty else str(pair[1])


def _parents(value: Any) -> list[str]:
    """Return the parents in a cell, a list or nothing."""
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    return [str(parent) for parent in values if _filled(parent)]


def _filled(name: Any) -> bool:
    return name is not None and name == name and bool(str(name).strip())
