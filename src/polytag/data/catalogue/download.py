"""One file over HTTP: resumed where it broke off, checked, and in place only when it is whole."""

import contextlib
import gzip
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polytag.data.catalogue.folders import checksum
from polytag.data.catalogue.listing import RemoteFile
from polytag.data.readers.source import chunks
from polytag.errors import FetchError

Progress = Callable[[str, int, int | None], None]
"""Called with the file's path, the bytes so far, and the bytes in all (``None`` if the server does not say)."""

_BLOCK = 1 << 16
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Download:
    """How to download.

    Args:
        attempts: How often to try before giving up; each continues where the last one broke off.
        wait: Seconds before the second attempt; doubles with each further one.
        timeout: Seconds without a byte after which an attempt counts as failed.
        progress: Told about each block.
    """

    attempts: int = 4
    wait: float = 1.0
    timeout: float = 30.0
    progress: Progress | None = None

    def get(self, file: RemoteFile, target: Path) -> Path:
        """Download a file, check it, and put it in place.

        Bytes gather in ``<target>.part``, which the next call continues; processes that want the same file wait for each other.

        Raises:
            FetchError: The server cannot be reached, does not have the file, or sends something else than expected.
        """
        part = target.with_name(target.name + ".part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with alone(part.with_name(part.name + ".lock")):
                if not target.is_file() or checksum(target) != file.sha256:
                    self._gather(file, part, target)
        except FetchError:
            raise
        except OSError as problem:
            raise FetchError(f"could not write {target}: {problem}; choose another folder with POLYTAG_CACHE") from problem
        return target

    def _gather(self, file: RemoteFile, part: Path, target: Path) -> None:
        resumed = part.exists() and part.stat().st_size > 0
        self._receive(file, part)
        came = checksum(part)
        if came != file.sha256 and resumed:  # the older bytes may be of another time: once more from the start
            part.unlink()
            self._receive(file, part)
            came = checksum(part)
        if came != file.sha256:
            part.unlink()
            raise FetchError(
                f"{file.url} is not the file that the catalogue expects: sha256 should be {file.sha256}, but is {came}; "
                f"the download was deleted. {by_hand(file, target)}"
            )
        _store(part, target)
        part.unlink()

    def _receive(self, file: RemoteFile, part: Path) -> None:
        """Fill the part file, in several attempts if need be."""
        for attempt in range(self.attempts):
            try:
                return self._attempt(file, part)
            except urllib.error.HTTPError as problem:
                problem.close()
                reason: Exception = problem
                if problem.code not in _TRANSIENT:
                    break
            except (OSError, http.client.HTTPException) as problem:
                reason = problem
            if attempt + 1 < self.attempts:
                time.sleep(self.wait * 2**attempt)
        target = part.with_name(part.name.removesuffix(".part"))
        raise FetchError(f"could not download {file.url}: {reason}. {by_hand(file, target)}") from reason

    def _attempt(self, file: RemoteFile, part: Path) -> None:
        have = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(file.url, headers={"User-Agent": "polytag", "Accept-Encoding": "identity"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            answer = urllib.request.urlopen(request, timeout=self.timeout)
        except urllib.error.HTTPError as problem:
            if problem.code != 416:  # 416: nothing behind what we have, so the part is complete, or of another file
                raise
            problem.close()
            return
        with answer:
            have, total = _position(answer, have)
            with part.open("ab" if have else "wb") as sink:
                while block := answer.read(_BLOCK):
                    sink.write(block)
                    have += len(block)
                    if self.progress is not None:
                        self.progress(file.path, have, total)
        if total is not None and have < total:
            raise ConnectionError(f"the connection broke after {have} of {total} bytes")


def by_hand(file: RemoteFile, target: Path) -> str:
    """Say how to provide a file without this machine reaching the network."""
    return (
        f"To provide it by hand, get {file.url} and save it, plain or compressed, as {file.path} below a folder named by POLYTAG_DATA, "
        f"or as {target}"
    )


def _position(answer: Any, have: int) -> tuple[int, int | None]:
    """Return how many of the bytes on disk stay, and how many there will be."""
    match = re.match(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range") or "")
    if answer.status == 206 and match and int(match[1]) == have:
        return have, None if match[2] == "*" else int(match[2])
    if answer.status == 206:
        raise ConnectionError(f"the server sent {answer.headers.get('Content-Range')!r} for bytes from {have}")
    length = answer.headers.get("Content-Length")
    return 0, int(length) if length else None


def _store(source: Path, target: Path) -> None:
    """Put the content of ``source`` at ``target``, gzipped if the name asks for it; the target appears whole or not at all."""
    fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        with fresh.open("wb") as raw, _writer(raw, target) as sink:
            for block in chunks(source):
                sink.write(block)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _writer(raw: Any, target: Path) -> Any:
    return (
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0)
        if target.suffix == ".gz"
        else contextlib.nullcontext(raw)
    )


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Let one process in at a time, where the platform has file locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
