"""ML-kNN: the worked example, the slow form, ties, and the exact neighbour search under it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.reference import classical as slow

from polytag.classical import MLkNN, neighbours
from polytag.classical.neighbours import NeighbourSearch
from polytag.data.readers import read_arff
from polytag.errors import ParameterError

X = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
Y = np.array([[1], [1], [0], [0], [0], [1]])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("shift", [0.0, 0.25, 1e6])
def test_worked_example(kind, shift: float) -> None:
    fitted = MLkNN(k=2, s=1).fit(kind(X + shift), Y)
    np.testing.assert_allclose(fitted.prior_, [0.5])
    np.testing.assert_allclose(fitted.given_label_, [[2 / 6, 3 / 6, 1 / 6]])
    np.testing.assert_allclose(fitted.given_no_label_, [[1 / 6, 3 / 6, 2 / 6]])
    rows = kind(np.array([[0.4], [1.4], [10.4]]) + shift)
    np.testing.assert_allclose(fitted.predict_proba(rows), [[1 / 3], [1 / 2], [2 / 3]], rtol=1e-12)
    np.testing.assert_array_equal(fitted.predict(rows), [[0], [0], [1]])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(4, 14), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.sampled_from([0.5, 1.0, 3.0]),
    st.sampled_from(["whole", "real", "large"]), st.booleans(), st.integers(0, 2**20),
)  # fmt: skip
def test_equals_the_slow_form(n: int, d: int, q: int, k: int, s: float, values: str, as_sparse: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = min(k, n - 1)
    scale = {"whole": 1.0, "real": 1 / 7, "large": 12345.75}[values]  # few different values: ties and repeated rows
    x, rows = rng.integers(0, 3, (n, d)) * scale, rng.integers(0, 3, (5, d)) * scale
    y = rng.integers(0, 2, (n, q))
    kind = sparse.csr_array if as_sparse else np.asarray
    ours = MLkNN(k, s=s).fit(kind(x), y).predict_proba(kind(rows))
    np.testing.assert_allclose(ours, slow.mlknn(x, y, rows, k, s), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 2**20), st.sampled_from([3, 1000]), st.booleans())
def test_neighbours_are_exact(n: int, d: int, seed: int, different: int, small_blocks: bool) -> None:
    rng = np.random.default_rng(seed)
    x, rows = rng.integers(0, different, (n, d)) / 8, rng.integers(0, different, (7, d)) / 8
    k = int(rng.integers(1, n))
    inside = [slow.nearest(x, x[i], k, leave_out=i) for i in range(n)]
    outside = [slow.nearest(x, row, k) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        if small_blocks:
            patch.setattr(neighbours, "_BLOCK", 2 * n)
        for whole in (1, 8):  # eighths go through the second look, whole numbers do not
            for kind, often in ((np.asarray, 0.05), (sparse.csr_array, 0.05), (sparse.csr_array, 0.99), (sparse.csr_array, 2)):
                patch.setattr(neighbours, "_OFTEN", often)  # sparse rows made dense; some columns; none
                search = NeighbourSearch(kind(x * whole))
                np.testing.assert_array_equal(search.of_training_rows(k), inside)
                np.testing.assert_array_equal(search.of(kind(rows * whole), k), outside)


def test_ties_go_to_the_first_rows_and_equal_rows_are_neighbours() -> None:
    same = np.ones((6, 2))
    search = NeighbourSearch(same * 0.3)
    np.testing.assert_array_equal(search.of_training_rows(2), [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1]])
    np.testing.assert_array_equal(search.of(same[:1], 3), [[0, 1, 2]])


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_neighbours_of_rows_far_from_1(scale: float) -> None:
    rng = np.random.default_rng(0)
    x, rows = rng.normal(size=(50, 4)), rng.normal(size=(9, 4))
    expected = NeighbourSearch(x).of(rows, 5)
    np.testing.assert_array_equal(NeighbourSearch(x * scale).of(rows * scale, 5), expected)
    far = NeighbourSearch(x).of(np.vstack([rows, np.full((1, 4), 1e9)]), 5)
    np.testing.assert_array_equal(far[:9], expected)


def test_rows_that_float32_cannot_tell_apart() -> None:
    x = 1e6 + np.array([[0.0], [1e-4], [3e-4], [7e-4], [50.0], [-50.0]])
    np.testing.assert_array_equal(NeighbourSearch(x).of_training_rows(1)[:, 0], [1, 0, 1, 2, 3, 0])


def test_parameters_that_make_no_sense() -> None:
    with pytest.raises(ParameterError, match="k from 1 to 5"):
        MLkNN(k=6).fit(X, Y)
    with pytest.raises(ParameterError, match="k from 1 to 5"):
        MLkNN(k=0).fit(X, Y)
    with pytest.raises(ParameterError, match="smoothing"):
        MLkNN(k=2, s=0).fit(X, Y)
    assert MLkNN(k=5).fit(X, Y).predict_proba(X).shape == (6, 1)


@pytest.mark.data
@pytest.mark.parametrize("often", [0.05, 2])
def test_bibtex_sparse_and_dense_agree(monkeypatch, real_data, often: float) -> None:
    data = read_arff(real_data / "mulan" / "bibtex" / "bibtex.arff.gz").take(np.arange(800))
    dense = MLkNN().fit(data.X[:600].toarray(), data.Y[:600]).predict_proba(data.X[600:].toarray())
    monkeypatch.setattr(neighbours, "_OFTEN", often)
    np.testing.assert_array_equal(MLkNN().fit(data.X[:600], data.Y[:600]).predict_proba(data.X[600:]), dense)
