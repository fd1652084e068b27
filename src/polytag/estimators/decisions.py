"""Models that decide by themselves which labels a row has, by a threshold that they learn after their weights."""

import copy
from typing import Any

import numpy as np
import torch

from polytag.data.table import Table
from polytag.models.base import Decides
from polytag.types import Array


def has_own_decisions(model: Any, threshold: Any) -> bool:
    """Say whether a model decides by itself: it can, and nobody asks for another cut than the usual one half."""
    return isinstance(model, Decides) and isinstance(threshold, int | float) and threshold == 0.5


def own_decisions(model: Any, table: Table, *, exact: bool) -> Array:
    """Return the labels that a trained model decides on, shape (n, q), bool.

    Args:
        model: What decides.
        table: Rows.
        exact: Whether to decide in float64, so that the labels of a row do not depend on the rows beside it.
    """
    if exact:
        model = copy.deepcopy(model).double()
    with torch.no_grad():
        found = [model.decide(block.x.double() if exact and block.x.is_floating_point() else block.x).cpu() for block in table.blocks(1024)]
    return np.asarray(torch.cat(found).numpy() > 0.5) if found else np.zeros((0, table.q), dtype=bool)
