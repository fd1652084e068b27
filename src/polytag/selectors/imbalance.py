"""How much a row matters for the rare labels: more if it carries one where its neighbours do not."""

import numpy as np
from jaxtyping import Float

from polytag.data.labels import LabelIndex
from polytag.data.neighbours import NeighbourSearch
from polytag.data.stats import minority_labels
from polytag.errors import DataError, ParameterError
from polytag.selectors.targets import cells_of
from polytag.types import Array, ArrayLike


def imbalance_weights(x: ArrayLike, y: ArrayLike | LabelIndex, neighbours: int = 5) -> Float[Array, "n"]:
    """Weigh each row by how lonely its rare labels are: 1, plus its share of the loneliness of each minority label.

    For a minority label j (its imbalance ratio exceeds the mean ratio) and a row i that has it, ``B_ij`` is the share of the nearest
    neighbours that do not have it. Rows with ``B_ij = 1`` count as noise and get nothing; the others get ``B_ij / sum_i B_ij``.

    Args:
        x: Features (n, ...), scaled as the model sees them; dense or sparse.
        y: Labels (n, q), or their index. Unknown cells count as absent.
        neighbours: How many neighbours are asked; fewer if there are not so many rows.

    Returns:
        ``w`` of shape (n,), float64, at least 1. ``sum(w - 1)`` is the number of minority labels that have a row with ``0 < B < 1``.

    Raises:
        ParameterError: ``neighbours < 1``.
        DataError: x and y differ in rows, or x holds NaN.

    Cost: O(r n d) in blocks for the r rows that have a minority label; memory O(n + positives) and blocks of 16 MiB.

    Reference: Zhou, Liu, Wang, Tsoumakas, "Adaptive batch selection for deep multi-label classification", arXiv 2403.18192, 2024, eq. 1-4.

    Differs: A row is excluded from its own neighbours by its number (the published code drops the first one found, which may be an equal
        row), ties go to the lower row number, and labels without positives do not enter the mean imbalance ratio.

    Example:
        >>> x = np.array([[0.0], [1.0], [2.1], [5.0], [6.2]])
        >>> y = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]])
        >>> imbalance_weights(x, y, neighbours=2)
        array([1.5, 1.5, 1. , 2. , 1. ])
    """
    index = y if isinstance(y, LabelIndex) else LabelIndex.from_labels(y)
    if neighbours < 1:
        raise ParameterError(f"expected neighbours >= 1, but got {neighbours}")
    if x.shape[0] != index.n:
        raise DataError(f"expected as many rows in x as in y, but got {x.shape[0]} and {index.n}")
    k = min(neighbours, index.n - 1)
    minority = np.zeros(index.q, dtype=bool)
    minority[minority_labels(index.counts)] = True
    rows = np.unique(np.concatenate([index.rows_of(int(j)) for j in np.flatnonzero(minority)] or [np.empty(0, dtype=np.int64)]))
    if k < 1 or not len(rows):
        return np.ones(index.n)
    around = NeighbourSearch(x).of_training_rows(k, rows)
    at, columns = cells_of(index, rows)
    kept = minority[columns]
    at, columns = at[kept], columns[kept]
    without = k - _holders(index, around[at], columns)
    usable = without < k
    at, columns, lonely = at[usable], columns[usable], without[usable] / k
    totals = np.bincount(columns, weights=lonely, minlength=index.q)[columns]
    shares = np.divide(lonely, totals, out=np.zeros_like(lonely), where=totals > 0)
    return 1 + np.bincount(rows[at], weights=shares, minlength=index.n)


def _holders(index: LabelIndex, rows: Array, columns: Array) -> Array:
    """Count for each line of ``rows`` (m, k) how many have the label ``columns[line]``. Cost: O(m k log positives)."""
    cells = np.repeat(np.arange(index.n), index.sizes) * index.q + index.columns
    asked = rows * index.q + columns[:, None]
    places = np.minimum(np.searchsorted(cells, asked), len(cells) - 1)
    holders: Array = (cells[places] == asked).sum(axis=1)
    return holders
