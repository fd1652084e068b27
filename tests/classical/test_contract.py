"""What every classical method promises: scikit-learn's checks, constant labels, all kinds of input, clear refusals."""

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from polytag import metrics, registry
from polytag.classical import BR, CC, CLR, ECC, LCL, LCN, LCPN, LP, MLROS, MLSMOTE, REMEDIAL, MLkNN, RAkEL
from polytag.errors import DataError, ParameterError

METHODS = {
    "br": BR(),
    "cc": CC(order="random", random_state=0),
    "ecc": ECC(n_chains=2, random_state=0),
    "clr": CLR(),
    "lcl": LCL(several="powerset"),
    "lcn": LCN(policy="less_inclusive"),
    "lcpn": LCPN(several="powerset"),
    "lp": LP(),
    "mlknn": MLkNN(k=3),
    "rakel": RAkEL(random_state=0),
    "rakel-d": RAkEL(overlapping=False, soft=True, random_state=0),
}
with_estimator = pytest.mark.parametrize("name", [name for name in METHODS if name != "mlknn"])
every = pytest.mark.parametrize("name", METHODS)


def make(n: int = 60, q: int = 4, seed: int = 0):
    X, Y = make_multilabel_classification(n, n_features=8, n_classes=q, random_state=seed)
    return StandardScaler().fit_transform(X), Y


VOTES = "scores are shares of votes, which may be 0 or 1"
CUT = "labels are cut at the votes of the virtual label, not at 0.5"


def not_meant(estimator) -> dict[str, str]:
    """Return the checks that a method cannot pass by its definition, and why."""
    strictly_between = "check_classifiers_multilabel_output_format_predict_proba"
    if isinstance(estimator, CLR):
        return {strictly_between: VOTES, "check_classifier_multioutput": CUT}
    return {strictly_between: VOTES} if isinstance(estimator, RAkEL) and not estimator.soft else {}


RESAMPLERS = [MLROS(random_state=0), MLSMOTE(random_state=0), REMEDIAL()]


@parametrize_with_checks([*(METHODS[name] for name in registry.names("classical")), *RESAMPLERS], expected_failed_checks=not_meant)
def test_scikit_learn_checks(estimator, check) -> None:
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([METHODS["rakel-d"]], expected_failed_checks=not_meant)
def test_scikit_learn_checks_of_other_settings(estimator, check) -> None:
    check(estimator)


@every
def test_registered_under_its_file_name(name: str) -> None:
    known = name.removesuffix("-d")
    assert registry.get("classical", known) is type(METHODS[name])
    assert type(METHODS[name]).__module__ == f"polytag.classical.{known}"


@every
def test_learns_and_scores_lie_between_0_and_1(name: str) -> None:
    X, Y = make(300)
    fitted = clone(METHODS[name]).fit(X[:200], Y[:200])
    scores = fitted.predict_proba(X[200:])
    assert scores.shape == (100, 4)
    assert (scores >= 0).all()
    assert (scores <= 1).all()
    assert metrics.macro_auc(Y[200:], scores) > 0.65
    assert fitted.score(X, Y) > np.mean(~Y.any(axis=1))


@every
def test_constant_labels_keep_their_constant(name: str) -> None:
    X, Y = make(q=3)
    wide = np.column_stack([np.ones(60, int), Y[:, 0], np.zeros(60, int), Y[:, 1:]])
    fitted = clone(METHODS[name]).fit(X, wide)
    scores, labels = fitted.predict_proba(X), fitted.predict(X)
    np.testing.assert_array_equal(fitted.constant_labels_, [0, 2])
    np.testing.assert_array_equal(scores[:, [0, 2]], np.tile([1.0, 0.0], (60, 1)))
    np.testing.assert_array_equal(labels[:, [0, 2]], np.tile([1, 0], (60, 1)))
    np.testing.assert_array_equal(scores[:, [1, 3, 4]], clone(METHODS[name]).fit(X, Y).predict_proba(X))


@every
def test_nothing_but_constant_labels(name: str) -> None:
    X, _ = make(20)
    fitted = clone(METHODS[name]).fit(X, np.tile([1, 0], (20, 1)))
    np.testing.assert_array_equal(fitted.predict(X[:3]), np.tile([1, 0], (3, 1)))
    np.testing.assert_array_equal(fitted.predict_proba(X[:3]), np.tile([1.0, 0.0], (3, 1)))


@every
def test_one_label_is_enough(name: str) -> None:
    X, Y = make()
    column = clone(METHODS[name]).fit(X, Y[:, :1])
    assert column.predict_proba(X).shape == (60, 1)
    vector = clone(METHODS[name]).fit(X, np.where(Y[:, 0], "yes", "no"))
    assert set(vector.predict(X)) == {"yes", "no"}
    np.testing.assert_array_equal(vector.predict(X) == "yes", column.predict(X)[:, 0] == 1)
    np.testing.assert_array_equal(vector.predict_proba(X)[:, 1], column.predict_proba(X)[:, 0])
    np.testing.assert_allclose(vector.predict_proba(X).sum(axis=1), 1)


