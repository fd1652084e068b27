"""Labels of rows written as paths: into a closed label matrix with its hierarchy, and back."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from polytag.errors import DataError
from polytag.hierarchy.hierarchy import Hierarchy
from polytag.hierarchy.paths import Parts, join_path, level_parts, read_paths, split_path
from polytag.types import Array, ArrayLike


class LabelPaths(NamedTuple):
    """Labels of rows that were given as paths.

    Attributes:
        Y: All labels of each row, ancestors included, CSR (n, q) of uint8.
        declared: The labels that were written down, CSR (n, q) of uint8.
        hierarchy: Which label implies which, over the q columns.
    """

    Y: Any
    declared: Any
    hierarchy: Hierarchy

    @property
    def added(self) -> int:
        """Number of cells that only closing made positive."""
        return int(self.Y.nnz - self.declared.nnz)


def label_paths(rows: Any, separator: str = "/", hierarchy: Hierarchy | None = None, *, mark: str = "@") -> LabelPaths:
    """Turn the label paths of rows into a closed label matrix and the hierarchy that the paths make.

    Args:
        rows: For each row its paths: a string, several paths joined by ``mark``, ``""`` for none; or a list of strings. Or an array or data
            frame (n, levels) with one path a row, from the top down, ``""`` at the right (the form of HiClass).
        separator: What stands between the parts of a path; ``\\`` before it makes it part of a name.
        hierarchy: The labels and their order; ``None``: those of the paths, by number of parts, then by path. Its labels may be written
            by name, or, in a tree, by the path of names from the top.
        mark: What stands between the paths in a string.

    Raises:
        DataError: A row is neither a string nor a list of strings, a path has an empty part, or a label is absent from the hierarchy.

    Cost: O(paths times parts).

    Example:
        >>> found = label_paths(["animal/cat@plant", "animal"])
        >>> found.hierarchy.names, found.Y.toarray().tolist(), found.declared.toarray().tolist()
        (('animal', 'plant', 'animal/cat'), [[1, 1, 1], [1, 0, 0]], [[0, 1, 1], [1, 0, 0]])
    """
    written = _written(rows, separator, mark)
    if hierarchy is None:
        parts = [[split_path(path, separator) for path in row] for row in written]
        if not any(parts):
            raise DataError(f"expected paths that say which labels there are, but none of the {len(parts)} rows has one; give hierarchy=")
        hierarchy = Hierarchy(*read_paths((path for row in parts for path in row), separator))
        number = {name: k for k, name in enumerate(hierarchy.names)}
        columns = [sorted({number[join_path(path, separator)] for path in row}) for row in parts]
    else:
        number = {name: k for k, name in enumerate(hierarchy.names)} | {path: k for k, path in enumerate(node_paths(hierarchy, separator))}
        columns = [sorted({_find(path, number, separator, k) for path in row}) for k, row in enumerate(written)]
    declared = _matrix(columns, hierarchy.q)
    return LabelPaths(hierarchy.close(declared), declared, hierarchy)


def path_names(hierarchy: Hierarchy, Y: ArrayLike, separator: str = "/") -> list[list[str]]:
    """Return for each row the paths of its most specific labels; ``label_paths`` reads them.

    Args:
        hierarchy: Which label implies which.
        Y: Label sets (n, q), dense or sparse, closed or not.
        separator: What stands between the parts of a path.

    Returns:
        For each row a list in the order of the labels. A label that has the name of a path is called by it; in a tree of other names, by
        the names from the top down; in a graph, where many paths lead to a label, by its name alone.

    Example:
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")])
        >>> path_names(h, [[1, 1, 0], [1, 0, 0], [0, 0, 0]])
        [['animal/cat'], ['animal'], []]
    """
    called = node_paths(hierarchy, separator)
    return [[called[column] for column in row] for row in _ends(hierarchy, Y)]


def path_levels(hierarchy: Hierarchy, Y: ArrayLike, separator: str = "/") -> Array:
    """Return the labels as an array with a column for each level, one path a row, ``""`` at the right (the form of HiClass).

    Args:
        hierarchy: A tree.
        Y: Label sets (n, q), dense or sparse, closed or not, with one most specific label in a row or none.
        separator: What stands between the parts of names that are paths.

    Returns:
        Array of strings, shape (n, depth), dtype object.

    Raises:
        DataError: A label has several parents, or a row several most specific labels.

    Example:
        >>> path_levels(Hierarchy.from_edges([("animal", "cat")]), [[1, 1], [1, 0]]).tolist()
        [['animal', 'cat'], ['animal', '']]
    """
    if not hierarchy.is_tree:
        several = hierarchy.names[int(np.argmax(np.diff(hierarchy.parents.indptr)))]
        raise DataError(f"expected a tree, where one path leads to a label, but {several!r} has several parents; take path_names instead")
    ends = _ends(hierarchy, Y)
    parts = [split_path(path, separator) for path in node_paths(hierarchy, separator)]
    array = np.full((len(ends), hierarchy.depth), "", dtype=object)
    for k, row in enumerate(ends):
        if len(row) > 1:
            first = [join_path(parts[column], separator) for column in row[:2]]
            raise DataError(f"expected one path a row, but row {k} has {first[0]!r} and {first[1]!r}; take path_names instead")
        for column in row:
            array[k, : len(parts[column])] = parts[column]
    return array


def node_paths(hierarchy: Hierarchy, separator: str = "/") -> list[str]:
    """Return the path of each label: its name if names are paths or no tree is there, else the names from the top down.

    Cost: O(q depth).
    """
    names = hierarchy.names
    parent = {int(c): int(p) for c, p in hierarchy.edges}
    if not hierarchy.is_tree or all(_extends(names[c], names[p], separator) for c, p in parent.items()):
        return list(names)
    found: list[Parts] = [()] * hierarchy.q
    for k in np.argsort(hierarchy.levels, kind="stable"):
        found[k] = (*(found[parent[k]] if k in parent else ()), names[k])
    return [join_path(parts, separator) for parts in found]


def _extends(name: str, above: str, separator: str) -> bool:
    """Say whether a name is the path above it and one part more."""
    try:
        return split_path(name, separator)[:-1] == split_path(above, separator)
    except DataError:
        return False


def _written(rows: Any, separator: str, mark: str) -> list[list[str]]:
    """Return the paths of each row as they were written."""
    values = rows.to_numpy() if hasattr(rows, "to_numpy") else rows
    if isinstance(values, str):
        raise DataError(f"expected label paths for each row, but got one string {values[:40]!r}; put it into a list")
    if isinstance(values, np.ndarray) and values.ndim == 2:
        paths = [level_parts(row) for row in values.tolist()]
        return [[join_path(parts, separator)] if parts else [] for parts in paths]
    return [_row(row, k, mark) for k, row in enumerate(values)]


def _row(row: Any, k: int, mark: str) -> list[str]:
    if isinstance(row, str):
        return row.split(mark) if row else []
    paths = list(row) if isinstance(row, Iterable) else [row]
    if not all(isinstance(path, str) for path in paths):
        raise DataError(
            f"expected a string of paths joined by {mark!r} or a list of strings, but row {k} is {row!r}; write '' or [] for a row "
            "without labels, and labels as strings"
        )
    return paths


def _find(path: str, number: dict[str, int], separator: str, row: int) -> int:
    """Return the number of the label with this path or name."""
    if path not in number:
        same = join_path(split_path(path, separator), separator)
        if same not in number:
            raise DataError(
                f"expected labels of the hierarchy, but row {row} has {path!r}, which is none of its {len(set(number.values()))}; add it "
                "to the hierarchy, or take it out of the row"
            )
        return number[same]
    return number[path]


def _ends(hierarchy: Hierarchy, Y: ArrayLike) -> list[list[int]]:
    """Return the numbers of the most specific labels of each row."""
    left = hierarchy.leaves(Y)
    cells = sparse.csr_array(left if sparse.issparse(left) else np.asarray(left) == 1)
    cells.sort_indices()
    return [row.tolist() for row in np.split(cells.indices, cells.indptr[1:-1])] if cells.shape[0] else []


def _matrix(columns: list[list[int]], q: int) -> Any:
    """Return the CSR array of uint8 with ones in these columns of each row."""
    starts = np.cumsum([0, *map(len, columns)])
    flat = np.array([column for row in columns for column in row], dtype=np.int64)
    return sparse.csr_array((np.ones(len(flat), dtype=np.uint8), flat, starts), shape=(len(columns), q))
