"""Rows of a Clus file. The labels of a row travel through the ARFF machinery as one number, that of their set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from polytag.data.readers.arff_blocks import BlockParser
from polytag.data.readers.arff_header import Header
from polytag.data.readers.arff_plan import DROPPED, FEATURE, ONE_HOT, Plan, dropped, refuse
from polytag.data.readers.arff_rows import RowParser
from polytag.data.readers.clus_classes import Classes
from polytag.data.readers.decimals import IrregularError
from polytag.errors import ReadError
from polytag.types import Array

NO_CATEGORY = -1.0
"""Stands for a nominal value that is ``?`` or not declared: a zero in all columns of its attribute."""

_EMPTY, _UNKNOWN = "n", "?"


def clus_plan(path: Path, header: Header, column: int, drop: Sequence[str]) -> Plan:
    """Assign columns: numbers one each, categories one for each value; the hierarchical attribute gets one for the number of its set.

    Raises:
        ReadError: A dropped name does not exist or is that of the labels, or a kept attribute is text or a date.
    """
    m = len(header.attributes)
    role, places, codes = [FEATURE] * m, [0] * m, [None] * m  # type: list[int], list[int], list[dict[str, float] | None]
    for j in dropped(path, header, [column], drop):
        role[j] = DROPPED
    names: list[str] = []
    known: dict[tuple[str, ...], dict[str, float]] = {}
    for j, attribute in enumerate(header.attributes):
        if role[j] == DROPPED:
            continue
        places[j] = len(names)
        if j == column:
            codes[j] = {}
            names.append(attribute.name)
        elif attribute.kind == "nominal":
            role[j] = ONE_HOT
            codes[j] = known.setdefault(attribute.categories, {word: float(k) for k, word in enumerate(attribute.categories)})
            names.extend(f"{attribute.name}={word}" for word in attribute.categories)
        elif attribute.kind == "number":
            names.append(attribute.name)
        else:
            refuse(path, attribute)
    return Plan(header.attributes, np.array(role, np.uint8), np.array(places, np.int32), codes, np.zeros(m), names, [], first=1)


class LabelSets:
    """Numbers the distinct sets of labels that rows name, from 1 on.

    Args:
        classes: What may be named.

    Cost: each distinct text is taken apart once.
    """

    def __init__(self, classes: Classes) -> None:
        self._column = {name: k for k, name in enumerate(classes.hierarchy.names)}
        self._left_out = classes.left_out
        self._known: dict[str, int] = {}
        self._sets: list[Array | None] = [None]

    def number(self, text: str) -> int:
        """Return the number of the set that this text names, such as ``01/01@32/07``.

        Raises:
            KeyError: A label does not exist.
        """
        if text not in self._known:
            self._sets.append(self._columns(text))
            self._known[text] = len(self._sets) - 1
        return self._known[text]

    def matrix(self, numbers: Array) -> Any:
        """Return the labels of rows with these sets: CSR, uint8; if some are unknown, dense with NaN, float32."""
        q = len(self._column)
        sets = [self._sets[k] for k in numbers.tolist()]
        columns = [np.zeros(0, np.int64) if found is None else found for found in sets]
        starts = np.cumsum([0, *map(len, columns)])
        indices = np.concatenate([np.zeros(0, np.int64), *columns])
        Y = sparse.csr_array((np.ones(len(indices), np.uint8), indices, starts), shape=(len(sets), q))
        unknown = [row for row, found in enumerate(sets) if found is None]
        if not unknown:
            return Y
        dense = Y.toarray().astype(np.float32)
        dense[unknown] = np.nan
        return dense

    def _columns(self, text: str) -> Array | None:
        if text in (_EMPTY, _UNKNOWN) and text not in self._column:
            return None if text == _UNKNOWN else np.zeros(0, np.int64)
        labels = [label.strip() for label in text.split("@")]
        return np.unique(np.array([self._column[label] for label in labels if label not in self._left_out], dtype=np.int64))


class ClusRows(RowParser):
    """The exact parser of rows.

    Args:
        path: The file, for messages.
        plan: What each attribute is.
        encoding: How the header was decoded.
        column: Number of the hierarchical attribute.
        sets: Numbers its values.
    """

    def __init__(self, path: Path, plan: Plan, encoding: str, column: int, sets: LabelSets) -> None:
        super().__init__(path, plan, encoding)
        self.column, self.sets = column, sets

    def sparse(self, line: int, text: str) -> dict[int, float]:
        """Return attribute -> number, as for any ARFF file; the labels may not be left out."""
        cells = super().sparse(line, text)
        if self.column not in cells:
            name = self.plan.attributes[self.column].name
            raise ReadError(self.path, line, f"the labels of the row at index {self.column + 1} ({name!r}; n for none)", "no such index")
        return cells

    def _value(self, line: int, j: int, text: str, was_quoted: bool) -> float:
        if j == self.column:
            try:
                return self.sets.number(text)
            except KeyError as label:
                raise ReadError(self.path, line, "labels of the class list, joined by @, or n for none", f"{label.args[0]!r}") from None
        if self.plan.role[j] == ONE_HOT:
            return NO_CATEGORY if text == _UNKNOWN and not was_quoted else (self.plan.codes[j] or {}).get(text, NO_CATEGORY)
        return super()._value(line, j, text, was_quoted)


class ClusBlocks(BlockParser):
    """The quick parser of rows.

    Args:
        rows: The exact one.
    """

    def __init__(self, rows: ClusRows) -> None:
        super().__init__(rows.plan)
        self.rows, self._one_hot = rows, rows.plan.role == ONE_HOT

    def dense(self, block: bytes) -> Array:
        """Return the numbers of a block of dense rows, shape (b, m)."""
        values = super().dense(block)
        chosen = values[:, self._one_hot]
        values[:, self._one_hot] = np.where(np.isnan(chosen), NO_CATEGORY, chosen)
        return values

    def sparse(self, block: bytes) -> tuple[Array, Array, Array]:
        """Return the cells of each row, and for each cell its attribute and value."""
        sizes, attributes, values = super().sparse(block)
        if np.count_nonzero(attributes == self.rows.column) != len(sizes):
            raise IrregularError
        values[self._one_hot[attributes] & np.isnan(values)] = NO_CATEGORY
        return sizes, attributes, values

    def _coded(self, text: bytes, j: int, starts: Array, ends: Array) -> Array:
        if j != self.rows.column:
            return super()._coded(text, j, starts, ends)
        number, encoding = self.rows.sets.number, self.rows.encoding
        tokens = (text[start:end].decode(encoding, "replace").strip() for start, end in zip(starts.tolist(), ends.tolist()))
        try:
            return np.array([number(token) for token in tokens], dtype=np.float64)
        except KeyError:
            raise IrregularError from None
