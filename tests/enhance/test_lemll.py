"""LEMLL's reading against a slow generic optimiser, and its odd cases."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import softmax
from tests.reference.glle import TextbookGLLE

from polytag.enhance import LEMLL
from polytag.enhance.glle import z_scorer
from polytag.errors import DataError, ParameterError


def least(X: np.ndarray, Y: np.ndarray, C: float, epsilon: float, closeness: float, smoothing: float) -> tuple[float, np.ndarray]:
    """Return the minimum over Theta, b and U at once, and U; all neighbours joined, sigma 2."""
    (n, q), S = Y.shape, 2.0 * Y - 1
    graph = TextbookGLLE(z_scorer(X).transform(X), Y, k=n, sigma=2.0)
    R = np.linalg.cholesky(graph.Phi[:, :-1])

    def both(w: np.ndarray) -> tuple[float, np.ndarray]:
        v, b, U = w[: n * q].reshape(n, q), w[n * q : n * q + q], w[n * q + q :].reshape(n, q)
        away = U - R @ v - b
        u = np.linalg.norm(away, axis=1, keepdims=True)
        far = np.maximum(u - epsilon, 0)
        slope = 2 * C * far / np.maximum(u, 1e-300) * away
        value = (v**2).sum() / 2 + C * (far**2).sum() + closeness * ((U - S) ** 2).sum() + smoothing * np.trace(U.T @ graph.G @ U)
        of_u = slope + 2 * closeness * (U - S) + 2 * smoothing * graph.G @ U
        return value, np.concatenate([(v - R.T @ slope).ravel(), -slope.sum(axis=0), of_u.ravel()])

    options = {"maxiter": 5000, "maxfun": 10_000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(both, np.zeros(2 * n * q + q), jac=True, method="L-BFGS-B", options=options)
    return float(found.fun), found.x[n * q + q :].reshape(n, q)


@pytest.mark.parametrize(
    ("C", "epsilon", "closeness", "smoothing"), [(1.0, 1e-3, 1.0, 0.01), (5.0, 0.3, 0.5, 0.2), (0.1, 0.0, 2.0, 0.0), (1.0, 1.5, 1.0, 0.5)]
)
def test_equals_a_generic_optimiser(rng: np.random.Generator, C: float, epsilon: float, closeness: float, smoothing: float) -> None:
    X, Y = rng.normal(size=(12, 3)), rng.integers(2, size=(12, 3))
    value, U = least(X, Y, C, epsilon, closeness, smoothing)
    method = LEMLL(C=C, epsilon=epsilon, closeness=closeness, smoothing=smoothing, k=12, sigma=2.0, tol=1e-10)
    D = method.fit_transform(X, Y)
    np.testing.assert_allclose(method.objective_, value, rtol=1e-6)
    np.testing.assert_allclose(method.numerical_, U, atol=2e-3)
    np.testing.assert_allclose(D, softmax(method.numerical_, axis=1))


def test_turns_lower_the_objective(rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(40, 3)), rng.integers(2, size=(40, 4))
    found = []
    for turns in (1, 2, 4, 100):
        method = LEMLL(C=3.0, max_iter=turns)
        method.fit_transform(X, Y)
        found.append((method.objective_, method.n_iter_))
    assert found[0][0] > found[1][0] > found[2][0] > found[3][0]
    assert [turns for _, turns in found[:3]] == [1, 2, 4]
    assert found[3][1] < 100


def test_one_lonely_row_by_hand() -> None:
    method = LEMLL()
    D = method.fit_transform(np.array([[5.0]]), np.array([[1, 0]]))  # b takes the labels over, and nothing is left to pay
    np.testing.assert_allclose(method.numerical_, [[1, -1]], atol=1e-9)
    np.testing.assert_allclose(D, softmax([[1.0, -1.0]], axis=1))
    assert method.objective_ == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "q"), [(1, 1), (2, 1), (2, 3), (30, 4)])
def test_odd_input_is_served(rng: np.random.Generator, n: int, q: int) -> None:
    X, Y = rng.normal(size=(n, 4)), rng.integers(2, size=(n, q))
    X[:, 1] = 0.1
    Y[0], Y[-1] = 0, 1
    for features in (X, np.zeros((n, 2)), np.repeat(X[:1], n, axis=0), np.vstack([X[: n // 2], X])[:n]):
        method = LEMLL()
        D = method.fit_transform(features, Y)
        assert D.shape == (n, q)
        assert D.dtype == np.float64
        np.testing.assert_allclose(D.sum(axis=1), 1.0, rtol=1e-14)
        np.testing.assert_array_equal(D, LEMLL().fit_transform(features, Y, seed=5))
        assert np.isfinite(method.decision(features)).all()


def test_new_rows_and_sparse_ones(rng: np.random.Generator) -> None:
    X = rng.normal(size=(150, 4)) * [1, 1, 100, 1]
    Y = (X / [1, 1, 100, 1] @ rng.normal(size=(4, 3)) > 0).astype(int)
    method = LEMLL(C=10.0)
    method.fit_transform(X[:100], Y[:100])
    assert ((method.decision(X[100:]) > 0) == Y[100:]).mean() > 0.85
    other = LEMLL(C=10.0)
    other.fit_transform(sparse.csr_array(X[:100]), Y[:100])
    np.testing.assert_allclose(other.numerical_, method.numerical_, atol=1e-8)
    np.testing.assert_allclose(other.decision(sparse.csr_array(X[100:])), method.decision(X[100:]), atol=1e-8)


@pytest.mark.parametrize(
    "wrong",
    [{"C": 0.0}, {"epsilon": -1.0}, {"closeness": 0.0}, {"smoothing": -1.0}, {"k": 0}, {"sigma": -1.0}, {"max_iter": 0}, {"beta": 2.0}],
)
def test_wrong_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match="expected"):
        LEMLL(**wrong)


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(DataError, match="NaN"):
        LEMLL().fit_transform(np.full((3, 1), np.nan), np.eye(3))
    with pytest.raises(DataError, match="at most 20000 rows"):
        LEMLL().fit_transform(np.zeros((20_001, 1)), np.zeros((20_001, 1)))
    with pytest.raises(DataError, match="before decision"):
        LEMLL().decision(np.eye(3))
    method = LEMLL()
    method.fit_transform(np.eye(3), np.eye(3))
    with pytest.raises(DataError, match="3 features"):
        method.decision(np.eye(4))
