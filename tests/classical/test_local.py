"""Local classifiers per node, parent and level: HiClass's conventions for one path a row, and what is learnt beyond them."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from tests.reference.local import above, masks, parents_of, random_hierarchy, selected

from polytag import registry
from polytag.classical import LCL, LCN, LCPN, LP
from polytag.classical.local import COMBINE
from polytag.errors import DataError, ParameterError
from polytag.hierarchy import POLICIES, Hierarchy, Lessons

PATHS = ["a ax ax1", "a ax ax2", "a ay ay1", "b bx bx1", "b bx bx2", "b bx bx3", "b by by1", "b by by2", "c cx cx1", "c cx cx2"]
TREE = Hierarchy.from_edges([(one, other) for path in PATHS for one, other in pairwise(path.split())])
ENDS = [TREE.names.index(path.split()[-1]) for path in PATHS]
ALL = [LCN(), LCPN(), LCL()]
each = pytest.mark.parametrize("method", ALL, ids=lambda method: type(method).__name__)

HICLASS = {
    "siblings": "6657995690308132522192131873474313174963",
    "less_inclusive": "6655995690308131522192141873474314174963",
    "inclusive": "7755997491308131522192141873474314174963",
    "exclusive": "6655995690308131522192141873474314174963",
    "less_exclusive": "6655995690308131522192141873474314174963",
    "exclusive_siblings": "6657995690308132522192131873474313174963",
    "lcpn": "6257995660308132522192131873474313174913",
    "lcl": "7257995660308131522192141873474314174913",
}
"""What HiClass 5.0.4 predicts for the last 40 rows of ``stopping_rows``, the number of a path for each."""


def stopping_rows() -> tuple[np.ndarray, np.ndarray]:
    """Return 190 rows with a path each; one in five stops before its end."""
    rng = np.random.default_rng(5)
    centres, code = 1.2 * rng.normal(size=(10, 5)), rng.integers(0, 10, 190)
    X, depth = centres[code] + rng.normal(size=(190, 5)), np.where(rng.random(190) < 0.2, 2, 3)
    return X, np.array([[name in PATHS[c].split()[:k] for name in TREE.names] for c, k in zip(code, depth)], dtype=int)


def steps() -> tuple[np.ndarray, np.ndarray]:
    """Return three rows of each path, at the number of the path on a line: a tree tells them apart."""
    X = np.repeat(np.arange(10.0), 3)[:, None]
    return X, np.repeat([[name in path.split() for name in TREE.names] for path in PATHS], 3, axis=0).astype(int)


def make(seed: int, q: int = 8, n: int = 60):
    """Return rows with several paths in a random graph."""
    rng = np.random.default_rng(seed)
    hierarchy = random_hierarchy(rng, q=q)
    X = rng.normal(size=(n, 5))
    return hierarchy, X, hierarchy.close((X @ rng.normal(size=(5, q)) > 2.5).astype(int))


@pytest.mark.parametrize("name", HICLASS)
def test_predicts_what_hiclass_predicts(name: str) -> None:
    X, Y = stopping_rows()
    params = {"estimator": LogisticRegression(max_iter=1000), "hierarchy": TREE}
    classes = {"lcpn": LCPN, "lcl": LCL}
    method = classes[name](**params) if name in classes else LCN(policy=name, exact=False, descend="argmax", **params)
    found = method.fit(X[:150], Y[:150]).predict(X[150:])
    assert (found.sum(axis=1) == 3).all()  # down to an end, though rows stop earlier
    assert "".join(str(row.tolist().index(1)) for row in found[:, ENDS]) == HICLASS[name]


@each
def test_goes_down_to_the_end_of_a_known_path(method) -> None:
    X, Y = steps()
    fitted = type(method)(DecisionTreeClassifier(), hierarchy=TREE).fit(X, Y)
    np.testing.assert_array_equal(fitted.predict(X), Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), Y)


def test_descends_by_the_choice_at_each_step_not_by_the_best_end() -> None:
    X, Y = stopping_rows()
    fitted = LCPN(hierarchy=TREE).fit(X[:150], Y[:150])
    found, scores = fitted.predict(X), fitted.predict_proba(X)
    tops = [TREE.names.index(name) for name in "abc"]
    np.testing.assert_array_equal(scores[:, tops].argmax(axis=1), found[:, tops].argmax(axis=1))
    assert (np.take(ENDS, scores[:, ENDS].argmax(axis=1)) != np.take(ENDS, found[:, ENDS].argmax(axis=1))).any()


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("policy", POLICIES)
def test_policies_pick_the_rows_of_the_table(policy: str, exact: bool) -> None:
    for seed in range(15):
        hierarchy, _, Y = make(seed, n=20)
        positive, negative = masks(selected(Y, hierarchy, policy, exact), len(Y))
        target, taught = Lessons(hierarchy).by_policy(torch.from_numpy(Y.astype(np.float32)), policy, exact=exact)
        np.testing.assert_array_equal(target & taught, positive)
        np.testing.assert_array_equal(~target & taught, negative)


@pytest.mark.parametrize("policy", POLICIES)
def test_each_label_has_a_classifier_of_its_own_rows(policy: str) -> None:
    X, Y = stopping_rows()
    fitted = LCN(hierarchy=TREE, policy=policy).fit(X, Y)
    scores = fitted.predict_proba(X)
    parents = parents_of(TREE)
    for label, (positive, negative) in enumerate(selected(Y, TREE, policy)):
        expected = np.full(len(X), float(bool(positive)))
        if positive and negative:
            rows = sorted(positive | negative)
            expected = LogisticRegression(max_iter=1000).fit(X[rows], [i in positive for i in rows]).predict_proba(X)[:, 1]
        up = min((scores[:, parent] for parent in parents[label]), default=np.ones(len(X)), key=lambda s: s.sum())
        np.testing.assert_allclose(scores[:, label], expected * up, atol=1e-12)


def test_a_classifier_with_rows_of_one_kind_is_constant() -> None:
    X, Y = steps()
    fitted = LCN(DecisionTreeClassifier(), hierarchy=TREE).fit(X, Y)
    assert fitted.estimators_[TREE.names.index("cx")] == 1.0  # has no siblings
    exclusive = LCN(DecisionTreeClassifier(), hierarchy=TREE, policy="exclusive").fit(X, Y)
    assert exclusive.estimators_[TREE.names.index("a")] == 0.0  # is never the most specific label
    parents = LCPN(DecisionTreeClassifier(), hierarchy=TREE).fit(X, Y)
    assert {TREE.names[k] for k, choice in parents.choices_.items() if choice.model is None} == {"ay", "c"}
    assert sorted(parents.choices_) == sorted([-1, *(k for k, height in enumerate(TREE.heights) if height)])


@pytest.mark.parametrize("combine", COMBINE)
@each
def test_scores_are_combined_along_the_path(method, combine: str) -> None:
    X, Y = stopping_rows()
    product, found = (type(method)(hierarchy=TREE, combine=how).fit(X, Y).predict_proba(X[:20]) for how in ("product", combine))
    parents = parents_of(TREE)
    for label in range(TREE.q):
        path = sorted(above(parents, label) | {label}, key=lambda k: TREE.levels[k])
        local = [product[:, path[0]], *(product[:, k] / product[:, p] for p, k in pairwise(path))]
        means = {
            "product": np.prod(local, axis=0),
            "geometric": np.prod(local, axis=0) ** (1 / len(path)),
            "arithmetic": np.mean(local, axis=0),
        }
        np.testing.assert_allclose(found[:, label], means[combine], rtol=1e-9)


def test_thresholds_take_every_child_that_is_probable_enough() -> None:
    hierarchy, X, Y = make(3)
    low, high = (LCN(hierarchy=hierarchy, policy="less_inclusive", threshold=t).fit(X, Y) for t in (0.2, 0.7))
    assert low.descend_ == "threshold"
    parents, scores = parents_of(hierarchy), low.predict_proba(X)
    for fitted, threshold in ((low, 0.2), (high, 0.7)):
        local = scores / np.array([min((scores[:, p] for p in ps), default=1.0, key=np.sum) if ps else np.ones(len(X)) for ps in parents]).T
        single = np.array([len(ps) < 2 for ps in parents])  # of several parents another one may be the lowest in another row
        found = fitted.predict(X).astype(bool)
        allowed = np.array([found[:, sorted(ps)].all(axis=1) for ps in parents]).T
        np.testing.assert_array_equal(found[:, single], ((local > threshold) & allowed)[:, single])
    assert (low.predict(X) >= high.predict(X)).all()
    assert low.predict(X).sum() > high.predict(X).sum()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_labels_and_products_never_contradict_the_hierarchy(seed: int) -> None:
    hierarchy, X, Y = make(seed, n=40)
    child, parent = hierarchy.edges.T
    estimator = DecisionTreeClassifier(max_depth=2, random_state=0)
    several = {"hierarchy": hierarchy, "several": "powerset"}
    for method in (LCN(estimator, hierarchy=hierarchy), LCPN(estimator, **several), LCL(estimator, **several)):
        fitted = method.fit(X[:30], Y[:30])
        assert hierarchy.violations(fitted.predict(X)).sum() == 0
        scores = fitted.predict_proba(X)
        assert (scores[:, child] <= scores[:, parent]).all()
        assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("kind", [LCPN, LCL])
def test_sets_are_learnt_where_rows_have_several_paths_or_stop(kind) -> None:
    h = Hierarchy.from_edges([("A", "a1"), ("A", "a2"), ("B", "b1")], names=["A", "B", "a1", "a2", "b1"])
    kinds = np.array([[1, 0, 1, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]])
    X, Y = np.repeat(np.arange(5.0), 3)[:, None], np.repeat(kinds, 3, axis=0)
    fitted = kind(DecisionTreeClassifier(), hierarchy=h, several="powerset").fit(X, Y)
    np.testing.assert_array_equal(fitted.predict(X), Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), Y)


@pytest.mark.parametrize("kind", [LCPN, LCL])
def test_without_a_hierarchy_sets_are_the_label_powerset(kind) -> None:
    _, X, Y = make(1)
    fitted, expected = kind(several="powerset").fit(X, Y), LP().fit(X, Y)
    np.testing.assert_array_equal(fitted.predict(X), expected.predict(X))
    np.testing.assert_allclose(fitted.predict_proba(X), expected.predict_proba(X))


def test_several_paths_are_refused_with_the_row_and_what_takes_them() -> None:
    X, Y = steps()
    Y[7] = [name in ("a", "ax", "ax1", "ay", "ay1") for name in TREE.names]
    with pytest.raises(DataError, match=r"one path a row for LCPN, but row 7 has 'ax' and 'ay' below 'a'; take several='powerset', 'lcn'"):
        LCPN(hierarchy=TREE).fit(X, Y)
    with pytest.raises(DataError, match="one path a row for LCL, but row 7 has 'ax' and 'ay' at level 2"):
        LCL(hierarchy=TREE).fit(X, Y)
    assert LCN(hierarchy=TREE).fit(X, Y).descend_ == "threshold"
    assert LCN(hierarchy=TREE).fit(*steps()).descend_ == "argmax"


def test_one_path_is_not_to_be_found_in_a_graph() -> None:
    h = Hierarchy.from_edges([("A", "x"), ("B", "x")])
    X, Y = [[0.0], [1.0], [2.0]], h.close(np.eye(3, dtype=int))
    with pytest.raises(DataError, match="expected a tree for descend='argmax'"):
        LCN(hierarchy=h, descend="argmax").fit(X, Y)


def test_hierarchies_come_in_several_forms() -> None:
    X, Y = steps()
    expected = LCPN(hierarchy=TREE).fit(X, Y).predict_proba(X)
    shuffled = np.random.default_rng(0).permutation(TREE.q)
    frame = pd.DataFrame(Y, columns=list(TREE.names)).iloc[:, shuffled]
    pairs = [(TREE.names[parent], TREE.names[child]) for child, parent in TREE.edges]
    for form in (TREE, TREE.to_dict(), pairs):
        fitted = LCPN(hierarchy=form).fit(X, frame)
        assert fitted.hierarchy_.names == tuple(frame.columns)
        np.testing.assert_allclose(fitted.predict_proba(X), expected[:, shuffled], atol=1e-6)


def test_labels_that_never_vary_do_not_break_paths() -> None:
    X, Y = steps()
    kept = Y[:, TREE.names.index("a")] == 1  # "a" is constant, and all but its descendants are absent
    for method in ALL:
        fitted = type(method)(DecisionTreeClassifier(), hierarchy=TREE).fit(X[kept], Y[kept])
        np.testing.assert_array_equal(fitted.predict(X[kept]), Y[kept])


@each
def test_takes_classifiers_without_probabilities(method) -> None:
    X, Y = stopping_rows()
    fitted = type(method)(LinearSVC(), hierarchy=TREE).fit(X[:150], Y[:150])
    assert set(np.unique(fitted.predict_proba(X))) == {0.0, 1.0}
    assert (fitted.predict(X).sum(axis=1) == 3).all()


def test_workers_change_nothing() -> None:
    X, Y = stopping_rows()
    expected = LCN(hierarchy=TREE).fit(X, Y).predict_proba(X)
    with parallel_config(backend="threading"):
        np.testing.assert_array_equal(LCN(hierarchy=TREE, n_jobs=2).fit(X, Y).predict_proba(X), expected)


@each
def test_bad_hierarchies_and_labels_are_explained(method) -> None:
    X, Y = steps()
    kind = type(method)
    assert registry.get("classical", kind.__name__.lower()).NEEDS_HIERARCHY
    with pytest.raises(DataError, match=r"hierarchy over the 3 labels of Y, but got one over 18"):
        kind(hierarchy=TREE).fit(X, Y[:, :3])
    with pytest.raises(DataError, match=r"lacks \['plant'\]"):
        kind(hierarchy=TREE).fit(X, pd.DataFrame(Y, columns=["plant", *TREE.names[1:]]))
    broken = Y.copy()
    broken[4, TREE.names.index("a")] = 0
    with pytest.raises(DataError, match=r"1 of 30 rows \(the first is row 4\).*hierarchy\.close"):
        kind(hierarchy=TREE).fit(X, broken)
    with pytest.raises(ParameterError, match="combine"):
        kind(combine="mean").fit(X, Y)
    for name in {"policy", "descend", "threshold", "several"} & set(method.get_params()):
        with pytest.raises(ParameterError, match=name):
            kind(**{name: 7}).fit(X, Y)
