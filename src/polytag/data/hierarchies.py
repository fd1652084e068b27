"""The hierarchy of given labels, from whatever describes it: pairs, parents, a file, or names that are paths."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polytag.data.dataset import Dataset
from polytag.errors import DataError
from polytag.hierarchy import Hierarchy, read_hierarchy

_LONGEST = 3


def is_separator(value: Any) -> bool:
    """Say whether a text means what parts the names of a path, such as ``"/"``, ``"."`` or ``" > "``, rather than a file.

    It is a separator if it has at most three characters, none of them a letter, digit or underscore.

    Example:
        >>> is_separator("/"), is_separator("::"), is_separator("go.obo")
        (True, True, False)
    """
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and not any(sign.isalnum() or sign == "_" for sign in value)


def hierarchy_from(value: Any, names: Sequence[str] | None = None) -> Hierarchy:
    """Return the hierarchy that a value describes.

    Args:
        value: What ``Hierarchy.of`` takes: a hierarchy, pairs of (parent, child) names, a mapping from labels to their parents, ...; or the
            path of a file that ``read_hierarchy`` reads; or a separator such as ``"/"`` where the names are paths.
        names: The labels in the order of the columns of Y, which the hierarchy is brought into; ``None`` takes those of the value.

    Raises:
        DataError: The value describes no hierarchy, or not one over exactly these labels.
        ReadError: The file is malformed.

    Example:
        >>> hierarchy_from({"cat": "animal", "dog": "animal", "animal": None}, ["animal", "cat", "dog"]).levels.tolist()
        [1, 2, 2]
        >>> hierarchy_from("/", ["animal", "animal/cat"]).edges.tolist()
        [[1, 0]]
    """
    if is_separator(value):
        if names is None:
            raise DataError(f"expected labels whose names are paths parted by {value!r}, but they have no names; give Y as a data frame")
        found = Hierarchy.from_paths(list(names), separator=value)
        known = set(names)
        beyond = [name for name in found.names if name not in known]
        if beyond:
            raise DataError(
                f"expected a label for every beginning of a path, but {beyond[:5]} are not among the {len(names)} labels; add their "
                "columns (1 where a label below them is 1), or give Y as lists of paths, which need none"
            )
        return found.ordered(names)
    if isinstance(value, str | Path):
        return Hierarchy.of(read_hierarchy(value), names)
    return Hierarchy.of(value, names)


def with_hierarchy(dataset: Dataset, text: str | Path) -> Dataset:
    """Return a data set with a hierarchy over its labels, and its labels closed: where one is present, all above it are.

    Args:
        dataset: Data set.
        text: A separator, where the label names are paths, or a file that ``read_hierarchy`` reads. Labels of the file that the data set
            lacks are left out; who was below whom still is.

    Raises:
        DataError: A label is absent from the hierarchy, or the names are no paths.
        ReadError: The file is malformed.

    Example:
        >>> data = Dataset(np.eye(2), np.array([[0, 1], [0, 0]]), label_names=["animal", "animal/cat"])
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     with_hierarchy(data, "/").Y.tolist()
        [[1, 1], [0, 0]]
    """
    hierarchy = hierarchy_over(dataset.label_names, text)
    return replace(dataset, Y=closed(dataset.Y, hierarchy)[0], hierarchy=hierarchy)


def hierarchy_over(names: Sequence[str], text: str | Path) -> Hierarchy:
    """Return the hierarchy over these labels that a separator or a file describes; labels of the file that are not among them go.

    Raises:
        DataError: A label is absent from the hierarchy, or the names are no paths.
        ReadError: The file is malformed.
    """
    if is_separator(text):
        return hierarchy_from(text, names)
    found, wanted = hierarchy_from(Path(text)), set(names)
    return found.take([k for k, name in enumerate(found.names) if name in wanted] or range(found.q)).ordered(list(names))


def closed(Y: Any, hierarchy: Hierarchy) -> tuple[Any, int]:
    """Return labels with all ancestors of each positive, and how many were added; warn if there were any.

    Args:
        Y: Labels (n, q), dense or sparse; 0, 1 or NaN.
        hierarchy: Over these labels.
    """
    full = hierarchy.close(Y)
    added = _turned_on(Y, full)
    if added.any():
        warnings.warn(
            f"labels without their ancestors: {added.sum()} ancestors were added to {np.count_nonzero(added)} of {len(added)} rows, so "
            "that every label has all that are above it; close them yourself with hierarchy.close(Y) to leave this out",
            UserWarning,
            stacklevel=3,
        )
    return full, int(added.sum())


def _turned_on(before: Any, after: Any) -> Any:
    """Return for each row how many cells went from 0 to 1; those that were unknown are not counted."""
    if hasattr(before, "indptr"):
        return np.asarray((after != 0).sum(axis=1)).ravel() - np.asarray((before != 0).sum(axis=1)).ravel()
    return ((np.asarray(before) == 0) & (after == 1)).sum(axis=1)
