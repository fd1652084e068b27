"""ML-kNN: the worked example, the slow form, ties, and sparse features of a real set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.reference import classical as slow

from polytag.classical import MLkNN
from polytag.data import neighbours
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
