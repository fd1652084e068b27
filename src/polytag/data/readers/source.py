"""Bytes of a file, decompressed by content, in blocks of whole lines."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from polytag.errors import ReadError

BLOCK = 1 << 17
"""Bytes read at a time: small enough for the cache, large enough for NumPy."""

_MAGIC: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\x00": lzma.open, b"BZh": bz2.open}


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the decompressed bytes of a file; gzip, xz and bzip2 are known by their first bytes, not by the file's name.

    Raises:
        ReadError: The file cannot be opened, or what is compressed is damaged or cut short.
    """
    try:
        with path.open("rb") as file:
            head = file.read(6)
        opener = next((opener for magic, opener in _MAGIC.items() if head.startswith(magic)), open)
        stream: IO[bytes]
        with opener(path, "rb") as stream:
            while chunk := stream.read(BLOCK):
                yield chunk
    except FileNotFoundError:
        raise ReadError(path, None, "a file of that name", "none") from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ReadError(path, None, "an undamaged file", f"{error} while reading it") from None


def content(path: Path) -> bytes:
    """Return all decompressed bytes of a (small) file."""
    return b"".join(chunks(path))


def blocks(path: Path) -> Iterator[bytes]:
    """Yield the file in blocks that end with a line end (the last one gets one if it has none)."""
    rest: list[bytes] = []
    for chunk in chunks(path):
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield b"".join([*rest, chunk[:cut]])
            rest = []
        rest.append(chunk[cut:])
    last = b"".join(rest)
    if last:
        yield last + b"\n"


def decoded(raw: bytes) -> tuple[str, str]:
    """Return the text and the encoding that was used: UTF-8, or Latin-1 (which takes any byte) when it is not valid UTF-8."""
    try:
        return raw.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "latin-1"
