"""What there is to know about a hierarchy, and about labels that should obey it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csgraph

from polytag.data.catalogue import entry, fetch, load_dataset
from polytag.data.dataset import Dataset
from polytag.data.hierarchies import hierarchy_from, hierarchy_over, is_separator
from polytag.data.readers import read_clus
from polytag.data.readers.arff_header import open_arff
from polytag.errors import DataError, UnknownNameError
from polytag.hierarchy import Hierarchy

_DATA_FILES = (".arff", ".mat", ".libsvm", ".svm", ".svmlight", ".parquet")
_PACKED = (".gz", ".xz", ".bz2")


def read_declared(source: str, hierarchy: str | None = None, labels: Sequence[str] | None = None) -> tuple[Hierarchy, Dataset | None]:
    """Return a hierarchy and, where there are rows, the data set with its labels as they were written down, not closed.

    Args:
        source: A set of the catalogue; a data file (ARFF of Clus, or any file together with ``hierarchy``); or the file of a hierarchy,
            which has no rows.
        hierarchy: For data that have no hierarchy of their own: the separator of label names that are paths, or a file. For an ARFF file
            of Clus: its separator, ``"/"`` by default.
        labels: The label columns of a table.

    Raises:
        UnknownNameError: There is no such set or file.
        ParameterError: The file needs ``labels``.
        DataError: The data have no hierarchy, or the labels do not fit it.
        ReadError: A file is malformed.
    """
    path = Path(source)
    if path.is_file() and hierarchy is None and labels is None and _suffix(path) not in _DATA_FILES:
        return hierarchy_from(path), None
    data = _as_written(source, labels, hierarchy)
    if data.hierarchy is None and hierarchy is not None:
        data = replace(data, hierarchy=hierarchy_over(data.label_names, hierarchy))
    if data.hierarchy is None:
        raise DataError(
            f"expected labels with a hierarchy, but {source!r} has none; say --hierarchy FILE, or --hierarchy / where the label names are "
            "paths such as animal/cat"
        )
    return data.hierarchy, data


def describe_hierarchy(hierarchy: Hierarchy, dataset: Dataset | None = None) -> dict[str, Any]:
    """Return what there is to know, as name and value.

    Args:
        hierarchy: What to describe.
        dataset: Rows with labels over it, closed or not.

    Cost: O(q + edges + positives after closing).

    Example:
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")], ["animal", "cat", "dog", "stone"])
        >>> found = describe_hierarchy(h, Dataset(np.eye(2), np.array([[0, 1, 0, 0], [1, 0, 1, 1]])))
        >>> found["labels_per_level"], found["parts"], found["mean_labels_declared"], found["mean_labels_closed"], found["rows_violating"]
        ([2, 2], 2, 2.0, 2.5, 1)
        >>> found["ancestors_added"]
        1
    """
    parents = np.diff(hierarchy.parents.indptr)
    parts, part = csgraph.connected_components(hierarchy.parents, directed=False)
    found: dict[str, Any] = {
        "shape": "tree" if hierarchy.is_tree else "graph",
        "labels": hierarchy.q,
        "edges": len(hierarchy.edges),
        "levels": hierarchy.depth,
        "labels_per_level": [len(here) for here in hierarchy.by_level],
        "tops": len(hierarchy.tops),
        "leaves": len(hierarchy.ends),
        "several_parents": int((parents > 1).sum()),
        "most_parents": int(parents.max()),
        "parts": int(parts),
        "single_labels": int((np.bincount(part) == 1).sum()),
    }
    if dataset is not None:
        closed = replace(dataset, Y=hierarchy.close(dataset.Y))
        found |= {
            "rows": dataset.n,
            "mean_labels_declared": float(dataset.labels.sizes.mean()) if dataset.n else 0.0,
            "mean_labels_closed": float(closed.labels.sizes.mean()) if dataset.n else 0.0,
            "ancestors_added": int(closed.labels.counts.sum() - dataset.labels.counts.sum()),
            "rows_violating": int((hierarchy.violations(dataset.Y) > 0).sum()),
            "labels_without_rows": int((closed.labels.counts == 0).sum()),
        }
    return found


def _as_written(source: str, labels: Sequence[str] | None, hierarchy: str | None) -> Dataset:
    """Return a data set whose labels are as its files declare them."""
    path = Path(source)
    if path.is_file():
        if _suffix(path) == ".arff" and any(attribute.kind == "hierarchical" for attribute in open_arff(path, repeats=True)[0].attributes):
            return read_clus(path, separator=hierarchy if hierarchy is not None and is_separator(hierarchy) else "/", close=False)
        return load_dataset(path, labels=labels)
    try:
        sheet = entry(source)
    except UnknownNameError:
        return load_dataset(source, labels=labels)  # a folder of features, or an error that says what there is
    if sheet.labels != "clus":
        return load_dataset(source)
    paths = fetch(sheet.name, sheet.whole)
    parts = [read_clus(paths[part], sheet.structure or "auto", close=False, name=sheet.name) for part in sheet.whole]
    return Dataset.join(parts)


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for ending in _PACKED:
        name = name.removesuffix(ending)
    return Path(name).suffix
