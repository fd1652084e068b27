"""REMEDIAL: rows in which rare and frequent labels meet are split in two."""

import numpy as np

from polytag.classical.resampling import Resampled, Resampler, read_rows, with_new_rows
from polytag.data.labels import LabelIndex
from polytag.data.stats import minority_labels, scumble_of_rows
from polytag.types import ArrayLike

_NOISE = 1e-12  # rows with the same SCUMBLE are not above their mean through the last bits of the sum


class REMEDIAL(Resampler):
    """Split a row that has rare and frequent labels into one row with the rare and one with the frequent labels.

    Split are the rows whose SCUMBLE (how far rare and frequent labels meet in a row) is above the mean over all rows. The given row keeps
    the labels with ``IRLbl > MeanIR``; a copy of it, at the end, gets the others. A learner that neglects rare labels where frequent ones
    are present then sees them alone. Often followed by MLROS or MLSMOTE.

    Cost: O(positives + n q).

    Reference: Charte, Rivera, del Jesus and Herrera, "Resampling multilabel datasets by decoupling highly imbalanced labels", HAIS 2015.

    Differs: A row above the mean whose labels are all rare or all frequent is left as it is; splitting it would add a row without labels.

    Example:
        >>> Y = np.array([[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 0, 0]])
        >>> result = REMEDIAL().resample(np.arange(6.0)[:, None], Y)
        >>> result.parents[6:], result.Y[1], result.Y[6]
        (array([1, 2]), array([0, 0, 1]), array([1, 0, 0]))
    """

    def resample(self, X: ArrayLike, Y: ArrayLike) -> Resampled:
        """Return the given rows, some with fewer labels, and their other halves; see ``Resampler.resample``."""
        features, labels = read_rows(X, Y)
        index = LabelIndex.from_labels(labels)
        rare = np.zeros(index.q, dtype=np.uint8)
        rare[minority_labels(index.counts)] = 1
        scumble = scumble_of_rows(index)
        mixed = (labels @ rare > 0) & (labels @ (1 - rare) > 0)
        rows = np.flatnonzero((scumble > scumble.mean() + _NOISE) & mixed)
        halves = labels[rows] * (1 - rare)
        labels[rows] *= rare
        return with_new_rows(features, labels, Y, features[rows], halves, rows)
