"""Every exception that polytag raises on purpose: one root, a few leaves.

Each leaf is also the built-in exception that a caller would expect, so ``except ValueError`` keeps working. A message says what was
expected, what came (with the value) and what to do.
"""

from pathlib import Path


class PolytagError(Exception):
    """The root of all errors that polytag raises on purpose."""


class ParameterError(PolytagError, ValueError):
    """A parameter has a value that makes no sense, for example a selection pressure below 1."""


class DataError(PolytagError, ValueError):
    """Arrays do not fit: wrong shape, wrong values, NaN where a number is needed."""


class ReadError(PolytagError, ValueError):
    """A data file is malformed.

    Args:
        path: The file.
        line: Line number, counted from 1; ``None`` when the fault is not in one line.
        expected: What the reader needed at that place.
        came: What it found.
    """

    def __init__(self, path: str | Path, line: int | None, expected: str, came: str) -> None:
        self.path, self.line, self.expected, self.came = Path(path), line, expected, came
        super().__init__(path, line, expected, came)

    def __str__(self) -> str:
        place = f"{self.path}" if self.line is None else f"{self.path}, line {self.line}"
        return f"{place}: expected {self.expected}, but found {self.came}"


class UnknownNameError(PolytagError, KeyError):
    """A method, data set or metric of that name does not exist."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class MissingExtraError(PolytagError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class FetchError(PolytagError, OSError):
    """A data set could not be had: no network, wrong checksum, no such file."""


class ResumeError(PolytagError, RuntimeError):
    """A checkpoint or record store does not belong to the run that wants to continue from it."""


class DivergenceError(PolytagError, ArithmeticError):
    """The training loss became NaN or infinite."""
