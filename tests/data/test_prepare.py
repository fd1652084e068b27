import json

import numpy as np
import pytest
from scipy import sparse

from polytag.data import PRESETS, Dataset, Preparation, Prepared, Split, kfold, make_multilabel
from polytag.data.prepare import AUTHORS_FEATURE_SHARES
from polytag.errors import DataError, ParameterError


@pytest.fixture
def data():
    made, _ = make_multilabel(200, 6, 5, cardinality=1.2, imbalance=6)
    return Dataset(made.X * np.arange(1, 7) + 3, made.Y, name="made")


@pytest.fixture
def split(data):
    return kfold(data, 4)[0]


def test_only_training_rows_teach_the_scale(data, split):
    parts = Preparation().prepare(data, split)
    assert parts.train.X.min(axis=0) == pytest.approx(np.zeros(6))
    assert parts.train.X.max(axis=0) == pytest.approx(np.ones(6))
    changed = data.X.copy()
    changed[np.r_[split.valid, split.test]] *= 100
    again = Preparation().prepare(Dataset(changed, data.Y), split)
    assert (again.train.X == parts.train.X).all()
    assert again.test.X.max() > 10  # not clipped


def test_all_rows_may_teach_the_scale(data, split):
    parts = Preparation(scale_on="all").prepare(data, split)
    joined = np.concatenate([parts.train.X, parts.valid.X, parts.test.X])
    assert joined.min(axis=0) == pytest.approx(np.zeros(6))
    assert joined.max(axis=0) == pytest.approx(np.ones(6))


def test_rare_labels_are_dropped(data, split):
    limit = int(np.sort(data.labels.counts)[1])
    parts = Preparation(min_label_count=limit).prepare(data, split)
    kept = data.labels.counts > limit
    assert [p.label_names for p in parts[:3]] == [tuple(np.array(data.label_names)[kept])] * 3
    assert (data.Y[split.test][:, kept] == parts.test.Y).all()
    assert parts.description["labels_dropped"] == list(np.array(data.label_names)[~kept])


def test_rare_labels_may_be_counted_in_training_rows(data, split):
    counts = data.take(split.train).labels.counts
    limit = int(counts.min())
    assert limit < data.labels.counts.min()
    assert Preparation(min_label_count=limit).prepare(data, split).train.q == 5
    assert Preparation(min_label_count=limit, count_on="train").prepare(data, split).train.q == (counts > limit).sum()


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_frequent_features_stay_in_their_order(make):
    X = np.zeros((8, 10))
    for j, times in enumerate([1, 5, 2, 7, 0, 3, 3, 3, 6, 4]):
        X[:times, j] = 1
    data = Dataset(make(X), np.tile([[1, 0], [0, 1]], (4, 1)))
    split = Split(np.arange(8), np.arange(0), np.arange(0))
    parts = Preparation(scale="none", keep_features=0.59).prepare(data, split)
    assert parts.train.feature_names == tuple(f"feature_{j}" for j in (1, 3, 5, 8, 9))  # of the ties 5, 6, 7 the first
    assert parts.description["features_dropped"] == 5
    assert Preparation(keep_features={"other": 0.1}).prepare(data, split).train.d == 10


def test_features_are_counted_on_training_rows_or_all():
    X = np.array([[1.0, 0], [1, 0], [0, 9], [0, 9]])
    data, split = Dataset(X, np.ones((4, 1))), Split(np.arange(2), np.arange(0), np.arange(2, 4))
    assert Preparation(keep_features=0.5).fit(data, split).features.tolist() == [0]
    assert Preparation(keep_features=0.5, keep_on="all").fit(data, split).features.tolist() == [1]


def test_rows_without_labels(data, split):
    empty = data.labels.sizes == 0
    assert empty[split.train].any()
    assert empty[split.test].any()
    for which in (False, "train", "all"):
        parts = Preparation(drop_unlabelled=which).prepare(data, split)
        assert parts.train.n == len(split.train) - (which is not False) * empty[split.train].sum()
        assert parts.test.n == len(split.test) - (which == "all") * empty[split.test].sum()
        assert parts.description["rows_dropped"] == data.n - sum(p.n for p in parts[:3])


def test_a_row_whose_labels_were_all_dropped_has_none():
    data = Dataset(np.eye(4), np.array([[1, 0], [1, 0], [0, 1], [1, 0]]))
    split = Split(np.arange(3), np.arange(0), np.array([3]))
    assert Preparation(min_label_count=1, drop_unlabelled="train").prepare(data, split).train.n == 2


def test_missing_values_are_filled_from_training_rows(data, split):
    X = data.X.copy()
    X[split.test[0], 0] = np.nan
    parts = Preparation().prepare(Dataset(X, data.Y), split)
    assert parts.test.X[0, 0] == pytest.approx(parts.train.X[:, 0].mean())


def test_sparse_features_and_labels_stay_sparse(data, split):
    thin = Dataset(sparse.csr_array(np.maximum(data.X - 4, 0)), sparse.csr_array(data.Y))
    parts = Preparation(min_label_count=5).prepare(thin, split)
    assert sparse.issparse(parts.train.X)
    assert sparse.issparse(parts.test.Y)