@every
@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix, sparse.coo_array, pd.DataFrame, "float32"])
def test_features_of_any_kind_give_the_same(name: str, kind) -> None:
    X, Y = make()
    X = np.where(np.abs(X) < 0.3, 0.0, X)
    given = X.astype(np.float32) if kind == "float32" else pd.DataFrame(X).rename(columns=str) if kind is pd.DataFrame else kind(X)
    expected = clone(METHODS[name]).fit(X, Y)
    fitted = clone(METHODS[name]).fit(given, Y)
    np.testing.assert_allclose(fitted.predict_proba(given), expected.predict_proba(X), atol=0.01)
    np.testing.assert_array_equal(fitted.predict(given), expected.predict(X))


@every
def test_labels_come_back_as_they_were_given(name: str) -> None:
    X, Y = make()
    expected = clone(METHODS[name]).fit(X, Y).predict(X)
    assert expected.dtype == Y.dtype
    for kind in (sparse.csr_array, sparse.csr_matrix):
        out = clone(METHODS[name]).fit(X, kind(Y)).predict(X)
        assert type(out) is kind
        np.testing.assert_array_equal(out.toarray(), expected)
    frame = clone(METHODS[name]).fit(X, pd.DataFrame(Y, columns=list("abcd"))).predict(X)
    assert list(frame.columns) == list("abcd")
    np.testing.assert_array_equal(frame.to_numpy(), expected)
    assert clone(METHODS[name]).fit(X, Y.astype(bool)).predict(X).dtype == bool
    np.testing.assert_array_equal(clone(METHODS[name]).fit(X, Y.astype(object)).predict(X), expected)


@every
def test_same_seed_same_result_and_the_world_is_left_alone(name: str) -> None:
    X, Y = make()
    np.random.seed(3)  # noqa: NPY002 - the global state is what is looked at
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = clone(METHODS[name]).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(clone(METHODS[name]).fit(X, Y).predict_proba(X), first)
    if "random_state" in METHODS[name].get_params():
        clone(METHODS[name]).set_params(random_state=None).fit(X, Y)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    again = pickle.loads(pickle.dumps(clone(METHODS[name]).fit(X, Y)))
    np.testing.assert_array_equal(again.predict_proba(X), first)


@with_estimator
def test_random_base_learners_follow_the_seed(name: str) -> None:
    X, Y = make()
    method = clone(METHODS[name]).set_params(estimator=DecisionTreeClassifier(splitter="random", max_depth=2))
    runs = [clone(method).set_params(random_state=seed).fit(X, Y).predict_proba(X) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@with_estimator
@pytest.mark.parametrize("estimator", [GaussianNB(), LinearSVC(), DecisionTreeClassifier(max_depth=4)])
def test_any_base_learner(name: str, estimator) -> None:
    X, Y = make(300)
    fitted = clone(METHODS[name]).set_params(estimator=estimator).fit(X[:200], Y[:200])
    assert metrics.macro_auc(Y[200:], fitted.predict_proba(X[200:])) > 0.6
    if isinstance(estimator, LinearSVC) and name in ("br", "cc", "lp"):
        assert set(np.unique(fitted.predict_proba(X))) == {0.0, 1.0}


@pytest.mark.parametrize("name", ["br", "ecc", "clr", "rakel"])
def test_workers_change_nothing(name: str) -> None:
    X, Y = make(60)
    expected = clone(METHODS[name]).fit(X, Y).predict_proba(X)
    with parallel_config(backend="threading"):
        np.testing.assert_array_equal(clone(METHODS[name]).set_params(n_jobs=2).fit(X, Y).predict_proba(X), expected)


def test_works_inside_scikit_learn() -> None:
    X, Y = make()
    assert np.isfinite(cross_val_score(make_pipeline(StandardScaler(), MLkNN()), X, Y, cv=3, scoring="f1_macro")).all()
    assert np.isfinite(cross_val_score(BR(), X, Y, cv=3, scoring="roc_auc")).all()


@every
def test_bad_input_is_explained(name: str) -> None:
    X, Y = make(30)
    method = clone(METHODS[name])
    with pytest.raises(NotFittedError):
        method.predict(X)
    unknown = Y.astype(float)
    unknown[3, 1] = np.nan
    for labels in (unknown, sparse.csr_array(unknown)):
        with pytest.raises(DataError, match="1 cells are unknown"):
            method.fit(X, labels)
    with pytest.raises(DataError, match="contains NaN"):
        method.fit(X, unknown[:, 1])
    with pytest.raises(DataError, match="0, 1 or NaN"):
        method.fit(X, Y * 2)
    with pytest.raises(DataError, match="inconsistent"):
        method.fit(X[:10], Y)
    with pytest.raises(DataError, match="at least one label"):
        method.fit(X, Y[:, :0])
    with pytest.raises(DataError, match=r"shape \(n, q\)"):
        method.fit(X, Y[None])
    with pytest.raises(ValueError, match="NaN"):
        method.fit(X * np.nan, Y)
    method.fit(X, Y)
    with pytest.raises(ValueError, match="features"):
        method.predict(X[:, :3])


@with_estimator
def test_base_learner_must_be_one(name: str) -> None:
    X, Y = make(30)
    with pytest.raises(ParameterError, match="scikit-learn classifier"):
        clone(METHODS[name]).set_params(estimator="logistic").fit(X, Y)
