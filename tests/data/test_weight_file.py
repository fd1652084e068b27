"""Files of weights: found, downloaded and checked by the digits in their names."""

import hashlib

import pytest
import torch

from polytag.data.pretrained import weight_file
from polytag.errors import FetchError


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def served(folder, content, digits=None):
    name = f"net-{digits or hashlib.sha256(content).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(content)
    return (folder / name).as_uri()


def test_a_file_is_fetched_once_and_checked(hub, tmp_path):
    url = served(tmp_path, b"weights")
    with pytest.raises(FetchError, match=rf"net-.*not on this machine.*get {url} and save it as {hub}"):
        weight_file(url)
    path = weight_file(url, download=True)
    assert path.parent == hub
    assert path.read_bytes() == b"weights"
    (tmp_path / path.name).unlink()
    assert weight_file(url) == path
    path.write_bytes(b"weighty")
    with pytest.raises(FetchError, match="damaged"):
        weight_file(url)


def test_a_download_of_something_else_is_refused(hub, tmp_path):
    with pytest.raises(FetchError, match=r"could not download .*invalid hash.* To provide it by hand"):
        weight_file(served(tmp_path, b"weights", digits="01234567"), download=True)
    assert not list(hub.iterdir())
    with pytest.raises(FetchError, match="could not download"):
        weight_file((tmp_path / "none-01234567.pth").as_uri(), download=True)


def test_a_name_without_digits_is_taken_as_it_is(hub, tmp_path):
    (tmp_path / "plain.pth").write_bytes(b"weights")
    url = (tmp_path / "plain.pth").as_uri()
    assert weight_file(url, download=True) == weight_file(url)
