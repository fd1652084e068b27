"""Make the files of a set available: found on this machine, or downloaded once."""

import os
from collections.abc import Iterable
from pathlib import Path

from polytag import registry
from polytag.data.catalogue.download import Download, Progress, by_hand
from polytag.data.catalogue.folders import cache_folder, copies, locate
from polytag.data.catalogue.listing import Entry, RemoteFile, entry
from polytag.errors import FetchError, UnknownNameError


def fetch(
    name: str,
    parts: Iterable[str] | None = None,
    *,
    offline: bool | None = None,
    progress: Progress | None = None,
    download: Download | None = None,
) -> dict[str, Path]:
    """Return where the files of a set lie on this machine; download what is missing.

    Looks in the folders of ``POLYTAG_DATA``, then in the cache (``POLYTAG_CACHE``), then at the pinned address of the catalogue. Every copy
    is compared with the catalogue's checksum.

    Args:
        name: Name of a set of the catalogue.
        parts: Which parts; ``None`` for all files of the set. The list of labels comes along.
        offline: ``True`` never downloads; ``None`` asks the environment variable ``POLYTAG_OFFLINE``.
        progress: Called with path, bytes so far and bytes in all (or ``None``) while downloading.
        download: Timeouts and attempts; ``None`` for the default.

    Returns:
        Part -> path; empty for a set that comes with polytag.

    Raises:
        UnknownNameError: There is no such set or part.
        FetchError: A file is neither here nor to be had; the message says how to provide it by hand.

    Cost: one pass over each file at first sight of it, to check it.
    """
    sheet = entry(name)
    chosen = list(sheet.files) if parts is None else [*dict.fromkeys(parts)]
    for part in chosen:
        if part not in sheet.files:
            raise UnknownNameError(registry.unknown(f"part of {sheet.name!r}", part, list(sheet.parts)))
    if "xml" in sheet.files and "xml" not in chosen:
        chosen.append("xml")
    offline = _offline() if offline is None else offline
    download = download or Download(progress=progress)
    return {part: _one(sheet, sheet.files[part], offline, download) for part in chosen}


def missing(sheet: Entry) -> list[str]:
    """Return the parts of a set of which no copy lies on this machine (present ones are not checked, that is for ``fetch``)."""
    return [part for part, file in sheet.files.items() if next(copies(file), None) is None]


def _one(sheet: Entry, file: RemoteFile, offline: bool, download: Download) -> Path:
    here = locate(file)
    if here is not None:
        return here
    target = cache_folder() / file.path
    if not file.url:
        raise FetchError(
            f"the data set {sheet.name!r} needs {file.path}, which has no address of its own ({sheet.note}); its content comes from "
            f"{sheet.source}. Keep the file below a folder named by POLYTAG_DATA, or as {target}"
        )
    if offline:
        raise FetchError(
            f"the data set {sheet.name!r} needs {file.path}, which is not on this machine, and downloads are off. {by_hand(file, target)}"
        )
    return download.get(file, target)


def _offline() -> bool:
    return os.environ.get("POLYTAG_OFFLINE", "").lower() in ("1", "true", "yes", "on")
