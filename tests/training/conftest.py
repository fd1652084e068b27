"""Made-up rows to train on."""

import numpy as np
import pytest

from polytag import Dataset, Table


def rows(n: int, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    Y = (X @ rng.normal(size=(5, 4)) + rng.normal(size=(n, 4)) - 0.8 > 0).astype(np.uint8)
    return Table(Dataset(X, Y))


@pytest.fixture
def table() -> Table:
    """Return 90 training rows: 5 features, 4 labels."""
    return rows(90, seed=0)


@pytest.fixture
def valid() -> Table:
    """Return 40 other rows."""
    return rows(40, seed=1)
