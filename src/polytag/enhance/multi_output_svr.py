"""Support vector regression of several targets at once, which also wants the sign of each target right."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics.pairwise import euclidean_distances

from polytag.errors import DataError, ParameterError
from polytag.types import Array, ArrayLike

_ROWS = 20_000  # a kernel of as many rows and its factor take 6.4 GB
_BLOCK = 2**22  # numbers held at a time
_ROUNDS = 200  # of the search for the sign term's forces
_SMALLEST_STEP = 2.0**-40


class MultiOutputSVR(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Learn several real targets of a row together: a row costs nothing while the whole vector of its targets is met within ``epsilon``.

    With ``f_j(x) = theta_j . phi(x) + b_j`` in the space of a Gaussian kernel, ``K(x, z) = exp(-|x - z|^2 / (2 width^2))``::

        min  1/2 sum_j |theta_j|^2 + C1/2 sum_i max(0, u_i - epsilon)^2 + C2 sum_ij max(0, -sign(t_ij) f_j(x_i))
        u_i = |t_i - f(x_i)|

    The last term wants the sign of each target right, since the sign is what is decided on: row by row a label is predicted where
    ``predict`` is above 0. Targets for it are made of label distributions by ``signed_targets``.

    Args:
        C1: Weight of the distance, above 0 and at most 1e9.
        C2: Weight of the sign, at most 1e9; 0 switches it off. Targets of 0 have no sign.
        epsilon: Distance that costs nothing.
        width: Of the kernel; ``None``: the mean distance of two training rows.
        tol: Stop when the objective falls by less than this share.
        max_iter: Stop after so many steps.

    Attributes:
        coef_: Weight of each training row's kernel, shape (n, q).
        intercept_: b, shape (q,).
        width_: Of the kernel.
        objective_: What was reached.
        n_iter_: Steps taken; equal to ``max_iter`` if it was not at rest by then.

    Cost: each step O(n^3) for one factor of an n by n matrix and O(n^2 q); with ``C2 > 0`` up to 200 times the latter. Memory two matrices
        n by n: more than 20 000 rows are refused. Predicting: O(n (d + q)) a row.

    Reference: Xu, Shu, Zheng, Geng, Meng and Zhang, "Variational label enhancement", TPAMI 2023 (the predictive stage); the search is that
        of Perez-Cruz, Camps-Valls, Soria-Olivas and others, "Multi-dimensional function approximation and regression estimation", ICANN
        2002.

    Differs: the search is re-weighted least squares with step halving, as published, but each step keeps the sign term as it is, where
        the usual step takes its slope at the present signs and so stops where a sign is about to turn, up to 3 % above the minimum in our
        trials.

    Example:
        >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> T = np.array([[1.0, -1.0], [0.5, -0.5], [-0.5, 0.5], [-1.0, 1.0]])
        >>> MultiOutputSVR(C1=100.0).fit(X, T).predict([[0.0], [1.2], [3.0]]).round(1)
        array([[ 1. , -1. ],
               [ 0.3, -0.3],
               [-1. ,  1. ]])
    """

    def __init__(
        self,
        *,
        C1: float = 1.0,
        C2: float = 1.0,
        epsilon: float = 1e-3,
        width: float | None = None,
        tol: float = 1e-5,
        max_iter: int = 200,
    ) -> None:
        self.C1, self.C2, self.epsilon, self.width, self.tol, self.max_iter = C1, C2, epsilon, width, tol, max_iter

    def fit(self, X: ArrayLike, T: ArrayLike) -> Self:
        """Learn from rows X (n, d), dense or sparse, and their targets T (n, q).

        Raises:
            DataError: Shapes do not fit, a number is not finite, or there are more than 20 000 rows.
            ParameterError: A parameter makes no sense.
        """
        task = Task(self.C1, self.C2, self.epsilon, self.tol, self.max_iter)
        X, T = matrix("X", X), matrix("T", T)
        if X.shape[0] != T.shape[0] or not T.size:
            raise DataError(f"expected X of shape (n, d) and T of shape (n, q) with n, q >= 1, but got {X.shape} and {T.shape}")
        self._kernel = Kernel.of(X, self.width)
        n, q = T.shape
        found, self.objective_, self.n_iter_ = task.solve(self._kernel.matrix(), T, Solution(np.zeros((n, q)), np.zeros(q)))
        self.coef_, self.intercept_ = found
        self.width_ = self._kernel.width
        return self

    def predict(self, X: ArrayLike) -> Float[Array, "m q"]:
        """Return f(x) of each row, shape (m, q).

        Raises:
            DataError: ``fit`` has not been called, the number of features differs, or a number is not finite.
        """
        if not hasattr(self, "coef_"):
            raise DataError("expected fit(X, T) before predict(X), but it has not been called")
        return self._kernel.predict(matrix("X", X), Solution(self.coef_, self.intercept_))


