"""A catalogue that finds the real data, keeps its notes in a folder of its own, and never reaches the network."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def notes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def catalogue_folders(real_data: Path, notes_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the catalogue at the real data; checksums are remembered for the session."""
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    monkeypatch.setenv("POLYTAG_CACHE", str(notes_folder))
    monkeypatch.setenv("POLYTAG_OFFLINE", "1")
    return real_data
