"""MLSMOTE: new rows between rows that share a rare label."""

from typing import Any, Literal

import numpy as np
from scipy import sparse

from polytag.classical.base import generator
from polytag.classical.resampling import Resampled, Resampler, read_rows, with_new_rows
from polytag.data.neighbours import NeighbourSearch
from polytag.data.stats import minority_labels
from polytag.errors import ParameterError
from polytag.types import Array, ArrayLike


class MLSMOTE(Resampler):
    """Make one new row for each row of each rare label, somewhere between that row and a similar one with the same rare label.

    For a minority label (``IRLbl > MeanIR``) and each row s of its bag: take the k nearest rows in the bag, and one of them, r, at
    random. A numeric feature becomes ``s + u (r - s)`` with u uniform in [0, 1) for each feature; a nominal one the most frequent value
    among the neighbours.
    Labels: ``"ranking"`` keeps those that more than half of s and its k' neighbours have, ``count > (k' + 1) / 2``; ``"union"`` keeps
    those that any has, ``"intersection"`` those that all have.

    Args:
        k: Neighbours; all other rows of the bag if there are fewer.
        labels: ``"ranking"``, ``"union"`` or ``"intersection"``.
        nominal: Column numbers of nominal features, whose codes cannot be averaged; two different values are at distance 1.
        random_state: Seed of the reference rows and of the places between.

    Raises:
        ParameterError: k is below 1, or there is no such rule or column; said where they are used, not by the constructor.

    Cost: O(sum over minority labels of bag^2 d); new rows are computed dense and stored as X is.

    Reference: Charte, Rivera, del Jesus and Herrera, "MLSMOTE: approaching imbalanced multilabel learning through synthetic instance
        generation", Knowledge-Based Systems 2015.

    Differs: Nominal features count 0 or 1 in the distance instead of the value difference metric. A bag of one row makes nothing. Among
        equally frequent nominal values the lowest is taken.

    Example:
        >>> X, Y = np.arange(8.0)[:, None], np.array([[1, 0]] * 6 + [[1, 1]] * 2)
        >>> MLSMOTE(random_state=0).resample(X, Y).Y[8:]
        array([[1, 1],
               [1, 1]])
    """

    def __init__(
        self,
        k: int = 5,
        *,
        labels: Literal["ranking", "union", "intersection"] = "ranking",
        nominal: ArrayLike = (),
        random_state: Any = None,
    ) -> None:
        self.k = k
        self.labels = labels
        self.nominal = nominal
        self.random_state = random_state

    def resample(self, X: ArrayLike, Y: ArrayLike) -> Resampled:
        """Return the given rows and new ones; see ``Resampler.resample``."""
        features, labels = read_rows(X, Y)
        self._check(features.shape[1])
        nominal, rng = self._nominal_columns(features.shape[1]), generator(self.random_state)
        new_X: list[Any] = []
        new_Y: list[Array] = []
        parents: list[Array] = []
        for j in minority_labels(labels.sum(axis=0, dtype=np.int64)):
            bag = np.flatnonzero(labels[:, j])
            if len(bag) < 2:
                continue
            rows = features[bag].toarray() if sparse.issparse(features) else features[bag]
            near = NeighbourSearch(_comparable(rows, nominal)).of_training_rows(min(self.k, len(bag) - 1))
            made = _between(rows, near, nominal, rng)
            new_X.append(sparse.csr_array(made) if sparse.issparse(features) else made)
            new_Y.append(self._new_labels(labels[bag], near))
            parents.append(bag)
        if not parents:
            nothing = np.empty(0, dtype=np.int64)
            return with_new_rows(features, labels, Y, features[nothing], labels[nothing], nothing)
        stack = (lambda parts: sparse.vstack(parts, format="csr")) if sparse.issparse(features) else np.concatenate
        return with_new_rows(features, labels, Y, stack(new_X), np.concatenate(new_Y), np.concatenate(parents))

    def _check(self, d: int) -> None:
        if not self.k >= 1:
            raise ParameterError(f"expected k, the number of neighbours, to be at least 1, but got {self.k!r}")
        if self.labels not in ("ranking", "union", "intersection"):
            raise ParameterError(f"expected labels 'ranking', 'union' or 'intersection', but got {self.labels!r}")
        self._nominal_columns(d)

    def _nominal_columns(self, d: int) -> Array:
        columns = np.unique(np.asarray(self.nominal, dtype=np.intp).ravel())
        if columns.size and not (columns[0] >= 0 and columns[-1] < d):
            raise ParameterError(f"expected nominal to hold column numbers from 0 to {d - 1}, but got {self.nominal!r}")
        return columns

    def _new_labels(self, Y: Array, near: Array) -> Array:
        """Return the labels of the new row of each row of the bag."""
        counts = Y + Y[near].sum(axis=1, dtype=np.int64)
        size = near.shape[1] + 1
        least = {"ranking": size // 2 + 1, "union": 1, "intersection": size}[self.labels]
        return np.asarray(counts >= least, dtype=np.uint8)


def _between(rows: Array, near: Array, nominal: Array, rng: np.random.Generator) -> Array:
    """Return a new row between each row and a random one of its neighbours."""
    reference = near[np.arange(len(rows)), rng.integers(near.shape[1], size=len(rows))]
    made: Array = rows + rng.random(rows.shape, dtype=rows.dtype.type) * (rows[reference] - rows)
    for column in nominal:
        values, codes = np.unique(rows[:, column], return_inverse=True)
        chosen = codes[near]
        counts = np.zeros((len(rows), len(values)), dtype=np.int64)
        np.add.at(counts, (np.arange(len(rows))[:, None], chosen), 1)
        made[:, column] = values[counts.argmax(axis=1)]
    return made


def _comparable(rows: Array, nominal: Array) -> Array:
    """Return features whose Euclidean distance counts 1 for each nominal feature that differs: one column a value, scaled by sqrt(1/2)."""
    if not nominal.size:
        return rows
    indicators = [(rows[:, [c]] == np.unique(rows[:, c])) * np.sqrt(0.5) for c in nominal]
    return np.hstack([np.delete(rows, nominal, axis=1), *indicators])
