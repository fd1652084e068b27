"""Lines and rows of text files, packed or not, with their numbers."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, cast

from polytag.errors import ReadError


def lines_of(path: str | Path) -> Iterator[tuple[int, str]]:
    """Walk through the lines that are not blank, with their numbers, without the white space around them.

    Raises:
        ReadError: The file is no text in UTF-8.
    """
    try:
        with opened(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.strip()
    except UnicodeDecodeError as error:
        raise ReadError(path, None, "text in UTF-8", str(error)) from error


def rows_of(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """Walk through the rows of a table that are not blank: cells without the white space around them, quoted ones may have any text.

    Cells are separated by tabs if the first line has one, or the name ends in ``.tsv``, else by commas.

    Raises:
        ReadError: The file is no table in UTF-8.
    """
    first = next(lines_of(path), (1, ""))[1]
    separator = "\t" if "\t" in first or suffix_of(path) in (".tsv", ".tab") else ","
    try:
        with opened(path) as file:
            reader = csv.reader(file, delimiter=separator, strict=True)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield reader.line_num, cells
    except (UnicodeDecodeError, csv.Error) as error:
        raise ReadError(path, None, "a table in UTF-8", str(error)) from error


def suffix_of(path: str | Path) -> str:
    """Return the ending of the file as it is when unpacked, in small letters."""
    name = Path(path).name.lower().removesuffix(".gz")
    return Path(name).suffix


def opened(path: str | Path, mode: Literal["r", "w"] = "r") -> IO[str]:
    """Open a text file in UTF-8, packed if its name ends in ``.gz``."""
    coding = "utf-8-sig" if mode == "r" else "utf-8"
    if Path(path).name.lower().endswith(".gz"):
        return cast(IO[str], gzip.open(path, f"{mode}t", encoding=coding, newline=""))
    return Path(path).open(mode, encoding=coding, newline="")
