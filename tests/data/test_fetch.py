"""Fetching: where files are looked for, and downloads that break, lie, or never come. The server is on this machine."""

import bz2
import gzip
import hashlib
import http.server
import lzma
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from polytag.data.catalogue import Download, Entry, Expected, RemoteFile, data_folders, fetching
from polytag.data.catalogue.folders import cache_folder, checksum, known_checksum, locate
from polytag.errors import FetchError

CONTENT = b"@relation toy\n" + bytes(range(256)) * 2000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = Download(attempts=3, wait=0.01, timeout=5)


class Server(http.server.ThreadingHTTPServer):
    """Serves one body with Range support; ``break_at`` lists after how many bytes the next answers break off, ``codes`` their statuses."""

    daemon_threads = True

    def __init__(self, body: bytes = CONTENT) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.break_at, self.codes, self.ranges = body, list[int](), list[int](), list[str | None]()
        self.with_ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/toy.arff"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body, wanted = self.server.body, self.headers["Range"]
        self.server.ranges.append(wanted)
        if self.server.codes and (code := self.server.codes.pop(0)):
            return self.send_error(code)
        match = re.fullmatch(r"bytes=(\d+)-", wanted or "") if self.server.with_ranges else None
        start = int(match[1]) if match else 0
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if match else 200)
        if match:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        stop = self.server.break_at.pop(0) if self.server.break_at else len(body)
        self.wfile.write(body[start : start + stop])
        return None

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("POLYTAG_DATA", "POLYTAG_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POLYTAG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def remote(server: Server, name: str = "toy.arff", sha256: str = DIGEST) -> RemoteFile:
    return RemoteFile(f"set/{name}", server.url, sha256)


def left_over(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "set").iterdir() if not path.name.endswith(".lock"))


def test_download_arrives_whole_and_reports_progress(server: Server, cache: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = Download(progress=lambda *step: seen.append(step)).get(remote(server), cache / "set" / "toy.arff")
    assert path.read_bytes() == CONTENT
    assert left_over(cache) == ["toy.arff"]
    assert seen[-1] == ("set/toy.arff", len(CONTENT), len(CONTENT))
    assert [step[1] for step in seen] == sorted(step[1] for step in seen)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_whatever_the_source_compresses_with_the_copy_has_the_form_of_its_name(pack: Any, server: Server, cache: Path) -> None:
    server.body = pack(CONTENT)
    zipped = QUICK.get(remote(server, "toy.arff.gz"), cache / "set" / "toy.arff.gz")
    assert gzip.decompress(zipped.read_bytes()) == CONTENT
    assert QUICK.get(remote(server), cache / "set" / "toy.arff").read_bytes() == CONTENT


def test_interrupted_download_continues_where_it_broke_off(server: Server, cache: Path) -> None:
    server.break_at = [100_000, 50_000]
    assert QUICK.get(remote(server), cache / "set" / "toy.arff").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_next_call_continues_what_the_last_one_left(server: Server, cache: Path) -> None:
    server.break_at = [70_000]
    target = cache / "set" / "toy.arff"
    with pytest.raises(FetchError, match="70000 of 512014 bytes"):
        Download(attempts=1).get(remote(server), target)
    assert left_over(cache) == ["toy.arff.part"]
    assert QUICK.get(remote(server), target).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=70000-"]
    assert left_over(cache) == ["toy.arff"]


@pytest.mark.parametrize("stale", [b"of another file", CONTENT + b"too long", CONTENT])
@pytest.mark.parametrize("with_ranges", [True, False])
def test_whatever_an_older_part_holds_the_download_ends_well(stale: bytes, with_ranges: bool, server: Server, cache: Path) -> None:
    server.with_ranges = with_ranges
    part = cache / "set" / "toy.arff.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(stale)
    assert QUICK.get(remote(server), cache / "set" / "toy.arff").read_bytes() == CONTENT
    assert left_over(cache) == ["toy.arff"]


def test_wrong_content_is_deleted_and_reported_with_both_checksums(server: Server, cache: Path) -> None:
    wrong = "0" * 64
    with pytest.raises(FetchError, match=f"should be {wrong}, but is {DIGEST}"):
        QUICK.get(remote(server, sha256=wrong), cache / "set" / "toy.arff")
    assert left_over(cache) == []


def test_broken_archive_is_deleted_and_reported(server: Server, cache: Path) -> None:
    server.body = gzip.compress(CONTENT)[:-400]
    with pytest.raises(FetchError, match="unreadable"):
        QUICK.get(remote(server), cache / "set" / "toy.arff")
    assert left_over(cache) == []


def test_missing_file_is_not_asked_for_again(server: Server, cache: Path) -> None:
    server.codes = [404, 404]
    with pytest.raises(FetchError, match=r"HTTP Error 404.*To provide it by hand, get http://127.*set/toy.arff.*POLYTAG_DATA"):
        QUICK.get(remote(server), cache / "set" / "toy.arff")
    assert len(server.ranges) == 1


def test_busy_server_is_asked_again(server: Server, cache: Path) -> None:
    server.codes = [503, 429]
    assert QUICK.get(remote(server), cache / "set" / "toy.arff").read_bytes() == CONTENT
    assert len(server.ranges) == 3


def test_no_server_at_all_is_a_clear_error(cache: Path) -> None:
    gone = Server()
    gone.server_close()
    with pytest.raises(FetchError, match=r"could not download http://127\.0\.0\.1.*by hand"):
        QUICK.get(remote(gone), cache / "set" / "toy.arff")


def test_folder_that_cannot_be_written_is_a_clear_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FetchError, match="POLYTAG_CACHE"):
        QUICK.get(remote(server), tmp_path / "file" / "set" / "toy.arff")


