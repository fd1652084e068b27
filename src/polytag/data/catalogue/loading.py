"""A data set by its name or by the path of a file."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polytag import registry
from polytag.data.catalogue.fetching import fetch
from polytag.data.catalogue.listing import Entry, entry, names
from polytag.data.dataset import Dataset
from polytag.data.hierarchies import with_hierarchy
from polytag.data.parted import is_folder_of_features, open_folder, open_parts
from polytag.data.readers import read_arff, read_clus, read_libsvm, read_mat, read_table
from polytag.data.readers.arff_header import open_arff
from polytag.data.readers.images import read_images
from polytag.data.readers.texts import read_texts
from polytag.errors import ParameterError, UnknownNameError

_PACKED = (".gz", ".xz", ".bz2")
_TABLES = (".csv", ".tsv", ".parquet")


def load_dataset(
    name_or_path: str | Path,
    part: str | None = None,
    *,
    text_column: str | Sequence[str] | None = None,
    image_column: str | None = None,
    image_size: tuple[int, int] = (96, 96),
    labels: str | Sequence[str] | None = None,
    hierarchy: str | Path | None = None,
    offline: bool | None = None,
) -> Dataset:
    """Return a data set: of the catalogue by its name, or a file or a folder of features by its path.

    Args:
        name_or_path: A name such as ``"yeast"`` (all of them: ``polytag.data.catalogue.names()``), or the path of an ARFF, MATLAB or LIBSVM
            file, or of a table (CSV, TSV, Parquet) together with one of the next arguments; or of a folder that ``polytag features`` or
            ``write_mapped`` wrote.
        part: ``"train"``, ``"test"``, ``"fold1"``, ... for one part as published; ``None`` for the whole set: its full file if it has one,
            else train and test, or the folds, one after the other.
        text_column: The column of texts of a table, or several; for texts of the catalogue, which of their columns (by default the
            whole text).
        image_column: The column of a table that names picture files; pictures of the catalogue have one, ``"file"``.
        image_size: Height and width that pictures are brought to.
        labels: The label columns of a table; where there are texts or pictures, by default all other columns of only 0 and 1.
        hierarchy: What the labels form, where the data do not say it: a separator such as ``"/"`` of label names that are paths, or a
            file, see ``with_hierarchy``.
        offline: ``True`` never downloads; ``None`` asks the environment variable ``POLYTAG_OFFLINE``.

    Raises:
        UnknownNameError: There is no such set, part, file, or column of a set of the catalogue.
        FetchError: A file is neither on this machine nor to be had.
        ReadError: The file is malformed, or a column is missing.
        DataError: A folder of features is unfinished or damaged, or the hierarchy lacks a label.
        ParameterError: The arguments do not fit the set.

    Cost: reading; a download and a checksum the first time.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "toy.arff"
        >>> _ = file.write_text("@relation 'toy: -C 1'\\n@attribute y {0,1}\\n@attribute a numeric\\n@data\\n1,2.5\\n")
        >>> load_dataset(file).label_names
        ('y',)
    """
    if hierarchy is not None:
        columns: dict[str, Any] = {"text_column": text_column, "image_column": image_column, "labels": labels}
        flat = load_dataset(name_or_path, part, **columns, image_size=image_size, offline=offline)
        return with_hierarchy(flat, hierarchy)
    sheet = _sheet(name_or_path)
    if sheet is None and is_folder_of_features(name_or_path):
        if (text_column, image_column, labels) != (None, None, None):
            raise ParameterError(
                f"a folder of features knows its labels, but got {text_column=}, {image_column=}, {labels=} for {str(name_or_path)!r}"
            )
        return open_folder(name_or_path, part)
    if sheet is None:
        return _from_path(Path(name_or_path), part, text_column, image_column, image_size, labels)
    _check_columns(sheet, text_column, image_column, labels)
    if sheet.loader:
        return _made(sheet, part)
    if sheet.reader:
        data = _by_reader(sheet, part, image_size, offline)
        return _with_columns(data, text_column or sheet.text_column) if sheet.kind == "text" else data
    chosen = sheet.whole if part is None else (part,)
    paths = fetch(sheet.name, chosen, offline=offline)
    data = Dataset.join([_read(sheet, paths, one) for one in chosen])
    return data if part is None else replace(data, name=f"{sheet.name}/{part}")


def load_parts(name: str | Path, *, offline: bool | None = None) -> dict[str, Dataset]:
    """Return the published parts of a set, each on its own: train and test, or the folds; a set in one piece as ``"full"``.

    A folder that ``polytag features`` wrote has the parts that its encoder was trained, chosen and not trained on: train, valid, test.

    A fold is a test part; what belongs to its training is the union of the other folds.

    Args:
        name: Name of a set of the catalogue, or a folder of features.
        offline: As in ``load_dataset``.

    Raises:
        UnknownNameError: There is no such set.
        DataError: A folder of features is unfinished or damaged.
        FetchError: A file is neither on this machine nor to be had.

    Cost: as ``load_dataset``.
    """
    if _sheet(name) is None:
        if is_folder_of_features(name):
            return open_parts(name)
        raise UnknownNameError(
            f"{name} has no parts: expected a name of the catalogue or a folder of features; load a file with load_dataset"
        )
    sheet = entry(str(name))
    parts = tuple(part for part in sheet.parts if part != "full") or ("full",)
    return {part: load_dataset(sheet.name, None if part == "full" else part, offline=offline) for part in parts}


def _sheet(name_or_path: str | Path) -> Entry | None:
    """Return the catalogue's entry, or ``None`` if the argument is the path of a file."""
    if isinstance(name_or_path, Path) or (Path(name_or_path).name != name_or_path and is_folder_of_features(name_or_path)):
        return None  # "./yeast" is a folder, if there is one, and "yeast" the set
    try:
        return entry(name_or_path)
    except UnknownNameError:
        if Path(name_or_path).is_file() or is_folder_of_features(name_or_path) or _kind(Path(name_or_path)) in (*_READERS, *_TABLES):
            return None
        raise


