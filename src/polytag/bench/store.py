"""Finished cells on disk: one file a record, named by the hash of its content, never half written.

Any number of processes may write into the same folder at the same time, and any of them may be killed at any moment: a record appears
by renaming a complete file, so what is there is whole.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from polytag.bench.method import Method
from polytag.bench.record import Record
from polytag.bench.spec import Protocol
from polytag.data.dataset import Dataset

_STALE_SECONDS = 3600


class Store:
    """A folder of records.

    Args:
        folder: Is made if it is not there. Records lie in ``records/``, tracebacks of failed cells in ``failures/``, and the training of
            cells that are not finished in ``unfinished/``.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.records, self.failures, self._unfinished = (self.folder / name for name in ("records", "failures", "unfinished"))
        self.records.mkdir(parents=True, exist_ok=True)
        for left in self.records.glob(".*.tmp"):  # of processes that were killed while they wrote
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    left.unlink()

    def get(self, key: str) -> Record | None:
        """Return the record of a cell, or ``None`` if there is none that can be read."""
        try:
            record = Record.from_json(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if record.key == key else None

    def put(self, record: Record) -> None:
        """Add a record: written aside, flushed to the disk, renamed. What was noted earlier of this cell is forgotten."""
        write_whole(self._path(record.key), record.to_json())
        (self.failures / f"{record.key}.txt").unlink(missing_ok=True)
        for left in self._unfinished.glob(f"*{record.key}-*"):  # with a dot in front: of a process that was killed while it wrote
            left.unlink(missing_ok=True)

    def unfinished(self, key: str, conditions: dict[str, Any]) -> Path:
        """Return where the training of a cell is saved until its record is put: another file for each set of conditions.

        Args:
            key: The cell.
            conditions: What must be the same, or the rest of the training would not fit its beginning: versions, code, device, threads.
        """
        return self._unfinished / f"{key}-{hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:12]}"

    def fail(self, key: str, report: str) -> Path:
        """Keep the traceback of a cell that failed, and return the file."""
        self.failures.mkdir(exist_ok=True)
        path = self.failures / f"{key}.txt"
        write_whole(path, report)
        return path

    def all(self) -> Iterator[Record]:
        """Walk through all records that can be read, by key."""
        for path in sorted(self.records.glob("*.json")):
            record = self.get(path.stem)
            if record is not None:
                yield record

    def problems(self) -> list[str]:
        """Name the files in ``records/`` that are not records; they are left alone and their cells count as not run."""
        files = sorted(path for path in self.records.iterdir() if not path.name.startswith("."))
        return [
            f"{path.name} is not a record that this version can read"
            for path in files
            if path.suffix != ".json" or self.get(path.stem) is None
        ]

    def _path(self, key: str) -> Path:
        return self.records / f"{key}.json"


def cell_key(data: str, method: Method, protocol: Protocol, fold: int, seed: int) -> str:
    """Return the name of a cell: the hash of everything that decides its result.

    Args:
        data: ``content_hash`` of the data set.
        method: What is trained.
        protocol: How; its list of seeds does not count.
        fold: Number of the fold.
        seed: Seed.
    """
    content = {"data": data, "method": method.identity(), "protocol": protocol.identity(), "fold": fold, "seed": seed}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def content_hash(dataset: Dataset) -> str:
    """Return a hash of features, labels, view and hierarchy, in order; names do not count, the kind of matrix (dense or sparse) does.

    Cost: one pass over the data.

    Example:
        >>> data = Dataset(np.eye(2), np.eye(2))
        >>> content_hash(data) == content_hash(data.take([0, 1])), content_hash(data) == content_hash(data.take([1, 0]))
        (True, False)
    """
    digest = hashlib.sha256()
    for matrix in (dataset.X, dataset.Y) if dataset.view is None else (dataset.X, dataset.Y, dataset.view):
        sparse = hasattr(matrix, "indptr")
        parts: list[Any] = [matrix.indptr, matrix.indices, matrix.data] if sparse else [matrix]
        digest.update(f"{'csr' if sparse else 'dense'} {matrix.shape}".encode())
        for part in parts:
            array = np.ascontiguousarray(part)
            if array.dtype == object:  # texts
                array = np.frombuffer("\x1e".join(map(str, array.ravel())).encode(), dtype=np.uint8)
            digest.update(f"{array.dtype.str}".encode())
            digest.update(array.view(np.uint8).data if array.size else b"")
    if dataset.hierarchy is not None:
        digest.update(b"hierarchy" + np.ascontiguousarray(dataset.hierarchy.edges).tobytes())
    return digest.hexdigest()[:32]


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees all of it or none, also after a crash of the machine."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    with contextlib.suppress(OSError, AttributeError):  # not every system can flush a folder
        folder = os.open(path.parent, os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
