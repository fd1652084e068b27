"""MLROS, MLSMOTE and REMEDIAL: worked examples, provenance, and what must never happen."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from tests.reference import classical as slow

from polytag.classical import MLROS, MLSMOTE, REMEDIAL, Resampler
from polytag.errors import DataError, ParameterError

EVERY = [MLROS(random_state=0), MLSMOTE(random_state=0), REMEDIAL()]


def skewed(n: int = 60, q: int = 5, seed: int = 0):
    rng = np.random.default_rng(seed)
    Y = (rng.random((n, q)) < np.linspace(0.8, 0.08, q)).astype(int)
    Y[0] = 1
    return rng.normal(size=(n, 4)), Y


@pytest.mark.parametrize("resampler", EVERY, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csr_matrix, pd.DataFrame])
def test_given_rows_come_first_and_kinds_are_kept(resampler: Resampler, kind) -> None:
    X, Y = skewed()
    result = resampler.resample(kind(X), kind(Y.astype(np.uint8)))
    dense_X = result.X.toarray() if sparse.issparse(result.X) else result.X
    dense_Y = result.Y.toarray() if sparse.issparse(result.Y) else result.Y
    assert type(result.X) is (np.ndarray if kind in (np.asarray, pd.DataFrame) else kind)
    assert type(result.Y) is (np.ndarray if kind in (np.asarray, pd.DataFrame) else kind)
    assert result.Y.dtype == np.uint8
    expected = resampler.resample(X, Y)
    np.testing.assert_allclose(dense_X, expected.X)
    np.testing.assert_array_equal(dense_Y, expected.Y)
    np.testing.assert_array_equal(dense_X[:60], X)
    np.testing.assert_array_equal(result.parents[:60], np.arange(60))
    np.testing.assert_array_equal(result.is_synthetic, np.arange(len(dense_X)) >= 60)
    assert len(dense_X) == len(dense_Y) == len(result.parents) > 60
    assert Y.sum() == skewed()[1].sum()


@pytest.mark.parametrize("resampler", EVERY, ids=lambda r: type(r).__name__)
def test_labels_as_frequent_as_each_other_need_nothing(resampler: Resampler) -> None:
    X, Y = np.arange(6.0)[:, None], np.tile([[1, 0], [0, 1]], (3, 1))
    for labels in (Y, np.zeros((6, 2), int), np.ones((6, 1), int)):
        result = resampler.resample(X, labels)
        np.testing.assert_array_equal(result.Y, labels)
        assert not result.is_synthetic.any()


@pytest.mark.parametrize("resampler", EVERY, ids=lambda r: type(r).__name__)
def test_bad_input_is_explained(resampler: Resampler) -> None:
    X, Y = skewed()
    unknown = Y.astype(float)
    unknown[2, 2] = np.nan
    with pytest.raises(DataError, match="1 cells are unknown"):
        resampler.resample(X, unknown)
    with pytest.raises(DataError, match="as many rows"):
        resampler.resample(X[:5], Y)
    with pytest.raises(DataError, match=r"shape \(n, q\)"):
        resampler.resample(X, Y[:, 0])
    with pytest.raises(ValueError, match="NaN"):
        resampler.resample(X * np.nan, Y)


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 40), st.integers(2, 6), st.sampled_from([0, 10, 25, 90]), st.integers(0, 2**20))
def test_mlros_copies_rows_of_rare_labels_until_they_are_rare_no_more(n: int, q: int, percentage: int, seed: int) -> None:
    X, Y = skewed(n, q, seed)
    result = MLROS(percentage, random_state=seed).resample(X, Y)
    copies = result.parents[n:]
    assert len(copies) <= n * percentage // 100
    np.testing.assert_array_equal(result.X[n:], X[copies])
    np.testing.assert_array_equal(result.Y[n:], Y[copies])
    ratios, mean = slow.imbalance(Y)
    counts, open_bags, turn = Y.sum(axis=0), [j for j in sorted(ratios) if ratios[j] > mean], []
    for row in copies:  # bags take turns; a bag whose label is rare no more leaves
        turn = turn or list(open_bags)
        j = turn.pop(0)
        assert Y[row, j]
        counts = counts + Y[row]
        if counts.max() / counts[j] <= mean:
            open_bags.remove(j)
    assert len(copies) == n * percentage // 100 or not open_bags


def test_mlros_draws_every_row_of_a_bag() -> None:
    Y = np.zeros((400, 2), int)
    Y[:, 0] = 1
    Y[:8, 1] = 1
    runs = [MLROS(random_state=seed).resample(np.arange(400.0)[:, None], Y).parents[400:] for seed in range(8)]
    assert [len(run) for run in runs] == [8] * 8  # (400 + 8) / (8 + 8) is at most the mean of 1 and 50, with 7 copies it is not
    assert set(np.concatenate(runs).tolist()) == set(range(8))
    assert len({run.tobytes() for run in runs}) > 1


@pytest.mark.parametrize(("rule", "expected"), [("ranking", [1, 0]), ("union", [1, 1]), ("intersection", [0, 0])])
def test_mlsmote_label_rules(rule: str, expected: list[int]) -> None:
    resampler = MLSMOTE(2, labels=rule)
    labels = np.array([[1, 1], [1, 0], [0, 0]], dtype=np.uint8)
    np.testing.assert_array_equal(resampler._new_labels(labels, np.array([[1, 2], [0, 2], [0, 1]]))[0], expected)


def test_mlsmote_makes_one_row_between_neighbours_for_each_row_of_a_rare_label() -> None:
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(40, 3)), rng.normal(size=(3, 3)) + 50, rng.normal(size=(3, 3)) - 50])
    Y = np.zeros((46, 2), int)
    Y[:, 0] = 1
    Y[40:, 1] = 1
    result = MLSMOTE(k=2, random_state=0).resample(X, Y)
    np.testing.assert_array_equal(result.parents[46:], np.arange(40, 46))
    np.testing.assert_array_equal(result.Y[46:], 1)
    for row, parent in zip(result.X[46:], result.parents[46:]):
        group = X[40:43] if parent < 43 else X[43:]
        assert (row >= group.min(axis=0)).all()
        assert (row <= group.max(axis=0)).all()
        others = [other for other in group if not np.array_equal(other, X[parent])]
        shares = [(row - X[parent]) / (other - X[parent]) for other in others]
        inside = [share for share in shares if ((share >= -1e-9) & (share <= 1 + 1e-9)).all()]
        assert inside
        assert all(np.ptp(share) > 1e-6 for share in inside)  # each feature has its own place between
    assert len(MLSMOTE(random_state=0).resample(X[:41], Y[:41]).X) == 41  # a bag of one row


def test_mlsmote_nominal_features_take_the_most_frequent_value_of_the_neighbours() -> None:
    X = np.column_stack([[0.0, 0.1, 0.2, 0.3, 9, 9, 9, 9, 9, 9, 9, 9], [7, 3, 3, 5, 0, 0, 0, 0, 0, 0, 0, 0]])
    Y = np.zeros((12, 2), int)
    Y[:, 0] = 1
    Y[:4, 1] = 1
    made = MLSMOTE(k=3, nominal=[1], random_state=0).resample(X, Y).X[12:]
    np.testing.assert_array_equal(made[:, 1], [3, 3, 3, 3])
    made = MLSMOTE(k=1, nominal=[1], random_state=0).resample(X, Y).X[12:]  # the nearest: numeric gap plus 1 where values differ
    np.testing.assert_array_equal(made[:, 1], [3, 3, 3, 3])
    tied = MLSMOTE(k=2, nominal=[1], random_state=0).resample(X, Y).X[12:]
    np.testing.assert_array_equal(tied[:, 1], [3, 3, 3, 3])


def test_bad_parameters_are_refused() -> None:
    X, Y = skewed()
    bad = [(MLSMOTE(0), "neighbours"), (MLSMOTE(labels="mean"), "ranking"), (MLSMOTE(nominal=[4]), "nominal"), (MLROS(-1), "percentage")]
    for resampler, message in bad:  # where they are used, so that set_params can bring them as well
        for use in (resampler.resample, resampler.fit, resampler.fit_resample):
            with pytest.raises(ParameterError, match=message):
                use(X, Y)


@pytest.mark.parametrize("resampler", EVERY, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csr_matrix, pd.DataFrame])
def test_fit_resample_gives_the_rows_of_resample_with_labels_as_they_came(resampler: Resampler, kind) -> None:
    X, Y = skewed()
    expected = resampler.resample(X, Y)
    new_X, new_Y = clone(resampler).fit_resample(kind(X), kind(Y))
    assert type(new_X) is (np.ndarray if kind is pd.DataFrame else type(kind(X)))
    assert type(new_Y) is type(kind(Y))
    np.testing.assert_allclose(new_X.toarray() if sparse.issparse(new_X) else new_X, expected.X)
    np.testing.assert_array_equal(new_Y.toarray() if sparse.issparse(new_Y) else new_Y, expected.Y)
    assert resampler.fit(X, Y) is resampler
    assert resampler.n_features_in_ == 4


@pytest.mark.parametrize("resampler", EVERY, ids=lambda r: type(r).__name__)
def test_one_label_as_a_vector_of_any_two_values_stays_as_it_is(resampler: Resampler) -> None:
    X, _ = skewed()
    y = np.where(X[:, 0] > 0.8, "yes", "no")
    new_X, new_y = resampler.fit_resample(X, y)
    np.testing.assert_array_equal(new_X, X)
    np.testing.assert_array_equal(new_y, y)


def test_parameters_are_those_of_a_scikit_learn_estimator() -> None:
    X, Y = skewed()
    resampler = clone(MLSMOTE(3, labels="union", nominal=[1], random_state=4))
    assert resampler.get_params() == {"k": 3, "labels": "union", "nominal": [1], "random_state": 4}
    np.testing.assert_array_equal(
        resampler.set_params(k=2).resample(X, Y).X, MLSMOTE(2, labels="union", nominal=[1], random_state=4).resample(X, Y).X
    )
    assert REMEDIAL().get_params() == {}
    assert clone(MLROS(-1)).percentage == -1


def test_remedial_worked_example() -> None:
    Y = np.array([[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 0, 0]])
    X = np.arange(6.0)[:, None]
    result = REMEDIAL().resample(X, Y)
    np.testing.assert_array_equal(result.Y, [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(result.X[:, 0], [0, 1, 2, 3, 4, 5, 1, 2])
    np.testing.assert_array_equal(result.parents, [0, 1, 2, 3, 4, 5, 1, 2])


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 25), st.integers(1, 6), st.integers(0, 2**20))
def test_remedial_equals_the_slow_form_and_loses_no_label(n: int, q: int, seed: int) -> None:
    X, Y = skewed(n, q, seed)
    result = REMEDIAL().resample(X, Y)
    labels, split = slow.remedial(Y)
    np.testing.assert_array_equal(result.Y, labels)
    np.testing.assert_array_equal(result.parents[n:], split)
    np.testing.assert_array_equal(result.Y.sum(axis=0), Y.sum(axis=0))
