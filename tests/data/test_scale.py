import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from polytag.data.scale import Scaler
from polytag.errors import DataError, ParameterError

matrices = arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 5)), elements=st.integers(-3, 5).map(float))


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_dense_features_as_scikit_learn_except_constant_ones(X):
    varies = X.min(axis=0) < X.max(axis=0)
    for kind, oracle in (("minmax", MinMaxScaler()), ("standard", StandardScaler())):
        ours = Scaler.fit(X, kind).transform(X)
        assert ours[:, varies] == pytest.approx(oracle.fit_transform(X)[:, varies], abs=1e-12)
        assert not ours[:, ~varies].any()


@settings(max_examples=60, deadline=None)
@given(matrices, st.sampled_from(["minmax", "standard", "none"]))
def test_sparse_features_as_dense_ones_that_are_not_shifted(X, kind):
    found = Scaler.fit(sparse.csr_matrix(X), kind).transform(sparse.csr_matrix(X))
    width = {"minmax": np.abs(X).max(axis=0), "standard": X.std(axis=0), "none": np.ones(X.shape[1])}[kind]
    constant = (X.min(axis=0) == X.max(axis=0)) & (kind != "none")
    with np.errstate(all="ignore"):
        expected = np.where(constant, 0.0, X / width)
    assert sparse.issparse(found)
    assert found.nnz <= sparse.csr_matrix(X).nnz
    assert found.toarray() == pytest.approx(expected, abs=1e-12)


def test_counts_are_scaled_alike_whether_sparse_or_dense(rng):
    X = rng.poisson(0.4, size=(50, 8)).astype(float)
    X[0] = 0
    dense, thin = Scaler.fit(X).transform(X), Scaler.fit(sparse.csr_array(X)).transform(sparse.csr_array(X))
    assert (thin.toarray() == dense).all()


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_zero_one_features_stay_as_they_are(rng, make):
    X = (rng.random((40, 6)) < 0.3).astype(np.float32)
    X[0], X[1] = 0, 1
    found = Scaler.fit(make(X)).transform(make(X))
    assert found.dtype == np.float32
    assert ((found.toarray() if sparse.issparse(found) else found) == X).all()


def test_rows_outside_the_fitted_range_stay_outside():
    scaler = Scaler.fit(np.array([[0.0], [2.0]]))
    assert scaler.transform(np.array([[-1.0], [4.0]])).ravel().tolist() == [-0.5, 2.0]


def test_a_constant_feature_stays_zero_on_other_rows():
    assert Scaler.fit(np.array([[3.0], [3.0]])).transform(np.array([[9.0]])).tolist() == [[0.0]]
    thin = sparse.csr_array(np.array([[3.0], [3.0]]))
    assert Scaler.fit(thin).transform(sparse.csr_array(np.array([[9.0]]))).toarray().tolist() == [[0.0]]


def test_eps_widens():
    X = np.array([[1.0], [3.0]])
    assert Scaler.fit(X, eps=1e-5).transform(X).ravel() == pytest.approx([0, 2 / (2 + 1e-5)], abs=1e-15)


class TestMissing:
    X = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan], [5.0, np.nan]])

    def test_mean(self):
        found = Scaler.fit(self.X).transform(self.X)
        assert found[:, 0].tolist() == [0.0, 0.5, 0.5, 1.0]
        assert not found[:, 1].any()

    def test_the_mean_is_that_of_the_fitted_rows(self):
        found = Scaler.fit(self.X[:2], "none").transform(self.X)
        assert found[2, 0] == 2.0

    def test_zero_before_scaling(self):
        assert Scaler.fit(self.X, missing="zero").transform(self.X)[2, 0] == pytest.approx(-0.25)

    def test_missing_cells_do_not_move_the_standard_scale(self):
        found = Scaler.fit(self.X, "standard").transform(self.X)[:, 0]
        assert found == pytest.approx((np.array([1, 3, 3, 5]) - 3) / np.std([1, 3, 5]))

    def test_sparse(self):
        thin = sparse.csr_array(np.array([[np.nan, 1.0], [4.0, 0.0], [0.0, 0.0]]))
        assert Scaler.fit(thin, "none").transform(thin).toarray().tolist() == [[2.0, 1.0], [4.0, 0.0], [0.0, 0.0]]

    def test_sparse_missing_cells_do_not_widen_the_standard_scale(self):
        thin = sparse.csr_array(np.array([[np.nan], [4.0], [0.0], [2.0]]))
        assert Scaler.fit(thin, "standard").width[0] == pytest.approx(np.std([4, 0, 2]))

    def test_refused(self):
        with pytest.raises(DataError, match="missing='mean'"):
            Scaler.fit(self.X, missing="refuse")
        with pytest.raises(DataError, match="missing='mean'"):
            Scaler.fit(np.ones((2, 2)), missing="refuse").transform(self.X)


def test_the_state_goes_through_arrays(tmp_path, rng):
    X = rng.normal(size=(20, 4))
    scaler = Scaler.fit(X, "standard")
    np.savez(tmp_path / "state.npz", **scaler.to_dict())
    with np.load(tmp_path / "state.npz") as state:
        again = Scaler.from_dict(state)
    assert (again.transform(X) == scaler.transform(X)).all()
    assert again.kind == "standard"
    assert (scaler.take([2, 0]).transform(X[:, [2, 0]]) == scaler.transform(X)[:, [2, 0]]).all()


def test_pictures_keep_their_shape(rng):
    X = rng.random((10, 1, 3, 4))
    found = Scaler.fit(X).transform(X)
    assert found.shape == X.shape
    assert found.reshape(10, -1) == pytest.approx(MinMaxScaler().fit_transform(X.reshape(10, -1)))


def test_the_input_is_left_alone(rng):
    X = rng.random((5, 2))
    thin, before = sparse.csr_array(X), X.copy()
    Scaler.fit(X).transform(X)
    Scaler.fit(thin).transform(thin)
    assert (before == X).all()
    assert (thin.toarray() == before).all()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Scaler.fit(np.ones((2, 2)), "max", missing="median"), ParameterError, "kind='max'.*missing='median'"),
        (lambda: Scaler.fit(np.ones((2, 2)), eps=-1), ParameterError, "eps=-1"),
        (lambda: Scaler.fit(np.ones((0, 2))), DataError, "none"),
        (lambda: Scaler.fit(np.array([[np.inf]])), DataError, "infinite"),
        (lambda: Scaler.fit(np.ones((2, 2))).transform(np.array([[1.0, -np.inf]])), DataError, "infinite"),
        (lambda: Scaler.fit(np.ones((2, 2))).transform(np.ones((2, 3))), DataError, "expected 2 features.*got 3"),
        (lambda: Scaler.fit(np.array([[1.0], [2.0]])).transform(sparse.csr_array([[1.0]])), DataError, "dense"),
    ],
)
def test_errors_say_what_to_do(call, error, says):
    with pytest.raises(error, match=says):
        call()
