"""The instance weights equal the specification, the slow reference and the published code where it is right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.reference import selectors as reference

import polytag
from polytag.data.labels import LabelIndex
from polytag.data.stats import minority_labels
from polytag.errors import DataError, ParameterError
from polytag.selectors import imbalance_weights

X = np.array([[0.0], [1.0], [2.1], [5.0], [6.2]])
Y = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]])


def test_hand_example():
    assert imbalance_weights(X, Y, 2).tolist() == [1.5, 1.5, 1.0, 2.0, 1.0]


@pytest.mark.parametrize("case", ["plain", "duplicates", "empty_label", "tiny"])
@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_array])
def test_golden(golden, case, wrap):
    with np.load(golden / "adaptive.npz") as file:
        numbers = dict(file)
    x, y = numbers[f"weights/{case}/X"], numbers[f"weights/{case}/Y"]
    assert np.array_equal(minority_labels(LabelIndex.from_labels(y).counts), numbers[f"weights/{case}/minority_spec"])
    np.testing.assert_allclose(imbalance_weights(wrap(x), wrap(y), 5), numbers[f"weights/{case}/w_spec"], rtol=1e-12)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 25), q=st.integers(1, 6), k=st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_equals_the_slow_reference(seed, n, q, k):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, size=(n, 2)) / 3
    y = (rng.random((n, q)) < rng.random(q)).astype(int)
    np.testing.assert_allclose(imbalance_weights(x, y, k), reference.imbalance_weights(x, y, k), rtol=1e-12)


def test_sum_of_shares_is_the_number_of_usable_minority_labels(rng):
    x, y = rng.normal(size=(200, 3)), (rng.random((200, 8)) < np.linspace(0.5, 0.03, 8)).astype(int)
    near = reference.neighbours(x, 5)
    lonely = (1 - y[near].mean(axis=1)) * y
    minority = minority_labels(y.sum(axis=0))
    usable = sum(((lonely[:, j] > 0) & (lonely[:, j] < 1)).any() for j in minority)
    assert imbalance_weights(x, y, 5).sum() - 200 == pytest.approx(usable, abs=1e-9)
    assert usable > 0


def test_label_without_positives_changes_nothing(rng):
    x, y = rng.normal(size=(60, 3)), (rng.random((60, 5)) < np.linspace(0.5, 0.1, 5)).astype(int)
    wider = np.insert(y, 2, 0, axis=1)
    assert np.array_equal(imbalance_weights(x, wider, 5), imbalance_weights(x, y, 5))
    assert imbalance_weights(x, y, 5).max() > 1


def test_unknown_labels_count_as_absent():
    unknown = Y.astype(float)
    unknown[4, 2] = np.nan
    assert np.array_equal(imbalance_weights(X, unknown, 2), imbalance_weights(X, Y, 2))


def test_refusals():
    with pytest.raises(ParameterError, match="neighbours"):
        imbalance_weights(X, Y, 0)
    with pytest.raises(DataError, match="rows"):
        imbalance_weights(X[:-1], Y)


@pytest.mark.data
def test_cal500_as_measured_for_the_specification(real_data, monkeypatch):
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    data = polytag.load_dataset("cal500")
    x, y = np.asarray(data.X, dtype=float), data.Y.toarray() if sparse.issparse(data.Y) else data.Y
    x = (x - x.min(axis=0)) / np.maximum(np.ptp(x, axis=0), 1e-12)
    w = imbalance_weights(x, y, 5)
    assert len(minority_labels(y.sum(axis=0))) == 60
    assert w.sum() - len(w) == pytest.approx(38)
    assert (round(w.mean(), 3), round(w.max(), 3), np.median(w)) == (1.076, 3.0, 1.0)
    w = imbalance_weights(x, y[:, y.sum(axis=0) > 20], 5)
    assert (round(np.median(w), 3), round(w.mean(), 3), round(w.max(), 2)) == (1.043, 1.09, 1.92)
