"""GLLE: labels are smoothed over a graph of neighbours, so that rows that look alike are described alike."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.special import softmax

from polytag.data.duplicates import duplicate_groups
from polytag.data.neighbours import NeighbourSearch
from polytag.data.scale import Scaler
from polytag.enhance.base import Enhancer, checked
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.types import Array, ArrayLike

_BLOCK = 2**22  # numbers held at a time
_STEPS = 10_000  # of conjugate gradients, at most


@register("enhancer", "glle")
class GLLE(Enhancer):
    """Recover label distributions by letting each row take over some of its neighbours' labels (graph Laplacian label enhancement).

    A linear model ``D* = [K, 1] W`` on a Gaussian kernel of the z-scored features shall be near the labels L and vary little between
    neighbours: ``min_W ||D* - L||^2 + smoothing tr(D*^T G D*)`` with ``G = diag(A 1) - A``, ``a_ij = exp(-|x_i - x_j|^2 / (2 sigma^2))``
    where i is among the nearest of j or j among those of i, and 0 elsewhere. Each row of D* becomes a distribution by a softmax.

    The kernel matrix of distinct rows has full rank, so that any D* can be had that is equal on equal rows; the minimum is
    then ``(I + smoothing G)^-1 L``, and no kernel need be computed. Equal rows are one unknown that counts as often as they are there.

    Args:
        k: How many rows a row is joined to, counting itself, as the authors' code does: 20 means 19 others. ``None``: one other row more
            than there are labels, as we know the paper. With fewer rows, all.
        sigma: Width of the edge weights; ``None``: the mean distance of joined rows.
        smoothing: Weight of the graph (lambda), 0 to 1e6; 0 gives the softmax of the labels.
        beta: See ``Enhancer``.

    Raises:
        ParameterError: A parameter makes no sense, or ``smoothing`` is so large that the smoothing does not come to rest.

    Cost: O(n^2 d) multiplications in float32 to find the neighbours, of stored numbers if X is sparse; then some tens of passes over at
        most ``2 k n`` edges and q labels. Memory O(n (d + k + q)), so that n is not limited.

    Reference: Xu, Tao and Geng, "Label enhancement for label distribution learning", IJCAI 2018.

    Differs: the authors' code searches W with L-BFGS from a random start and stops near the minimum; this is the minimum, without chance.
        Constant features stay 0 instead of NaN. The journal version (TKDE 2021) adds a term on local correlations of labels,
        which its authors have not released; it is left out.

    Example:
        >>> X, Y = np.array([[0.0], [0.1], [5.0]]), np.array([[1, 0], [0, 1], [1, 0]])
        >>> GLLE(k=2, sigma=None, smoothing=1.0).fit_transform(X, Y).round(3)
        array([[0.595, 0.405],
               [0.443, 0.557],
               [0.699, 0.301]])
    """

    def __init__(self, *, k: int | None = 20, sigma: float | None = 10.0, smoothing: float = 0.01, beta: float = 0.01) -> None:
        super().__init__(beta=beta)
        check_graph(k, sigma, smoothing)
        self.k, self.sigma, self.smoothing = k, sigma, smoothing

    def fit_transform(self, X: ArrayLike, Y: ArrayLike, *, seed: int = 0) -> Float[Array, "n q"]:
        """Return the label distribution of each row; the seed changes nothing."""
        found: Array = softmax(self.degrees(X, Y), axis=1)
        return found

    def degrees(self, X: ArrayLike, Y: ArrayLike) -> Float[Array, "n q"]:
        """Return D*, the smoothed labels before the softmax; as 0 and 1 are, only less sure."""
        X, L = checked(X, Y)
        Z = z_scorer(X).transform(X)
        G = laplacian(neighbour_graph(Z, self.k or L.shape[1] + 2, self.sigma))
        groups = duplicate_groups(Z)
        member = sparse.csr_array((np.ones(len(L)), (np.arange(len(L)), groups)))  # one column for each distinct row
        system = sparse.diags_array(np.bincount(groups).astype(np.float64)) + self.smoothing * (member.T @ G @ member)
        smooth: Array = conjugate_gradients(system.tocsr(), member.T @ L)[groups]
        return smooth


def check_graph(k: int | None, sigma: float | None, smoothing: float) -> None:
    """Refuse parameters of the graph that make no sense.

    Raises:
        ParameterError: k is no whole number from 1, sigma not a number above 0, or smoothing not in [0, 1e6].
    """
    if k is not None and (k < 1 or k != int(k)):
        raise ParameterError(f"expected a whole number k >= 1 of rows (counting the row itself) or None, but got {k!r}")
    if sigma is not None and not 0 < sigma < np.inf:
        raise ParameterError(f"expected a finite sigma > 0, or None for the mean distance of joined rows, but got {sigma!r}")
    if not 0 <= smoothing <= 1e6:
        raise ParameterError(f"expected a smoothing from 0 to 1e6, where joined rows are long the same, but got {smoothing!r}")


def z_scorer(X: ArrayLike) -> Scaler:
    """Return the map of each feature to mean 0 and standard deviation 1 (dividing by n - 1); constant features become 0.

    Sparse features keep their mean, and so their zeros; no distance depends on it.
    """
    scaler, n = Scaler.fit(X, "standard", missing="refuse"), X.shape[0]
    return replace(scaler, width=scaler.width * np.sqrt(n / max(n - 1, 1)))


def neighbour_graph(X: ArrayLike, k: int, sigma: float | None) -> Any:
    """Return the weights A of the graph that joins each row to its nearest ones, shape (n, n), CSR, symmetric, with diagonal 0.

    Args:
        X: Features (n, d), dense or CSR.
        k: How many rows a row is joined to, counting itself.
        sigma: Of the weights ``exp(-|x_i - x_j|^2 / (2 sigma^2))``; ``None``: the mean distance of joined rows.
    """
    n = X.shape[0]
    near = NeighbourSearch(X).of_training_rows(min(k, n) - 1)
    rows = np.repeat(np.arange(n), near.shape[1])
    low, high = np.divmod(np.unique(np.minimum(rows, near.ravel()) * n + np.maximum(rows, near.ravel())), n)
    squared = _squared_distances(X, low, high)
    if sigma is None:
        sigma = float(np.sqrt(squared).mean()) if squared.any() else 1.0
    weights = np.exp(-squared / (2 * sigma**2))
    return sparse.csr_array((np.tile(weights, 2), (np.concatenate([low, high]), np.concatenate([high, low]))), shape=(n, n))


def laplacian(A: Any) -> Any:
    """Return ``diag(A 1) - A``."""
    return sparse.diags_array(np.asarray(A.sum(axis=1)).reshape(-1)).tocsr() - A


def conjugate_gradients(system: Any, right: Float[Array, "n q"], *, tol: float = 1e-12) -> Float[Array, "n q"]:
    """Return the solution of ``system @ D = right`` for a sparse symmetric matrix whose eigenvalues are positive.

    The matrix is scaled by its diagonal, which leaves few eigenvalues far from 1, so that a few tens of steps do. Where the smallest
    eigenvalue is 1 or more, no column is further from the solution than ``tol`` times the length of its right-hand side.

    Raises:
        ParameterError: It does not come to rest.
    """
    solution = np.empty_like(right)
    size = max(1, _BLOCK // len(right))
    for start in range(0, right.shape[1], size):
        columns = slice(start, start + size)
        solution[:, columns] = _solve(system, right[:, columns], tol)
    return solution


def _solve(system: Any, right: Array, tol: float) -> Array:
    scale = 1 / system.diagonal()[:, None]
    limit = tol * np.linalg.norm(right, axis=0)
    solution, residual = np.zeros_like(right), right.copy()
    direction = scale * residual
    energy = (residual * direction).sum(axis=0)
    for _ in range(_STEPS):
        going = np.linalg.norm(residual, axis=0) > limit
        if not going.any():
            return solution
        image = system @ direction
        step = np.divide(energy, (direction * image).sum(axis=0), out=np.zeros_like(energy), where=going)
        solution += step * direction
        residual -= step * image
        scaled = scale * residual
        last, energy = energy, (residual * scaled).sum(axis=0)
        direction = scaled + np.divide(energy, last, out=np.zeros_like(energy), where=going) * direction
    raise ParameterError(f"expected the smoothing to come to rest within {_STEPS} steps, but it did not; take a smaller smoothing")


def _squared_distances(X: Any, left: Array, right: Array) -> Array:
    """Return the squared distances of pairs of rows, shape (pairs,), as sums of squared differences."""
    found = np.empty(len(left))
    size = 2**16 if sparse.issparse(X) else max(1, _BLOCK // max(X.shape[1], 1))
    for start in range(0, len(left), size):
        pairs = slice(start, start + size)
        difference = X[left[pairs]] - X[right[pairs]]
        squares = difference.multiply(difference) if sparse.issparse(difference) else difference**2
        found[pairs] = np.asarray(squares.sum(axis=1)).reshape(-1)
    return found
