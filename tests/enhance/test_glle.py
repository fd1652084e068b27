"""GLLE against its authors' numbers, the textbook search and hand oracles."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.special import softmax
from tests.reference.glle import TextbookGLLE

from polytag.data import Dataset, Table
from polytag.enhance import GLLE, Enhancer, glle
from polytag.enhance.glle import conjugate_gradients, laplacian, neighbour_graph, z_scorer
from polytag.enhance.multi_output_svr import Kernel
from polytag.errors import DataError, ParameterError


@pytest.fixture
def case(golden: Path) -> dict[str, np.ndarray]:
    """Return the published code's numbers."""
    with np.load(golden / "glle.npz") as file:
        return dict(file)


@pytest.mark.data
def test_equals_the_published_code(case: dict[str, np.ndarray]) -> None:
    X = z_scorer(case["X_raw"]).transform(case["X_raw"])
    np.testing.assert_allclose(X, case["X"], rtol=1e-10)
    np.testing.assert_allclose(Kernel.of(X).matrix(), case["Phi"][:, :-1], rtol=1e-10)
    np.testing.assert_allclose(laplacian(neighbour_graph(X, 20, 10.0)).toarray(), case["G"], rtol=1e-10)
    method = GLLE()
    np.testing.assert_allclose(method.degrees(case["X_raw"], case["L"]), case["closed_form"], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(method.fit_transform(case["X_raw"], case["L"]), case["closed_form_distribution"], rtol=1e-9)
    np.testing.assert_allclose(method.degrees(case["X_raw"], case["L"]), case["authors_result"], atol=2e-5)


@pytest.mark.data
def test_the_textbook_is_the_published_code(case: dict[str, np.ndarray]) -> None:
    textbook = TextbookGLLE(case["X"], case["L"])
    np.testing.assert_allclose(textbook.Phi, case["Phi"], rtol=1e-10)
    np.testing.assert_allclose(textbook.G, case["G"], rtol=1e-10)
    value, gradient = textbook.objective(case["W0"])
    np.testing.assert_allclose(value, case["objective_at_W0"], rtol=1e-10)
    np.testing.assert_allclose(gradient, case["gradient_at_W0"], rtol=1e-9)
    D = GLLE().degrees(case["X_raw"], case["L"])
    least = ((D - case["L"]) ** 2).sum() + 0.01 * np.trace(D.T @ case["G"] @ D)
    assert least <= case["authors_objective"] <= least * (1 + 1e-8)


@pytest.mark.parametrize("smoothing", [0.0, 0.01, 2.0])
@pytest.mark.parametrize("doubled", [0, 5])
def test_equals_the_textbook_search(rng: np.random.Generator, smoothing: float, doubled: int) -> None:
    X = rng.normal(size=(15, 8))
    X = np.vstack([X, X[:doubled], X[:doubled]])
    Y = (rng.random((len(X), 4)) < 0.4).astype(np.float64)
    k = len(X) if doubled else 5  # with all rows joined, ties between equal rows decide nothing
    textbook = TextbookGLLE(z_scorer(X).transform(X), Y, k=k, sigma=3.0, smoothing=smoothing)
    found = GLLE(k=k, sigma=3.0, smoothing=smoothing).degrees(X, Y)
    np.testing.assert_allclose(found, textbook.by_algebra(), atol=1e-7)
    np.testing.assert_allclose(found, textbook.search(), atol=1e-5)


def test_two_rows_by_hand() -> None:
    graph = sparse.csr_array(np.array([[0.0, 1.0], [1.0, 0.0]]))
    system = sparse.csr_array(np.eye(2)) + laplacian(graph)
    np.testing.assert_allclose(conjugate_gradients(system, np.array([[1.0], [0.0]])), [[2 / 3], [1 / 3]], atol=1e-14)
    # z-scores of two rows are -+ 1/sqrt(2), so that a_12 = exp(-2 / (2 * 1)), and D* = (1 + a, a) / (1 + 2a)
    a = np.exp(-1.0)
    found = GLLE(sigma=1.0, smoothing=1.0).degrees(np.array([[3.0], [7.0]]), np.array([[1], [0]]))
    np.testing.assert_allclose(found[:, 0], [(1 + a) / (1 + 2 * a), a / (1 + 2 * a)])


def test_equal_rows_with_other_labels_are_one_row_that_counts_twice() -> None:
    X, Y = np.array([[1.0], [1.0], [2.0]]), np.array([[1, 0], [0, 0], [0, 1]])
    np.testing.assert_allclose(GLLE(smoothing=0.0).degrees(X, Y), [[0.5, 0], [0.5, 0], [0, 1]])


def test_the_graph_is_symmetric_without_loops(rng: np.random.Generator) -> None:
    X = rng.normal(size=(40, 3))
    A = neighbour_graph(X, 4, None)
    assert A.diagonal().max() == 0.0
    assert (A != A.T).nnz == 0
    assert (A.toarray() > 0).sum(axis=1).min() >= 3
    assert neighbour_graph(X, 1, 1.0).nnz == 0
    np.testing.assert_array_equal(neighbour_graph(X, 99, 1.0).toarray() > 0, ~np.eye(40, dtype=bool))


def test_the_authors_k_counts_the_row_itself_the_papers_does_not(rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(30, 3)), (rng.random((30, 2)) < 0.5).astype(int)
    np.testing.assert_array_equal(GLLE(k=None, smoothing=1.0).degrees(X, Y), GLLE(k=4, smoothing=1.0).degrees(X, Y))


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_features_give_the_same(rng: np.random.Generator, kind: type) -> None:
    X = rng.random((50, 8)) * (rng.random((50, 8)) < 0.4)
    Y = (rng.random((50, 3)) < 0.4).astype(int)
    np.testing.assert_allclose(GLLE(k=6).fit_transform(kind(X), Y), GLLE(k=6).fit_transform(X, Y), atol=1e-12)
    np.testing.assert_array_equal(GLLE(k=6).fit_transform(X, sparse.csr_array(Y)), GLLE(k=6).fit_transform(X, Y))


@pytest.mark.parametrize("sigma", [10.0, None])
@pytest.mark.parametrize(("n", "q"), [(1, 1), (1, 3), (2, 1), (3, 4), (40, 5)])
def test_odd_input_is_served(rng: np.random.Generator, n: int, q: int, sigma: float | None) -> None:
    X, Y = rng.normal(size=(n, 4)), rng.integers(2, size=(n, q))
    X[:, 1], X[:, 2] = 0.1, 1e9
    Y[0], Y[-1] = 0, 1
    for features in (X, np.zeros((n, 2)), np.repeat(X[:1], n, axis=0)):
        D = GLLE(sigma=sigma).fit_transform(features, Y)
        assert D.shape == (n, q)
        assert D.dtype == np.float64
        assert (D > 0).all()
        np.testing.assert_allclose(D.sum(axis=1), 1.0, rtol=1e-14)
        np.testing.assert_array_equal(D, GLLE(sigma=sigma).fit_transform(features, Y, seed=5))


def test_constant_features_change_nothing(rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(20, 3)), rng.integers(2, size=(20, 3))
    np.testing.assert_array_equal(GLLE().fit_transform(np.hstack([X, np.full((20, 1), 0.1)]), Y), GLLE().fit_transform(X, Y))


@pytest.mark.parametrize("smoothing", [1.0, 1e3, 1e6])
def test_strong_smoothing_equals_a_direct_solution(rng: np.random.Generator, smoothing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glle, "_BLOCK", 150)  # two columns at a time
    X, Y = rng.normal(size=(60, 3)), rng.integers(2, size=(60, 5)).astype(np.float64)
    G = laplacian(neighbour_graph(z_scorer(X).transform(X), 5, 1.0)).toarray()
    exact = np.linalg.solve(np.eye(60) + smoothing * G, Y)
    np.testing.assert_allclose(GLLE(k=5, sigma=1.0, smoothing=smoothing).degrees(X, Y), exact, atol=1e-9)


def test_smoothing_that_does_not_come_to_rest_is_said(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glle, "_STEPS", 3)
    X, Y = rng.normal(size=(60, 3)), rng.integers(2, size=(60, 2))
    with pytest.raises(ParameterError, match="smaller smoothing"):
        GLLE(k=4, smoothing=1e4).fit_transform(X, Y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"k": 0}, "k >= 1"),
        ({"k": 2.5}, "k >= 1"),
        ({"sigma": 0.0}, "sigma > 0"),
        ({"sigma": float("nan")}, "sigma > 0"),
        ({"smoothing": -0.1}, "0 to 1e6"),
        ({"smoothing": float("inf")}, "0 to 1e6"),
        ({"beta": 2.0}, "beta"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, float], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        GLLE(**parameters)


def test_wrong_arrays_are_refused() -> None:
    X = np.eye(3)
    with pytest.raises(DataError, match="NaN"):
        GLLE().fit_transform(X, np.array([[1.0, np.nan], [0, 0], [1, 1]]))
    with pytest.raises(DataError, match="finite"):
        GLLE().fit_transform(np.full((3, 2), np.nan), np.eye(3))
    with pytest.raises(DataError, match="shape"):
        GLLE().fit_transform(X, np.eye(4))
    with pytest.raises(DataError):
        GLLE().fit_transform(X, np.full((3, 2), 0.5))


def test_a_model_can_learn_what_was_recovered(rng: np.random.Generator) -> None:
    import torch

    X, Y = rng.normal(size=(30, 4)), rng.integers(2, size=(30, 3))
    method: Enhancer = GLLE(k=5)
    table = Table(Dataset(X, Y))
    companion = method.companion(table, 4)
    batch = table[torch.tensor([3, 0])]
    known = companion(batch, batch.x, torch.zeros(2, 3)).distribution
    np.testing.assert_allclose(known.numpy(), softmax(method.degrees(X, Y), axis=1)[[3, 0]], rtol=1e-5)
