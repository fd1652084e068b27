"""Multi-label LIBSVM text: ``1,3 5:0.2 7:1``, with or without the ``n d q`` line of the extreme-classification repository."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import sparse

from polytag.data.dataset import Dataset
from polytag.data.readers.cell_blocks import CellBlocks
from polytag.data.readers.decimals import PAD, IrregularError, as_words, decimals, integers
from polytag.data.readers.source import blocks, line_ends
from polytag.errors import ParameterError, ReadError
from polytag.types import Array

_LABELS = re.compile(rb"[0-9]{1,9}(?:,[0-9]{1,9})*")
_SIZES = re.compile(rb"([0-9]{1,9})\s+([0-9]{1,9})\s+([0-9]{1,9})")
_PAIR = re.compile(rb"([0-9]{1,9}):([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")


def read_libsvm(
    path: str | Path,
    *,
    n_features: int | None = None,
    n_labels: int | None = None,
    zero_based: bool | Literal["auto"] = "auto",
    labels_zero_based: bool = True,
    label_names: Sequence[str] = (),
    name: str = "",
) -> Dataset:
    r"""Read a multi-label data set in the sparse text form of LIBSVM and of the extreme-classification repository.

    A row is ``labels index:value index:value ...`` with the labels joined by commas; a row without labels starts with its first pair.
    ``#`` starts a comment. A first line of three numbers, ``n d q``, fixes the sizes.

    Args:
        path: The file, plain or compressed.
        n_features: d; by default what the first line says, else the largest index.
        n_labels: q; by default what the first line says, else the number of ``label_names``, else the largest label.
        zero_based: Whether the first feature is 0. ``"auto"``: yes with an ``n d q`` line, else if a feature 0 occurs, as scikit-learn
            decides; say it where train and test parts are read apart.
        labels_zero_based: Whether the first label is 0.
        label_names: q names.
        name: What to call the set; by default the file's stem.

    Returns:
        X and Y as CSR arrays, float64 and uint8.

    Raises:
        ReadError: A row is malformed, or an index lies outside the sizes.

    Cost: one pass in blocks; peak memory about twice the result.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "toy.txt"
        >>> _ = file.write_text("2 3 2\n0,1 0:0.5 2:1\n 1:2\n")
        >>> data = read_libsvm(file)
        >>> data.X.toarray(), data.Y.toarray()
        (array([[0.5, 0. , 1. ],
               [0. , 2. , 0. ]]), array([[1, 1],
               [0, 0]], dtype=uint8))
    """
    if zero_based not in (True, False, "auto"):
        raise ParameterError(f"expected zero_based to be True, False or 'auto', but got {zero_based!r}")
    rows = _Rows(Path(path))
    line = 1
    for block in blocks(rows.path):
        rows.add(block.replace(b"\t", b" "), line)
        line += line_ends(block)
    X, Y = rows.features.matrix(), rows.labels.matrix()
    if rows.sizes is None:
        if not len(rows.numbers):
            raise ReadError(rows.path, None, "rows such as 1,3 5:0.2", "an empty file")
        first = 0 if zero_based is True or (zero_based == "auto" and (X.indices == 0).any()) else 1
        d, q = n_features, n_labels or len(label_names) or None
    else:
        n, d, q = rows.sizes
        if n != X.shape[0]:
            raise ReadError(rows.path, None, f"{n} rows, as the first line says", f"{X.shape[0]}")
        first = 1 if zero_based is False else 0
        d, q = n_features or d, n_labels or q
    X = _shifted(rows, X, first, d, "feature")
    Y = _shifted(rows, Y, 0 if labels_zero_based else 1, q, "label").astype(np.uint8)
    return Dataset(X, Y, label_names=label_names, name=name or rows.path.stem)


def _shifted(rows: "_Rows", matrix: sparse.csr_array, first: int, width: int | None, what: str) -> sparse.csr_array:
    """Return the matrix with its columns counted from 0 and its width set."""
    columns = matrix.indices - first
    largest = int(columns.max(initial=-1))
    width = largest + 1 if width is None else width
    wrong = np.flatnonzero((columns < 0) | (columns >= width))
    if len(wrong):
        line = rows.numbers[int(np.searchsorted(matrix.indptr, wrong[0], side="right")) - 1]
        raise ReadError(rows.path, line, f"a {what} index between {first} and {width - 1 + first}", f"{matrix.indices[wrong[0]]}")
    return sparse.csr_array((matrix.data, columns, matrix.indptr), shape=(matrix.shape[0], width))


class _Rows:
    """Collects the rows of a file with the indices as written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: tuple[int, int, int] | None = None
        self.numbers: list[int] = []
        self.features, self.labels = CellBlocks(2**31 - 1), CellBlocks(2**31 - 1)
        self._started = False

    def add(self, block: bytes, line: int) -> None:
        """Read the rows of a block that starts at this line."""
        first = len(self.numbers)
        labels: list[bytes] = []
        pairs: list[bytes] = []
        for number, raw in enumerate(block.split(b"\n"), line):
            text = raw.partition(b"#")[0].strip()
            if not text:
                continue
            if not self._started:
                self._started = True
                found = _SIZES.fullmatch(text)
                if found:
                    self.sizes = int(found[1]), int(found[2]), int(found[3])
                    continue
            head, _, rest = text.partition(b" ")
            if b":" in head:
                head, rest = b"", text
            labels.append(head)
            pairs.append(rest)
            self.numbers.append(number)
        numbers = self.numbers[first:]
        if numbers:
            self.labels.add(*self._read_labels(labels, numbers))
            try:
                cells = _quick(pairs)
            except IrregularError:
                cells = None
            self.features.add(*(cells or self._exact(pairs, numbers)))

    def _read_labels(self, heads: list[bytes], numbers: list[int]) -> tuple[Array, Array, Array]:
        found = []
        for head, line in zip(heads, numbers):
            if head and not _LABELS.fullmatch(head):
                raise ReadError(self.path, line, "labels such as 1,3 (whole numbers joined by commas)", repr(_shown(head)))
            row = sorted(int(label) for label in head.split(b",")) if head else []
            if len(set(row)) < len(row):
                raise ReadError(self.path, line, "each label once in a row", repr(_shown(head)))
            found.append(row)
        columns = np.array([label for row in found for label in row], dtype=np.int32)
        return np.array([len(row) for row in found], dtype=np.int64), columns, np.ones(len(columns))

    def _exact(self, rows: list[bytes], numbers: list[int]) -> tuple[Array, Array, Array]:
        read = []
        for text, line in zip(rows, numbers):
            cells: dict[int, float] = {}
            for token in text.split():
                found = _PAIR.fullmatch(token)
                value = float(found[2]) if found else np.inf
                if not found or np.isinf(value):
                    raise ReadError(self.path, line, "index:value with a finite number", repr(_shown(token)))
                index = int(found[1])
                if index in cells:
                    raise ReadError(self.path, line, "each feature index once in a row", f"{index} again")
                cells[index] = value
            read.append({index: cells[index] for index in sorted(cells) if cells[index] != 0})
        sizes = np.array([len(cells) for cells in read], dtype=np.int64)
        columns = np.array([index for cells in read for index in cells], dtype=np.int32)
        return sizes, columns, np.array([value for cells in read for value in cells.values()], dtype=np.float64)


