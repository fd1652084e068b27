import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from polytag.data import make_multilabel
from polytag.data.stats import imbalance_ratios, mean_imbalance_ratio
from polytag.data.synthetic import label_frequencies
from polytag.errors import ParameterError


@pytest.mark.parametrize(
    ("q", "cardinality", "imbalance"), [(2, 0.9, 1.5), (10, 2.0, 1.0), (30, 4.0, 8.0), (200, 3.0, 50.0), (1, 0.4, 1.0)]
)
def test_frequencies_have_the_wanted_sum_and_imbalance(q, cardinality, imbalance):
    found = label_frequencies(q, cardinality, imbalance)
    assert found.sum() == pytest.approx(cardinality)
    assert (found[0] / found).mean() == pytest.approx(imbalance)
    assert (np.diff(found) <= 0).all()


@pytest.mark.parametrize(("cardinality", "imbalance"), [(1.0, 1.0), (2.0, 3.0), (3.0, 8.0)])
def test_the_sample_follows(cardinality, imbalance):
    data, _ = make_multilabel(20000, 25, 20, cardinality=cardinality, imbalance=imbalance)
    assert data.labels.sizes.mean() == pytest.approx(cardinality, rel=0.05)
    assert mean_imbalance_ratio(imbalance_ratios(data.labels.counts)) == pytest.approx(imbalance, rel=0.1)


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("d", [3, 12])
def test_labels_go_together_as_told(noise, d):
    """Two labels of frequency 1/2 whose latent variables correlate by r are both on in a share 1/4 + asin(r) / (2 pi) of the rows."""
    for correlation in (0.0, 0.5, 0.9):
        seeds, n = (
            (range(12), 8000) if d == 3 else (range(1), 40000)
        )  # with few features the correlation holds on average over the directions
        found = []
        for seed in seeds:
            Y = make_multilabel(n, d, 6, cardinality=3.0, imbalance=1.0, correlation=correlation, noise=noise, seed=seed)[0].Y
            both = Y.T.astype(float) @ Y / n
            found.append(np.sin(2 * np.pi * (both[np.triu_indices(6, 1)] - 0.25)).mean())
        assert np.mean(found) == pytest.approx(correlation, abs=0.04 if d == 12 else 0.12)


def test_scores_are_calibrated():
    data, scores = make_multilabel(20000, 6, 8, cardinality=2.0, imbalance=3.0, noise=0.4)
    for low in np.arange(0, 1, 0.1):
        cell = (scores >= low) & (scores < low + 0.1)
        spread = np.sqrt(scores[cell].mean() * (1 - scores[cell].mean()) / cell.sum())
        assert abs(data.Y[cell].mean() - scores[cell].mean()) < 4 * spread


def test_no_model_beats_the_scores():
    data, scores = make_multilabel(22000, 6, 5, cardinality=1.5, imbalance=2.0, noise=0.3)
    rows, test = np.arange(2000), np.arange(2000, 22000)

    def loss(p):
        return np.mean([log_loss(data.Y[test, label], p[:, label]) for label in range(5)])

    models = [LogisticRegression(C=100).fit(data.X[rows], data.Y[rows, label]) for label in range(5)]
    fitted = loss(np.stack([model.predict_proba(data.X[test])[:, 1] for model in models], axis=1))
    best = loss(scores[test])
    assert best < fitted < best + 0.02  # close, since the truth is nearly logistic
    assert best < loss(np.clip(scores[test] * 1.1, 0, 0.999))
    assert best < loss(np.clip(scores[test] * 0.9, 0.001, 1))


def test_noise_takes_away_what_features_know():
    def known(noise):
        scores = make_multilabel(3000, 6, 5, noise=noise)[1]
        return np.abs(scores - scores.mean(axis=0)).mean()

    assert known(0.0) > known(0.3) > known(0.7) > known(1.0)
    assert known(1.0) < 1e-12


def test_without_noise_the_scores_are_the_labels():
    data, scores = make_multilabel(500, 4, 3, cardinality=1.0, noise=0.0)
    assert (scores == data.Y).all()


def test_the_seed_decides():
    one, two, other = (make_multilabel(50, 4, 3, cardinality=1.0, seed=s) for s in (0, 0, 1))
    assert (one[0].X == two[0].X).all()
    assert (one[0].Y == two[0].Y).all()
    assert (one[0].X != other[0].X).any()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"d": 1, "noise": 2.0}, "d=1.*noise=2.0"),
        ({"correlation": -0.1}, "correlation=-0.1"),
        ({"cardinality": 9.0}, "cardinality below"),
        ({"cardinality": 0.0}, "0.0"),
        ({"imbalance": 0.5}, "0.5"),
    ],
)
def test_errors_say_what_to_do(wrong, says):
    with pytest.raises(ParameterError, match=says):
        make_multilabel(10, **{"d": 4, "q": 5, **wrong})
