"""Texts and pictures as an encoder finds them: of the catalogue, of a table, of a folder of pictures; with labels and published parts."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polytag.data.catalogue import entry, load_dataset
from polytag.data.dataset import Dataset
from polytag.data.parted import PARTS, sha256
from polytag.data.picture_files import PictureFiles, check_view, middle
from polytag.data.readers.texts import Labelled, read_labels, texts_of
from polytag.errors import ParameterError, ReadError
from polytag.hierarchy import Hierarchy
from polytag.types import Array

_TABLES = (".csv", ".tsv", ".parquet")
_PART_NAMES = {**{part: part for part in PARTS}, "val": "valid", "validation": "valid", "dev": "valid"}


@dataclass(frozen=True)
class RawSet:
    """Raw rows with their labels, and which part each row belongs to.

    Attributes:
        name: What the set is called.
        X: Texts (n, columns), pixels (n, channels, height, width) as uint8, or ``PictureFiles``.
        Y: Labels (n, q).
        label_names: q names.
        parts: Part -> ascending rows, for published parts; empty for a set in one piece.
        origin: Where the rows are from, as plain values.
        hierarchy: Which label implies which, or ``None``.
    """

    name: str
    X: Any
    Y: Any
    label_names: Sequence[str]
    parts: Mapping[str, Array] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    hierarchy: Hierarchy | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.Y.shape[0])

    @property
    def kind(self) -> Literal["text", "images"]:
        """What a row is."""
        return "text" if getattr(getattr(self.X, "dtype", None), "kind", "") == "O" else "images"

    def dataset(self, rows: Array | None = None) -> Dataset:
        """Return rows as a data set; pictures in files are read into memory."""
        X, Y = (self.X, self.Y) if rows is None else (self.X[rows], self.Y[rows])
        X = X.pixels(0, len(X)) if isinstance(X, PictureFiles) else X
        return Dataset(X, Y, label_names=self.label_names, name=self.name, hierarchy=self.hierarchy, kind=self.kind)

    def digest(self) -> str:
        """Return a SHA-256 of rows, labels, names and parts. Cost: one pass."""
        digest = hashlib.sha256(repr((self.kind, tuple(self.label_names))).encode())
        if isinstance(self.X, PictureFiles):
            digest.update(self.X.digest().encode())
        elif self.kind == "text":
            for text in self.X.ravel():
                content = str(text).encode("utf-8", "surrogatepass")
                digest.update(len(content).to_bytes(8, "little") + content)
        else:
            _add(digest, self.X)
        sparse = hasattr(self.Y, "indptr")
        for array in (self.Y.indptr.astype(np.int64), self.Y.indices.astype(np.int64), self.Y.data) if sparse else (self.Y,):
            _add(digest, array)
        for part, rows in self.parts.items():
            digest.update(part.encode())
            _add(digest, rows)
        if self.hierarchy is not None:
            _add(digest, self.hierarchy.edges)
        return digest.hexdigest()


def raw_set(name: str, *, text_column: str | None = None, resize: int = 256, crop: int = 224, offline: bool | None = None) -> RawSet:
    """Return a set of the catalogue whose rows are texts or pictures, with its published parts.

    Args:
        name: Such as ``"reuters21578"``.
        text_column: Which of its columns of text; by default the whole text.
        resize: Pixels of the shorter side of a picture.
        crop: Pixels of each side of its middle, which is kept.
        offline: As in ``load_dataset``.

    Raises:
        ParameterError: The set is a table of numbers already.
        UnknownNameError, FetchError: As in ``load_dataset``.
    """
    sheet = entry(name)
    if sheet.kind not in ("text", "images"):
        raise ParameterError(f"expected a set of texts or pictures, but {sheet.name!r} is a table of features already; use it as it is")
    check_view(resize, crop)
    published = [part for part in PARTS if part in sheet.parts] if "train" in sheet.parts else []
    options: dict[str, Any] = {"offline": offline, "image_size": (resize, resize), "text_column": text_column}
    pieces = [load_dataset(sheet.name, part, **options) for part in (published or (None,))]
    whole = Dataset.join(pieces)
    starts = np.cumsum([0, *(piece.n for piece in pieces)])
    parts = {part: np.arange(start, stop) for part, start, stop in zip(published, starts, starts[1:])}
    X = np.ascontiguousarray(middle(whole.X, crop)) if sheet.kind == "images" else whole.X
    return RawSet(sheet.name, X, whole.Y, whole.label_names, parts, {"dataset": sheet.name}, whole.hierarchy)


def raw_texts(
    path: str | Path, *, text_column: str = "text", labels: str | Sequence[str] | None = None, part_column: str | None = None
) -> RawSet:
    """Return the texts of a table.

    Args:
        path: CSV, TSV or Parquet.
        text_column: Column of the texts.
        labels: As in ``read_texts``.
        part_column: Column that says ``train``, ``valid`` or ``test``; ``None`` for a set in one piece.

    Raises:
        ReadError: As in ``read_texts``, or a part has another name.
    """
    table = read_labels(path, [text_column, *([part_column] if part_column else [])], labels)
    X = np.array([*texts_of(table.path, table.frame[text_column]), ""], dtype=object)[:-1, None]  # with a last row, never a scalar array
    return RawSet(table.path.stem, X, table.Y, table.names, _parts(table, part_column), _origin(table.path))


def raw_pictures(
    folder: str | Path,
    table: str | Path | None = None,
    *,
    image_column: str = "file",
    labels: str | Sequence[str] | None = None,
    part_column: str | None = None,
    resize: int = 256,
    crop: int = 224,
) -> RawSet:
    """Return the pictures of a folder that a table lists; they stay in their files until they are needed.

    Args:
        folder: Where the paths in the table start.
        table: CSV, TSV or Parquet with the files and their labels; ``None`` takes the only one in the folder.
        image_column: Column of the files.
        labels: As in ``read_images``.
        part_column: As in ``raw_texts``.
        resize: Pixels of the shorter side of a picture.
        crop: Pixels of each side of its middle, which is kept.

    Raises:
        ReadError: The table is malformed or lacks a column.
        ParameterError: There is no folder, or not exactly one table in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ParameterError(f"expected a folder of pictures, but there is no folder {folder}")
    found = [Path(table)] if table is not None else sorted(path for path in folder.iterdir() if path.suffix.lower() in _TABLES)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ParameterError(
            f"expected one table ({', '.join(_TABLES)}) with files and labels in {folder}, but found {names}; say which one"
        )
    rows = read_labels(found[0], [image_column, *([part_column] if part_column else [])], labels)
    paths = [folder / name for name in texts_of(rows.path, rows.frame[image_column])]
    files = PictureFiles(paths, rows.path, image_column, resize, crop)
    return RawSet(rows.path.stem, files, rows.Y, rows.names, _parts(rows, part_column), _origin(rows.path))


def _parts(table: Labelled, column: str | None) -> dict[str, Array]:
    if column is None:
        return {}
    said = [_PART_NAMES.get(name.strip().lower(), "") for name in texts_of(table.path, table.frame[column])]
    if "" in said:
        row = said.index("")
        came = f"{table.frame[column].to_list()[row]!r} in row {row} (counted from 0)"
        raise ReadError(table.path, None, f"{', '.join(PARTS)} in the column {column!r}", came)
    rows = {part: np.flatnonzero([name == part for name in said]) for part in PARTS}
    return {part: numbers for part, numbers in rows.items() if len(numbers)}


def _origin(path: Path) -> dict[str, str]:
    return {"table": path.name, "sha256": sha256(path)}


def _add(digest: Any, array: Any) -> None:
    array = np.ascontiguousarray(array)
    digest.update(f"{array.dtype.str} {array.shape}".encode())
    digest.update(array.view(np.uint8).data if array.size else b"")
