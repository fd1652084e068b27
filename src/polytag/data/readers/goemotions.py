"""GoEmotions: short forum comments with the emotions that readers saw in them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import sparse

from polytag.data.dataset import Dataset
from polytag.data.readers.source import content, decoded
from polytag.errors import ReadError

PARTS = ("train", "valid", "test")


def read_goemotions(paths: Mapping[str, Path], part: str | None = None) -> Dataset:
    """Read GoEmotions: lines of text, label numbers separated by commas, and a comment's id, separated by tabs.

    Args:
        paths: Files of the keys ``train``, ``valid``, ``test`` and ``labels`` (one name a line).
        part: One of the first three; ``None`` for all, one after the other.

    Returns:
        A set of kind ``"text"`` with the column ``text``.

    Raises:
        ReadError: A line has another number of fields, or names a label that is not listed.

    Cost: one pass over 4 MB.

    Reference: Demszky et al., "GoEmotions: a dataset of fine-grained emotions", ACL 2020.
    """
    names = decoded(content(paths["labels"]))[0].split()
    texts: list[str] = []
    rows: list[list[int]] = []
    for one in PARTS if part is None else (part,):
        path = paths[one]
        lines = decoded(content(path))[0].removesuffix("\n").split("\n")  # splitlines would also cut at characters within texts
        for line, row in enumerate(lines, start=1):
            fields = row.rstrip("\r").split("\t")
            if len(fields) != 3 or not all(number.isdecimal() and int(number) < len(names) for number in fields[1].split(",")):
                raise ReadError(path, line, f"text, label numbers below {len(names)} and id, separated by tabs", f"{row[:80]!r}")
            texts.append(fields[0])
            rows.append(sorted({int(number) for number in fields[1].split(",")}))
    X = np.empty((len(texts), 1), dtype=object)
    X[:, 0] = texts
    columns = np.array([j for row in rows for j in row], dtype=np.int32)
    Y = sparse.csr_array((np.ones(len(columns), np.uint8), columns, np.cumsum([0, *map(len, rows)])), shape=(len(rows), len(names)))
    return Dataset(X, Y, ("text",), names, "goemotions", kind="text")
