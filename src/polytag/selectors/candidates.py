"""What the selectors that look at candidates share: uniform candidates, the best of them, and the weights of the batch just drawn."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.errors import DataError, ParameterError
from polytag.selectors.base import BatchSelector
from polytag.types import Array


class KeepsHardest(BatchSelector):
    """Keeps candidates for their losses. Easy rows have next to no chance of their own, so no weights can make a batch speak for them.

    Candidates are uniform, and ``density`` and ``probabilities`` are those of candidates.

    Args:
        *args: Labels and batch size, as for ``BatchSelector``.
        **shared: Those of ``BatchSelector``; ``correction`` is refused.

    Raises:
        ParameterError: ``correction > 0``.
    """

    def __init__(self, *args: Any, **shared: Any) -> None:
        super().__init__(*args, **shared)
        if self.correction:
            self.importance_weights(np.arange(1))

    def importance_weights(self, *args: Any, **how: Any) -> Float[Tensor, "b"]:
        """Refuse.

        Raises:
            ParameterError: Always.
        """
        raise ParameterError(
            f"{type(self).__name__} has no importance weights: it leaves easy candidates out, so that nothing in a batch stands for them; "
            "use correction=0, or Importance or InfoBatch, which weigh what they choose"
        )


def pool_size(name: str, factor: float, batch_size: int, n: int) -> int:
    """Return how many candidates ``factor`` batches are; never more than there are rows.

    Raises:
        ParameterError: The factor is below 1 or not finite.
    """
    if not 1 <= factor < np.inf:
        raise ParameterError(f"expected a finite {name} >= 1 (candidates for each row of a batch), but got {name}={factor!r}")
    return min(max(round(factor * batch_size), batch_size), n)


def uniform_rows(n: int, k: int, generator: np.random.Generator) -> Int[Tensor, "k"]:
    """Return k different rows out of n, all equally likely, in random order. Cost: O(k) whatever n is."""
    return torch.from_numpy(generator.choice(n, size=k, replace=False))


def largest(scores: Float[Array, "m"], k: int) -> Int[Array, "k"]:
    """Return the positions of the k largest scores, largest first.

    Equal scores stay in their order, which is random for candidates: ties are broken evenly. Cost: O(m log m).
    """
    return np.argsort(-scores, kind="stable")[:k]


class BatchWeights:
    """The loss weights of the batch just drawn, found again by row number, so that parts of the batch can ask for theirs."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget them: the batch that comes has no weights."""
        self._rows: Array = np.empty(0, dtype=np.int64)
        self._weights: Tensor = torch.empty(0)

    def put(self, rows: Int[Array, "b"], weights: Float[Tensor, "b ..."]) -> None:
        """Keep the weights (b,) or (b, q) of the rows of a batch; a row that stands there twice has the same weight twice."""
        order = np.argsort(rows, kind="stable")
        self._rows, self._weights = rows[order], weights[torch.from_numpy(order)]

    @property
    def empty(self) -> bool:
        """Whether the batch just drawn has no weights."""
        return len(self._rows) == 0

    def of(self, rows: Int[Array, "b"]) -> Float[Tensor, "b ..."] | None:
        """Return the weights of some rows of the batch; ``None`` if it has none.

        Raises:
            DataError: A row does not belong to the batch.
        """
        if self.empty:
            return None
        at = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
        strange = self._rows[at] != rows
        if strange.any():
            raise DataError(
                f"expected rows of the batch just drawn, but row {int(rows[strange][0])} is not in it; ask before the next batch"
            )
        return self._weights[torch.from_numpy(at)]
