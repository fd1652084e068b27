"""The traps of the real files, one by one."""

import numpy as np
import pytest
from scipy import sparse

from polytag.data.readers import read_arff, read_mat

pytestmark = pytest.mark.data


def test_birds_quotes_and_places(real_data):
    data = read_arff(real_data / "mulan/birds/birds-train.arff.gz")
    assert "Swainson's Thrush" in data.label_names
    assert (data.n, data.q) == (322, 19)
    places = [name for name in data.feature_names if name.startswith("location=")]
    assert len(places) == 12
    assert data.d == 260 - 1 + 12
    columns = [data.feature_names.index(name) for name in places]
    np.testing.assert_array_equal(data.X[:, columns].sum(axis=1), 1)


def test_delicious_backslashes(real_data):
    data = read_arff(real_data / "mulan/delicious/delicious-test.arff.gz")
    assert "TAG_m\\'usica" in data.label_names
    assert (data.n, data.d, data.q) == (3185, 500, 983)


def test_langlog_labels_are_first_although_the_xml_says_only_names(real_data):
    by_xml = read_arff(real_data / "meka/LLOG.arff.gz", labels=real_data / "meka/LLOG.xml")
    by_relation = read_arff(real_data / "meka/LLOG.arff.gz")
    assert by_xml.label_names == by_relation.label_names
    assert by_xml.labels.sizes.mean() == pytest.approx(1.180, abs=5e-4)


def test_xml_order_differs_from_columns(real_data):
    data = read_arff(real_data / "yahoo/yahoo_arts/test_fold1.arff.gz", labels=real_data / "yahoo/yahoo_arts/Yahoo_Arts.xml")
    assert data.label_names == tuple(f"Label{j}" for j in range(1, 27))
    assert (data.n, data.d) == (1497, 23146)
    assert isinstance(data.X, sparse.csr_array)


def test_sparse_and_dense_form_of_one_set(real_data):
    folder = real_data / "mulan/corel5k"
    loose, full = read_arff(folder / "Corel5k-test-sparse.arff.gz"), read_arff(folder / "Corel5k-test.arff.gz")
    assert loose.label_names == full.label_names
    np.testing.assert_array_equal(loose.X.toarray(), full.X)
    np.testing.assert_array_equal(loose.Y.toarray(), full.Y)


def test_first_and_last_labels_of_one_set(real_data):
    mulan, meka = read_arff(real_data / "mulan/enron/enron.arff.gz"), read_arff(real_data / "meka/Enron.arff.gz")
    assert sorted(mulan.label_names) == sorted(meka.label_names)
    np.testing.assert_array_equal(np.sort(mulan.labels.counts), np.sort(meka.labels.counts))


def test_every_label_unknown(real_data):
    data = read_arff(real_data / "meka/Music_missing_classes.arff.gz")
    assert data.Y.dtype == np.float32
    assert np.isnan(data.Y).all()
    np.testing.assert_array_equal(data.X, read_arff(real_data / "meka/Music.arff.gz").X)


def test_numeric_labels_of_folds(real_data):
    whole = read_arff(real_data / "other/CHD_49/CHD_49-full.arff.gz", labels=real_data / "other/CHD_49/CHD_49.xml")
    fold = read_arff(real_data / "other/CHD_49/test_fold1.arff.gz", labels=real_data / "other/CHD_49/CHD_49.xml")
    assert fold.label_names == whole.label_names
    assert fold.Y.dtype == np.uint8
    assert {row.tobytes() for row in fold.X} <= {row.tobytes() for row in whole.X}


def test_carriage_returns(real_data):
    data = read_arff(real_data / "rumdr-cv/stackex_cs/cs-5x2x1-1tst.arff.gz")
    assert (data.n, data.d, data.q) == (1854, 635, 274)
    assert not any("\r" in name for name in (*data.feature_names, *data.label_names))


def test_real_categories(real_data):
    data = read_arff(real_data / "mulan/foodtruck/foodtruck.arff.gz")
    assert {"time=happy_hour", "gender=F", "marital.status=single"} <= set(data.feature_names)
    assert data.d == 21 - 4 + 5 + 5 + 2 + 3


def test_matlab_targets(real_data):
    data = read_mat(real_data / "mat/rcv1s1.mat")
    assert (data.n, data.d, data.q) == (6000, 944, 101)
    assert data.labels.sizes.mean() == pytest.approx(2.880, abs=5e-4)
    text = read_arff(real_data / "selected500/rcv1subset1500/rcv1subset1500.orig.arff.gz")
    np.testing.assert_array_equal(text.Y.toarray(), data.Y)


def test_hierarchical_files_are_refused_with_the_attribute(real_data):
    from polytag.errors import ReadError

    with pytest.raises(ReadError, match="hierarchical") as caught:
        read_arff(real_data / "hierarchical/FUN/church_FUN/church_FUN.test.arff.gz", labels=-1)
    assert caught.value.line
