import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from polytag.data import kfold, load_digits_scenes
from polytag.data.digits import HEIGHT, HIERARCHY, LABEL_NAMES, WIDTH, _labels
from polytag.data.stats import imbalance_ratios, mean_imbalance_ratio
from polytag.errors import ParameterError


@pytest.fixture(scope="module")
def data():
    return load_digits_scenes()


def test_sizes_and_imbalance(data):
    assert (data.n, data.d, data.q) == (2000, HEIGHT * WIDTH, 18)
    assert data.labels.counts.min() > 20
    assert mean_imbalance_ratio(imbalance_ratios(data.labels.counts)) > 5
    assert 4 < data.labels.sizes.mean() < 5.5
    assert data.X.min() >= 0
    assert data.X.max() <= 1


def test_a_child_never_comes_without_its_parent(data):
    for parent, child in HIERARCHY:
        above, below = (data.Y[:, LABEL_NAMES.index(name)] for name in (parent, child))
        assert (above >= below).all()
        assert (above > below).any()


def test_labels_by_hand():
    def named(digits):
        return {name for name, on in zip(LABEL_NAMES, _labels(np.array(digits))) if on}

    assert named([4]) == {"digit 4", "even digit", "same parity"}
    assert named([7, 7]) == {"digit 7", "odd digit", "same parity", "repeated digit", "sum above 10"}
    assert named([9, 1, 6]) == {
        "digit 9",
        "digit 1",
        "digit 6",
        "even digit",
        "odd digit",
        "three or more digits",
        "sum above 10",
        "sum above 15",
    }
    assert "four digits" in named([1, 2, 3, 4])
    assert "sum above 10" not in named([4, 6])


def test_the_same_seed_gives_the_same_scenes():
    one, two, other = load_digits_scenes(50), load_digits_scenes(80), load_digits_scenes(50, seed=1)
    assert (two.X[:50] == one.X).all()
    assert (two.Y[:50] == one.Y).all()
    assert (one.X != other.X).any()


def test_the_first_scenes_are_those_of_every_release(data):
    assert data.labels.counts.tolist() == [183, 1120, 594, 559, 107, 394, 62, 313, 216, 143, 1004, 1750, 1246, 517, 664, 197, 376, 95]
    assert data.X.sum(dtype=np.float64) == pytest.approx(87113.131, rel=1e-6)


def test_pictures_hold_the_same_pixels():
    table, pictures = load_digits_scenes(30), load_digits_scenes(30, as_image=True)
    assert pictures.X.shape == (30, 1, HEIGHT, WIDTH)
    assert (pictures.X.reshape(30, -1) == table.X).all()
    assert (pictures.Y == table.Y).all()
    assert pictures.hierarchy == table.hierarchy


def test_noise_free_scenes_show_digits_on_black():
    assert (load_digits_scenes(20, noise=0).X == 0).mean() > 0.4


def test_hard_but_learnable(data):
    split = kfold(data, 4, valid=0)[0]
    scores = np.zeros((len(split.test), data.q))
    for label in range(data.q):
        model = LogisticRegression(C=0.1).fit(data.X[split.train], data.Y[split.train, label])
        scores[:, label] = model.predict_proba(data.X[split.test])[:, 1]
    assert 0.75 < roc_auc_score(data.Y[split.test], scores) < 0.9


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 2.5}, {"noise": -1.0}, {"noise": float("nan")}])
def test_errors_name_the_value(wrong):
    with pytest.raises(ParameterError, match=str(next(iter(wrong.values())))):
        load_digits_scenes(**wrong)
