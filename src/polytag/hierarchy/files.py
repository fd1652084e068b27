"""Hierarchies in files: tables of parents, edge lists, lists of paths, ontologies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from polytag.errors import DataError, ParameterError, ReadError
from polytag.hierarchy.edges import Direction, Named, check_tree, read_edges, read_parents
from polytag.hierarchy.hierarchy import Hierarchy
from polytag.hierarchy.lines import lines_of, rows_of, suffix_of
from polytag.hierarchy.obo import read_obo
from polytag.hierarchy.paths import read_paths, split_path

Format: TypeAlias = Literal["parents", "edges", "paths", "obo"]
"""Forms of a hierarchy in a file."""

_FORMATS = ("parents", "edges", "paths", "obo")
_COLUMNS = {"parents": ("node", "parent"), "edges": ("parent", "child")}


def read_hierarchy(
    path: str | Path,
    format: Format | None = None,
    *,
    direction: Direction | None = None,
    separator: str = "/",
    relations: Sequence[str] = ("is_a",),
    tree: bool = False,
) -> Hierarchy:
    """Read a hierarchy from a file.

    Args:
        path: The file; tables are separated by commas or tabs, ``.gz`` is unpacked on the way.
        format: ``"parents"``: a table with a label and its parent in each row, the parent empty at the top, several rows for several
            parents. ``"edges"``: a table of pairs. ``"paths"``: a path in each line. ``"obo"``: an ontology. ``None``: by what the file
            shows, which is its suffix ``.obo``, or a first line with the columns ``node`` and ``parent``, ``parent`` and ``child``, or
            ``path``. Other columns are passed over.
        direction: What comes first in an edge list whose first line does not name the columns.
        separator: What stands between the parts of a path.
        relations: What counts as below in an ontology, such as ``("is_a", "part_of")``.
        tree: Whether to refuse a label with several parents.

    Raises:
        ReadError: The file shows no known form, or a row has not the cells that it needs.
        DataError: Its labels make no hierarchy; the message names the cycle, the unknown parent, the empty name.
        ParameterError: There is no such format, or an edge list does not show its direction and none is given.
    """
    if format not in (None, *_FORMATS):
        raise ParameterError(f"expected a format among {_FORMATS}, but got {format!r}")
    form = _guess(path) if format is None else format
    try:
        named = _read(path, form, direction, separator, relations)
        return Hierarchy(*(check_tree(named) if tree else named))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _read(path: str | Path, form: Format, direction: Direction | None, separator: str, relations: Sequence[str]) -> Named:
    if form == "obo":
        return read_obo(path, relations).named
    if form == "paths":
        lines = [line for _, line in lines_of(path)]
        return read_paths((split_path(line, separator) for line in lines[lines[:1] == ["path"] :]), separator)
    header, rows = _table(path, form)
    if form == "parents":
        return read_parents(rows)
    if header and direction is not None and direction != "parent_to_child":
        raise ParameterError(f"expected no other direction than the columns parent and child of {path} say, but got {direction=}")
    if not header and direction is None:
        raise ParameterError(
            f"expected a first line with the columns parent and child in {path}, or direction='parent_to_child' or 'child_to_parent'"
        )
    return read_edges(rows, None, "parent_to_child" if header else direction or "parent_to_child")


def _table(path: str | Path, form: Format) -> tuple[bool, list[tuple[str, str]]]:
    """Return whether the first line names the columns, and the two that count of every other row."""
    columns, rows, header, width = (0, 1), [], False, 2
    for k, (line, cells) in enumerate(rows_of(path)):
        if k == 0 and set(_COLUMNS[form]) <= set(names := [cell.lower() for cell in cells]):
            header, width, columns = True, len(cells), (names.index(_COLUMNS[form][0]), names.index(_COLUMNS[form][1]))
            continue
        if len(cells) != width:
            raise ReadError(path, line, f"{width} cells, as in the first line" if header else "two cells", f"{len(cells)}: {cells}")
        pair = cells[columns[0]], cells[columns[1]]
        if not all(pair) and not (form == "parents" and pair[0]):
            raise ReadError(path, line, "a name in every cell" if form == "edges" else "a label and its parent or nothing", f"{cells}")
        rows.append(pair)
    return header, rows


def _guess(path: str | Path) -> Format:
    """Return the format that the file shows."""
    if suffix_of(path) == ".obo":
        return "obo"
    first = next(lines_of(path), (1, ""))[1]
    if first.startswith("format-version:") or first == "[Term]":
        return "obo"
    cells = {cell.lower() for cell in next(rows_of(path), (1, []))[1]}
    for form, columns in _COLUMNS.items():
        if set(columns) <= cells:
            return form  # type: ignore[return-value]
    if cells == {"path"}:
        return "paths"
    expected = "the columns node and parent, or parent and child, or path, or an .obo file; else say format='parents', 'edges' or 'paths'"
    raise ReadError(path, 1, expected, repr(first[:80]))