def signed_targets(degrees: Float[Array, "n q"]) -> Float[Array, "n q"]:
    """Return the degrees of each row stretched from -1, the least, to 1, the greatest; 0 where all are the same.

    Example:
        >>> signed_targets(np.array([[0.2, 0.3, 0.5], [0.4, 0.4, 0.4]])).round(3)
        array([[-1.   , -0.333,  1.   ],
               [ 0.   ,  0.   ,  0.   ]])
    """
    low, high = degrees.min(axis=1, keepdims=True), degrees.max(axis=1, keepdims=True)
    flat = high == low
    stretched: Array = np.where(flat, 0.0, 2 * (degrees - low) / np.where(flat, 1.0, high - low) - 1)
    return stretched


class Solution(NamedTuple):
    """What is looked for: ``f = K coef + intercept``.

    Attributes:
        coef: Shape (n, q).
        intercept: Shape (q,).
    """

    coef: Float[Array, "n q"]
    intercept: Float[Array, "q"]


@dataclass(frozen=True)
class Kernel:
    """A Gaussian kernel on the training rows.

    Attributes:
        rows: Training rows (n, d), dense ones moved by ``centre``, which keeps small distances exact.
        centre: Shape (d,), or 0 if rows are sparse.
        width: ``K(x, z) = exp(-|x - z|^2 / (2 width^2))``.
    """

    rows: Any
    centre: Any
    width: float

    @classmethod
    def of(cls, X: Any, width: float | None = None) -> Self:
        """Return the kernel on these rows; without a width, it is the mean distance of two rows (1 where that is 0).

        Raises:
            DataError: There are more than 20 000 rows.
            ParameterError: The width is not a number above 0.
        """
        if width is not None and not 0 < width < np.inf:
            raise ParameterError(f"expected a finite width > 0, or None for the mean distance of two rows, but got {width!r}")
        n = X.shape[0]
        if n > _ROWS:
            raise DataError(f"expected at most {_ROWS} rows, since the kernel takes n x n numbers, but got {n}; take a sample of them")
        centre = 0.0 if sparse.issparse(X) else X.mean(axis=0)
        rows = X if sparse.issparse(X) else X - centre
        if width is None:
            size, total = max(1, _BLOCK // n), 0.0
            for start in range(0, n, size):
                distances = euclidean_distances(rows[start : start + size], rows)
                distances.flat[start :: n + 1] = 0.0  # of a row to itself; rounding would leave 1e-8
                total += float(distances.sum())
            mean = total / max(n * (n - 1), 1)
            width = mean if mean > 1e-7 * _length(rows) else 1.0  # less is rounding: all rows are the same
        return cls(rows, centre, width)

    def matrix(self) -> Float[Array, "n n"]:
        """Return K of all training rows."""
        return self._values(self.rows, None)

    def predict(self, X: Any, solution: Solution) -> Float[Array, "m q"]:
        """Return ``K(X, rows) coef + intercept``, block by block."""
        if X.shape[1] != self.rows.shape[1]:
            raise DataError(f"expected {self.rows.shape[1]} features as in fit, but got {X.shape[1]}")
        rows = X if sparse.issparse(self.rows) else (X.toarray() if sparse.issparse(X) else X) - self.centre
        found = np.empty((rows.shape[0], solution.coef.shape[1]))
        size = max(1, _BLOCK // self.rows.shape[0])
        for start in range(0, len(found), size):
            block = slice(start, start + size)
            found[block] = self._values(rows[block], self.rows) @ solution.coef + solution.intercept
        return found

    def _values(self, left: Any, right: Any) -> Array:
        squared: Array = euclidean_distances(left, right, squared=True)
        squared *= -1 / (2 * self.width**2)
        np.exp(squared, out=squared)
        return squared


@dataclass(frozen=True)
class Task:
    """What ``MultiOutputSVR`` minimises, and how; its parameters are described there.

    Raises:
        ParameterError: A parameter makes no sense.
    """

    C1: float
    C2: float
    epsilon: float
    tol: float
    max_iter: int

    def __post_init__(self) -> None:
        if not 0 < self.C1 <= 1e9 or not 0 <= self.C2 <= 1e9:
            raise ParameterError(f"expected 0 < C1 <= 1e9 and 0 <= C2 <= 1e9, but got C1 = {self.C1!r} and C2 = {self.C2!r}")
        if not self.epsilon >= 0 or not self.tol >= 0 or self.max_iter < 1:
            got = f"epsilon = {self.epsilon!r}, tol = {self.tol!r} and max_iter = {self.max_iter!r}"
            raise ParameterError(f"expected epsilon >= 0, tol >= 0 and max_iter >= 1, but got {got}")

    def objective(self, K: Array, T: Array, at: Solution) -> float:
        """Return the value to be minimised."""
        image = K @ at.coef
        F = image + at.intercept
        far = np.maximum(np.linalg.norm(T - F, axis=1) - self.epsilon, 0)
        wrong = np.maximum(-np.sign(T) * F, 0).sum() if self.C2 else 0.0
        return float((at.coef * image).sum() / 2 + self.C1 / 2 * (far**2).sum() + self.C2 * wrong)

    def solve(self, K: Array, T: Array, start: Solution) -> tuple[Solution, float, int]:
        """Return the minimum, its value, and the steps taken.

        Args:
            K: Kernel of the training rows (n, n).
            T: Targets (n, q).
            start: Where to begin.
        """
        at, value = start, self.objective(K, T, start)
        forces = np.zeros_like(T)
        for step in range(1, self.max_iter + 1):
            F = K @ at.coef + at.intercept
            weights = pull(T - F, self.C1, self.epsilon)
            goal, forces = self._goal(K, T, F, weights, forces, at.intercept)
            share = 1.0
            new, new_value = goal, self.objective(K, T, goal)
            while not new_value < value and share > _SMALLEST_STEP:
                share /= 2
                new = Solution(*(a + share * (g - a) for a, g in zip(at, goal)))
                new_value = self.objective(K, T, new)
            if not new_value < value:
                return at, value, step
            at, last, value = new, value, new_value
            if last - value <= self.tol * last:
                break
        return at, value, step

    def _goal(self, K: Array, T: Array, F: Array, weights: Array, forces: Array, b: Array) -> tuple[Solution, Array]:
        """Minimise with ``sum_i weights_i u_i^2 / 2`` in place of the distance term; return it and the forces of the sign term.

        The sign term is met by turns (alternating directions): signs are set right on copies Z of F, and forces pull F towards Z.
        """
        if not self.C2:
            return _WeightedLeastSquares(K, weights).solve(T, b), forces
        rho = 3 * self.C1 + self.C2  # found by trial: 80 to 400 rounds from C2 = C1/10 to 50 C1
        heavy = (weights + rho)[:, None]
        system = _WeightedLeastSquares(K, weights + rho)
        signs, Z = np.sign(T), F
        for _ in range(_ROUNDS):
            targets = (weights[:, None] * T + rho * Z - forces) / heavy
            found = system.solve(targets, b)
            F = targets - found.coef / heavy  # = K coef + intercept
            margin = signs * (F + forces / rho)
            last, Z = Z, np.where(signs == 0, F, signs * (np.maximum(margin, 0) + np.minimum(margin + self.C2 / rho, 0)))
            forces = forces + rho * (F - Z)
            if max(np.abs(Z - last).max(), np.abs(F - Z).max()) <= self.tol / 10 * np.abs(T).max():
                break
        return found, forces


def pull(difference: Float[Array, "n q"], C: float, epsilon: float) -> Float[Array, "n"]:
    """Return the weights ``C max(0, 1 - epsilon / u_i)``, with which ``C/2 max(0, u_i - epsilon)^2`` has the slope of a square."""
    u = np.linalg.norm(difference, axis=1)
    weights: Array = C * np.maximum(u - epsilon, 0) / np.where(u > 0, u, 1.0)
    return weights


class _WeightedLeastSquares:
    """Ridge regression in the kernel's space with weighted rows: ``coef + weights (K coef + b - T) = 0``, ``sum_i coef_i = 0``.

    With ``h = sqrt(weights)`` and ``coef = h g`` it is ``(I + h K h) g = h (T - b)``, which no weight of 0 can upset.
    """

    def __init__(self, K: Array, weights: Array) -> None:
        self._h = np.sqrt(weights)[:, None]
        matrix = K * self._h
        matrix *= self._h.T
        matrix.flat[:: len(K) + 1] += 1.0
        self._factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        self._lift = cho_solve(self._factor, self._h)
        self._total = float((self._h * self._lift).sum())

    def solve(self, T: Array, b: Array) -> Solution:
        """Return the minimum for these targets; where no row weighs anything, b stays as it is."""
        g = cho_solve(self._factor, self._h * T)
        if self._total > 0:
            b = (self._h * g).sum(axis=0) / self._total
        return Solution(self._h * (g - self._lift * b), b)


def matrix(name: str, values: ArrayLike) -> Any:
    """Return a matrix of finite float64 numbers, dense or CSR."""
    found = values.tocsr().astype(np.float64) if hasattr(values, "tocsr") else np.asarray(values, dtype=np.float64)
    if found.ndim != 2:
        raise DataError(f"expected {name} with two dimensions, but got shape {found.shape}")
    if not np.isfinite(found.data if hasattr(found, "indptr") else found).all():
        raise DataError(f"expected finite numbers in {name}, but some are NaN or infinite; fill them in first")
    return found


def _length(rows: Any) -> float:
    """Return the greatest length of a row."""
    squares = rows.multiply(rows) if sparse.issparse(rows) else rows**2
    return float(np.sqrt(np.asarray(squares.sum(axis=1)).max()))
