"""Numbers as networks like them: mapped to normal scores by their rank among the training values, or cut into pieces."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from torch import Tensor, nn

from polytag.data.table import Table
from polytag.errors import ParameterError

_ROWS = 10_000
"""Rows that quantiles are computed from: more hardly move them."""

_SHARE = 0.5
"""A feature of which one value fills at least this share of the rows (a flag, a count, a sparse weight) is left as it is."""


def quantile_knots(train: Table, count: int = 64) -> Float[Tensor, "d count"]:
    """Return evenly spaced quantiles of each feature, from its smallest to its largest training value.

    Args:
        train: Training rows; from more than 10 000 of them, evenly spaced ones are taken.
        count: Quantiles a feature, at least 2.

    Raises:
        ParameterError: ``count`` is below 2.

    Cost: O(n log n) a feature; sparse features are filled in for one block of columns at a time.

    Example:
        >>> from polytag.data.dataset import Dataset
        >>> table = Table(Dataset(np.array([[0.0], [1.0], [4.0]]), np.ones((3, 1))))
        >>> quantile_knots(table, 5)
        tensor([[0.0000, 0.5000, 1.0000, 2.5000, 4.0000]])
    """
    if count < 2:
        raise ParameterError(f"expected at least 2 quantiles a feature, but got count={count!r}")
    levels = np.linspace(0.0, 1.0, count)
    if train.n == 0:  # a model whose state is about to be loaded
        return torch.as_tensor(np.tile(levels, (train.d, 1)), dtype=torch.float32)
    rows = np.unique(np.linspace(0, train.n - 1, min(train.n, _ROWS)).round().astype(np.int64))
    X: Any = train.dataset.X[rows]
    X = sparse.csc_array(X) if sparse.issparse(X) else X
    blocks = []
    for start in range(0, train.d, 512):
        block = X[:, start : start + 512]
        block = block.toarray() if sparse.issparse(block) else np.asarray(block)
        blocks.append(np.quantile(block.astype(np.float64), levels, axis=0).T)
    return torch.as_tensor(np.concatenate(blocks), dtype=torch.float32)


def many_valued(knots: Float[Tensor, "d count"]) -> Bool[Tensor, "d"]:
    """Say which features are numbers rather than flags, counts or sparse weights: no value fills half of the rows.

    Example:
        >>> many_valued(torch.tensor([[0.0, 0.0, 0.0, 0.7, 1.0], [0.0, 0.2, 0.4, 0.6, 1.0]]))
        tensor([False,  True])
    """
    apart = max(1, int(_SHARE * (knots.shape[1] - 1)))
    return (knots[:, apart:] > knots[:, :-apart]).all(dim=1)


class QuantileNormal(nn.Module):
    """Maps each number to the normal score of its rank among the training values, so that neither its scale nor outliers matter.

    Between two quantiles the map is linear; beyond the training values it is constant; a value that several quantiles share gets the
    middle of their scores. Features in which one value dominates stay as they are (``many_valued``).

    Args:
        knots: Quantiles of each feature, ascending, shape (d, count); kept with the weights.

    Cost: O(b d log count).

    Example:
        >>> scores = QuantileNormal(torch.tensor([[0.0, 1.0, 10.0]]))
        >>> scores(torch.tensor([[1.0], [10.0], [99.0]])).T
        tensor([[0.0000, 0.9674, 0.9674]])
    """

    knots: Tensor
    numeric: Tensor
    scores: Tensor

    def __init__(self, knots: Float[Tensor, "d count"]) -> None:
        super().__init__()
        count = knots.shape[1]
        levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        self.register_buffer("knots", knots.contiguous())
        self.register_buffer("numeric", many_valued(knots))
        self.register_buffer("scores", torch.special.ndtri(levels).to(knots.dtype), persistent=False)

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return the scores of many-valued features, and the other features as they are."""
        columns = self.numeric.nonzero().squeeze(1)
        if not len(columns):
            return x
        knots, values = self.knots[columns], x[:, columns].T.contiguous().to(self.knots.dtype)
        last = knots.shape[1] - 1
        above = torch.searchsorted(knots, values).clamp(max=last)
        below = (torch.searchsorted(knots, values, right=True) - 1).clamp(min=0)
        low, high = knots.gather(1, below), knots.gather(1, above)
        share = torch.where(high > low, (values - low) / (high - low).where(high > low, torch.ones_like(high)), 0.5).clamp(0, 1)
        mapped = torch.lerp(self.scores[below], self.scores[above], share)
        return x.index_copy(1, columns, mapped.T.to(x.dtype))


class PiecewiseLinear(nn.Module):
    """Cuts the range of each feature into pieces and says how far a value fills each: 1, ..., 1, a share, 0, ..., 0.

    A linear layer on it is a continuous, piecewise linear function of each feature: thresholds become easy to learn, as in trees. The
    first and the last piece go on beyond the training values. Pieces without width are always 0, so that a 0/1 feature fills its last
    piece alone and stays what it is.

    Args:
        edges: Edges of the pieces of each feature, ascending, shape (d, bins + 1); kept with the weights.

    Cost: O(b d bins).

    Reference: Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep learning", NeurIPS 2022.

    Example:
        >>> PiecewiseLinear(torch.tensor([[0.0, 1.0, 3.0]]))(torch.tensor([[0.5], [2.0]]))
        tensor([[0.5000, 0.0000],
                [1.0000, 0.5000]])
    """

    slope: Tensor
    shift: Tensor

    def __init__(self, edges: Float[Tensor, "d pieces"]) -> None:
        super().__init__()
        width = edges.diff(dim=1)
        slope = torch.where(width > 0, 1 / width.where(width > 0, torch.ones_like(width)), 0.0)
        self.register_buffer("slope", slope)
        self.register_buffer("shift", -slope * edges[:, :-1])

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b cells"]:
        """Return the pieces of all features, those of one feature side by side, shape (b, d bins)."""
        pieces = torch.addcmul(self.shift, self.slope, x.unsqueeze(2))
        if pieces.shape[2] > 1:
            first, middle, last = pieces[..., :1].clamp(max=1), pieces[..., 1:-1].clamp(0, 1), pieces[..., -1:].clamp(min=0)
            pieces = torch.cat([first, middle, last], dim=2)
        return pieces.flatten(1)
