"""Where data files lie on this machine, and whether they are what they should be."""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from polytag.data.catalogue.listing import RemoteFile
from polytag.data.readers.source import chunks
from polytag.errors import FetchError, ReadError


def data_folders() -> list[Path]:
    """Return the folders named by the environment variable ``POLYTAG_DATA`` (several are separated as in ``PATH``)."""
    return [Path(folder).expanduser() for folder in os.environ.get("POLYTAG_DATA", "").split(os.pathsep) if folder]


def cache_folder() -> Path:
    """Return the folder for downloads: ``POLYTAG_CACHE``, else the platform's folder for caches."""
    given = os.environ.get("POLYTAG_CACHE")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "polytag" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "polytag"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polytag"


def copies(file: RemoteFile) -> Iterator[Path]:
    """Walk through the copies of a file on this machine, unchecked: those in ``POLYTAG_DATA`` first, then those in the cache.

    A copy may be plain or compressed with gzip, xz or bzip2.
    """
    places = [folder / file.path for folder in [*data_folders(), cache_folder()]]
    return (path for place in places for path in _spellings(place) if path.is_file())


def locate(file: RemoteFile) -> Path | None:
    """Return the first local copy of a file whose checksum is right, or ``None``.

    A checksum is computed once and remembered in the cache folder by path, size and time of change.

    Raises:
        FetchError: A copy lies in ``POLYTAG_DATA`` but has another content.
    """
    cache = cache_folder()
    for path in copies(file):
        came = known_checksum(path)
        if came == file.sha256:
            return path
        if not path.is_relative_to(cache):
            raise FetchError(
                f"{path} has another content than the catalogue expects: sha256 should be {file.sha256}, but is {came}; "
                "remove it from the folders of POLYTAG_DATA, or read it by its path instead of by name"
            )
    return None


def checksum(path: Path) -> str:
    """Return the sha256 of a file's content, decompressed, or why it cannot be read. Cost: one pass, memory O(1)."""
    digest = hashlib.sha256()
    try:
        for block in chunks(path):
            digest.update(block)
    except ReadError as problem:
        return f"unreadable ({problem.came})"
    return digest.hexdigest()


def known_checksum(path: Path) -> str:
    """Return ``checksum(path)``, from the notes in the cache folder if the file has not changed since they were taken."""
    state = path.stat()
    key = f"{state.st_size} {state.st_mtime_ns} {path.resolve()}"
    notes = cache_folder() / "checksums.txt"
    try:
        lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
    except (OSError, UnicodeDecodeError):
        lines = []
    known = {where: digest for digest, where in (line.split(" ", 1) for line in lines if " " in line)}
    if key not in known:
        known[key] = checksum(path)
        if " " not in known[key]:
            _note(notes, f"{known[key]} {key}\n")
    return known[key]


def _note(notes: Path, line: str) -> None:
    """Append one line; a cache that cannot be written costs a checksum the next time, nothing else."""
    try:
        notes.parent.mkdir(parents=True, exist_ok=True)
        with notes.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError:
        return


def _spellings(path: Path) -> list[Path]:
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    return [path, *(other for end in ("", ".gz", ".xz", ".bz2") if (other := plain.with_name(plain.name + end)) != path)]
