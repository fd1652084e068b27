"""One row of an ARFF file at a time, exactly: the path for quotes, categories and odd spacing, and the one that words the errors."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from polytag.data.readers.arff_header import quoted
from polytag.data.readers.arff_plan import DROPPED, LABEL, Plan
from polytag.errors import ReadError

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INDEX = re.compile(r"\s*([0-9]+)(?:\s+|(?=['\"])|$)")


class RowParser:
    """Turns lines into numbers: a category becomes its code in the plan, ``?`` becomes NaN.

    Args:
        path: The file, for messages.
        plan: What each attribute is.
        encoding: How the header was decoded.
    """

    def __init__(self, path: Path, plan: Plan, encoding: str) -> None:
        self.path, self.plan, self.encoding = path, plan, encoding

    def lines(self, block: bytes, line: int) -> Iterator[tuple[int, str]]:
        """Yield (line number, text) of the rows in a block; blank lines and comments are passed over."""
        for number, raw in enumerate(block.split(b"\n"), line):
            text = raw.decode(self.encoding, "replace").strip()
            if text and text[0] != "%":
                yield number, text

    def dense(self, line: int, text: str) -> list[float]:
        """Return one number for each attribute.

        Raises:
            ReadError: Too few or too many values, or one that does not fit its attribute.
        """
        if text[0] == "{":
            raise ReadError(self.path, line, "values separated by commas, as in the first row", "a sparse row in braces")
        cells = list(self._cells(line, text))
        m = len(self.plan.attributes)
        if len(cells) != m:
            raise ReadError(self.path, line, f"{m} values, one an attribute", f"{len(cells)}")
        return [self._value(line, j, *cell) for j, cell in enumerate(cells)]

    def sparse(self, line: int, text: str) -> dict[int, float]:
        """Return attribute -> number for the attributes that the row names, ascending.

        Raises:
            ReadError: The braces or pairs are malformed, an index is out of range or repeated, or a value does not fit its attribute.
        """
        if text[0] != "{":
            raise ReadError(self.path, line, "a sparse row in braces, as the first row", repr(text[:40]))
        if text[-1] != "}":
            raise ReadError(self.path, line, "a closing brace at the end of the row", repr(text[-40:]))
        body, cells = text[1:-1].strip(), {}
        m, first, at = len(self.plan.attributes), self.plan.first, 0
        while at < len(body) or at > 0:
            found = _INDEX.match(body, at)
            if not found:
                raise ReadError(self.path, line, "an attribute index and a value", repr(body[at : at + 40]) if body[at:] else "nothing")
            digits = found[1].lstrip("0") or "0"
            index = (int(digits) if len(digits) < 12 else first + m) - first
            if not 0 <= index < m:
                raise ReadError(self.path, line, f"an attribute index between {first} and {first + m - 1}", repr(found[1][:40]))
            if index in cells:
                raise ReadError(self.path, line, "each attribute index once in a row", f"{first + index} again")
            value, was_quoted, at = self._cell(line, body, found.end())
            cells[index] = self._value(line, index, value, was_quoted)
            if at < 0:
                break
        return dict(sorted(cells.items()))

    def _cells(self, line: int, text: str) -> Iterator[tuple[str, bool]]:
        at = 0
        while at >= 0:
            value, was_quoted, at = self._cell(line, text, at)
            yield value, was_quoted

    def _cell(self, line: int, text: str, at: int) -> tuple[str, bool, int]:
        """Return a value, whether it was quoted, and where the next one starts (-1 at the end)."""
        while at < len(text) and text[at].isspace():
            at += 1
        if text[at : at + 1] in ("'", '"'):
            found = quoted(text, at)
            if found is None:
                raise ReadError(self.path, line, "a closing quote", repr(text[at : at + 40]))
            value, after = found
            while after < len(text) and text[after].isspace():
                after += 1
            if after < len(text) and text[after] != ",":
                raise ReadError(self.path, line, "a comma after the quoted value", repr(text[at : at + 40]))
            return value, True, after + 1 if after < len(text) else -1
        end = text.find(",", at)
        if end < 0:
            return text[at:].strip(), False, -1
        return text[at:end].strip(), False, end + 1

    def _value(self, line: int, j: int, text: str, was_quoted: bool) -> float:
        attribute, codes = self.plan.attributes[j], self.plan.codes[j]
        if self.plan.role[j] == DROPPED:
            return 0.0
        if text == "?" and not was_quoted:
            return math.nan
        if codes is not None:
            if text not in codes:
                shown = ",".join(attribute.categories)
                raise ReadError(self.path, line, f"{attribute.name!r} among its declared values {{{shown[:80]}}}", repr(text[:60]))
            return codes[text]
        value = float(text) if NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(value):
            raise ReadError(self.path, line, f"a finite number for {attribute.name!r}", repr(text[:60]))
        if self.plan.role[j] == LABEL and value not in (0.0, 1.0):
            self._not_binary(line, attribute.name, text)
        return value

    def _not_binary(self, line: int, name: str, text: str) -> NoReturn:
        raise ReadError(self.path, line, f"0 or 1 for the label {name!r} (non-binary label)", repr(text[:60]))
