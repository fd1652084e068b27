"""A data set by its name or by the path of a file."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from polytag.data.catalogue.fetching import fetch
from polytag.data.catalogue.listing import Entry, entry, names
from polytag.data.dataset import Dataset
from polytag.data.readers import read_arff, read_libsvm, read_mat
from polytag.errors import ParameterError, UnknownNameError

_PACKED = (".gz", ".xz", ".bz2")


def load_dataset(name_or_path: str | Path, part: str | None = None, *, offline: bool | None = None) -> Dataset:
    """Return a data set: of the catalogue by its name, or a file by its path.

    Args:
        name_or_path: A name such as ``"yeast"`` (all of them: ``polytag.data.catalogue.names()``), or the path of an ARFF, MATLAB or LIBSVM
            file.
        part: ``"train"``, ``"test"``, ``"fold1"``, ... for one part as published; ``None`` for the whole set: its full file if it has one,
            else train and test, or the folds, one after the other.
        offline: ``True`` never downloads; ``None`` asks the environment variable ``POLYTAG_OFFLINE``.

    Raises:
        UnknownNameError: There is no such set, part or file.
        FetchError: A file is neither on this machine nor to be had.
        ReadError: The file is malformed.

    Cost: reading; a download and a checksum the first time.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "toy.arff"
        >>> _ = file.write_text("@relation 'toy: -C 1'\\n@attribute y {0,1}\\n@attribute a numeric\\n@data\\n1,2.5\\n")
        >>> load_dataset(file).label_names
        ('y',)
    """
    sheet = _sheet(name_or_path)
    if sheet is None:
        return _from_path(Path(name_or_path), part)
    if sheet.loader:
        return _made(sheet, part)
    chosen = sheet.whole if part is None else (part,)
    paths = fetch(sheet.name, chosen, offline=offline)
    data = Dataset.join([_read(sheet, paths, one) for one in chosen])
    return data if part is None else replace(data, name=f"{sheet.name}/{part}")


def load_parts(name: str, *, offline: bool | None = None) -> dict[str, Dataset]:
    """Return the published parts of a set, each on its own: train and test, or the folds; a set in one piece as ``"full"``.

    A fold is a test part; what belongs to its training is the union of the other folds.

    Args:
        name: Name of a set of the catalogue.
        offline: As in ``load_dataset``.

    Raises:
        UnknownNameError: There is no such set.
        FetchError: A file is neither on this machine nor to be had.

    Cost: as ``load_dataset``.
    """
    sheet = entry(name)
    parts = tuple(part for part in sheet.parts if part != "full") or ("full",)
    return {part: load_dataset(sheet.name, None if part == "full" else part, offline=offline) for part in parts}


def _sheet(name_or_path: str | Path) -> Entry | None:
    """Return the catalogue's entry, or ``None`` if the argument is the path of a file."""
    if isinstance(name_or_path, Path):
        return None
    try:
        return entry(name_or_path)
    except UnknownNameError:
        if Path(name_or_path).is_file() or _kind(Path(name_or_path)) in _READERS:
            return None
        raise


def _read(sheet: Entry, paths: dict[str, Path], part: str) -> Dataset:
    if sheet.labels == "target":
        return read_mat(paths[part], name=sheet.name)
    return read_arff(paths[part], paths["xml"] if sheet.labels == "xml" else int(sheet.labels), name=sheet.name)


def _made(sheet: Entry, part: str | None) -> Dataset:
    if part not in (None, "full"):
        raise UnknownNameError(
            f"the data set {sheet.name!r} has no part {part!r}; it comes in one piece, split it with polytag.data.splits"
        )
    module, function = sheet.loader.split(":")
    made: Dataset = getattr(importlib.import_module(module), function)()
    return made


def _from_path(path: Path, part: str | None) -> Dataset:
    if not path.is_file():
        raise UnknownNameError(f"there is no file {path}, and no data set of that name; known names are: {', '.join(names())}")
    if part is not None:
        raise ParameterError(f"a file has no parts, but got part={part!r}; load the other file by its own path")
    kind = _kind(path)
    if kind not in _READERS:
        raise ParameterError(
            f"expected a file that says itself which columns are labels ({', '.join(_READERS)}), but got {path.name}; "
            "for a table call polytag.data.read_table, which takes the label columns as an argument"
        )
    return _READERS[kind](path)


def _kind(path: Path) -> str:
    name = path.name.lower()
    for ending in _PACKED:
        name = name.removesuffix(ending)
    return Path(name).suffix


_READERS: dict[str, Callable[[Path], Dataset]] = {
    ".arff": read_arff,
    ".mat": read_mat,
    **dict.fromkeys((".libsvm", ".svm", ".svmlight"), read_libsvm),
}
