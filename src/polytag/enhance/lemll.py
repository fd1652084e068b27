"""LEMLL: labels become numbers while a kernel regression learns them, each leaning on the other."""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.special import softmax

from polytag.data.scale import Scaler
from polytag.enhance.base import Enhancer, checked
from polytag.enhance.glle import check_graph, conjugate_gradients, laplacian, neighbour_graph, z_scorer
from polytag.enhance.multi_output_svr import Kernel, Solution, Task, matrix, pull
from polytag.errors import DataError, ParameterError
from polytag.registry import register
from polytag.types import Array, ArrayLike

_SMALLEST_STEP = 2.0**-40


@register("enhancer", "lemll")
class LEMLL(Enhancer):
    """Replace labels by numbers near them that neighbours share and that a kernel regression can learn, all at the same time.

    ::

        min 1/2 |Theta|^2 + C sum_i max(0, |u_i - f(x_i)| - epsilon)^2 + closeness |U - S|^2 + smoothing tr(U^T G U)

    over the regression ``f(x) = Theta phi(x) + b`` (Gaussian kernel) and the numerical labels U, where S holds -1 and 1, and G is the
    Laplacian of the neighbour graph, as in ``GLLE``. By turns f is found for U, as in ``MultiOutputSVR``, and U for f, by re-weighted
    linear systems with step halving; the sum is convex, so that this leads to its minimum. The softmax of a row of U is its label
    distribution. ``decision`` predicts numerical labels of other rows; their sign says which labels a row has.

    This is a reading, not the published method: of the paper we know the idea, but not its formulas.

    Args:
        C: Weight of the regression's distance, above 0 and at most 1e8; the larger, the more turns it takes.
        epsilon: Distance that costs nothing.
        closeness: Weight of the distance between numerical labels and labels (lambda 1), above 0.
        smoothing: Weight of the graph (lambda 2), 0 to 1e6.
        k: How many rows a row is joined to, counting itself; ``None``: one other row more than there are labels.
        sigma: Width of the edge weights; ``None``: the mean distance of joined rows.
        tol: Stop when the objective falls by less than this share.
        max_iter: Stop after so many turns.
        beta: See ``Enhancer``.

    Attributes:
        numerical_: U, shape (n, q).
        objective_: What was reached.
        n_iter_: Turns taken; equal to ``max_iter`` if it was not at rest by then, as happens from ``C = 100`` on.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: each turn some steps of O(n^3); memory two matrices n by n. More than 20 000 rows are refused.

    Reference: Shao, Xu and Geng, "Multi-label learning with label enhancement", ICDM 2018.

    Differs: see above. Features are z-scored, the graph and its defaults are those of ``GLLE``, C, epsilon and both lambdas are our choice.

    Example:
        >>> X, Y = np.array([[0.0], [0.1], [5.0], [5.1]]), np.array([[1, 0], [1, 1], [0, 1], [0, 1]])
        >>> method = LEMLL(k=2)
        >>> method.fit_transform(X, Y).round(2)
        array([[0.77, 0.23],
               [0.55, 0.45],
               [0.16, 0.84],
               [0.16, 0.84]])
        >>> (method.decision([[0.0], [5.0]]) > 0).astype(int)
        array([[1, 1],
               [0, 1]])
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        epsilon: float = 1e-3,
        closeness: float = 1.0,
        smoothing: float = 0.01,
        k: int | None = 20,
        sigma: float | None = 10.0,
        tol: float = 1e-5,
        max_iter: int = 100,
        beta: float = 0.01,
    ) -> None:
        super().__init__(beta=beta)
        check_graph(k, sigma, smoothing)
        if not 0 < closeness < np.inf:
            raise ParameterError(f"expected a finite closeness > 0, but got {closeness!r}")
        if not 0 < C <= 1e8:
            raise ParameterError(f"expected 0 < C <= 1e8, but got {C!r}")
        self._task = Task(2 * C, 0.0, epsilon, tol, max_iter)
        self.C, self.epsilon, self.closeness, self.smoothing = C, epsilon, closeness, smoothing
        self.k, self.sigma, self.tol, self.max_iter = k, sigma, tol, max_iter

    _known: tuple[Scaler, Kernel, Solution] | None = None

    def fit_transform(self, X: ArrayLike, Y: ArrayLike, *, seed: int = 0) -> Float[Array, "n q"]:
        """Return the label distribution of each row; the seed changes nothing.

        Raises:
            DataError: As ``Enhancer.fit_transform``, or there are more than 20 000 rows.
        """
        X, labels = checked(X, Y)
        scaler = z_scorer(X)
        Z, S = scaler.transform(X), 2 * labels - 1
        kernel = Kernel.of(Z)
        K, U = kernel.matrix(), S
        graph = self.smoothing * laplacian(neighbour_graph(Z, self.k or S.shape[1] + 2, self.sigma))
        at, value = Solution(np.zeros_like(S), np.zeros(S.shape[1])), np.inf
        for turn in range(1, self.max_iter + 1):
            self.n_iter_ = turn
            at, _, _ = self._task.solve(K, U, at)
            F = K @ at.coef + at.intercept
            U, near = self._numbers(F, S, graph, U)
            last, value = value, float((at.coef * (F - at.intercept)).sum() / 2 + near)
            if last - value <= self.tol * last < np.inf:
                break
        self._known = (scaler, kernel, at)
        self.numerical_, self.objective_ = U, value
        found: Array = softmax(U, axis=1)
        return found

    def decision(self, X: ArrayLike) -> Float[Array, "m q"]:
        """Return the predicted numerical labels of each row (m, d), shape (m, q); above 0 means that the row has the label.

        Raises:
            DataError: ``fit_transform`` has not been called, the number of features differs, or a feature is not finite.
        """
        if self._known is None:
            raise DataError("expected fit_transform(X, Y) before decision(X), but it has not been called")
        scaler, kernel, found = self._known
        return kernel.predict(scaler.transform(matrix("X", X)), found)

    def _numbers(self, F: Array, S: Array, graph: Any, U: Array) -> tuple[Array, float]:
        """Return the numerical labels for what the regression says, and their part of the objective."""
        value = self._cost(F, S, graph, U)
        for _ in range(self.max_iter):
            weights = pull(U - F, 2 * self.C, self.epsilon)
            system = (sparse.diags_array(weights + 2 * self.closeness) + 2 * graph).tocsr()
            goal = conjugate_gradients(system, weights[:, None] * F + 2 * self.closeness * S)
            share, new, new_value = 1.0, goal, self._cost(F, S, graph, goal)
            while not new_value < value and share > _SMALLEST_STEP:
                share /= 2
                new = U + share * (goal - U)
                new_value = self._cost(F, S, graph, new)
            if not new_value < value:
                break
            U, last, value = new, value, new_value
            if last - value <= self.tol * last:
                break
        return U, value

    def _cost(self, F: Array, S: Array, graph: Any, U: Array) -> float:
        far = np.maximum(np.linalg.norm(U - F, axis=1) - self.epsilon, 0)
        return float(self.C * (far**2).sum() + self.closeness * ((U - S) ** 2).sum() + (U * (graph @ U)).sum())