def test_those_who_want_the_same_file_share_one_download(server: Server, cache: Path) -> None:
    pytest.importorskip("fcntl")  # a file lock holds between processes as between these threads
    with ThreadPoolExecutor(4) as pool:
        arrived = list(pool.map(lambda _: QUICK.get(remote(server), cache / "set" / "toy.arff").read_bytes(), range(4)))
    assert arrived == [CONTENT] * 4
    assert len(server.ranges) == 1


@pytest.fixture
def toy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A catalogue with one set."""
    files = {"full": remote(server), "xml": remote(server, "toy.xml")}
    sheet = Entry("toy", "Toy", "toy", "none", "A toy.", "none", "none", Expected(1, 1, 1), files=files)
    monkeypatch.setattr(fetching, "entry", lambda _: sheet)
    return sheet


def test_local_folders_come_first_then_the_cache_then_the_net(
    toy: Entry, server: Server, cache: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    assert fetching.missing(toy) == ["full", "xml"]
    fetched = fetching.fetch("toy", download=QUICK)
    assert fetched == {"full": cache / "set" / "toy.arff", "xml": cache / "set" / "toy.xml"}
    assert fetching.fetch("toy", ["full"], offline=True) == fetched
    assert len(server.ranges) == 2
    assert fetching.missing(toy) == []
    for folder in ("one", "two"):
        (tmp_path / folder / "set").mkdir(parents=True)
    (tmp_path / "two" / "set" / "toy.arff.xz").write_bytes(lzma.compress(CONTENT))
    monkeypatch.setenv("POLYTAG_DATA", os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")]))
    assert data_folders() == [tmp_path / "one", tmp_path / "two"]
    assert fetching.fetch("toy") == fetched | {"full": tmp_path / "two" / "set" / "toy.arff.xz"}


def test_offline_never_asks_the_net(toy: Entry, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FetchError, match="downloads are off"):
        fetching.fetch("toy", offline=True)
    monkeypatch.setenv("POLYTAG_OFFLINE", "1")
    with pytest.raises(FetchError, match=r"'toy' needs set/toy\.arff"):
        fetching.fetch("toy")
    assert server.ranges == []


def test_wrong_local_copy_is_an_error_and_a_wrong_cached_one_is_replaced(
    toy: Entry, server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "set").mkdir(parents=True)
    (cache / "set" / "toy.arff").write_bytes(b"damaged")
    assert fetching.fetch("toy", download=QUICK)["full"].read_bytes() == CONTENT
    mine = tmp_path / "mine" / "set"
    mine.mkdir(parents=True)
    (mine / "toy.arff").write_bytes(b"edited by hand")
    monkeypatch.setenv("POLYTAG_DATA", str(tmp_path / "mine"))
    with pytest.raises(FetchError, match=f"another content than the catalogue expects: sha256 should be {DIGEST}"):
        locate(toy.files["full"])


def test_checksums_are_computed_once_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a file with blanks.gz"
    path.write_bytes(gzip.compress(CONTENT))
    assert known_checksum(path) == checksum(path) == DIGEST
    monkeypatch.setattr("polytag.data.catalogue.folders.checksum", lambda _: "computed again")
    assert known_checksum(path) == DIGEST
    path.write_bytes(gzip.compress(CONTENT + b"!"))
    assert known_checksum(path) == "computed again"


def test_cache_is_where_the_platform_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("POLYTAG_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "polytag"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "polytag"
