"""Label enhancement behind ``fit`` and ``predict``: what is trained, kept, told, saved and searched."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from polytag import DeepMultiLabelClassifier, metrics, registry
from polytag.enhance import FLEM, Companion, Enhancer, Guidance
from polytag.errors import DataError, ParameterError, UnknownNameError
from polytag.models import Linear
from polytag.training import checkpoint


class Shares(Enhancer):
    """Two stages: relevant labels share ``sharp`` of the description, and all labels the rest."""

    def __init__(self, *, beta: float = 0.3, sharp: float = 0.8) -> None:
        super().__init__(beta=beta)
        self.sharp = sharp

    def fit_transform(self, X, Y, *, seed=0):
        Y = np.asarray(Y.toarray() if hasattr(Y, "toarray") else Y, dtype=float)
        mixed = self.sharp * Y + (1 - self.sharp) / Y.shape[1]
        return mixed / mixed.sum(axis=1, keepdims=True)


class Listening(Companion):
    def __init__(self, width: int, q: int) -> None:
        super().__init__()
        self.scores = torch.nn.Linear(width + q, q)

    def forward(self, batch, features, logits):
        z = self.scores(torch.cat([features, batch.y], dim=1))
        loss = (z - 2 * batch.y).square().mean()
        return Guidance(z.detach().softmax(dim=1), loss, {"listening": loss.detach()})

    def distributions(self, batch, features):
        return self.scores(torch.cat([features, batch.y], dim=1)).softmax(dim=1)


class Ear(Shares):
    """One stage: learns beside the model that relevant labels describe more."""

    def companion(self, train, width, *, seed=0):
        return Listening(width, train.q)


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give both a name, here and nowhere else."""
    for name, method in {"test_shares": Shares, "test_listening": Ear}.items():
        monkeypatch.setitem(registry._METHODS["enhancer"], name, method)


def make(n: int = 200, q: int = 4):
    return make_multilabel_classification(n, n_features=12, n_classes=q, random_state=0)


def quick(enhance="test_listening", **params) -> DeepMultiLabelClassifier:
    return DeepMultiLabelClassifier(**{"model": "linear", "enhance": enhance, "epochs": 20, "lr": 0.05, "random_state": 0, **params})


@parametrize_with_checks([quick(enhance_params={"beta": 0.01}, epochs=40, lr=0.1, batch_size=16, validation_fraction=0)])
def test_scikit_learn_checks(estimator, check) -> None:
    check(estimator)


def test_the_model_is_kept_alone_and_the_history_tells_of_both() -> None:
    X, Y = make()
    fitted = quick(enhance_params={"beta": 0.2}).fit(X, Y)
    assert type(fitted.model_) is Linear
    assert not fitted.model_.training
    assert fitted.history_.history[-1].parts.keys() == {"classification", "distribution", "listening"}
    assert metrics.macro_auc(Y, fitted.predict_proba(X)) > 0.7


@pytest.mark.parametrize("enhance", ["test_shares", "test_listening", "flem"])
def test_without_weight_it_changes_nothing_and_with_weight_it_does(enhance: str) -> None:
    X, Y = make()
    plain = quick(None).fit(X, Y).decision_function(X)
    np.testing.assert_array_equal(quick(enhance, enhance_params={"beta": 0.0}).fit(X, Y).decision_function(X), plain)
    assert not np.allclose(quick(enhance, enhance_params={"beta": 0.9}).fit(X, Y).decision_function(X), plain, atol=0.01)


@pytest.mark.parametrize("enhance", ["test_listening", "flem"])
def test_a_one_stage_method_is_asked_about_any_rows(enhance: str) -> None:
    X, Y = make()
    fitted = quick(enhance, epochs=60).fit(X[:150], Y[:150])
    found = fitted.label_distributions(X[150:], Y[150:])
    assert found.shape == (50, 4)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    mixed = (Y[150:] == 1).any(axis=1) & (Y[150:] == 0).any(axis=1)
    relevant = np.where(Y[150:] == 1, found, np.nan)[mixed]
    others = np.where(Y[150:] == 0, found, np.nan)[mixed]
    assert np.nanmean(relevant) > 1.5 * np.nanmean(others)
    np.testing.assert_array_equal(fitted.label_distributions(X[150:], sparse.csr_array(Y[150:])), found)
    assert fitted.label_distributions_ is None
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).label_distributions(X[150:], Y[150:]), found)
    with pytest.raises(DataError, match=r"expected labels of shape \(50, 4\), but got \(50, 3\)"):
        fitted.label_distributions(X[150:], Y[150:, :3])
    with pytest.raises(DataError, match="unknown"):
        fitted.label_distributions(X[:2], np.array([[0, 1, np.nan, 0], [1, 1, 0, 0]]))


@pytest.mark.parametrize("held_out", [0, 0.2])
def test_a_two_stage_method_tells_of_the_training_rows(held_out: float) -> None:
    X, Y = make()
    fitted = quick("test_shares", validation_fraction=held_out).fit(X, Y)
    found = fitted.label_distributions_
    known = ~np.isnan(found).any(axis=1)
    assert known.sum() == 200 * (1 - held_out)
    np.testing.assert_allclose(found[known], Shares().fit_transform(X, Y)[known], atol=1e-6)
    assert np.isnan(found[~known]).all()
    with pytest.raises(ParameterError, match=r"'test_shares' is a two-stage method.*label_distributions_"):
        fitted.label_distributions(X, Y)
    fitted.set_params(enhance=None).fit(X, Y)
    assert fitted.label_distributions_ is None
    with pytest.raises(ParameterError, match="enhance is None; choose a one-stage method such as 'flem'"):
        fitted.label_distributions(X, Y)


