"""Tables: CSV, TSV and Parquet files or data frames, with label columns or one column that lists the labels."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from polytag.data.dataset import Dataset
from polytag.data.readers.frame_columns import feature_columns, label_columns_of, split_labels, stacked
from polytag.data.readers.source import content, decoded
from polytag.errors import MissingExtraError, ParameterError, ReadError

Backend = Literal["polars", "pandas"]
_MISSING = ["", "?", "NA"]


class _Source(NamedTuple):
    path: Path
    frame: Any


def read_table(
    source: Any,
    *,
    labels: str | Sequence[str],
    delimiter: str | None = None,
    drop: Sequence[str] = (),
    backend: Backend | None = None,
    name: str = "",
) -> Dataset:
    r"""Read a multi-label data set from a CSV, TSV or Parquet file, or from a polars or pandas data frame.

    Columns of numbers and truth values become one feature each; columns of text become 0/1 columns by value, named ``column=value`` (a
    single column for yes/no and the like). An empty cell, ``?`` or ``NA`` is NaN.

    Args:
        source: A file (plain or compressed; Parquet is known by its first bytes; values are separated by what the first line uses: tab,
            semicolon or comma), or a data frame that narwhals understands.
        labels: The label columns (0/1, truth values, yes/no), or one column that lists the labels of a row.
        delimiter: What separates the labels within that one column, such as ``","`` or ``"|"``; not needed where it holds lists. The
            labels are then put in alphabetical order.
        drop: Columns to leave out: row identifiers, texts, dates.
        backend: Which library reads the file; by default polars, else pandas.
        name: What to call the set; by default the file's stem.

    Returns:
        Dense X (float64); Y dense for label columns, CSR for listed labels.

    Raises:
        ReadError: The file is malformed, a column is missing, a label is not binary, or a feature is neither a number nor a category.
        MissingExtraError: narwhals, or both polars and pandas, are missing; ``pip install 'polytag[frames]'`` brings them.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "toy.csv"
        >>> _ = file.write_text("id,size,tags\n1,2.5,red|blue\n2,1,\n")
        >>> data = read_table(file, labels="tags", delimiter="|", drop=["id"])
        >>> data.X.tolist(), data.Y.toarray().tolist(), data.label_names
        ([[2.5], [1.0]], [[1, 1], [0, 0]], ('blue', 'red'))
    """
    path, frame = _open(source, backend)
    if isinstance(labels, str):
        chosen = [labels]
    elif labels and all(isinstance(label, str) for label in labels):
        chosen = list(labels)
    else:
        raise ParameterError(f"expected labels to be a column or several, but got {labels!r}")
    _check_columns(path, list(frame.columns), chosen, drop)
    features = [column for column in frame.columns if column not in {*chosen, *drop}]
    X, feature_names = stacked([feature_columns(path, frame[column]) for column in features], len(frame))
    if isinstance(labels, str) and (delimiter is not None or _lists(frame[labels])):
        Y, names = split_labels(path, frame[labels], delimiter)
    else:
        Y, names = label_columns_of(path, frame, chosen), chosen
    return Dataset(X, Y, feature_names, names, name or path.stem)


def _check_columns(path: Path, columns: list[str], labels: Sequence[str], drop: Sequence[str]) -> None:
    for column in [*labels, *drop]:
        if column not in columns:
            raise ReadError(path, 1, f"a column {column!r}", f"columns {columns[:20]}")
    both = set(labels) & set(drop)
    if both:
        raise ReadError(path, 1, "the columns in drop to be features", f"the labels {sorted(both)}")


def _lists(column: Any) -> bool:
    return "List" in str(column.dtype) or "Array" in str(column.dtype)


def _open(source: Any, backend: Backend | None) -> _Source:
    """Return the path (or a stand-in) and the narwhals frame."""
    try:
        import narwhals as nw
    except ImportError:
        raise MissingExtraError("reading tables needs narwhals and polars or pandas: pip install 'polytag[frames]'") from None
    if not isinstance(source, (str, Path)):
        try:
            return _Source(Path("<data frame>"), nw.from_native(source, eager_only=True))
        except TypeError:
            raise ParameterError(f"expected a file or a data frame, but got {type(source).__name__}") from None
    path = Path(source)
    return _Source(path, nw.from_native(_read(path, content(path), backend), eager_only=True))


def _read(path: Path, raw: bytes, backend: Backend | None) -> Any:
    library, name = _library(backend)
    options: dict[str, Any] = {}
    if raw.startswith(b"PAR1"):
        kind, read, data = "Parquet", library.read_parquet, io.BytesIO(raw)
    else:
        text, _ = decoded(raw)
        separator = _check_rows(path, text)
        kind, read, data = "CSV", library.read_csv, io.BytesIO(text.encode())
        if name == "polars":
            options = {"separator": separator, "null_values": _MISSING, "infer_schema_length": None}
        else:
            options = {"sep": separator, "na_values": _MISSING, "keep_default_na": False, "low_memory": False}
    try:
        return read(data, **options)
    except ImportError as error:
        raise MissingExtraError(f"reading {kind} with {name} needs more: pip install 'polytag[frames]' ({error})") from None
    except Exception as error:  # each library has its own errors for malformed files
        raise ReadError(path, None, f"a {kind} file", f"{type(error).__name__}: {str(error)[:200]}") from None


def _library(backend: Backend | None) -> tuple[Any, Backend]:
    if backend not in (None, "polars", "pandas"):
        raise ParameterError(f"expected backend to be 'polars' or 'pandas', but got {backend!r}")
    if backend in (None, "polars"):
        try:
            import polars

            return polars, "polars"
        except ImportError:
            if backend == "polars":
                raise MissingExtraError("polars is not installed: pip install 'polytag[frames]'") from None
    try:
        import pandas

        return pandas, "pandas"
    except ImportError:
        raise MissingExtraError("reading tables needs polars or pandas: pip install 'polytag[frames]'") from None


def _check_rows(path: Path, text: str) -> str:
    """Return the separator, after counting the values of every row (the libraries fill up short rows in silence).

    Raises:
        ReadError: A row is too short or too long, a column name appears twice, or there is no row at all.
    """
    first = text.partition("\n")[0]
    separator = next((mark for mark in "\t;" if mark in first), ",")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        names = next(rows, [])
        if not names:
            raise ReadError(path, 1, "a line of column names", "an empty file" if not text.strip() else "an empty line")
        if len(set(names)) < len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise ReadError(path, 1, "column names that differ", f"{twice!r} twice")
        for row in rows:
            if row and len(row) != len(names):
                raise ReadError(path, rows.line_num, f"{len(names)} values, one a column", f"{len(row)}")
    except csv.Error as error:
        raise ReadError(path, rows.line_num, "a CSV row", str(error)) from None
    return separator