def _read(sheet: Entry, paths: dict[str, Path], part: str) -> Dataset:
    if sheet.labels == "target":
        return read_mat(paths[part], name=sheet.name)
    if sheet.labels == "clus":
        return read_clus(paths[part], sheet.structure or "auto", name=sheet.name)
    return read_arff(paths[part], paths["xml"] if sheet.labels == "xml" else int(sheet.labels), name=sheet.name)


def _by_reader(sheet: Entry, part: str | None, image_size: tuple[int, int], offline: bool | None) -> Dataset:
    if part is not None and part not in sheet.parts:
        raise UnknownNameError(registry.unknown(f"part of {sheet.name!r}", part, list(sheet.parts)))
    module, function = sheet.reader.split(":")
    options = {"size": image_size} if sheet.kind == "images" else {}
    data: Dataset = getattr(importlib.import_module(module), function)(fetch(sheet.name, offline=offline), part, **options)
    return data if part is None else replace(data, name=f"{sheet.name}/{part}")


def _check_columns(
    sheet: Entry, text_column: str | Sequence[str] | None, image_column: str | None, labels: str | Sequence[str] | None
) -> None:
    """Refuse columns that a set of the catalogue does not have; those of texts are looked for when they are read."""
    if labels is not None:
        raise ParameterError(f"a set of the catalogue knows its labels, but got {labels=} for {sheet.name!r}")
    if text_column is not None and sheet.kind != "text":
        raise ParameterError(f"expected no text_column for {sheet.name!r}, which holds no texts, but got {text_column!r}")
    if image_column is not None and sheet.kind != "images":
        raise ParameterError(f"expected no image_column for {sheet.name!r}, which holds no pictures, but got {image_column!r}")
    if image_column not in (None, sheet.image_column):
        raise UnknownNameError(registry.unknown(f"picture column of {sheet.name!r}", str(image_column), [sheet.image_column]))


def _with_columns(data: Dataset, columns: str | Sequence[str]) -> Dataset:
    """Return the set with these columns of text only."""
    names = [columns] if isinstance(columns, str) else list(columns)
    for name in names:
        if name not in data.feature_names:
            raise UnknownNameError(registry.unknown(f"text column of {data.name!r}", name, list(data.feature_names)))
    return data.with_features([data.feature_names.index(name) for name in names])


def _made(sheet: Entry, part: str | None) -> Dataset:
    if part not in (None, "full"):
        raise UnknownNameError(
            f"the data set {sheet.name!r} has no part {part!r}; it comes in one piece, split it with polytag.data.splits"
        )
    module, function = sheet.loader.split(":")
    made: Dataset = getattr(importlib.import_module(module), function)()
    return made


def _from_path(
    path: Path,
    part: str | None,
    text_column: str | Sequence[str] | None,
    image_column: str | None,
    image_size: tuple[int, int],
    labels: str | Sequence[str] | None,
) -> Dataset:
    if not path.is_file():
        raise UnknownNameError(f"there is no file {path}, and no data set of that name; known names are: {', '.join(names())}")
    if part is not None:
        raise ParameterError(f"a file has no parts, but got part={part!r}; load the other file by its own path")
    if text_column is not None and image_column is not None:
        raise ParameterError(f"expected text_column or image_column, but got both, {text_column!r} and {image_column!r}")
    kind = _kind(path)
    if kind in _READERS:
        if text_column is not None or image_column is not None or labels is not None:
            raise ParameterError(
                f"expected a table ({', '.join(_TABLES)}) for text_column, image_column or labels, but got {path.name}; "
                "for other columns as labels call its reader, such as polytag.data.read_arff"
            )
        return _READERS[kind](path)
    if text_column is not None:
        return read_texts(path, text_column=text_column, labels=labels)
    if image_column is not None:
        return read_images(path, image_column=image_column, labels=labels, size=image_size)
    if labels is not None:
        return read_table(path, labels=labels)
    raise ParameterError(
        f"expected a file that says itself which columns are labels ({', '.join(_READERS)}), but got {path.name}; "
        "for a table say labels=..., text_column=... or image_column=..., or call polytag.data.read_table, which has more choices"
    )


def _read_arff(path: Path) -> Dataset:
    """Read an ARFF file, of Clus if it has a hierarchical attribute."""
    header, _ = open_arff(path, repeats=True)
    return (read_clus if any(attribute.kind == "hierarchical" for attribute in header.attributes) else read_arff)(path)


def _kind(path: Path) -> str:
    name = path.name.lower()
    for ending in _PACKED:
        name = name.removesuffix(ending)
    return Path(name).suffix


_READERS: dict[str, Callable[[Path], Dataset]] = {
    ".arff": _read_arff,
    ".mat": read_mat,
    **dict.fromkeys((".libsvm", ".svm", ".svmlight"), read_libsvm),
}
