"""The maximum of many numbers of which a few change at a time, without looking at all of them."""

import numpy as np

from polytag.types import Array

_FAN = 64


class MaxTree:
    """Numbers with their maximum always at hand: a tree in which each node holds the largest of 64 below it.

    A running maximum would be wrong, because the largest number may fall.

    Args:
        values: The numbers at the start, shape (n,).

    Cost: O(n) to build; at most O(64 m log_64 n) to change m numbers, and O(m) where few of them were or become the largest of their 64;
        O(1) to ask; memory 1.02 n.

    Example:
        >>> tree = MaxTree(np.array([1.0, 5.0, 2.0]))
        >>> tree.change(np.array([1]), np.array([0.5]))
        >>> tree.max
        2.0
    """

    def __init__(self, values: Array) -> None:
        self._n = len(values)
        self._levels = [_padded(np.asarray(values, dtype=np.float64))]
        while len(self._levels[-1]) > _FAN:
            self._levels.append(_padded(self._levels[-1].reshape(-1, _FAN).max(axis=1)))
        self.max = float(self._levels[-1].max())

    @property
    def values(self) -> Array:
        """The numbers, shape (n,); a view, to be changed through ``change`` only."""
        return self._levels[0][: self._n]

    def change(self, places: Array, values: Array) -> None:
        """Set the numbers at some places; of a place given twice, the last value counts."""
        before = self._levels[0][places]
        self._levels[0][places] = values
        for lower, upper in zip(self._levels, self._levels[1:]):
            nodes = places // _FAN
            largest = upper[nodes]
            # A node changes only where its largest number did, or where a new one is larger.
            places = nodes[(before == largest) | (values > largest)]
            before, values = upper[places], lower.reshape(-1, _FAN)[places].max(axis=1)
            upper[places] = values
        self.max = float(self._levels[-1].max())


def _padded(values: Array) -> Array:
    """Return a copy whose length is a multiple of the fan, filled up with minus infinity."""
    padded = np.full(-(-len(values) // _FAN) * _FAN, -np.inf)
    padded[: len(values)] = values
    return padded
