"""Whole blocks of ARFF rows at once with NumPy. What these functions do not understand they leave to the exact parser."""

import re

import numpy as np

from polytag.data.readers.arff_plan import DROPPED, LABEL, Plan
from polytag.data.readers.decimals import PAD, IrregularError, as_words, decimals, integers
from polytag.types import Array

_BLANKS = re.compile(rb"[ \t]{2,}|\t")
_BLANK_LINES = re.compile(rb"\n(?: ?\n)+")
_SPACED = re.compile(rb" ?([{},\n]) ?")
_TWO_VALUED = {"0": 0.0, "1": 1.0}


class BlockParser:
    """Turns a block of bytes into numbers without looking at single cells.

    Args:
        plan: What each attribute is.

    Cost: about 30 ns a number; temporary arrays of some ten times the block.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        used = plan.role != DROPPED
        nominal = np.array([codes is not None for codes in plan.codes])
        two_valued = {id(codes) for codes in {id(codes): codes for codes in plan.codes}.values() if codes == _TWO_VALUED}
        self._digit = np.array([id(codes) in two_valued for codes in plan.codes])
        self._mixed = not self._digit.all()
        self._worded = used & nominal & ~self._digit
        self._number = np.flatnonzero(used & ~nominal)
        self._number_labels = used & ~nominal & (plan.role == LABEL)
        self._digits, self._words = np.flatnonzero(self._digit), np.flatnonzero(self._worded)

    def dense(self, block: bytes) -> Array:
        """Return the numbers of a block of dense rows, shape (b, m).

        Raises:
            IrregularError: Quotes, comments or an error; the exact parser must read the block.
        """
        block = _plain(block)
        try:
            return self._dense(block)
        except IrregularError:
            tidy = _without_blanks(_tidy(block))
            if tidy == block:
                raise
        return self._dense(tidy)

    def sparse(self, block: bytes) -> tuple[Array, Array, Array]:
        """Return for a block of sparse rows the cells of each row, and for each cell its attribute and value.

        Raises:
            IrregularError: Quotes, comments, unsorted indices or an error; the exact parser must read the block.
        """
        block = _plain(block)
        try:
            return self._sparse(block)
        except IrregularError:
            tidy = _SPACED.sub(rb"\1", _tidy(block))
            if tidy == block:
                raise
        return self._sparse(tidy)

    def _dense(self, body: bytes) -> Array:
        text = PAD + body
        m, cells = len(self.plan.attributes), np.frombuffer(text, np.uint8)
        newline = cells == 10
        ends = np.flatnonzero((cells == 44) | newline)
        rows = np.count_nonzero(newline)
        if len(ends) != rows * m or not (cells[ends[m - 1 :: m]] == 10).all():
            raise IrregularError
        starts = np.concatenate([[len(PAD)], ends[:-1] + 1])
        sizes = ends - starts
        if (sizes < 1).any():
            raise IrregularError
        shape = (rows, m)
        if len(self._number) + len(self._digits) == m:
            values = decimals(text, as_words(text), starts, ends).reshape(shape)
            if (sizes.reshape(shape)[:, self._digits] != 1).any():
                raise IrregularError
            self._check_labels(values[:, self._digits])
        else:
            values = np.zeros(shape)
            starts, ends, sizes = starts.reshape(shape), ends.reshape(shape), sizes.reshape(shape)
            found = decimals(text, as_words(text), starts[:, self._number].ravel(), ends[:, self._number].ravel())
            values[:, self._number] = found.reshape(rows, -1)
            values[:, self._digits] = _digits(cells, starts[:, self._digits], sizes[:, self._digits])
            for j in self._words:
                values[:, j] = self._coded(text, int(j), starts[:, j], ends[:, j])
        self._check_labels(values[:, self._number_labels])
        return values

    def _sparse(self, body: bytes) -> tuple[Array, Array, Array]:
        text = PAD.replace(b" ", b"\n") + body
        cells = np.frombuffer(text, np.uint8)
        lines = np.flatnonzero(cells == 10)[len(PAD) - 1 :]
        rows = len(lines) - 1
        closing = cells == 125
        closed = np.count_nonzero(closing) == rows and (cells[lines[1:] - 1] == 125).all()
        if not closed or np.count_nonzero(cells == 123) != rows or not (cells[lines[:-1] + 1] == 123).all():
            raise IrregularError
        ends = np.flatnonzero((cells == 44) | closing)
        spaces = np.flatnonzero(cells == 32)
        stops = np.searchsorted(ends, lines[1:])
        sizes = np.diff(stops, prepend=0)
        starts = np.empty_like(ends)
        starts[:1] = lines[0] + 2
        starts[1:] = ends[:-1] + 1
        starts[stops[:-1]] += 2
        empty = cells[lines[1:] - 2] == 123
        if empty.any():
            sizes -= empty
            named = np.ones(len(ends), dtype=bool)
            named[stops[empty] - 1] = False
            starts, ends = starts[named], ends[named]
        if len(spaces) != len(ends) or (spaces <= starts).any() or (spaces + 1 >= ends).any():
            raise IrregularError
        words = as_words(text)
        attributes = integers(words, spaces, spaces - starts) - np.int32(self.plan.first)
        self._check_order(attributes, np.cumsum(sizes))
        return sizes, attributes, self._values(text, words, attributes, spaces + 1, ends)

    def _values(self, text: bytes, words: Array, attributes: Array, starts: Array, ends: Array) -> Array:
        """Return the value of each cell of sparse rows."""
        digit = self._digit[attributes] if self._mixed else np.ones(len(attributes), bool)
        if digit.all():
            return _digits(np.frombuffer(text, np.uint8), starts, ends - starts)
        values = np.zeros(len(attributes))
        number = ~digit & ~self._worded[attributes] & (self.plan.role[attributes] != DROPPED)
        values[number] = decimals(text, words, starts[number], ends[number])
        values[digit] = _digits(np.frombuffer(text, np.uint8), starts[digit], (ends - starts)[digit])
        self._check_labels(values[number][self._number_labels[attributes[number]]])
        for k in np.flatnonzero(self._worded[attributes]):
            values[k] = self._coded(text, int(attributes[k]), starts[k : k + 1], ends[k : k + 1])[0]
        return values

    def _coded(self, text: bytes, j: int, starts: Array, ends: Array) -> Array:
        """Return the numbers of the categories that these tokens name."""
        numbers = self.plan.codes[j] or {}
        known = {category.encode(): number for category, number in numbers.items() if category.isascii()} | {b"?": np.nan}
        try:
            return np.array([known[text[start:end]] for start, end in zip(starts.tolist(), ends.tolist())], dtype=np.float64)
        except KeyError:
            raise IrregularError from None

    def _check_order(self, attributes: Array, stops: Array) -> None:
        if not len(attributes):
            return
        rising = np.empty(len(attributes), dtype=bool)
        rising[0] = True
        np.greater(attributes[1:], attributes[:-1], out=rising[1:])
        rising[stops[stops < len(attributes)]] = True
        if not rising.all() or attributes.min() < 0 or attributes.max() >= len(self.plan.attributes):
            raise IrregularError

    @staticmethod
    def _check_labels(values: Array) -> None:
        if not ((values == 0) | (values == 1) | np.isnan(values)).all():
            raise IrregularError


def _plain(block: bytes) -> bytes:
    """Return a block with plain line ends; leave quotes, escapes and comments to the exact parser."""
    if b"'" in block or b'"' in block or b"%" in block or b"\\" in block:
        raise IrregularError
    return block.replace(b"\r\n", b"\n") if b"\r" in block else block


def _tidy(block: bytes) -> bytes:
    """Return a block with single blanks and no blank lines."""
    return _BLANK_LINES.sub(b"\n", _BLANKS.sub(b" ", block)).lstrip(b" \n")


def _without_blanks(block: bytes) -> bytes:
    """Delete blanks; an inner one would glue two values together and is refused."""
    cells = np.frombuffer(block, np.uint8)
    gap = (cells == 32) | (cells == 44) | (cells == 10)
    tokens = int((~gap[1:] & gap[:-1]).sum()) + int(not gap[0])
    tight = block.replace(b" ", b"")
    cells = np.frombuffer(tight, np.uint8)
    gap = (cells == 44) | (cells == 10)
    if tokens != int((~gap[1:] & gap[:-1]).sum()) + int(not gap[0]):
        raise IrregularError
    return tight


def _digits(cells: Array, starts: Array, sizes: Array) -> Array:
    """Return the values of tokens that must be ``0``, ``1`` or ``?``."""
    first = cells[starts]
    unknown = first == 63
    if not ((sizes == 1) & ((first == 48) | (first == 49) | unknown)).all():
        raise IrregularError
    values: Array = np.subtract(first, 48.0, dtype=np.float64)
    values[unknown] = np.nan
    return values
