"""The forms in which a hierarchy comes in and goes out."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from polytag.errors import DataError
from polytag.hierarchy.edges import Direction, Named, check_tree, read_edges, read_parents
from polytag.hierarchy.lines import opened, suffix_of
from polytag.hierarchy.obo import read_obo
from polytag.hierarchy.paths import level_parts, read_paths, split_path
from polytag.types import Array


class Forms:
    """What makes a hierarchy from pairs, tables of parents, paths and ontologies, and writes it down again."""

    names: tuple[str, ...]
    edges: Array

    def __init__(self, names: tuple[str, ...], edges: Array) -> None:
        self.names, self.edges = names, edges

    @classmethod
    def of(cls, value: Any, names: Sequence[str] | None = None, *, q: int | None = None) -> Self:
        """Return a hierarchy from whatever describes one.

        Args:
            value: A hierarchy, what ``to_dict`` returned, a mapping from labels to parents, a list of paths with ``/``, or (parent, child)
                pairs of names.
            names: The labels in the order of the columns of Y; the hierarchy is brought into this order.
            q: How many labels it must have.

        Raises:
            DataError: ``names`` has labels that the hierarchy lacks, or lacks labels that it has; or there are not q.
        """
        if isinstance(value, str):
            raise DataError(f"expected a hierarchy, but got the text {value!r}; read a file with read_hierarchy")
        if isinstance(value, Mapping):
            dumped = set(value) == {"names", "edges"}
            value = cls(tuple(value["names"]), np.asarray(value["edges"], dtype=np.int64)) if dumped else cls.from_parents(value)
        elif not isinstance(value, Forms):
            entries = list(value)
            paths = bool(entries) and all(isinstance(entry, str) for entry in entries)
            value = cls.from_paths(entries) if paths else cls.from_edges(entries, names)
        if q is not None and value.q != q:
            raise DataError(f"expected a hierarchy over the {q} labels of Y, but got one over {value.q}; take(...) the columns of Y")
        return value if names is None or tuple(names) == value.names else value.ordered(names)  # type: ignore[no-any-return]

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[tuple[str, str]],
        names: Sequence[str] | None = None,
        *,
        direction: Direction = "parent_to_child",
        root: str | None = None,
        tree: bool = False,
    ) -> Self:
        """Build a hierarchy from pairs of names.

        Args:
            edges: Pairs of names.
            names: All labels, in the order of the columns of Y; ``None`` takes those of the edges in order of appearance.
            direction: Which of a pair comes first.
            root: Name of an artificial root, which belongs to every row: it and its edges are left out.
            tree: Whether to refuse a label with several parents.

        Raises:
            DataError: An edge names a label that is not among ``names``, or is no pair of names, or as for the class.
            ParameterError: There is no such direction.

        Example:
            >>> from polytag.hierarchy import Hierarchy
            >>> Hierarchy.from_edges([("cat", "animal")], direction="child_to_parent").tops
            ('animal',)
        """
        return cls._from(read_edges(edges, names, direction, root), tree)

    @classmethod
    def from_parents(cls, table: Any, *, tree: bool = False) -> Self:
        """Build a hierarchy from a table that names the parent of each label.

        Args:
            table: A mapping from each label to its parent or a list of parents; or rows (label, parent), several for several parents. A
                label at the top has the parent ``""``, ``None`` or an empty list.
            tree: Whether to refuse a label with several parents.

        Raises:
            DataError: A parent has no row of its own, a name is empty, or as for the class.

        Example:
            >>> from polytag.hierarchy import Hierarchy
            >>> Hierarchy.from_parents({"animal": "", "pet": "", "cat": ["animal", "pet"]}).levels.tolist()
            [1, 1, 2]
        """
        return cls._from(read_parents(table), tree)

    @classmethod
    def from_paths(cls, paths: Iterable[str], names: Sequence[str] | None = None, *, separator: str = "/") -> Self:
        r"""Build a tree from paths; whatever a path begins with is a label too, and a label is its whole path.

        Args:
            paths: Paths in any order, such as ``"animal/cat"``; repeated ones count once.
            names: All labels, paths too, in the order of the columns of Y; ``None``: by number of parts, then by path.
            separator: What stands between the parts, one character or more; a backslash before it (``\/``) makes it part of a name.

        Raises:
            DataError: A part is empty, or ``names`` lacks a label.

        Example:
            >>> from polytag.hierarchy import Hierarchy
            >>> Hierarchy.from_paths(["b/x", "a/x"]).names
            ('a', 'b', 'a/x', 'b/x')
        """
        return cls._from(read_paths((split_path(str(path), separator) for path in paths), separator, names))

    @classmethod
    def from_levels(cls, rows: Any, *, separator: str = "/") -> Self:
        """Build a tree from an array with one path a row and a column for each level, ``""`` at the right (the form of HiClass).

        Args:
            rows: Array or data frame (n, levels), or a list of rows.
            separator: Stands between the parts in the names of the labels, which are whole paths.

        Raises:
            DataError: A name stands at the right of an empty cell.

        Example:
            >>> from polytag.hierarchy import Hierarchy
            >>> Hierarchy.from_levels([["a", "x"], ["b", ""]]).names
            ('a', 'b', 'a/x')
        """
        values = rows.to_numpy() if hasattr(rows, "to_numpy") else rows
        return cls._from(read_paths((level_parts(row) for row in values), separator))

    @classmethod
    def from_obo(cls, path: str | Path, relations: Sequence[str] = ("is_a",)) -> Self:
        """Build a hierarchy from an ontology in the OBO format, such as the Gene Ontology; labels are the ids of terms in use.

        Args:
            path: The file; ``.gz`` is unpacked on the way.
            relations: What counts as below: ``"is_a"``, and names of relationships such as ``"part_of"``.

        Raises:
            ReadError: The file is malformed, or a parent is no term in use.
        """
        return cls._from(read_obo(path, relations).named)

    def to_edges(self) -> list[tuple[str, str]]:
        """Return the (parent, child) names of all edges; ``from_edges(h.to_edges(), h.names)`` is the hierarchy again."""
        return [(self.names[parent], self.names[child]) for child, parent in self.edges.tolist()]

    def to_parents(self) -> dict[str, list[str]]:
        """Return for each label the names of its parents, in the order of the labels; ``from_parents`` reads them.

        Example:
            >>> from polytag.hierarchy import Hierarchy
            >>> Hierarchy.from_edges([("animal", "cat")]).to_parents()
            {'animal': [], 'cat': ['animal']}
        """
        above: dict[str, list[str]] = {name: [] for name in self.names}
        for parent, child in self.to_edges():
            above[child].append(parent)
        return above

    def write_parents(self, path: str | Path) -> None:
        """Write a table with the columns node and parent, which ``read_hierarchy`` reads.

        Args:
            path: The file; cells are separated by tabs for ``.tsv``, else by commas; ``.gz`` is packed.

        Raises:
            DataError: A name begins or ends with white space, which is lost in a table.
        """
        loose = next((name for name in self.names if name != name.strip()), None)
        if loose is not None:
            raise DataError(f"expected names without white space around them, but got {loose!r}; strip it, or keep to_dict() as JSON")
        rows = [(name, parent) for name, parents in self.to_parents().items() for parent in parents or [""]]
        with opened(path, "w") as file:
            writer = csv.writer(file, delimiter="\t" if suffix_of(path) in (".tsv", ".tab") else ",", lineterminator="\n")
            writer.writerows([("node", "parent"), *rows])

    @classmethod
    def _from(cls, named: Named, tree: bool = False) -> Self:
        return cls(*(check_tree(named) if tree else named))
