"""ML-kNN: count the labels among the nearest rows, and let Bayes' rule weigh the count."""

from typing import Any

import numpy as np

from polytag.classical.base import ClassicalClassifier
from polytag.data.neighbours import NeighbourSearch
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.types import Array

_BLOCK = 2**22  # cells of counts looked at a time


@register("classical", "mlknn")
class MLkNN(ClassicalClassifier):
    """Look at the k nearest training rows, count how many have a label, and ask how often such a count goes with the label.

    Prior: ``P(H_j = 1) = (s + n_j) / (2 s + n)``. Let ``C_ij`` be how many of the k nearest other rows of training row i have label j, and
    ``c1[j, r]`` (``c0[j, r]``) the number of training rows with (without) label j whose count is r. Then
    ``P(r | H_j = 1) = (s + c1[j, r]) / (s (k + 1) + sum_r c1[j, r])``, likewise for 0, and for a row with r neighbours that have label j
    ``p_j = P(1) P(r | 1) / (P(1) P(r | 1) + P(0) P(r | 0))``. Label j is predicted where ``p_j > 0.5``.

    Args:
        k: Number of neighbours, at most n - 1.
        s: Smoothing, above 0: what is counted before anything is seen.

    Attributes:
        prior_: ``P(H_j = 1)``, shape (varying labels,).
        given_label_: ``P(r | H_j = 1)``, shape (varying labels, k + 1).
        given_no_label_: ``P(r | H_j = 0)``, same shape.
        posterior_: ``p_j`` for each count r, same shape: a prediction looks it up.

    Raises:
        ParameterError: k is not in 1 to n - 1, or s is not positive.

    Cost: O(n^2 d) multiplications in float32 to learn, O(n d) for each predicted row; of stored numbers only if X is sparse. Memory
        O(n d + n q) and blocks of 16 MiB. More than 10 times faster than scikit-multilearn on yeast and bibtex (``benchmarks/mlknn.py``).

    Reference: Zhang and Zhou, "ML-KNN: a lazy learning approach to multi-label learning", Pattern Recognition 2007.

    Differs: The distance is Euclidean on the features as they come; scale them before, as Mulan does. A training row is left out of its own
        neighbours by its number, so that rows equal to it stay; scikit-multilearn counts the row itself unless told to drop the first
        neighbour, which is another one where rows repeat. Of equally near rows the first ones count; a posterior of exactly 0.5 is "no"
        (Mulan flips a coin). Labels constant in training are predicted as that constant, without smoothing.

    Example:
        >>> X, y = np.array([[0.0], [1], [2], [10], [11], [12]]), np.array([1, 1, 0, 0, 0, 1])
        >>> MLkNN(k=2).fit(X, y).predict_proba([[0.4], [1.4], [10.4]])[:, 1].round(4)
        array([0.3333, 0.5   , 0.6667])
    """

    def __init__(self, k: int = 10, *, s: float = 1.0) -> None:
        self.k = k
        self.s = s

    def _check(self, n: int, q: int) -> None:
        if not 1 <= self.k <= n - 1:
            raise ParameterError(f"expected k from 1 to {n - 1} neighbours among n_samples = {n} training rows, but got k = {self.k!r}")
        if not self.s > 0:
            raise ParameterError(f"expected smoothing s above 0, but got {self.s!r}")

    def _learn(self, X: Any, Y: Array, rng: np.random.Generator) -> None:
        (n, q), k, s = Y.shape, self.k, self.s
        self._search, self._labels = NeighbourSearch(X), Y
        near = self._search.of_training_rows(k)
        seen, with_label = np.zeros(q * (k + 1), dtype=np.int64), np.zeros(q * (k + 1), dtype=np.int64)
        size = max(1, _BLOCK // q)
        for start in range(0, n, size):
            cells = self._counts(near[start : start + size]) + np.arange(q) * (k + 1)
            seen += np.bincount(cells.ravel(), minlength=len(seen))
            with_label += np.bincount(cells[Y[start : start + size] == 1], minlength=len(seen))
        c1, c0 = with_label.reshape(q, k + 1), (seen - with_label).reshape(q, k + 1)
        positives = Y.sum(axis=0, dtype=np.int64)
        self.prior_ = (s + positives) / (2 * s + n)
        self.given_label_ = (s + c1) / (s * (k + 1) + positives[:, None])
        self.given_no_label_ = (s + c0) / (s * (k + 1) + (n - positives)[:, None])
        yes, no = self.prior_[:, None] * self.given_label_, (1 - self.prior_)[:, None] * self.given_no_label_
        self.posterior_ = yes / (yes + no)

    def _outcome(self, X: Any) -> tuple[Array, Array]:
        near = self._search.of(X, self.k)
        scores = np.empty((len(near), self._labels.shape[1]))
        size = max(1, _BLOCK // scores.shape[1])
        for start in range(0, len(near), size):
            rows = slice(start, start + size)
            scores[rows] = self.posterior_[np.arange(scores.shape[1]), self._counts(near[rows])]
        return scores, scores > 0.5

    def _counts(self, near: Array) -> Array:
        """Return how many of the neighbours (b, k) have each label, shape (b, q)."""
        counts = np.zeros((len(near), self._labels.shape[1]), dtype=np.int64)
        for neighbour in near.T:
            counts += self._labels[neighbour]
        return counts
