"""GLLE as its paper and its authors' code have it: a matrix W on [K, 1], searched with L-BFGS from a random start."""

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.distance import pdist, squareform


class TextbookGLLE:
    """Dense matrices throughout.

    Args:
        X: Z-scored features (n, d).
        L: Labels (n, q).
        k: Nearest rows, counting the row itself.
        sigma: Width of the edge weights.
        smoothing: Weight of the graph.
    """

    def __init__(self, X: np.ndarray, L: np.ndarray, k: int = 20, sigma: float = 10.0, smoothing: float = 0.01) -> None:
        n = len(X)
        distances = squareform(pdist(X))
        self.Phi = np.hstack([np.exp(-(distances**2) / (2 * pdist(X).mean() ** 2)), np.ones((n, 1))])
        joined = np.zeros((n, n), dtype=bool)
        for i in range(n):
            joined[i, sorted(range(n), key=lambda j: (distances[i, j], j != i))[:k]] = True
        A = np.where(joined | joined.T, np.exp(-(distances**2) / (2 * sigma**2)), 0.0)
        np.fill_diagonal(A, 0.0)
        self.G = np.diag(A.sum(axis=1)) - A
        self.L, self.smoothing = L, smoothing

    def objective(self, W: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value at W (n + 1, q) and its gradient."""
        D = self.Phi @ W
        value = ((D - self.L) ** 2).sum() + self.smoothing * np.trace(D.T @ self.G @ D)
        return value, 2 * self.Phi.T @ (D - self.L + self.smoothing * self.G @ D)

    def search(self, seed: int = 0) -> np.ndarray:
        """Return D* = Phi W where L-BFGS comes to rest."""
        shape = (self.Phi.shape[1], self.L.shape[1])

        def flat(w: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self.objective(w.reshape(shape))
            return value, gradient.ravel()

        start = np.random.default_rng(seed).random(shape).ravel()
        options = {"maxiter": 3000, "maxfun": 5000, "ftol": 1e-15, "gtol": 1e-10}
        return self.Phi @ minimize(flat, start, jac=True, method="L-BFGS-B", options=options).x.reshape(shape)

    def by_algebra(self) -> np.ndarray:
        """Return Phi (Phi^T (I + smoothing G) Phi)^+ Phi^T L."""
        system = self.Phi.T @ (np.eye(len(self.L)) + self.smoothing * self.G) @ self.Phi
        return self.Phi @ np.linalg.pinv(system, rcond=1e-12, hermitian=True) @ self.Phi.T @ self.L
