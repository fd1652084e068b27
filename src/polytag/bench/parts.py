"""The parts of a data set as they were published: which of its rows are for training, for validation and for the test."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from polytag.bench.presets import JOINED, PUBLISHED
from polytag.data import catalogue
from polytag.data.dataset import Dataset
from polytag.data.splits import Split, with_valid
from polytag.errors import DataError, UnknownNameError
from polytag.types import Array


def published_parts(source: str, data: Dataset) -> dict[str, Array]:
    """Return the row numbers of each published part of a data set.

    Args:
        source: Name or path by which ``load_dataset`` knows the parts.
        data: All rows, in any order.

    Raises:
        DataError: The set has no published training and test part, or ``data`` has other rows than its parts.

    Cost: the first call reads the parts; O(stored cells of the labels), and of the features where rows must be found by their content.
    """
    labels, features = _prints(source)
    sizes = {part: len(prints) for part, prints in labels.items()}
    mine = _fingerprints(data.Y)
    if mine == [each for prints in labels.values() for each in prints]:  # the set is its parts, one after the other
        ends = np.cumsum([0, *sizes.values()])
        return {part: np.arange(start, end) for part, start, end in zip(sizes, ends, ends[1:])}
    places: dict[tuple[int, int], list[int]] = {}
    for row, each in reversed(list(enumerate(zip(_fingerprints(data.X), mine)))):
        places.setdefault(each, []).append(row)
    try:
        found = {part: np.sort([places[each].pop() for each in zip(features[part], labels[part])]) for part in labels}
    except (KeyError, IndexError):
        found = {}
    if not found or sum(sizes.values()) != data.n:
        raise DataError(
            f"expected the rows of {source!r} as published ({sizes}), but got {data.n} rows that are not the same; compare by "
            "cross-validation (split.parts=folds, folds=5), or give the set by its name"
        )
    return found


def published_split(rows: Mapping[str, Array], data: Dataset, switches: Mapping[str, Any], seed: int = 0) -> Split:
    """Put a validation part to the published training and test parts.

    Args:
        rows: What ``published_parts`` returned.
        data: All rows, with the labels to stratify by.
        switches: ``valid_from``: ``"published"`` takes the published validation part where there is one, ``"train"`` leaves it out,
            ``"joined"`` adds it to the training part and has no validation rows: the last training of those who chose all settings before.
            Else ``valid`` is the share of the training part that becomes the validation part, rounded up to whole rows and stratified by
            labels with ``order`` as in ``kfold``; ``seed``, if given, makes it the same under all seeds.
        seed: Decides what is left to chance.

    Raises:
        ParameterError: ``valid`` is not a share.

    Cost: that of ``stratified_parts``.

    Example:
        >>> data = Dataset(np.arange(20.0)[:, None], np.array([[1, 0], [0, 1]] * 10))
        >>> rows = {"train": np.arange(10), "test": np.arange(10, 20)}
        >>> tuple(map(len, published_split(rows, data, {"valid": 0.25, "valid_from": "train", "order": 1})))
        (7, 3, 10)
    """
    if switches["valid_from"] == JOINED:
        train = np.sort(np.concatenate([rows[part] for part in ("train", "valid") if part in rows]))
        return Split(train, train[:0], rows["test"])
    if "valid" in rows and switches["valid_from"] == PUBLISHED:
        return Split(rows["train"], rows["valid"], rows["test"])
    train, share = rows["train"], switches["valid"]
    if 0 < share < 1:  # a whole number of rows, so that the sizes are the same under every seed
        share = float(np.ceil(share * len(train) - 1e-9)) / len(train)
    return with_valid(data, train, rows["test"], valid=share, order=switches["order"], seed=switches.get("seed", seed))


@functools.lru_cache(maxsize=8)
def _prints(source: str) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Return a fingerprint of the labels and of the features of each row, by part; all that is kept of the parts."""
    try:
        parts = catalogue.load_parts(source)
    except UnknownNameError:
        parts = {}
    if not {"train", "test"} <= set(parts):
        having = [each.name for each in catalogue.entries() if {"train", "test"} <= set(each.parts)]
        found = f"only {', '.join(parts)}" if parts else "no parts by that name"
        raise DataError(
            f"expected a data set with a published training and test part, but {source!r} has {found}; those that have are "
            f"{', '.join(having)}, and folders of features made of them; compare others by cross-validation (split.parts=folds, folds=5)"
        )
    wanted = [part for part in ("train", "valid", "test") if part in parts]
    return tuple({part: _fingerprints(getattr(parts[part], what)) for part in wanted} for what in ("Y", "X"))  # type: ignore[return-value]


def _fingerprints(matrix: Any) -> list[int]:
    """Return one number a row; equal rows have equal numbers, and others hardly ever."""
    if sparse.issparse(matrix):
        matrix = sparse.csr_array(matrix).sorted_indices()
        matrix.eliminate_zeros()
        values = matrix.data.astype(np.float64)
        spans: Sequence[tuple[int, int]] = list(zip(matrix.indptr, matrix.indptr[1:]))
        return [hash((matrix.indices[a:b].astype(np.int64).tobytes(), values[a:b].tobytes())) for a, b in spans]
    if matrix.dtype == object:
        return [hash(tuple(map(str, row))) for row in matrix]
    return [hash(np.ascontiguousarray(row).tobytes()) for row in matrix]