def test_pictures_are_scaled_pixel_by_pixel(rng):
    data = Dataset(rng.random((20, 1, 3, 4)), np.tile([[1, 0], [0, 1]], (10, 1)))
    split = Split(np.arange(10), np.arange(0), np.arange(10, 20))
    assert Preparation().prepare(data, split).train.X.shape == (10, 1, 3, 4)
    with pytest.raises(DataError, match="keep_features=None"):
        Preparation(keep_features=0.5).fit(data, split)


def test_the_state_goes_through_json(data, split):
    prepared = Preparation(min_label_count=10, keep_features=0.7, scale="standard").fit(data, split)
    state = json.loads(json.dumps(prepared.to_dict(), default=np.ndarray.tolist))
    again = Prepared.from_dict(state)
    assert (again.transform(data).X == prepared.transform(data).X).all()
    assert again.preparation == prepared.preparation


def test_the_description_names_every_switch(data, split):
    described = Preparation(scale="standard").prepare(data, split).description
    assert {"scale", "scale_on", "eps", "missing", "min_label_count", "count_on", "keep_features", "keep_on"} <= set(described)
    assert described["rows"] == {"train": len(split.train), "valid": len(split.valid), "test": len(split.test)}
    json.dumps(described)


class TestPresets:
    def test_clean_is_the_default(self):
        assert Preparation(**PRESETS["clean"]["preparation"]) == Preparation()

    def test_both_build(self, data):
        for preset in PRESETS.values():
            split = kfold(data, 4, **preset["split"])[0]
            assert Preparation(**preset["preparation"]).prepare(data, split).train.n == len(split.train)

    def test_authors_2024_as_the_specification_lists_it(self, data):
        preset = PRESETS["authors-2024"]
        preparation = Preparation(**preset["preparation"])
        split = kfold(data, 5, **preset["split"])[0]
        assert len(split.train) == 160
        assert len(split.valid) == len(split.test) == 20
        found = preparation.fit(data, split)
        assert found.labels.tolist() == np.flatnonzero(data.labels.counts > 20).tolist()
        assert found.scaler.shift == pytest.approx(data.X.min(axis=0))
        assert AUTHORS_FEATURE_SHARES["yahoo-arts"] == 0.05

    def test_feature_shares_go_by_name(self, data, split):
        preparation = Preparation(**PRESETS["authors-2024"]["preparation"])
        for name, left in (("yahoo-arts", 3), ("Yahoo_Arts", 3), ("tmc2007-500", 60), ("tmc2007", 1)):
            assert preparation.prepare(Dataset(np.tile(np.abs(data.X), 10), data.Y, name=name), split).train.d == left

    @pytest.mark.data
    def test_cal500_keeps_119_labels(self, real_data):
        from polytag.data import read_arff

        data = read_arff(real_data / "mulan/cal500/cal500.arff.gz")
        assert len(Preparation(min_label_count=20).kept_labels(data)) == 119


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda d, s: Preparation(scale="max", count_on="test"), ParameterError, "scale='max', count_on='test'"),
        (lambda d, s: Preparation(keep_features=1.5), ParameterError, "keep_features=1.5"),
        (lambda d, s: Preparation(min_label_count=-1), ParameterError, "min_label_count=-1"),
        (lambda d, s: Preparation(drop_unlabelled="test"), ParameterError, "drop_unlabelled='test'"),
        (lambda d, s: Preparation(min_label_count=10**6).fit(d, s), DataError, "lower min_label_count"),
        (lambda d, s: Preparation().fit(d, Split(s.train[:0], s.valid, s.test)), DataError, "none"),
        (lambda d, s: Preparation(missing="refuse").fit(Dataset(d.X * np.nan, d.Y), s), DataError, "missing values"),
    ],
)
def test_errors_say_what_to_do(data, split, call, error, says):
    with pytest.raises(error, match=says):
        call(data, split)


def test_texts_become_tokens_or_a_table_by_the_words_of_the_training_rows() -> None:
    texts = np.array([["red tea"], ["green tea"], ["red wine"], ["unseen words"]], dtype=object)
    data = Dataset(texts, np.eye(4, 2, dtype=np.uint8), ["text"], kind="text")
    split = Split(np.array([0, 1, 2]), np.arange(0), np.array([3]))
    both = Preparation(text={"min_count": 1, "max_len": 5, "sublinear": True})  # max_len is for tokens, sublinear for the table
    tokens, table = both.prepare(data, split, inputs=("tokens",)), both.prepare(data, split, inputs=("table",))
    assert (tokens.train.kind, tokens.train.vocabulary, tokens.test.X.tolist()) == ("tokens", 6, [[1, 1]])
    assert (table.train.kind, table.train.feature_names, table.test.X.nnz) == ("table", ("green", "red", "tea", "wine"), 0)
    forced = Preparation(text={"as": "tfidf", "min_count": 1}).fit(data, split, inputs=("tokens",))
    again = type(forced).from_dict(forced.to_dict())
    assert (again.transform(data).X != forced.transform(data).X).nnz == 0
    for wrong in ({"as": "words"}, {"max_word": 3}):
        with pytest.raises(ParameterError, match="text="):
            Preparation(text=wrong)
