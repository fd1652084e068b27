"""Paths such as ``animal/cat``: taken apart, put together, and read as the nodes of a tree. A node is its whole path."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from polytag.errors import DataError, ParameterError
from polytag.types import Array

Parts: TypeAlias = tuple[str, ...]
ESCAPE = "\\"


def split_path(path: str, separator: str = "/") -> Parts:
    r"""Take a path apart; a separator after a backslash belongs to the part, and two backslashes are one.

    Args:
        path: One or more parts.
        separator: What stands between parts, one character or more.

    Raises:
        DataError: A part is empty.
        ParameterError: The separator is empty or has a backslash.

    Example:
        >>> split_path(r"music/rock\/pop/punk")
        ('music', 'rock/pop', 'punk')
    """
    if not separator or ESCAPE in separator:
        raise ParameterError(f"expected a separator of at least one character, none of them a backslash, but got {separator!r}")
    parts = tuple(path.split(separator)) if ESCAPE not in path else tuple(_split_escaped(path, separator))
    if not all(part.strip() for part in parts):
        raise DataError(
            f"expected a path with a name between any two {separator!r}, but got {path!r}; take the superfluous {separator!r} away, or "
            "name the separator of your paths"
        )
    return parts


def join_path(parts: Iterable[str], separator: str = "/") -> str:
    r"""Put parts together to a path that ``split_path`` takes apart again; separators inside parts get a backslash.

    Example:
        >>> print(join_path(["music", "rock/pop"]))
        music/rock\/pop
    """
    return separator.join(part if ESCAPE not in part and separator[0] not in part else _escaped(part, separator) for part in parts)


def level_parts(row: Iterable[Any]) -> Parts:
    """Return the parts in one row of an array with a column for each level: all up to the padding at the right.

    Args:
        row: Names from the top down, then ``""``, ``None`` or NaN.

    Raises:
        DataError: A name stands at the right of an empty cell.
    """
    cells = ["" if cell is None or cell != cell else str(cell) for cell in row]
    filled = [bool(cell.strip()) for cell in cells]
    count = sum(filled)
    if not all(filled[:count]):
        raise DataError(f"expected empty cells only at the right of a row of levels, but got {cells}; fill in the level above")
    return tuple(cells[:count])


def read_paths(paths: Iterable[Parts], separator: str, names: Sequence[str] | None = None) -> tuple[tuple[str, ...], Array]:
    """Return names and edges (child, parent) of the tree of all paths and all that they begin with.

    Args:
        paths: Paths in parts, in any order.
        separator: For the names of the nodes.
        names: Order of the nodes, paths themselves; ``None``: by number of parts, then by path.

    Raises:
        DataError: ``names`` has not all nodes, or one of them twice.
    """
    nodes: set[Parts] = set()
    given = None if names is None else [split_path(str(name), separator) for name in names]
    for parts in [*paths, *(given or ())]:
        while parts and parts not in nodes:
            nodes.add(parts)
            parts = parts[:-1]
    called = {parts: join_path(parts, separator) for parts in nodes}
    order = sorted(nodes, key=lambda parts: (len(parts), called[parts])) if given is None else given
    number = {parts: k for k, parts in enumerate(order)}
    absent = sorted(called[parts] for parts in nodes if parts not in number)
    if absent:
        raise DataError(f"expected all paths and what they begin with among the names, but {absent[0]!r} is not; add it to the names")
    edges = [(number[parts], number[parts[:-1]]) for parts in order if len(parts) > 1]
    return tuple(called[parts] for parts in order), np.array(edges, dtype=np.int64).reshape(-1, 2)


def _split_escaped(path: str, separator: str) -> Iterable[str]:
    part, place = "", 0
    while place < len(path):
        if path[place] == ESCAPE and path[place + 1 : place + 2] in (ESCAPE, separator[0]):
            part, place = part + path[place + 1], place + 2
        elif path.startswith(separator, place):
            yield part
            part, place = "", place + len(separator)
        else:
            part, place = part + path[place], place + 1
    yield part


def _escaped(part: str, separator: str) -> str:
    """Return the part with a backslash wherever taking it apart would see an escape or a separator, the one that follows included."""
    text, following = "", part + separator
    for place, letter in enumerate(part):
        doubled = letter == ESCAPE and following[place + 1] in (ESCAPE, separator[0])
        text += ESCAPE + letter if doubled or following.startswith(separator, place) else letter
    return text
