"""Columns of a data frame as columns of X and Y."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from polytag.data.readers.arff_plan import number_codes
from polytag.errors import ParameterError, ReadError
from polytag.types import Array

MOST_CATEGORIES = 256
"""A text column with more values than this is taken for text or an identifier, and refused."""


def feature_columns(path: Path, column: Any) -> tuple[Array, list[str]]:
    """Return a narwhals column as one or more features, shape (n, columns), with their names.

    Raises:
        ReadError: It is neither numbers, truth values nor categories.
    """
    values = _numbers(path, column)
    if values is not None:
        return values[:, None], [column.name]
    texts = _texts(path, column)
    categories = sorted({text for text in texts if text is not None})
    if not categories:
        return np.full((len(texts), 1), np.nan), [column.name]
    if len(categories) > MOST_CATEGORIES:
        raise ReadError(
            path,
            None,
            f"{column.name!r} to hold numbers or at most {MOST_CATEGORIES} categories (pass drop=[{column.name!r}] to leave it out, or "
            f"text_column={column.name!r} to read it as text)",
            f"{len(categories)} different texts, such as {categories[0][:40]!r}",
        )
    codes, binary = number_codes(tuple(categories))
    values = np.array([np.nan if text is None else codes[text] for text in texts])
    if binary:
        return values[:, None], [column.name]
    spread = np.where(np.isnan(values[:, None]), np.nan, values[:, None] == np.arange(len(categories)))
    return spread, [f"{column.name}={category}" for category in categories]


def stacked(parts: Sequence[tuple[Array, list[str]]], n: int) -> tuple[Array, list[str]]:
    """Return features side by side, with their names."""
    X = np.concatenate([np.zeros((n, 0)), *(values for values, _ in parts)], axis=1)
    return X, [name for _, names in parts for name in names]


def label_columns_of(path: Path, frame: Any, names: Sequence[str]) -> Array:
    """Return label columns as Y (n, q), uint8; float32 with NaN where a label is unknown.

    Raises:
        ReadError: A value is not 0 or 1 (or yes/no, true/false).
    """
    Y = np.zeros((len(frame), len(names)), np.float32)
    for j, name in enumerate(names):
        values = _numbers(path, frame[name])
        if values is None:
            texts = _texts(path, frame[name])
            codes, binary = number_codes(tuple(sorted({text for text in texts if text is not None})))
            if not binary:
                raise ReadError(path, None, _binary(name), f"texts such as {next(iter(codes))[:40]!r}")
            values = np.array([np.nan if text is None else codes[text] for text in texts])
        odd = np.flatnonzero((values != 0) & (values != 1) & ~np.isnan(values))
        if len(odd):
            raise ReadError(path, None, _binary(name), f"{values[odd[0]]} in row {odd[0]} (counted from 0)")
        Y[:, j] = values
    return Y if np.isnan(Y).any() else Y.astype(np.uint8)


def split_labels(path: Path, column: Any, delimiter: str | None) -> tuple[sparse.csr_array, list[str]]:
    """Return Y (n, q) as CSR and the label names, in alphabetical order, from a column that lists the labels of each row.

    Raises:
        ReadError: The column holds neither texts nor lists.
        ParameterError: The delimiter is empty.
    """
    if delimiter == "":
        raise ParameterError("expected delimiter to be a text such as ',', but got an empty one")
    rows = []
    for value in column.to_list():
        if value is None or value != value:
            labels = []
        elif isinstance(value, str) and delimiter is not None:
            labels = value.split(delimiter)
        elif isinstance(value, (int, float)) and delimiter is not None:
            labels = [f"{value:g}"]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            labels = [str(label) for label in value]
        else:
            raise ReadError(path, None, f"{column.name!r} to list labels as text", f"{value!r}")
        rows.append(sorted({label.strip() for label in labels} - {""}))
    names = sorted({label for row in rows for label in row})
    number = {label: j for j, label in enumerate(names)}
    columns = np.array([number[label] for row in rows for label in row], dtype=np.int32)
    starts = np.cumsum([0, *(len(row) for row in rows)])
    return sparse.csr_array((np.ones(len(columns), np.uint8), columns, starts), shape=(len(rows), len(names))), names


def _binary(name: str) -> str:
    return f"0 or 1 for the label {name!r} (non-binary label; pass delimiter=... if the column lists labels)"


def _numbers(path: Path, column: Any) -> Array | None:
    """Return a column of numbers or truth values as float64 with NaN for missing; ``None`` for texts."""
    if not (column.dtype.is_numeric() or str(column.dtype) == "Boolean"):
        return None
    values = np.array([np.nan if value is None else value for value in column.to_list()], dtype=np.float64)
    if np.isinf(values).any():
        raise ReadError(path, None, f"finite numbers in {column.name!r}", "an infinite one")
    return values


def _texts(path: Path, column: Any) -> list[str | None]:
    values = [None if value is None or value != value else value for value in column.to_list()]
    strange = next((value for value in values if value is not None and not isinstance(value, (str, bool))), None)
    if strange is not None:
        raise ReadError(path, None, f"{column.name!r} to hold numbers or categories (pass drop=[{column.name!r}])", f"{strange!r}")
    return [None if value is None else str(value) for value in values]
