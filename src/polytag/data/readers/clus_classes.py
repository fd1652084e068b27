"""The classes that a hierarchical attribute lists: paths of a tree, or edges of a graph."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from polytag.data.readers.arff_header import Attribute
from polytag.errors import DataError, ReadError
from polytag.hierarchy import Hierarchy

Structure = Literal["auto", "tree", "graph"]

GO_ROOTS = ("root", "GO0003674", "GO0005575", "GO0008150")
"""The artificial root of Clus files and the three namespaces of the Gene Ontology below it, which say nothing about a row."""


class Classes(NamedTuple):
    """What the list says: the hierarchy over the labels, and the names that rows may use besides, which are no labels."""

    hierarchy: Hierarchy
    left_out: frozenset[str]


def structure_of(entries: Sequence[str], separator: str) -> Literal["tree", "graph"]:
    """Guess what the entries are: edges if each has two parts and the first one starts at ``root``, else paths."""
    edges = entries[0].startswith(f"root{separator}") and all(entry.count(separator) == 1 for entry in entries)
    return "graph" if edges else "tree"


def read_classes(path: Path, attribute: Attribute, structure: Structure, separator: str, roots: Collection[str]) -> Classes:
    """Build the hierarchy of a hierarchical attribute.

    Args:
        path: The file, for messages.
        attribute: The attribute; its categories are the entries.
        structure: ``"tree"``, ``"graph"`` or ``"auto"``.
        separator: What stands between the parts of an entry.
        roots: Classes of a graph that are no labels.

    Raises:
        ReadError: An entry has an empty part, an edge has not two parts, edges form a cycle, or no label is left.

    Cost: O(entries times parts).
    """
    entries = [entry.strip() for entry in attribute.categories]
    kind = structure_of(entries, separator) if structure == "auto" else structure
    for entry in entries:
        parts = entry.split(separator)
        if not all(part.strip() for part in parts):
            raise ReadError(path, attribute.line, f"classes whose parts between {separator!r} are not empty", repr(entry))
        if kind == "graph" and len(parts) != 2:
            expected = f"edges parent{separator}child, as the structure is a graph (structure='tree' reads entries as paths)"
            raise ReadError(path, attribute.line, expected, repr(entry))
    try:
        return _graph(entries, separator, roots) if kind == "graph" else Classes(_tree(entries, separator), frozenset())
    except DataError as problem:
        raise ReadError(path, attribute.line, "classes that make a hierarchy", f"a problem: {problem}") from problem


def _tree(entries: Sequence[str], separator: str) -> Hierarchy:
    """Return the tree of all prefixes, ordered by (number of parts, path)."""
    found = set(entries)
    for entry in entries:
        while separator in entry and (entry := entry.rpartition(separator)[0]) not in found:
            found.add(entry)
    names = sorted(found, key=lambda name: (name.count(separator), name))
    number = {name: k for k, name in enumerate(names)}
    edges = [(number[name], number[name.rpartition(separator)[0]]) for name in names if separator in name]
    return Hierarchy(tuple(names), np.array(edges, dtype=np.int64).reshape(-1, 2))


def _graph(entries: Sequence[str], separator: str, roots: Collection[str]) -> Classes:
    """Return the graph of the edges without its roots, ordered by (shortest distance from the top, name)."""
    whole = Hierarchy.from_edges([entry.split(separator) for entry in entries])  # type: ignore[misc]
    distance = dict.fromkeys(whole.tops, 0)
    reached = list(whole.tops)
    starts, below = whole.children.indptr, whole.children.indices
    number = {name: k for k, name in enumerate(whole.names)}
    for name in reached:  # grows while it is walked through: nearest first
        for child in below[starts[number[name]] : starts[number[name] + 1]]:
            if whole.names[child] not in distance:
                distance[whole.names[child]] = distance[name] + 1
                reached.append(whole.names[child])
    left_out = frozenset(roots) & distance.keys()
    kept = sorted(distance.keys() - left_out, key=lambda name: (distance[name], name))
    if not kept:
        raise DataError(f"expected a class besides the roots {', '.join(sorted(left_out))}, but got none")
    return Classes(whole.take([number[name] for name in kept]), left_out)
