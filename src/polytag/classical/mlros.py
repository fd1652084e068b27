"""MLROS: more copies of rows with rare labels."""

from typing import Any

import numpy as np

from polytag.classical.base import generator
from polytag.classical.resampling import Resampled, Resampler, read_rows, with_new_rows
from polytag.data.stats import imbalance_ratios, mean_imbalance_ratio, minority_labels
from polytag.errors import ParameterError
from polytag.types import Array, ArrayLike


class MLROS(Resampler):
    """Copy random rows of rare labels until the data have grown by a given share.

    Rare (minority) labels are those with ``IRLbl > MeanIR``; the bag of such a label holds its rows. Round after round, one random row of
    each bag is copied; a bag is dropped once ``IRLbl`` of its label, counted with the copies, is at most the MeanIR of the given data. It
    ends after ``floor(n P / 100)`` copies, or when no bag is left.

    Args:
        percentage: P, the copies in per cent of the rows.
        random_state: Seed of the choice of rows.

    Raises:
        ParameterError: ``percentage`` is negative; said where it is used, not by the constructor.

    Cost: O(positives + copies q).

    Reference: Charte, Rivera, del Jesus and Herrera, "Addressing imbalance in multilabel classification: measures and random resampling
        algorithms", Neurocomputing 2015.

    Differs: The authors' R package copies but never gets to its test, so that it drops no bag; here bags are dropped, as the paper says.

    Example:
        >>> X, Y = np.arange(8.0)[:, None], np.array([[1, 0]] * 7 + [[1, 1]])
        >>> MLROS(50, random_state=0).resample(X, Y).parents
        array([0, 1, 2, 3, 4, 5, 6, 7, 7])
    """

    def __init__(self, percentage: float = 25.0, *, random_state: Any = None) -> None:
        self.percentage = percentage
        self.random_state = random_state

    def resample(self, X: ArrayLike, Y: ArrayLike) -> Resampled:
        """Return the given rows and copies of some; see ``Resampler.resample``."""
        features, labels = read_rows(X, Y)
        self._check(features.shape[1])
        copies = self._copies(labels, generator(self.random_state))
        return with_new_rows(features, labels, Y, features[copies], labels[copies], copies)

    def _check(self, d: int) -> None:
        if not self.percentage >= 0:
            raise ParameterError(f"expected percentage of at least 0, but got {self.percentage!r}")

    def _copies(self, Y: Array, rng: np.random.Generator) -> Array:
        """Return the rows to copy, in the order in which they were drawn."""
        counts = Y.sum(axis=0, dtype=np.int64)
        mean = mean_imbalance_ratio(imbalance_ratios(counts))
        bags = {int(j): np.flatnonzero(Y[:, j]) for j in minority_labels(counts)}
        copies: list[int] = []
        wanted = int(len(Y) * self.percentage / 100)
        while bags and len(copies) < wanted:
            for j in list(bags):
                if len(copies) == wanted:
                    break
                row = int(rng.choice(bags[j]))
                copies.append(row)
                counts += Y[row]
                if counts.max() / counts[j] <= mean:
                    del bags[j]
        return np.array(copies, dtype=np.int64)
