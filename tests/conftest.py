"""What all tests share: the folder of real data, a generator, and no stray global randomness."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # workers share the cores
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def data_folder() -> Path | None:
    """Return the folder of real data sets, or None."""
    given = os.environ.get("POLYTAG_DATA")
    folders = [Path(p) for p in given.split(os.pathsep)] if given else [SHARED / "data"]
    return next((folder for folder in folders if (folder / "index.json").exists()), None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real data sets, or skip."""
    folder = data_folder()
    if folder is None:
        pytest.skip("needs the real data sets: set POLYTAG_DATA to a folder laid out like shared/data")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder with numbers of the published codes, or skip."""
    folder = Path(os.environ.get("POLYTAG_GOLDEN", SHARED / "golden"))
    if not (folder / "index.json").exists():
        pytest.skip("needs the published codes' numbers: set POLYTAG_GOLDEN to a folder laid out like shared/golden")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed seed."""
    return np.random.default_rng(0)
