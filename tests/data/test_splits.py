import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier

from polytag.data import Dataset, IterativeStratifiedKFold, LabelIndex, holdout, kfold, make_multilabel
from polytag.data.splits import stratified_parts, with_valid
from polytag.errors import DataError, ParameterError


@pytest.fixture(scope="module")
def data():
    return make_multilabel(600, 6, 12, cardinality=2.5, imbalance=5)[0]


def covers(split, n):
    rows = np.concatenate(split)
    return len(rows) == n and len(np.unique(rows)) == n


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("valid_from", ["train", "test"])
def test_folds_partition_the_rows(data, order, valid_from):
    splits = kfold(data, 5, order=order, valid_from=valid_from)
    for split in splits:
        assert covers(split, data.n)
        assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in split)
    tested = np.concatenate([np.r_[s.test, s.valid] if valid_from == "test" else s.test for s in splits])
    assert sorted(tested) == list(range(data.n))


@settings(max_examples=40, deadline=None)
@given(st.integers(12, 60), st.integers(1, 8), st.integers(2, 5), st.integers(0, 2**16), st.sampled_from([1, 2]))
def test_any_labels_give_whole_folds(n, q, folds, seed, order):
    rng = np.random.default_rng(seed)
    Y = (rng.random((n, q)) < rng.random(q)).astype(np.uint8)
    splits = kfold(Y, folds, valid=0.25, order=order, seed=seed)
    assert all(covers(split, n) for split in splits)
    sizes = [len(split.test) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    assert all(abs(len(s.valid) - 0.25 * (n - len(s.test))) < 1 for s in splits)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_every_label_with_enough_rows_is_in_every_fold(order, seed):
    data, _ = make_multilabel(400, 5, 40, cardinality=3, imbalance=12, seed=seed)
    enough = data.labels.counts >= 5
    assert enough.sum() > 30
    assert data.labels.counts[enough].min() < 12
    for split in kfold(data, 5, order=order, seed=seed):
        assert (data.take(split.test).labels.counts[enough] > 0).all()


def test_validation_and_test_hold_their_share_of_each_label(data):
    for split in kfold(data, 5, valid=0.1):
        for rows, share in ((split.test, 0.2), (split.valid, 0.08)):
            counts = data.take(rows).labels.counts
            assert np.abs(counts - share * data.labels.counts).max() < 6


def test_the_same_seed_gives_the_same_folds_and_another_seed_others(data):
    one, two, three = (kfold(data, 3, seed=s) for s in (7, 7, 8))
    assert all((a == b).all() for s, t in zip(one, two) for a, b in zip(s, t))
    assert any(len(a) != len(b) or (a != b).any() for s, t in zip(one, three) for a, b in zip(s, t))


def test_the_kind_of_label_matrix_does_not_matter(data):
    Y = data.Y
    kinds = [Y, Y.astype(bool), Y.astype(float), sparse.csr_array(Y), sparse.csc_matrix(Y), Y.tolist(), data]
    folds = [np.concatenate([s.test for s in kfold(kind, 4)]) for kind in kinds]
    assert all((fold == folds[0]).all() for fold in folds)


def test_the_order_of_rows_does_not_matter_for_how_good_the_folds_are(data, rng):
    from polytag.data.stratify import deviation

    order = rng.permutation(data.n)
    for Y in (data.Y, data.Y[order], data.Y[:, ::-1]):
        found = deviation(LabelIndex.from_labels(Y), stratified_parts(Y, np.full(5, 0.2)))
        assert found.labels < 0.01
        assert found.missing == 0


def test_global_randomness_is_left_alone(data):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    kfold(data, 3)
    assert (before == np.random.get_state()[1]).all()  # noqa: NPY002


class TestValidFromTest:
    def test_validation_is_half_of_the_test_fold(self, data):
        folds = kfold(data, 5, valid=0)
        for plain, split in zip(folds, kfold(data, 5, valid_from="test")):
            assert (plain.train == split.train).all()
            assert sorted(np.r_[split.valid, split.test]) == plain.test.tolist()
            assert len(split.valid) == len(plain.test) // 2

    def test_groups_stay_whole(self, data):
        groups = np.arange(data.n) // 7
        for split in kfold(data, 5, valid_from="test", groups=groups):
            assert not set(groups[split.valid]) & set(groups[split.test])


class TestGroups:
    @pytest.mark.parametrize("as_sparse", [False, True])
    @pytest.mark.parametrize("order", [1, 2])
    def test_equal_rows_stay_on_one_side(self, rng, as_sparse, order):
        data, _ = make_multilabel(300, 4, 6)
        X = np.concatenate([data.X, data.X[rng.integers(0, 300, 150)]])
        Y = np.concatenate([data.Y, data.Y[rng.integers(0, 300, 150)]])
        repeated = Dataset(sparse.csr_array(X) if as_sparse else X, Y)
        for split in kfold(repeated, 4, keep_duplicates_together=True, order=order):
            keys = [{X[i].tobytes() for i in part} for part in split]
            assert sum(map(len, keys)) == len(set.union(*keys))
            assert covers(split, 450)
            assert abs(len(split.test) - 112.5) < 3
        scattered = kfold(repeated, 4, keep_duplicates_together=False)[0]
        assert {X[i].tobytes() for i in scattered.train} & {X[i].tobytes() for i in scattered.test}

    def test_labels_are_still_spread(self, data, rng):
        groups = np.arange(data.n) // 4

        def miss(tests):
            return sum(np.abs(data.take(rows).labels.counts - 0.2 * data.labels.counts).sum() for rows in tests)

        chance = rng.permutation(150) % 5
        at_random = [np.flatnonzero(chance[groups] == fold) for fold in range(5)]
        assert miss([split.test for split in kfold(data, 5, groups=groups, valid=0)]) < 0.45 * miss(at_random)

    def test_groups_and_duplicates_hold_together(self, data):
        X = data.X.copy()
        X[1], X[2] = X[0], X[3]  # duplicates link rows 0-1 and 2-3, the group links 1-2
        groups = np.arange(data.n)
        groups[2] = groups[1]
        for split in kfold(Dataset(X, data.Y), 5, keep_duplicates_together=True, groups=groups):
            assert sum(bool(set(part.tolist()) & {0, 1, 2, 3}) for part in split) == 1

    def test_labels_alone_have_no_duplicates(self, data):
        with pytest.raises(DataError, match="Dataset"):
            kfold(data.Y, keep_duplicates_together=True)

    def test_one_huge_group_is_no_trap(self, data):
        groups = np.where(np.arange(data.n) < 400, 0, np.arange(data.n))
        sizes = sorted(len(s.test) for s in kfold(data, 3, groups=groups, valid=0))
        assert sizes == [100, 100, 400]


class TestHoldout:
    def test_shares(self, data):
        split = holdout(data, test=0.25, valid=0.2)
        assert covers(split, data.n)
        assert [len(part) for part in split] == [360, 90, 150]
        assert np.abs(data.take(split.test).labels.counts - 0.25 * data.labels.counts).max() < 3

    def test_without_validation(self, data):
        assert len(holdout(data, valid=0).valid) == 0

    def test_duplicates_stay_together(self, data):
        twice = Dataset.join([data, data])
        split = holdout(twice, keep_duplicates_together=True)
        assert all(set(part % data.n) == set(part[part < data.n]) for part in split)

    def test_validation_rows_of_a_published_split(self, data):
        split = with_valid(data, np.arange(500), np.arange(500, 600), valid=0.2)
        assert covers(split, 600)
        assert len(split.valid) == 100
        assert split.test.tolist() == list(range(500, 600))


class TestSplitter:
    def test_scikit_learn_takes_it(self, data):
        cv = IterativeStratifiedKFold(3)
        model = OneVsRestClassifier(LogisticRegression())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's own deprecations are not the subject
            assert len(cross_val_score(model, data.X, data.Y, cv=cv, scoring="f1_macro")) == 3
            search = GridSearchCV(model, {"estimator__C": [0.1, 1.0]}, cv=cv, scoring="f1_micro").fit(data.X, data.Y)
        assert search.n_splits_ == 3

    def test_it_prints_and_counts(self):
        cv = IterativeStratifiedKFold(4, order=2)
        assert cv.get_n_splits() == 4
        assert "order=2" in repr(cv)

    def test_splitting_twice_gives_the_same_unless_the_seed_is_none(self, data):
        def tests(cv):
            return np.concatenate([test for _, test in cv.split(data.X, data.Y)])

        fixed, free = IterativeStratifiedKFold(random_state=3), IterativeStratifiedKFold(random_state=None)
        assert (tests(fixed) == tests(fixed)).all()
        assert (tests(free) != tests(free)).any()
        old = IterativeStratifiedKFold(random_state=np.random.RandomState(0))
        assert len(tests(old)) == data.n

    def test_without_shuffling_nothing_is_random(self, data):
        one, two = (IterativeStratifiedKFold(shuffle=False, random_state=s).split(None, data.Y) for s in (0, 1))
        assert all((a[1] == b[1]).all() for a, b in zip(one, two))

    def test_data_frames_and_one_column(self, data):
        import pandas as pd

        cv = IterativeStratifiedKFold(3)
        frame = pd.DataFrame(data.Y)
        assert all((a[1] == b[1]).all() for a, b in zip(cv.split(frame, frame), cv.split(data.X, data.Y)))
        assert sum(len(test) for _, test in cv.split(data.X, data.Y[:, 0])) == data.n

    def test_groups(self, data):
        groups = np.arange(data.n) // 3
        for train, test in IterativeStratifiedKFold(3).split(data.X, data.Y, groups):
            assert not set(groups[train]) & set(groups[test])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda d: kfold(d, 601), ParameterError, "rows \\(600\\), but got 601"),
        (lambda d: kfold(d, 3, groups=np.arange(600) % 2), ParameterError, "groups of rows \\(2\\)"),
        (lambda d: kfold(d, 1), ParameterError, "at least 2, but got 1"),
        (lambda d: kfold(d, 2.5), ParameterError, "whole number"),
        (lambda d: kfold(d, valid=1.0), ParameterError, "valid=1.0"),
        (lambda d: kfold(d, valid_from="tset"), ParameterError, "'tset'"),
        (lambda d: kfold(d, order=3), ParameterError, "order=3"),
        (lambda d: kfold(d, groups=[1, 2]), DataError, "600 rows"),
        (lambda d: kfold(d.Y[:, 0]), DataError, "shape"),
        (lambda d: holdout(d, test=0), ParameterError, "test=0"),
        (lambda d: holdout(d.take([0, 1]), test=0.01), ParameterError, "both sides"),
        (lambda d: holdout(d.take([0, 1]), test=0.5, valid=0.1), ParameterError, "valid=0.1 for 1 rows"),
        (lambda d: stratified_parts(d.Y, [0.5, 0.6]), ParameterError, "add up to 1"),
        (lambda d: list(IterativeStratifiedKFold().split(d.X)), DataError, "None"),
        (lambda d: list(IterativeStratifiedKFold().split(d.X[:5], d.Y)), DataError, "5 and 600"),
        (lambda d: list(IterativeStratifiedKFold(700).split(d.X, d.Y)), ParameterError, "700"),
    ],
)
def test_errors_say_what_to_do(data, call, error, says):
    with pytest.raises(error, match=says):
        call(data)
