"""The part of an ARFF file before ``@data``: the relation and what each column holds."""

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from polytag.data.readers.source import blocks, decoded, line_ends
from polytag.errors import ReadError

_DATA = re.compile(rb"^[ \t]*@data[ \t\r]*(?:%[^\n]*)?\n", re.IGNORECASE | re.MULTILINE)
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_ATTRIBUTE = re.compile(r"""@attribute\s+(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s{'"][^\s{]*))\s*(.*)""", re.IGNORECASE | re.ASCII)
_CATEGORY = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'\s*|"((?:[^"\\]|\\.)*)"\s*|([^\s,'"][^,]*))(?:,|$)""", re.ASCII)
_ESCAPE = re.compile(r"\\(.)")
_CONTROL = {"n": "\n", "t": "\t", "r": "\r"}
_KINDS = {"numeric": "number", "real": "number", "integer": "number", "string": "string", "key": "string", "date": "date"}


class Attribute(NamedTuple):
    """One column: its name, ``kind``, the listed categories and the line that declares it.

    The kind is number, nominal, string, date, or hierarchical (of Clus, with the listed classes as categories).
    """

    name: str
    kind: str
    categories: tuple[str, ...]
    line: int


class Header(NamedTuple):
    """What stands before the rows. ``line`` is the number of the line after ``@data``."""

    relation: str
    relation_line: int
    attributes: list[Attribute]
    line: int
    encoding: str


def open_arff(path: Path, *, repeats: bool = False) -> tuple[Header, Iterator[bytes]]:
    """Read the header; return it with the blocks of lines that follow.

    Args:
        path: The file.
        repeats: Let a name of an attribute stand there again, and call it ``name (2)``.

    Raises:
        ReadError: A line of the header is malformed, an attribute appears twice, or ``@data`` is missing.
    """
    source = blocks(path)
    gathered: list[bytes] = []
    for block in source:
        found = _DATA.search(block)
        if found:
            raw = b"".join([*gathered, block[: found.start()]])
            return _parse(path, raw, line_ends(raw) + 2, repeats), _after(block[found.end() :], source)
        gathered.append(block)
        if len(gathered) == 1 and not _starts_like_arff(block):
            break
    raw = b"".join(gathered)
    if not raw.strip():
        raise ReadError(path, None, "an ARFF header", "an empty file")
    _parse(path, raw, 0, repeats)
    raise ReadError(path, None, "a line @data after the attributes", "the end of the file")


def quoted(text: str, at: int = 0) -> tuple[str, int] | None:
    """Return the unescaped content of the quotes that open at ``at``, and the place behind them; ``None`` without a closing quote."""
    found = _QUOTED.match(text, at)
    return (_plain(found), found.end()) if found else None


def unescape(text: str) -> str:
    r"""Return a quoted text with its escapes resolved (``\'`` is ``'``, ``\n`` a line end); others: the next character."""
    return _ESCAPE.sub(lambda m: _CONTROL.get(m[1], m[1]), text) if "\\" in text else text


def _plain(found: re.Match[str]) -> str:
    return unescape(found[1] if found[1] is not None else found[2])


def _starts_like_arff(block: bytes) -> bool:
    lines = block.removeprefix(b"\xef\xbb\xbf").splitlines()
    first = next((s for line in lines if (s := line.strip()) and not s.startswith(b"%")), b"@")
    return first.startswith(b"@")


def _after(rest: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    if rest:
        yield rest
    yield from source


def _parse(path: Path, raw: bytes, data_line: int, repeats: bool) -> Header:
    text, encoding = decoded(raw)
    relation, relation_line = "", 0
    attributes: list[Attribute] = []
    seen: dict[str, int] = {}
    types: dict[str, tuple[str, tuple[str, ...]]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line[0] == "%":
            continue
        attribute = _ATTRIBUTE.fullmatch(line)
        if attribute:
            quoted_name = attribute[1] if attribute[1] is not None else attribute[2]
            name = attribute[3] if quoted_name is None else unescape(quoted_name)
            if repeats:
                name = _distinct(name, seen)
            if name in seen:
                raise ReadError(path, number, "attribute names that differ", f"{name!r} again (first in line {seen[name]})")
            seen[name] = number
            declared = attribute[4]
            if declared not in types:
                types[declared] = _type(path, number, name, declared)
            attributes.append(Attribute(name, *types[declared], number))
        elif re.match(r"@relation(\s|$)", line, re.IGNORECASE):
            relation, relation_line = _relation(line[9:].strip()), number
        else:
            raise ReadError(path, number, "@relation NAME, @attribute NAME TYPE or @data", _shown(line))
    if data_line and not attributes:
        raise ReadError(path, data_line - 1, "at least one @attribute before @data", "none")
    return Header(relation, relation_line, attributes, data_line, encoding)


def _distinct(name: str, seen: Collection[str]) -> str:
    """Return the name, or ``name (2)``, ``name (3)``, ... if it is taken."""
    numbered = (f"{name} ({k})" for k in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in seen)


def _relation(text: str) -> str:
    found = quoted(text)
    return found[0] if found and found[1] == len(text) else text


def _type(path: Path, line: int, name: str, declared: str) -> tuple[str, tuple[str, ...]]:
    word = declared.split(None, 1)[0].lower() if declared else ""
    if word in _KINDS and (word == "date" or len(declared) == len(word)):
        return _KINDS[word], ()
    if word == "hierarchical":
        listed = _categories(declared[len(word) :])
        if listed is None:
            raise ReadError(path, line, f"classes of {name!r} separated by commas, none of them empty", _shown(declared))
        return word, tuple(listed)
    if declared.startswith("{") and declared.endswith("}"):
        categories = _categories(declared[1:-1])
        if categories is None:
            raise ReadError(path, line, f"categories of {name!r} separated by commas", _shown(declared))
        if len(set(categories)) < len(categories):
            twice = Counter(categories).most_common(1)[0][0]
            raise ReadError(path, line, f"categories of {name!r} that differ", f"{twice!r} twice")
        return "nominal", tuple(categories)
    raise ReadError(
        path, line, f"{name!r} to be numeric, real, integer, string, date or {{categories}}", _shown(declared) if declared else "nothing"
    )


def _categories(text: str) -> list[str] | None:
    """Return the categories between braces, or ``None`` when one is empty or badly quoted."""
    categories, at = [], 0
    while at <= len(text):
        found = _CATEGORY.match(text, at)
        if not found:
            return None
        categories.append(found[3].rstrip() if found[3] is not None else _plain(found))
        at = found.end()
        if not found[0].endswith(","):
            at += 1
    return categories


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