def test_an_enhancer_may_be_given_whole() -> None:
    X, Y = make()
    whole = quick(FLEM(strategy="s", hidden=8)).fit(X, Y)
    named = quick("flem", enhance_params={"strategy": "s", "hidden": 8}).fit(X, Y)
    np.testing.assert_array_equal(whole.decision_function(X), named.decision_function(X))
    np.testing.assert_array_equal(clone(whole).fit(X, Y).decision_function(X), named.decision_function(X))


def test_parameters_are_cloned_and_searched() -> None:
    X, Y = make()
    assert clone(quick(enhance_params={"beta": 0.5})).get_params()["enhance_params"] == {"beta": 0.5}
    grid = {"enhance": ["test_listening", "flem"], "enhance_params": [{"beta": 0.0}, {"beta": 1.0}]}
    search = GridSearchCV(quick(epochs=15), grid, cv=2, scoring="roc_auc").fit(X, Y)
    scores = search.cv_results_["mean_test_score"].reshape(2, 2)
    assert np.isfinite(scores).all()
    assert scores[0, 0] == pytest.approx(scores[1, 0], abs=1e-12)
    assert (scores[:, 0] != scores[:, 1]).all()
    assert search.best_estimator_.label_distributions(X, Y).shape == Y.shape


def test_texts_and_pictures_are_described_by_the_model() -> None:
    rng = np.random.default_rng(0)
    Y = (rng.random((40, 2)) < 0.5).astype(int)
    pictures = rng.integers(0, 255, size=(40, 3, 24, 24)).astype(np.uint8)
    fitted = quick("flem", model="small_cnn", epochs=2, batch_size=16, enhance_params={"hidden": 8}).fit(pictures, Y)
    assert fitted.label_distributions(pictures, Y).shape == (40, 2)
    texts = ["red wine", "green tea", "white wine", "cold milk"] * 10
    fitted = quick("test_shares", epochs=2, validation_fraction=0).fit(texts, Y)
    np.testing.assert_allclose(fitted.label_distributions_, Shares().fit_transform(texts, Y), atol=1e-6)
    with pytest.raises(DataError, match="expected a table of features to recover label distributions from, but got images"):
        quick("test_shares", model="small_cnn").fit(pictures, Y)


@pytest.mark.parametrize("enhance", ["test_shares", "test_listening"])
def test_what_is_saved_is_what_predicts(tmp_path: Path, enhance: str) -> None:
    X, Y = make()
    fitted = quick(enhance, enhance_params={"beta": 0.4}).fit(X, Y)
    fitted.save(tmp_path / "model")
    loaded = DeepMultiLabelClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert loaded.get_params() == fitted.get_params()
    assert loaded.history_ == fitted.history_
    assert loaded.label_distributions_ is None
    with pytest.raises(ParameterError, match=r"read from a file.*ask before saving"):
        loaded.label_distributions(X, Y)
    with pytest.raises(ParameterError, match=r"cannot save the parameter enhance=.*registered name"):
        quick(Shares()).fit(X, Y).save(tmp_path / "object")


def test_files_of_before_still_load(tmp_path: Path) -> None:
    X, Y = make()
    fitted = quick(None).fit(X, Y)
    fitted.save(tmp_path / "old")
    state = checkpoint.load(tmp_path / "old")
    del state["params"]["enhance"], state["params"]["enhance_params"]
    for epoch in state["history"]["history"]:
        del epoch["parts"]
    checkpoint.save(tmp_path / "old", {**state, "format": 3})
    loaded = DeepMultiLabelClassifier.load(tmp_path / "old")
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert loaded.get_params() == fitted.get_params()


def test_bad_input_is_explained() -> None:
    X, Y = make()
    with pytest.raises(UnknownNameError, match="did you mean 'flem'"):
        quick("flam").fit(X, Y)
    with pytest.raises(ParameterError, match="parameter of enhancer 'test_shares' called 'sharpp'; did you mean 'sharp'"):
        quick("test_shares", enhance_params={"sharpp": 1}).fit(X, Y)
    with pytest.raises(ParameterError, match=r"expected 0 <= beta <= 1, but got 2"):
        quick(enhance_params={"beta": 2}).fit(X, Y)
    with pytest.raises(ParameterError, match=r"enhance_params=\{'beta': 0.1\}, but got enhance=None"):
        quick(None, enhance_params={"beta": 0.1}).fit(X, Y)
    with pytest.raises(ParameterError, match="but got a Shares, which has its own"):
        quick(Shares(), enhance_params={"beta": 0.1}).fit(X, Y)
    for row in range(0, 200, 23):  # in the training rows or among those held out
        partly = Y.astype(float)
        partly[row, 0] = np.nan
        with pytest.raises(DataError, match=r"some are unknown \(NaN\); drop their rows, fill them in, or set enhance=None"):
            quick().fit(X, partly)
