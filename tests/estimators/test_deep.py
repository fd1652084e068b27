"""The scikit-learn face: its own checks, every kind of input, pipelines, searches, saving."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from polytag import DeepMultiLabelClassifier, IterativeStratifiedKFold, metrics, registry
from polytag.errors import DataError, ParameterError, ResumeError, UnknownNameError
from polytag.losses import BCE
from polytag.models import MLP
from polytag.training import checkpoint


def make(n: int = 200, q: int = 4, seed: int = 0):
    return make_multilabel_classification(n, n_features=12, n_classes=q, random_state=seed)


def quick(**params) -> DeepMultiLabelClassifier:
    return DeepMultiLabelClassifier(**{"model": "linear", "epochs": 4, "lr": 0.05, "random_state": 0, **params})


@parametrize_with_checks(
    [
        DeepMultiLabelClassifier("linear", epochs=40, lr=0.1, batch_size=16, validation_fraction=0, random_state=0),
        DeepMultiLabelClassifier(
            "mlp", epochs=30, lr=0.01, batch_size=16, selector="adaptive", random_state=0, model_params={"hidden": (16,)}
        ),
    ]
)
def test_scikit_learn_checks(estimator, check) -> None:
    check(estimator)


@pytest.mark.parametrize("model", ["linear", "mlp", "clif", "dela"])
@pytest.mark.parametrize("selector", ["random", "hard", "adaptive", "adac"])
def test_every_model_learns_with_every_selector(model: str, selector: str) -> None:
    X, Y = make(300)
    fitted = quick(model=model, selector=selector, epochs=40, lr=0.05 if model == "linear" else 0.01).fit(X[:200], Y[:200])
    assert metrics.macro_auc(Y[200:], fitted.predict_proba(X[200:])) > 0.7
    assert fitted.n_features_in_ == 12
    assert fitted.history_.best_epoch is not None


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csr_matrix, sparse.coo_array, pd.DataFrame])
def test_features_of_any_kind_give_the_same(kind) -> None:
    X, Y = make()
    expected = quick().fit(X, Y).predict_proba(X)
    given = pd.DataFrame(X, columns=[f"f{j}" for j in range(12)]) if kind is pd.DataFrame else kind(X)
    np.testing.assert_allclose(quick().fit(given, Y).predict_proba(given), expected, atol=1e-6)


def test_labels_come_back_as_they_were_given() -> None:
    X, Y = make()
    dense = quick().fit(X, Y).predict(X)
    assert isinstance(dense, np.ndarray)
    assert dense.dtype == Y.dtype
    for kind in (sparse.csr_array, sparse.csr_matrix):
        out = quick().fit(X, kind(Y)).predict(X)
        assert type(out) is kind
        np.testing.assert_array_equal(out.toarray(), dense)
    frame = pd.DataFrame(Y, columns=["a", "b", "c", "d"])
    fitted = quick().fit(X, frame)
    assert fitted.label_names_ == ("a", "b", "c", "d")
    out = fitted.predict(X)
    assert list(out.columns) == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(out.to_numpy(), dense)
    words = np.where(Y[:, 0], "yes", "no")
    vector = quick().fit(X, words)
    assert set(vector.predict(X)) <= {"yes", "no"}
    assert vector.predict_proba(X).shape == (200, 2)
    np.testing.assert_allclose(vector.predict_proba(X).sum(axis=1), 1)
    assert quick().fit(X, Y.astype(bool)).predict(X).dtype == bool


def test_works_inside_scikit_learn() -> None:
    X, Y = make()
    pipeline = make_pipeline(StandardScaler(), quick(scale="none"))
    scores = cross_val_score(pipeline, X, Y, cv=IterativeStratifiedKFold(3), scoring="f1_macro")
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    search = GridSearchCV(quick(), {"selector": ["random", "adaptive"], "lr": [0.05]}, cv=2, scoring="roc_auc")
    search.fit(X, Y)
    assert search.best_params_["selector"] in ("random", "adaptive")
    assert clone(quick(selector_params={"pressure": 4.0})).get_params()["selector_params"] == {"pressure": 4.0}


def test_same_seed_same_result_and_the_world_is_left_alone() -> None:
    X, Y = make()
    state = torch.get_rng_state()
    first = quick(model="dela", selector="adaptive").fit(X, Y).decision_function(X)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    np.testing.assert_array_equal(quick(model="dela", selector="adaptive").fit(X, Y).decision_function(X), first)
    assert not np.array_equal(quick(model="dela", selector="adaptive", random_state=1).fit(X, Y).decision_function(X), first)


@pytest.mark.parametrize("model", ["linear", "mlp", "clif", "dela"])
@pytest.mark.parametrize("labels", ["array", "frame", "vector", "column", "csr_array"])
def test_saved_and_loaded_predicts_the_same_bits(tmp_path: Path, model: str, labels: str) -> None:
    X, Y = make()
    kinds = {"array": Y, "frame": pd.DataFrame(Y, columns=["a", "b", 7, 8]), "vector": np.where(Y[:, 1], "in", "out"), "column": Y[:, :1]}
    given = {**kinds, "csr_array": sparse.csr_array(Y)}[labels]
    if model == "clif" and labels in ("vector", "column"):
        pytest.skip("CLIF's graph needs two labels")
    fitted = quick(model=model, threshold="label_f1").fit(X, given)
    fitted.save(tmp_path / "model.polytag")
    loaded = DeepMultiLabelClassifier.load(tmp_path / "model.polytag")
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    expected, got = fitted.predict(X), loaded.predict(X)
    if labels == "frame":
        pd.testing.assert_frame_equal(got, expected)
    elif labels == "csr_array":
        assert (got != expected).nnz == 0
    else:
        np.testing.assert_array_equal(got, expected)
    assert loaded.get_params() == fitted.get_params()
    assert loaded.label_names_ == fitted.label_names_
    np.testing.assert_array_equal(loaded.classes_, fitted.classes_)
    assert loaded.history_ == fitted.history_


TEXTS = ["red wine and cheese", "green tea", "red tea and milk", "white wine", "cold milk", "green wine bottle", "hot tea", "old cheese"]


@pytest.mark.parametrize("model", ["linear", "rnn"])
def test_texts_are_read_by_any_model(tmp_path: Path, model: str) -> None:
    texts = TEXTS * 12
    Y = np.array([[word in text for word in ("tea", "wine", "milk")] for text in texts], dtype=int)
    fitted = quick(
        model=model, epochs=60, lr=0.02, batch_size=16, validation_fraction=0.1, text={"max_words": 50}, selector="adaptive"
    ).fit(texts, Y)
    assert metrics.macro_auc(Y, fitted.predict_proba(texts)) > 0.9
    fitted.save(tmp_path / "texts")
    loaded = DeepMultiLabelClassifier.load(tmp_path / "texts")
    new = ["a cup of tea", "unheard words", ""]
    np.testing.assert_array_equal(loaded.predict_proba(new), fitted.predict_proba(new))
    np.testing.assert_array_equal(loaded.predict_proba(pd.Series(new)), fitted.predict_proba(new))
    with pytest.raises(DataError, match="expected text, as in fit, but got table"):
        fitted.predict(np.zeros((2, 1)))


def test_pictures_go_to_models_that_read_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Y = (rng.random((60, 2)) < 0.5).astype(int)
    X = np.zeros((60, 3, 24, 24), dtype=np.uint8)
    X[:, 0] = 200 * Y[:, :1, None]
    X[:, 2] = 200 * Y[:, 1:, None]
    fitted = quick(model="small_cnn", epochs=10, lr=0.01, batch_size=16, validation_fraction=0).fit(X, Y)
    assert metrics.macro_auc(Y, fitted.predict_proba(X)) > 0.9
    fitted.save(tmp_path / "pictures")
    np.testing.assert_array_equal(DeepMultiLabelClassifier.load(tmp_path / "pictures").predict(X), fitted.predict(X))
    with pytest.raises(DataError, match="expected pictures of shape"):
        fitted.predict(X[:, :, :20])
    np.testing.assert_array_equal(fitted.predict(X.astype(np.int64)), fitted.predict(X))
    with pytest.raises(DataError, match="from 0 to 255"):
        fitted.predict(X.astype(np.int64) + 100)
    with pytest.raises(DataError, match="whose last axis looks like the channels"):
        quick(model="small_cnn").fit(X.transpose(0, 2, 3, 1), Y)
    with pytest.raises(DataError, match="MLP reads table, but got images"):
        quick(model="mlp").fit(X, Y)


def test_a_model_is_trained_as_its_authors_do_unless_told_otherwise() -> None:
    X, Y = make()
    own, _ = quick(lr=None)._training(MLP, 0)
    assert (own.lr, own.weight_decay, own.clip_norm, own.patience, own.monitor) == (1e-3, 1e-4, 5.0, 15, "macro_auc")
    asked, _ = quick(lr=0.3, weight_decay=0.0, patience=np.inf, monitor="loss")._training(MLP, 0)
    assert (asked.lr, asked.weight_decay, asked.clip_norm, asked.patience, asked.monitor) == (0.3, 0.0, 5.0, np.inf, "loss")
    with pytest.raises(ParameterError, match="lr"):
        quick(lr=-1.0).fit(X, Y)
    with pytest.raises(ParameterError, match="parameter of selector 'adaptive' called 'presure'; did you mean 'pressure'"):
        quick(selector="adaptive", selector_params={"presure": 3}).fit(X, Y)


@pytest.mark.parametrize(
    ("model", "preset", "epochs", "batch_size"),
    [
        ("tabm", None, 200, 128),
        ("bpmll", "paper", 100, 1),
        ("c2ae", None, 50, 128),
        ("c2ae", "authors", 50, 500),
        ("text_encoder", None, 10, 32),
        ("ctran", "paper", 100, 16),
    ],
)
def test_epochs_and_batches_are_the_models_own_unless_given(model: str, preset: str | None, epochs: int, batch_size: int) -> None:
    own = DeepMultiLabelClassifier(model, model_params={"preset": preset})
    trainer, rows = own._training(registry.get("model", model), 0)
    assert (trainer.epochs, rows) == (epochs, batch_size)
    trainer, rows = clone(own).set_params(epochs=7, batch_size=9)._training(registry.get("model", model), 0)
    assert (trainer.epochs, rows) == (7, 9)


def test_a_model_that_says_nothing_gets_the_usual_epochs_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MLP, "DEFAULTS", {})
    trainer, rows = DeepMultiLabelClassifier("mlp")._training(MLP, 0)
    assert (trainer.epochs, rows) == (100, 128)


def test_a_preset_is_applied_whole(tmp_path: Path) -> None:
    X, Y = make(40)
    fitted = quick(model="bpmll", model_params={"preset": "paper"}, epochs=2, validation_fraction=0, scale="none").fit(X, Y)
    alone = quick(model="bpmll", model_params={"preset": "paper"}, epochs=2, batch_size=1, validation_fraction=0, scale="none").fit(X, Y)
    np.testing.assert_array_equal(fitted.decision_function(X), alone.decision_function(X))
    fitted.save(tmp_path / "model")
    loaded = DeepMultiLabelClassifier.load(tmp_path / "model")
    assert (loaded.epochs, loaded.batch_size, loaded.compile) == (2, None, False)
    np.testing.assert_array_equal(loaded.decision_function(X), fitted.decision_function(X))


def test_selectors_that_plan_ahead_know_the_models_own_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    X, Y = make()
    monkeypatch.setattr(MLP, "DEFAULTS", {**MLP.DEFAULTS, "epochs": 2, "batch_size": 50})
    fitted = quick(model="mlp", epochs=None, selector="infobatch", validation_fraction=0).fit(X, Y)
    assert len(fitted.history_.history) == 2


def test_the_training_step_is_compiled_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    X, Y = make()
    seen = []
    monkeypatch.setattr(torch, "compile", lambda function: seen.append(function) or function)
    compiled, plain = quick(compile=True).fit(X, Y), quick().fit(X, Y)
    assert seen == [compiled.model_.objective]
    np.testing.assert_array_equal(compiled.decision_function(X), plain.decision_function(X))
    assert clone(compiled).get_params()["compile"] is True


def test_what_cannot_be_saved_or_loaded_is_said(tmp_path: Path) -> None:
    X, Y = make()
    with pytest.raises(ParameterError, match="loss"):
        quick(loss=BCE()).fit(X, Y).save(tmp_path / "x")
    quick().fit(X, Y).save(tmp_path / "later")
    state = checkpoint.load(tmp_path / "later")
    checkpoint.save(tmp_path / "later", {**state, "format": 99})
    with pytest.raises(ResumeError, match="use the version that wrote it"):
        DeepMultiLabelClassifier.load(tmp_path / "later")
    checkpoint.save(tmp_path / "other", {"fingerprint": {}})
    with pytest.raises(ResumeError, match="something else"):
        DeepMultiLabelClassifier.load(tmp_path / "other")
    (tmp_path / "y").write_bytes(b"nonsense")
    with pytest.raises(ResumeError):
        DeepMultiLabelClassifier.load(tmp_path / "y")


@pytest.mark.parametrize("threshold", [0.3, "f1", "label_f1", "cardinality", np.array([0.2, 0.4, 0.6, 0.8])])
def test_thresholds_cut_probabilities(threshold) -> None:
    X, Y = make()
    fitted = quick(threshold=threshold).fit(X, Y)
    assert fitted.threshold_.shape == (4,)
    np.testing.assert_array_equal(fitted.predict(X), fitted.predict_proba(X) > fitted.threshold_)
    if threshold is not None and not isinstance(threshold, str):
        np.testing.assert_allclose(fitted.threshold_, np.broadcast_to(threshold, 4))


def test_unknown_labels_are_left_out_of_the_loss() -> None:
    X, Y = make()
    partly = Y.astype(float)
    partly[::3, 0] = np.nan
    partly[5] = np.nan
    fitted = quick(epochs=10).fit(X, partly)
    assert np.isfinite(fitted.predict_proba(X)).all()
    assert metrics.macro_auc(Y, fitted.predict_proba(X)) > 0.6


def test_bad_input_is_explained() -> None:
    X, Y = make()
    with pytest.raises(UnknownNameError, match="did you mean 'adaptive'"):
        quick(selector="adaptiv").fit(X, Y)
    with pytest.raises(DataError, match="0, 1 or NaN"):
        quick().fit(X, Y * 2)
    with pytest.raises(ValueError, match="inconsistent"):
        quick().fit(X[:10], Y)
    with pytest.raises(ParameterError, match="validation_fraction"):
        quick(validation_fraction=1.5).fit(X, Y)
    with pytest.raises(ValueError, match="features"):
        quick().fit(X, Y).predict(X[:, :3])
    with pytest.raises(UnknownNameError, match="threshold"):
        quick(threshold="best").fit(X, Y)


def test_progress_is_shown_when_asked(capsys) -> None:
    X, Y = make()
    quick(verbose=1).fit(X, Y)
    assert "linear" in capsys.readouterr().out
