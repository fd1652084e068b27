"""Data sets larger than memory: a folder of plain NumPy files, written block by block and opened without being read.

::

    write_mapped("clicks", blocks)          # once; blocks yields (x, y) pairs of any size
    table = Table(open_mapped("clicks"))    # at once, whatever the size; batches are gathered from the file

The folder holds ``features.npy`` (n, ...) float32, the labels as compressed rows (``row_starts.npy``, ``columns.npy``, ``ones.npy``) and
as compressed columns (``column_starts.npy``, ``rows.npy``), and the names and the hierarchy in ``meta.json``. ``np.load`` opens each of the
arrays.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy import sparse

from polytag.data.dataset import Dataset
from polytag.data.labels import LabelIndex, index_type, rows_by_label
from polytag.errors import DataError
from polytag.hierarchy import Hierarchy
from polytag.types import Array, ArrayLike

_FORMAT = 1
_HEADER = 128
_INDEX = ("row_starts", "columns", "column_starts", "rows")


def write_mapped(
    folder: str | Path,
    blocks: Iterable[tuple[ArrayLike, ArrayLike]],
    *,
    feature_names: Sequence[str] = (),
    label_names: Sequence[str] = (),
    name: str = "",
    hierarchy: Hierarchy | None = None,
) -> Dataset:
    """Write a data set to a folder, block by block, and open it.

    The files are written beside the folder and moved there when all is done, so that the folder is whole or does not exist.

    Args:
        folder: Where to; must not exist yet.
        blocks: Pairs of features (b, ...) and labels (b, q) of consecutive rows, b as you like (some thousands are good): dense features,
            labels in any form, 0 or 1. All blocks have the same number of columns.
        feature_names: Names of the features; by default numbered.
        label_names: Names of the labels; by default those of the hierarchy, or numbered.
        name: What the set is called.
        hierarchy: Which label implies which, if any does.

    Returns:
        The set, as ``open_mapped`` returns it.

    Raises:
        DataError: The folder exists, there is no row, blocks do not fit together, a block holds NaN or infinity, or the hierarchy has other
            labels. The message names the row; nothing is left behind.

    Cost: O(n d + n q) time; memory of a block, and about 50 MB.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> rng = np.random.default_rng(0)
        >>> blocks = ((rng.normal(size=(100, 3)), rng.integers(2, size=(100, 2))) for _ in range(5))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = write_mapped(Path(folder) / "toy", blocks, name="toy")
        ...     print(data.n, data.d, data.q, type(data.X).__name__)
        500 3 2 memmap
    """
    folder = Path(folder)
    if folder.exists():
        raise DataError(f"expected a folder that does not exist yet, but {folder} is there; delete it or name another one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with _Writer(work) as writer:
            for x, y in blocks:
                writer.add(x, y)
            shape = writer.finish()
        labels = hierarchy.names if hierarchy is not None and not len(label_names) else label_names
        meta = {"format": _FORMAT, "name": name, "feature_names": list(feature_names), "label_names": list(labels), "shape": shape}
        if hierarchy is not None:
            meta["hierarchy"] = hierarchy.to_dict()
        (work / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        open_mapped(work)  # names that do not fit are refused before the folder is there
        for path in work.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        work.chmod(0o755)
        work.rename(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return open_mapped(folder)


def open_mapped(folder: str | Path) -> Dataset:
    """Open a data set that ``write_mapped`` wrote, without reading it.

    Features are an ``np.memmap``, labels a CSR array on mapped files, and the label index is mapped too; none of them can be written to.
    The operating system keeps in memory what is used and drops it when memory is short. ``take`` and ``Preparation`` read into memory.

    Args:
        folder: The folder.

    Raises:
        DataError: It is not such a folder, or a file of it is damaged.

    Cost: O(1) time and memory, besides the names and the hierarchy.
    """
    folder = Path(folder)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        files = {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}
        n, q = meta["shape"]
        found = (meta["format"], len(files["features"]), len(files["row_starts"]), len(files["column_starts"]), len(files["rows"]))
        expected = (_FORMAT, n, n + 1, q + 1, len(files["columns"]))
        if found != expected:
            raise DataError(f"expected sizes {expected} (format, rows, row starts, label starts, positives), but found {found}")
        labels = sparse.csr_array((n, q), dtype=np.uint8)
        labels.data, labels.indices, labels.indptr = files["ones"], files["columns"], files["row_starts"]  # the constructor would read them
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"expected a folder that write_mapped wrote, but {folder} is none ({error}); write it anew") from error
    labels.has_canonical_format = True
    hierarchy = Hierarchy.of(meta["hierarchy"]) if "hierarchy" in meta else None
    data = Dataset(files["features"], labels, meta["feature_names"], meta["label_names"], meta["name"], hierarchy)
    data._index.append(LabelIndex(n, q, *(np.asarray(files[part]) for part in _INDEX)))
    return data


class _Writer:
    """Arrays that grow in files, whose number of rows is known in the end only."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._n, self._q, self._inner = folder, 0, 0, ()
        self._positives = 0
        self._x, self._starts, self._columns = (self._begun(name) for name in ("features", "row_starts", "columns"))
        self._starts.write(np.zeros(1, dtype=np.int64))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        for file in (self._x, self._starts, self._columns):
            file.close()

    def add(self, x: ArrayLike, y: ArrayLike) -> None:
        """Append a block of rows."""
        x, index = self._features(x), LabelIndex.from_labels(y)
        values = y.data if hasattr(y, "tocsr") else y.detach().cpu().numpy() if hasattr(y, "detach") else np.asarray(y)
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise DataError(f"expected labels of 0 and 1, but one of the {len(x)} rows from row {self._n} on is NaN (unknown)")
        if not self._n:
            self._inner, self._q = x.shape[1:], index.q
        if (x.shape[1:], index.q) != (self._inner, self._q) or len(x) != index.n:
            came = f"features {x.shape} and labels {(index.n, index.q)}"
            raise DataError(f"expected features (b, {str(self._inner)[1:]} and labels (b, {self._q}), but from row {self._n} on got {came}")
        self._x.write(x)
        self._starts.write(index.row_starts[1:].astype(np.int64) + self._positives)
        self._columns.write(index.columns.astype(np.int64))
        self._n, self._positives = self._n + len(x), self._positives + len(index.columns)

    def finish(self) -> tuple[int, int]:
        """Complete the files; return (n, q)."""
        n, q, positives = self._n, self._q, self._positives
        if not n:
            raise DataError("expected at least one row, but the blocks hold none")
        heads = ((self._x, (n, *self._inner), "<f4"), (self._starts, (n + 1,), "<i8"), (self._columns, (positives,), "<i8"))
        for file, shape, kind in heads:
            file.seek(0)
            file.write(_header(shape, kind))
            file.close()
        dtype = index_type(n, q)
        starts, columns = (self._recast(part, dtype) for part in ("row_starts", "columns"))
        ones = self._new("ones", (positives,), np.uint8)
        counts = np.zeros(q, dtype=np.int64)
        for block in _slices(positives):
            ones[block] = 1
            counts += np.bincount(columns[block], minlength=q)
        column_starts, rows = self._new("column_starts", (q + 1,), dtype), self._new("rows", (positives,), dtype)
        column_starts[1:] = np.cumsum(counts)
        rows_by_label(starts, columns, column_starts, rows)
        for array in (starts, columns, ones, column_starts, rows):
            array.flush()  # type: ignore[attr-defined]
        return n, q

    def _features(self, x: ArrayLike) -> Array:
        """Return features as they go into the file, checked."""
        if hasattr(x, "tocsr"):
            raise DataError(
                "expected dense features, but got a sparse block; keep sparse features in memory, as Dataset(X, Y) with CSR arrays"
            )
        x = x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)
        if x.ndim < 2:
            raise DataError(f"expected features of shape (b, d), but from row {self._n} on got shape {x.shape}")
        with np.errstate(over="ignore"):  # what is too large for float32 is found below
            x = np.ascontiguousarray(x, dtype="<f4")
        odd = ~np.isfinite(x).reshape(len(x), -1).all(axis=1)
        if odd.any():
            row = self._n + int(np.flatnonzero(odd)[0])
            raise DataError(f"expected finite features, but row {row} has a NaN or infinite one (as float32); fill them in before writing")
        return np.asarray(x)

    def _begun(self, name: str) -> Any:
        file = (self._folder / f"{name}.npy").open("wb")
        file.write(bytes(_HEADER))
        return file

    def _new(self, name: str, shape: tuple[int, ...], dtype: type) -> Array:
        """Make a file of zeros and map it."""
        array: Array = np.lib.format.open_memmap(self._folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
        return array

    def _recast(self, name: str, dtype: type) -> Array:
        """Rewrite a file of int64 in another type, block by block."""
        path = self._folder / f"{name}.npy"
        long = np.load(path, mmap_mode="r")
        path.unlink()  # the old file stays readable until it is unmapped
        array = self._new(name, long.shape, dtype)
        for block in _slices(len(long)):
            array[block] = long[block]
        return array


def _header(shape: tuple[int, ...], kind: str) -> bytes:
    """Return the head of a ``.npy`` file of version 1.0, always 128 bytes long, so that it can be put in front of data written before."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(_HEADER - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little") + text.encode("ascii")


def _slices(count: int, size: int = 2**20) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]