def _quick(rows: list[bytes]) -> tuple[Array, Array, Array]:
    """Return row sizes, columns and values of rows with single blanks and rising indices."""
    sizes = np.array([row.count(b":") for row in rows], dtype=np.int64)
    text = PAD + b" ".join(row for row in rows if row) + b" "
    cells = np.frombuffer(text, np.uint8)
    colons, ends = np.flatnonzero(cells == 58), np.flatnonzero(cells == 32)[len(PAD) :]
    if not len(colons):
        if len(ends) > 1 or any(rows):
            raise IrregularError
        return sizes, np.zeros(0, np.int32), np.zeros(0)
    if len(colons) != len(ends):
        raise IrregularError
    starts = np.concatenate([[len(PAD)], ends[:-1] + 1])
    if (colons <= starts).any() or (colons + 1 >= ends).any():
        raise IrregularError
    words = as_words(text)
    columns = integers(words, colons, colons - starts)
    rising = np.append(True, columns[1:] > columns[:-1])
    stops = np.cumsum(sizes)
    rising[stops[stops < len(columns)]] = True
    values = decimals(text, words, colons + 1, ends)
    if not rising.all() or (values == 0).any() or np.isnan(values).any():
        raise IrregularError
    return sizes, columns, values


def _shown(text: bytes) -> str:
    return text[:60].decode("utf-8", "replace")
