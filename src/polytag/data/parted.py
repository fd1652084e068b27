"""A folder that holds the parts of a data set, and a record of where their features came from.

::

    reuters-features/
        features.json       what made it: encoder, settings, seed, checksums; written last, so that a folder without it is unfinished
        train/ valid/ test/ each as ``write_mapped`` writes it (a set in one piece: ``full/``)

``load_dataset(folder)`` returns all rows, ``load_dataset(folder, "train")`` one part, ``load_parts(folder)`` all parts by name.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from polytag import registry
from polytag.data.dataset import Dataset
from polytag.data.mapped import open_mapped
from polytag.errors import DataError, UnknownNameError

RECORD = "features.json"
"""Name of the record; the last file to be written."""

PARTS = ("train", "valid", "test")
"""Names of published parts, in the order in which they are joined."""

_FORMAT = 1
_BLOCK = 1 << 20


def is_folder_of_features(path: str | Path) -> bool:
    """Say whether a path is a folder that ``open_folder`` may open: one of parts (finished or not), or one of ``write_mapped``."""
    path = Path(path)
    return (path / RECORD).is_file() or (path / "work").is_dir() or (path / "meta.json").is_file()


def read_record(folder: str | Path) -> dict[str, Any]:
    """Return the record of a folder of parts.

    Raises:
        DataError: There is none, since nobody has written features there or has not finished, or it cannot be read.
    """
    path = Path(folder) / RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != _FORMAT:
            raise DataError(
                f"expected format {_FORMAT} in {path}, but found {record['format']}; write the folder anew with `polytag features`"
            )
        list(record["parts"])
    except FileNotFoundError:
        if (Path(folder) / "work").is_dir():
            raise DataError(f"the features in {folder} are not finished; the same `polytag features` command continues them") from None
        raise DataError(f"expected a folder of features with {RECORD}, but {folder} has none") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"expected {path} to be a record of features, but it cannot be read ({error!r}); write the folder anew") from error
    return record


def open_parts(folder: str | Path) -> dict[str, Dataset]:
    """Return the parts of a folder by name, opened without being read; a set in one piece as ``"full"``.

    Args:
        folder: Of parts, or of ``write_mapped``.

    Raises:
        DataError: It is neither, or it is unfinished or damaged.

    Cost: O(1) time and memory, besides the names.
    """
    folder = Path(folder)
    if (folder / "meta.json").is_file():
        return {"full": open_mapped(folder)}
    record = read_record(folder)
    parts = {part: open_mapped(folder / part) for part in record["parts"]}
    for part, data in parts.items():
        if data.n != record["parts"][part]["rows"]:
            raise DataError(f"expected {record['parts'][part]['rows']} rows in {folder / part}, as the record says, but found {data.n}")
    return parts


def open_folder(folder: str | Path, part: str | None = None) -> Dataset:
    """Return one part of a folder, or all rows: training, validation and test rows one after the other.

    Args:
        folder: As in ``open_parts``.
        part: A name; ``None`` for all.

    Raises:
        UnknownNameError: There is no such part.
        DataError: As in ``open_parts``.

    Cost: a part, or a set in one piece, stays on disk; several parts are joined in memory.
    """
    parts = open_parts(folder)
    if part is not None and part not in parts:
        raise UnknownNameError(registry.unknown(f"part of {str(folder)!r}", part, list(parts)))
    if part is not None and part != "full":
        return _renamed(parts[part], f"{parts[part].name}/{part}")
    return next(iter(parts.values())) if len(parts) == 1 else Dataset.join(list(parts.values()))


def _renamed(data: Dataset, name: str) -> Dataset:
    """Return a set under another name; its label index, which may be mapped, comes along."""
    renamed = replace(data, name=name)
    renamed._index.extend(data._index)
    return renamed


def seen_in_training(folder: str | Path) -> str | None:
    """Return a warning if the encoder behind these features has learnt from labels of some of the rows; ``None`` if it has not.

    Cross-validation over such rows would test on rows whose labels shaped their features. Trained on the training part and tested on the
    test part, nothing leaks.
    """
    if not (Path(folder) / RECORD).is_file() or read_record(folder).get("trained_on") is None:
        return None
    return (
        f"the encoder behind {folder} was trained with the labels of the training part: compare methods on the parts as they are "
        "(train, valid, test), not by cross-validation over all rows, which would test on rows that the encoder has seen"
    )


def seal(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Write the record of a folder whose parts are all there, with the SHA-256 of each file; returns it.

    Args:
        folder: The folder.
        record: What made it; must hold ``parts``: name -> rows.
    """
    parts = {part: {"rows": rows, "files": checksums(folder / part)} for part, rows in record["parts"].items()}
    sealed = {"format": _FORMAT, **record, "parts": parts}
    write_whole(folder / RECORD, json.dumps(sealed, indent=1))
    return sealed


def write_whole(path: Path, text: str) -> None:
    """Write a small file that a reader sees whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def damaged(folder: Path) -> list[str]:
    """Return the files of a folder of parts that are missing or have another content than the record says. Cost: one pass over them."""
    wrong = []
    for part, said in read_record(folder)["parts"].items():
        found = checksums(folder / part)
        wrong += [f"{part}/{name}" for name, digest in said["files"].items() if found.get(name) != digest]
    return wrong


def checksums(folder: Path) -> dict[str, str]:
    """Return file name -> SHA-256 of the files of a folder; empty if it is none."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()} if folder.is_dir() else {}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as it is, compressed or not. Cost: one pass, memory O(1)."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
