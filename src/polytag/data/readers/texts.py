"""Texts with labels: a CSV, TSV or Parquet file, or a data frame, with one or several columns of text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polytag.data.dataset import Dataset
from polytag.data.readers.frame import Backend, _check_columns, _lists, _open
from polytag.data.readers.frame_columns import label_columns_of, split_labels
from polytag.errors import ParameterError, ReadError
from polytag.types import Array


class Labelled(NamedTuple):
    """A table whose labels have been read; the columns that were asked for are still as they were.

    Attributes:
        path: The file, or a stand-in for messages.
        frame: The narwhals frame.
        Y: Labels, shape (n, q).
        names: Names of the labels.
    """

    path: Path
    frame: Any
    Y: Any
    names: list[str]


def read_texts(
    source: Any,
    *,
    text_column: str | Sequence[str],
    labels: str | Sequence[str] | None = None,
    delimiter: str | None = None,
    backend: Backend | None = None,
    name: str = "",
) -> Dataset:
    r"""Read texts with labels from a CSV, TSV or Parquet file, or from a polars or pandas data frame.

    The other columns are ignored. An empty cell, ``?`` or ``NA`` is an empty text.

    Args:
        source: As in ``read_table``.
        text_column: The column of texts, or several.
        labels: The label columns (0/1, truth values, yes/no), or one column that lists the labels of a row; by default all other columns
            that hold nothing but 0 and 1.
        delimiter: What separates the labels within that one column, as in ``read_table``.
        backend: Which library reads the file; by default polars, else pandas.
        name: What to call the set; by default the file's stem.

    Returns:
        A set of kind ``"text"``: X of shape (n, text columns) holds strings.

    Raises:
        ReadError: The file is malformed, a column is missing, a text column does not hold texts, or a label is not binary.
        MissingExtraError: narwhals, or both polars and pandas, are missing; ``pip install 'polytag[frames]'`` brings them.

    Cost: one pass; memory of the texts.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "toy.csv"
        >>> _ = file.write_text('comment,joy,fear,stars\n"Lovely, really",1,0,5\nOh no,0,1,2\n')
        >>> data = read_texts(file, text_column="comment")
        >>> data.kind, data.X.tolist(), data.label_names
        ('text', [['Lovely, really'], ['Oh no']], ('joy', 'fear'))
    """
    columns = [text_column] if isinstance(text_column, str) else list(text_column)
    if not columns:
        raise ParameterError("expected text_column to name a column or several, but got none")
    table = read_labels(source, columns, labels, delimiter, backend)
    X = np.empty((len(table.frame), len(columns)), dtype=object)
    for j, column in enumerate(columns):
        X[:, j] = texts_of(table.path, table.frame[column])
    return Dataset(X, table.Y, columns, table.names, name or table.path.stem, kind="text")


def read_labels(
    source: Any,
    columns: Sequence[str],
    labels: str | Sequence[str] | None,
    delimiter: str | None = None,
    backend: Backend | None = None,
) -> Labelled:
    """Open a table, check that columns exist, and read its labels; arguments as in ``read_texts``.

    Raises:
        ReadError: A column is missing, a label is not binary, or no column looks like a label.
        ParameterError: ``labels`` are neither a column nor several.
    """
    path, frame = _open(source, backend)
    _check_columns(path, list(frame.columns), [], columns)
    if labels is None:
        chosen = [column for column in frame.columns if column not in columns and _only_zero_and_one(frame[column])]
        if not chosen:
            raise ReadError(
                path, None, "label columns that hold nothing but 0 and 1 (or name them: labels=...)", f"columns {frame.columns}"
            )
    elif isinstance(labels, str):
        chosen = [labels]
    elif labels and all(isinstance(label, str) for label in labels):
        chosen = list(labels)
    else:
        raise ParameterError(f"expected labels to be a column or several, but got {labels!r}")
    _check_columns(path, list(frame.columns), chosen, columns)
    if isinstance(labels, str) and (delimiter is not None or _lists(frame[labels])):
        Y, names = split_labels(path, frame[labels], delimiter)
        return Labelled(path, frame, Y, names)
    return Labelled(path, frame, label_columns_of(path, frame, chosen), chosen)


def texts_of(path: Path, column: Any) -> list[str]:
    """Return a narwhals column as texts; a missing one is empty.

    Raises:
        ReadError: It holds something else.
    """
    texts = ["" if value is None or value != value else value for value in column.to_list()]
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ReadError(path, None, f"texts in the column {column.name!r}", f"{text!r} in row {row} (counted from 0)")
    return texts


def _only_zero_and_one(column: Any) -> bool:
    if not (column.dtype.is_numeric() or str(column.dtype) == "Boolean"):
        return False
    known: Array = np.array([value for value in column.to_list() if value is not None and value == value], dtype=np.float64)
    return bool(len(known)) and bool(np.isin(known, (0, 1)).all())
