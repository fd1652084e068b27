"""Class counts: how often each label is positive in the training rows, which the re-weighting losses need."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.errors import ParameterError
from polytag.types import Array

if TYPE_CHECKING:
    from polytag.data.table import Table

Counts = int | Sequence[int] | Array | Tensor
"""One number, or one a label."""


def positives(train: "Table") -> Array:
    """Return the number of rows in which each label is known to be positive, shape (q,).

    Cost: none beyond the label index, which the data set keeps.
    """
    return train.labels.counts


def known_rows(train: "Table") -> int | Array:
    """Return the number of rows in which a label is known: the number of rows, or one number a label where some labels are unknown.

    Cost: O(n q) for dense labels that may be unknown, O(positives) for sparse ones.

    Example:
        >>> from polytag.data import Dataset, Table
        >>> known_rows(Table(Dataset(np.eye(3), np.array([[1, 0], [0, np.nan], [1, 1]]))))
        array([3, 2])
    """
    Y: Any = train.dataset.Y
    values = Y.data if hasattr(Y, "indptr") else Y
    if not np.issubdtype(values.dtype, np.floating):
        return train.n
    unknown = np.isnan(values)
    if not unknown.any():
        return train.n
    if hasattr(Y, "indptr"):
        return np.asarray(train.n - np.bincount(Y.indices[unknown], minlength=train.q))
    return np.asarray(train.n - unknown.sum(axis=0))


def log_odds(train: "Table") -> Float[Tensor, "q"]:
    """Return the log-odds of each label among the rows in which it is known, with half a positive and half a negative added.

    Example:
        >>> from polytag.data import Dataset, Table
        >>> log_odds(Table(Dataset(np.eye(3), np.array([[1, 0], [0, np.nan], [1, 1]]))))
        tensor([0.5108, 0.0000])
    """
    count = positives(train)
    return torch.as_tensor(np.log((count + 0.5) / (known_rows(train) - count + 0.5)), dtype=torch.float32)


def count_tensor(name: str, counts: Counts, at_least: int = 0) -> Int[Tensor, "..."]:
    """Return counts as whole numbers, which neither ``half()`` nor ``double()`` of a module changes.

    Raises:
        ParameterError: A count is no whole number, or too small.
    """
    values = torch.as_tensor(counts)
    whole = values.to(torch.int64)
    if not bool((whole == values).all()) or not bool((whole >= at_least).all()):
        raise ParameterError(f"expected {name} to be whole numbers >= {at_least}, but got {counts!r}")
    return whole


def expected_positives(train: "Table") -> float:
    """Return how many positives a row has in the mean, as far as the known labels tell.

    The sum over labels of the share of positives among the rows in which the label is known. Where no label is known to be negative (only
    positives were collected) that would be every label, so there it is the mean number of known positives, which is too low.

    Example:
        >>> from polytag.data import Dataset, Table
        >>> expected_positives(Table(Dataset(np.eye(4), np.array([[1, 0], [0, np.nan], [1, 1], [0, np.nan]]))))
        1.0
    """
    counts, known = positives(train), np.broadcast_to(known_rows(train), (train.q,))
    shares = counts / np.maximum(train.n if (counts == known).all() else known, 1)
    return float(shares.sum())
