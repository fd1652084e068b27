"""The words that all layers share: the letters of array shapes and the batch.

Letters in shapes: ``n`` instances, ``d`` features, ``q`` labels, ``b`` batch size, ``k`` drawn or nearest. ``X (n, d)`` and ``Y (n, q)``
are whole sets, ``x`` and ``y`` one batch; ``rows`` number instances, ``columns`` number labels.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

ArrayLike: TypeAlias = Any
"""Dense NumPy array, SciPy sparse matrix or array, or torch tensor."""

Array: TypeAlias = np.ndarray


class Batch(NamedTuple):
    """One mini-batch: which rows, their features, their labels, and how much each counts.

    Attributes:
        rows: Row numbers within the training table, shape (b,), int64.
        x: Features, shape (b, ...), float32; tokens (b, length), int64.
        y: Labels, shape (b, q), float32: 0, 1, or NaN for unknown.
        weight: How much each row (b,) or each cell (b, q) counts in the loss; ``None``: all the same. Weights of mean 1 keep the scale.
    """

    rows: Int[Tensor, "b"]
    x: Float[Tensor, "b ..."]
    y: Float[Tensor, "b q"]
    weight: Float[Tensor, "b"] | Float[Tensor, "b q"] | None = None
