"""The regression of several targets against a slow generic optimiser and hand oracles."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.spatial.distance import pdist, squareform
from sklearn.base import clone

from polytag.enhance import GLLE, MultiOutputSVR, multi_output_svr, signed_targets
from polytag.errors import DataError, ParameterError


class Textbook:
    """The objective on K = R R^T, f = R v + b, with one slack variable for each sign; minimised by SLSQP."""

    def __init__(self, X: np.ndarray, T: np.ndarray, C1: float, C2: float, epsilon: float) -> None:
        self.K = np.exp(-(squareform(pdist(X)) ** 2) / (2 * pdist(X).mean() ** 2))
        self.R = np.linalg.cholesky(self.K)
        self.T, self.C1, self.C2, self.epsilon = T, C1, C2, epsilon

    def value(self, F: np.ndarray, v: np.ndarray) -> float:
        u = np.linalg.norm(self.T - F, axis=1)
        signs = np.maximum(-np.sign(self.T) * F, 0).sum()
        return float((v**2).sum() / 2 + self.C1 / 2 * (np.maximum(u - self.epsilon, 0) ** 2).sum() + self.C2 * signs)

    def minimum(self) -> tuple[float, np.ndarray]:
        """Return the least value and f(x_i) of all rows."""
        n, q = self.T.shape

        def parts(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            return w[: n * q].reshape(n, q), w[n * q : n * q + q], w[n * q + q :].reshape(n, q)

        def smooth(w: np.ndarray) -> tuple[float, np.ndarray]:
            v, b, slack = parts(w)
            away = self.T - self.R @ v - b
            u = np.linalg.norm(away, axis=1, keepdims=True)
            far = np.maximum(u - self.epsilon, 0)
            slope = -self.C1 * far / np.maximum(u, 1e-300) * away
            value = (v**2).sum() / 2 + self.C1 / 2 * (far**2).sum() + self.C2 * slack.sum()
            return value, np.concatenate([(v + self.R.T @ slope).ravel(), slope.sum(axis=0), np.full(n * q, self.C2)])

        signs = np.sign(self.T)
        of_v, of_b = np.kron(self.R, np.eye(q)), np.tile(np.eye(q), (n, 1))
        slopes = np.hstack([signs.reshape(-1, 1) * np.hstack([of_v, of_b]), np.eye(n * q)])
        held = {"type": "ineq", "fun": lambda w: slopes @ w, "jac": lambda w: slopes}
        bounds = [(None, None)] * (n * q + q) + [(0, None)] * (n * q)
        options = {"maxiter": 1000, "ftol": 1e-14}
        start = np.zeros(2 * n * q + q)
        v, b, _ = parts(minimize(smooth, start, jac=True, method="SLSQP", bounds=bounds, constraints=[held], options=options).x)
        F = self.R @ v + b
        return self.value(F, v), F


@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 0.6])
@pytest.mark.parametrize(("C1", "C2"), [(1.0, 0.0), (10.0, 0.0), (1.0, 0.1), (1.0, 1.0), (20.0, 1.0), (0.1, 5.0), (1.0, 20.0)])
def test_equals_a_generic_optimiser(rng: np.random.Generator, C1: float, C2: float, epsilon: float) -> None:
    X, T = rng.normal(size=(9, 3)), np.clip(rng.normal(size=(9, 3)).round(1), -1, 1)
    T[0, 0], T[1] = 0.0, 0.0
    textbook = Textbook(X, T, C1, C2, epsilon)
    least, F = textbook.minimum()
    method = MultiOutputSVR(C1=C1, C2=C2, epsilon=epsilon, tol=1e-9).fit(X, T)
    np.testing.assert_allclose(method.objective_, least, rtol=1e-5)
    np.testing.assert_allclose(method.predict(X), F, atol=1e-2)
    v = textbook.R.T @ method.coef_
    np.testing.assert_allclose(textbook.value(method.predict(X), v), method.objective_, rtol=1e-9)


def test_without_tolerance_it_is_ridge_regression(rng: np.random.Generator) -> None:
    X, T = rng.normal(size=(12, 2)), rng.normal(size=(12, 3))
    method = MultiOutputSVR(C1=4.0, C2=0.0, epsilon=0.0).fit(X, T)
    K = Textbook(X, T, 4.0, 0.0, 0.0).K
    system = np.block([[K + np.eye(12) / 4.0, np.ones((12, 1))], [np.ones((1, 12)), np.zeros((1, 1))]])
    exact = np.linalg.solve(system, np.vstack([T, np.zeros((1, 3))]))
    np.testing.assert_allclose(np.vstack([method.coef_, method.intercept_]), exact, atol=1e-10)
    np.testing.assert_allclose(method.width_, pdist(X).mean())


def test_the_sign_term_sets_signs_right(rng: np.random.Generator) -> None:
    X = rng.uniform(-1, 1, size=(60, 2))
    T = np.where(X > 0.2, 0.05, -1.0)  # a smooth function is below 0 at some of the weak positives
    wrong = [(MultiOutputSVR(C2=C2).fit(X, T).predict(X) * T < -1e-6).sum() for C2 in (0.0, 0.1, 10.0)]
    assert wrong[0] > 10
    assert wrong[0] > wrong[1] > wrong[2]


def test_signed_targets_by_hand() -> None:
    targets = signed_targets(np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.5], [0.0, 1.0, 0.25]]))
    np.testing.assert_allclose(targets, [[-1, -2 / 3, 1], [0, 0, 0], [-1, 1, -0.5]])


def test_predicts_labels_from_recovered_distributions(rng: np.random.Generator) -> None:
    X = rng.normal(size=(150, 4))
    Y = (X @ rng.normal(size=(4, 3)) > 0).astype(int)
    Y = Y[(mixed := (Y.sum(axis=1) > 0) & (Y.sum(axis=1) < 3))]
    X = X[mixed]
    recovered = GLLE().fit_transform(X[:80], Y[:80])
    found = MultiOutputSVR(C1=10.0).fit(X[:80], signed_targets(recovered)).predict(X[80:]) > 0
    assert (found == Y[80:]).mean() > 0.85


def test_a_solution_does_not_depend_on_blocks_kind_of_matrix_or_place(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    X = rng.normal(size=(30, 5)) * (rng.random((30, 5)) < 0.6)
    T, new = rng.normal(size=(30, 2)), rng.normal(size=(7, 5))
    method = MultiOutputSVR().fit(X, T)
    once = method.predict(new)
    np.testing.assert_array_equal(once, clone(method).fit(X, T).predict(new))
    np.testing.assert_allclose(MultiOutputSVR().fit(X + 1e6, T).predict(new + 1e6), once, atol=1e-6)
    monkeypatch.setattr(multi_output_svr, "_BLOCK", 90)
    for given, wanted in ((sparse.csr_array, sparse.csr_array), (sparse.csc_matrix, np.asarray), (np.asarray, sparse.csr_array)):
        np.testing.assert_allclose(MultiOutputSVR().fit(given(X), T).predict(wanted(new)), once, atol=1e-9)


@pytest.mark.parametrize("C2", [0.0, 1.0])
def test_odd_input_is_served(C2: float) -> None:
    for X, T in (
        (np.array([[3.0]]), np.array([[0.5, -0.5]])),  # one row
        (np.ones((3, 2)), np.array([[1.0], [1.0], [0.0]])),  # equal rows
        (np.array([[0.0], [1.0]]), np.zeros((2, 3))),  # nothing to learn
        (np.arange(4.0)[:, None], np.ones((4, 2))),  # everything has every label
    ):
        method = MultiOutputSVR(C2=C2, C1=5.0).fit(X, T)
        assert np.isfinite(method.predict(X)).all()
        assert 1 <= method.n_iter_ < method.max_iter
        if np.ptp(T, axis=0).max() == 0:
            np.testing.assert_allclose(method.predict(X), T, atol=5e-3)


def test_a_stop_before_the_end_is_told(rng: np.random.Generator) -> None:
    X, T = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    values = [MultiOutputSVR(C2=0.0, epsilon=1.0, tol=0.0, max_iter=steps).fit(X, T) for steps in (1, 3, 200)]
    assert [v.n_iter_ for v in values[:2]] == [1, 3]
    assert values[0].objective_ > values[1].objective_ > values[2].objective_


@pytest.mark.parametrize("wrong", [{"C1": 0.0}, {"C2": -1.0}, {"epsilon": -0.1}, {"width": 0.0}, {"tol": -1.0}, {"max_iter": 0}])
def test_wrong_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match="expected"):
        MultiOutputSVR(**wrong).fit(np.eye(2), np.eye(2))


def test_wrong_arrays_are_refused() -> None:
    for X, T, message in (
        (np.eye(3), np.eye(2), "shape"),
        (np.eye(3), np.ones(3), "two dimensions"),
        (np.eye(3), np.full((3, 1), np.nan), "finite"),
        (np.full((3, 1), np.inf), np.eye(3), "finite"),
        (np.zeros((20_001, 1)), np.zeros((20_001, 1)), "at most 20000 rows"),
    ):
        with pytest.raises(DataError, match=message):
            MultiOutputSVR().fit(X, T)
    with pytest.raises(DataError, match="before predict"):
        MultiOutputSVR().predict(np.eye(3))
    with pytest.raises(DataError, match="3 features"):
        MultiOutputSVR().fit(np.eye(3), np.eye(3)).predict(np.eye(4))
