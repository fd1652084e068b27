"""Metrics of hierarchies: the hand-checked numbers of their definitions, the slow definitions, and what must hold of any hierarchy."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from tests.reference import metrics_hierarchical as slow

from polytag import metrics
from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.metrics import outcome as outcome_module
from polytag.metrics.spec import find

T4 = Hierarchy.from_edges([("A", "a1"), ("A", "a2")], ["A", "B", "a1", "a2"])
SEEDS = st.integers(0, 10**6)


def sets(*words: str) -> np.ndarray:
    return np.array([[int(name in word.split()) for name in T4.names] for word in words])


def random_hierarchy(rng: np.random.Generator, q: int) -> Hierarchy:
    """Return a random graph over labels in random order, some of them without edges."""
    order, share = rng.permutation(q), rng.choice([0.0, 0.5, 1.5, 4.0])
    edges = [(order[c], order[p]) for c in range(q) for p in range(c) if rng.random() < share / c]
    return Hierarchy(tuple(f"label {k}" for k in range(q)), np.array(edges, dtype=np.int64).reshape(-1, 2))


def drawn(seed: int, unknown: float = 0.0) -> tuple[Hierarchy, np.ndarray, np.ndarray, np.ndarray]:
    """Return a hierarchy with labels (not closed), label sets and scores."""
    rng = np.random.default_rng(seed)
    n, q = int(rng.integers(1, 12)), int(rng.integers(1, 10))
    Y = (rng.random((n, q)) < rng.choice([0.0, 0.2, 0.6])).astype(float)
    Y[rng.random((n, q)) < unknown] = np.nan
    Y[0, 0] = 1
    P = (rng.random((n, q)) < rng.choice([0.1, 0.5])).astype(int)
    return random_hierarchy(rng, q), Y, P, np.round(rng.random((n, q)), int(rng.choice([1, 9])))


def test_violations_of_one_label_a_level_by_hand():
    two = Hierarchy.from_edges([("c0", "f0"), ("c0", "f1"), ("c1", "f2")], ["c0", "c1", "f0", "f1", "f2"])
    fine, coarse = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 0])
    assert metrics.hvr_levels(None, hierarchy=two, levels=np.stack([coarse, fine + 2], axis=1)) == 0.5
    as_sets = np.zeros((4, 5), dtype=int)
    as_sets[np.arange(4), coarse] = as_sets[np.arange(4), fine + 2] = 1
    found = metrics.hvr_levels.terms(np.zeros((4, 5)), as_sets, hierarchy=two)
    assert found.terms.tolist() == [0, 1, 0, 1]
    assert metrics.hvr(np.zeros((4, 5)), as_sets, hierarchy=two) == 0.5
    edges = [("t0", "m0"), ("t0", "m1"), ("m0", "f0"), ("m0", "f1"), ("m1", "f2")]
    three = Hierarchy.from_edges(edges, ["t0", "t1", "m0", "m1", "f0", "f1", "f2"])
    levels = [[0, 2, 4], [1, 3, 6]]
    assert metrics.hvr_levels.terms(None, hierarchy=three, levels=levels).terms.tolist() == [0, 1]
    assert metrics.hvr_levels(None, hierarchy=three, levels=[[0, 2, -1], [1, -1, -1]]) == 0
    for wrong in ([[0, 2]], [[0, 4, 2]], [[0, 2, 7]], [[0, 2, 4.5]]):
        with pytest.raises(DataError, match="level"):
            metrics.hvr_levels(None, hierarchy=three, levels=wrong)


def test_violations_of_sets_by_hand():
    P, Y = sets("A a1", "B a2", "", "B a1 a2"), np.zeros((4, 4))
    assert metrics.hvr(Y, P, hierarchy=T4) == 2 / 4
    assert metrics.hvr_edge_rate(Y, P, hierarchy=T4) == 3 / 4
    assert metrics.hvr_edge_density(Y, P, hierarchy=T4) == 3 / 8
    closed = T4.close(P)
    assert [find(name)(Y, closed, hierarchy=T4) for name in ("hvr", "hvr_edge_rate", "hvr_edge_density")] == [0, 0, 0]


def test_a_second_parent_may_miss_on_one_path():
    two_parents = Hierarchy.from_edges([("x", "c"), ("y", "c")], ["x", "y", "c"])
    assert metrics.hvr([[0, 0, 0]], [[1, 0, 1]], hierarchy=two_parents) == 1
    assert metrics.hvr_levels([[0, 0, 0]], [[1, 0, 1]], hierarchy=two_parents) == 0


def test_scores_may_differ_by_rounding():
    S = np.array([[0.5, 0.1, 0.5 + 5e-7, 0.5 + 2e-6]])
    assert metrics.hvr_scores(np.zeros((1, 4)), S, hierarchy=T4) == 1 / 2
    assert metrics.hvr_scores(np.zeros((1, 4)), S, hierarchy=T4, tolerance=0) == 1


def test_precision_recall_and_f_by_hand():
    Y, P = sets("A a2", "B", "A a1", "A a1 a2"), sets("A a1", "A B", "a1", "A B a2")
    found = metrics.evaluate(Y, labels=P, hierarchy=T4)
    expected = {"h_precision": 6 / 9, "h_recall": 6 / 8, "h_f1": 12 / 17, "h_precision_macro": 2 / 3, "h_recall_macro": 19 / 24,
                "h_f1_macro": 17 / 24, "tree_distance": 5 / 4, "exact_match": 1 / 4}  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["h_f1_macro"] == pytest.approx(0.708333, abs=1e-6)
    assert metrics.tree_distance.terms(Y, P, hierarchy=T4).terms.tolist() == [2, 1, 0, 2]
    for name in ("h_precision", "h_recall", "h_f1"):
        assert getattr(metrics, name)(Y, P, hierarchy=T4, close=False) == 0.625


def test_distances_on_the_tree_by_hand():
    for true, predicted, distance in (("a1", "a2", 2), ("a1", "A", 1), ("a1", "B", 3)):
        assert metrics.tree_distance(sets(true), sets(predicted), hierarchy=T4) == distance


def test_the_h_loss_charges_the_first_mistake_only():
    Y = sets("A a1", "A a1", "A a1", "")
    P = sets("A a2", "B", "A a1", "A a1 a2")
    assert metrics.h_loss.terms(Y, P, hierarchy=T4).terms.tolist() == [2, 2, 0, 1]
    assert metrics.h_loss_siblings.terms(Y, P, hierarchy=T4).terms.tolist() == [0.5, 1, 0, 0.5]


def test_the_area_of_all_cells_by_hand():
    Y, S = [[1, 0, 0, 1], [0, 1, 0, 0]], [[0.5, 0.6, 0.5, 0.2], [0.4, 0.9, 0.1, 0.3]]
    assert metrics.micro_ap(Y, S) == metrics.micro_auprc(Y, S) == pytest.approx(1 / 3 + 1 / 6 + 1 / 7)
    assert metrics.micro_auprc_interpolated(Y, S) == pytest.approx(0.626984, abs=1e-6)


@given(SEEDS, st.sampled_from([0.0, 0.3]))
@settings(max_examples=40, deadline=None)
def test_equals_the_definitions(seed, unknown):
    h, Y, P, S = drawn(seed, unknown)
    edges = h.edges.tolist()
    found = metrics.evaluate(Y, S, P, hierarchy=h)
    expected = slow.of_sets(Y, P, edges) | slow.of_levels(Y, P, edges) | slow.of_violations(Y, P, S, edges)
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    sparse = metrics.evaluate(Y, S, sp.csr_array(P), hierarchy=h)
    assert sparse == pytest.approx(found, nan_ok=True)
    for name, value in slow.of_sets(Y, P, edges, close=False).items():
        assert find(name)(Y, P, hierarchy=h, close=False) == pytest.approx(value), name
    known = ~np.isnan(Y)
    assert found["micro_auprc_interpolated"] == pytest.approx(slow.interpolated(Y[known] == 1, S[known]))


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_one_minus_the_f_of_an_instance_is_its_distance(seed):
    h, Y, P, _ = drawn(seed)
    outcome = metrics.Outcome(Y, labels=P, hierarchy=h)
    f1 = metrics.h_f1_macro.terms(outcome).terms
    assert metrics.tree_distance_norm.terms(outcome).terms == pytest.approx(1 - f1)


@given(SEEDS, st.sampled_from(["up", "down", "product"]), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_coherent_scores_violate_nothing_at_any_cut(seed, how, cut):
    h, Y, _, S = drawn(seed, 0.1)
    coherent = h.constrain(S, how)
    found = metrics.evaluate(Y, coherent, threshold=cut, hierarchy=h)
    assert [found[name] for name in ("hvr", "hvr_edge_rate", "hvr_edge_density", "hvr_levels", "hvr_scores")] == [0, 0, 0, 0, 0]
    if how != "product":
        raw = np.greater(S, cut)
        kept = h.close(raw) if how == "up" else np.array([[all(row[[k, *h.ancestors[[k]].indices]]) for k in range(h.q)] for row in raw])
        assert np.array_equal(coherent > cut, kept)


@pytest.mark.parametrize("digits", [0, 1, 2, 9])
def test_areas_equal_scikit_learn_with_ties(digits):
    rng = np.random.default_rng(digits)
    for _ in range(10):
        Y = (rng.random((30, 12)) < 0.15).astype(int)
        Y[:, 3], Y[0, 0] = 0, 1  # a label without positives counts in the area of all cells
        S = np.round(rng.random(Y.shape), digits)
        outcome = metrics.Outcome(Y, S)
        held = Y.any(axis=0)
        assert metrics.micro_auprc(outcome) == pytest.approx(sk.average_precision_score(Y.ravel(), S.ravel()))
        assert metrics.macro_auprc(outcome) == pytest.approx(sk.average_precision_score(Y[:, held], S[:, held], average="macro"))
        assert metrics.weighted_ap(outcome) == pytest.approx(sk.average_precision_score(Y[:, held], S[:, held], average="weighted"))
        assert metrics.micro_auprc_interpolated(outcome) == pytest.approx(slow.interpolated(Y.ravel(), S.ravel()))


def test_without_positives_the_areas_are_undefined():
    for name in ("weighted_ap", "micro_auprc", "macro_auprc", "micro_auprc_interpolated"):
        assert np.isnan(find(name)(np.zeros((2, 3)), np.ones((2, 3)))), name
    assert metrics.weighted_ap(np.zeros((2, 3)), np.ones((2, 3)), undefined="zero") == 0


def test_empty_sets_count_as_the_definition_says():
    nothing, something = sets("", ""), sets("A", "")
    found = metrics.evaluate(nothing, labels=nothing, hierarchy=T4)
    assert [found[name] for name in ("h_precision", "h_recall", "h_f1", "h_f1_macro", "exact_match")] == [0, 0, 0, 1, 1]
    assert [found[name] for name in ("hvr", "hvr_edge_rate", "tree_distance", "tree_distance_norm", "h_loss")] == [0, 0, 0, 0, 0]
    assert metrics.h_precision_macro(something, nothing, hierarchy=T4) == 0.5
    flat = Hierarchy(("a", "b"), np.empty((0, 2)))
    assert metrics.hvr_edge_density([[1, 0]], [[0, 1]], hierarchy=flat) == 0
    unknown = np.full((1, 4), np.nan)
    assert metrics.h_f1_macro.terms(np.concatenate([unknown, sets("A")]), sets("B", "A"), hierarchy=T4).used == 1


def test_evaluate_adds_them_only_with_a_hierarchy():
    Y, S = sets("A a1", "B"), np.array([[0.9, 0.1, 0.6, 0.2], [0.3, 0.7, 0.4, 0.1]])
    plain, more = metrics.evaluate(Y, S, threshold=0.5), metrics.evaluate(Y, S, threshold=0.5, hierarchy=T4)
    assert {name: more[name] for name in plain} == plain
    assert list(more)[len(plain) :] == [
        "hvr", "hvr_edge_rate", "hvr_edge_density", "hvr_levels", "h_precision", "h_recall", "h_f1", "h_precision_macro", "h_recall_macro",
        "h_f1_macro", "tree_distance", "tree_distance_norm", "h_loss", "h_loss_siblings", "exact_match", "accuracy_level_1",
        "micro_f1_level_1", "macro_f1_level_1", "accuracy_level_2", "micro_f1_level_2", "macro_f1_level_2", "hvr_scores", "weighted_ap",
        "micro_auprc_interpolated",
    ]  # fmt: skip
    assert set(metrics.evaluate(Y, S, hierarchy=T4)) - set(metrics.evaluate(Y, S)) == {
        "hvr_scores",
        "weighted_ap",
        "micro_auprc_interpolated",
    }
    assert metrics.evaluate(Y, S, threshold=0.5, hierarchy=T4.to_dict()) == more
    outcome = metrics.Outcome(Y, S, threshold=0.5)
    assert metrics.evaluate(outcome, hierarchy=T4) == more
    assert not outcome.has_hierarchy
    mirrored = Hierarchy.from_edges([("B", "a1"), ("B", "a2")], T4.names)
    assert metrics.hvr(outcome.under(T4), hierarchy=mirrored) == metrics.hvr(outcome, hierarchy=mirrored) == 0.5 > more["hvr"]
    assert metrics.direction("micro_f1_level_7") == "max"
    assert metrics.direction("tree_distance") == "min"


def test_what_is_missing_is_named():
    Y, S = sets("A a1", "B"), np.full((2, 4), 0.5)
    for name in ("h_f1", "hvr_scores", "micro_f1_level_2"):
        with pytest.raises(ParameterError, match=rf"{name} asks which label implies which: pass hierarchy="):
            metrics.evaluate(Y, S, threshold=0.5, metrics=[name])
    with pytest.raises(ParameterError, match="pass hierarchy="):
        metrics.h_f1(Y, Y)
    with pytest.raises(ParameterError, match="compares label sets"):
        metrics.evaluate(Y, S, metrics=["hvr"], hierarchy=T4)
    with pytest.raises(ParameterError, match="compares label sets"):
        metrics.hvr(metrics.Outcome(Y, S, hierarchy=T4))
    with pytest.raises(ParameterError, match="names in the order of the columns"):
        metrics.h_f1(Y, Y, hierarchy=[("A", "a1")])
    with pytest.raises(DataError, match="over the 4 labels of Y, but got one over 3"):
        metrics.h_f1(Y, Y, hierarchy=T4.take([0, 2, 3]))
    with pytest.raises(ParameterError, match=r"level from 1 .* to 2, .* got 3"):
        metrics.evaluate(Y, labels=Y, metrics=["accuracy_level_3"], hierarchy=T4)
    with pytest.raises(ParameterError, match="'micro' or 'macro'"):
        metrics.h_f1(Y, Y, hierarchy=T4, average="weighted")


def test_blocks_do_not_show(monkeypatch):
    rng = np.random.default_rng(5)
    h = random_hierarchy(rng, 9)
    Y, S = (rng.random((40, 9)) < 0.3).astype(float), rng.random((40, 9))
    Y[rng.random(Y.shape) < 0.1] = np.nan
    whole = metrics.evaluate(Y, S, threshold=0.5, hierarchy=h)
    sparse = metrics.evaluate(Y, S, sp.csr_array(S > 0.5), hierarchy=h)
    monkeypatch.setattr(outcome_module, "BLOCK", 30)
    assert metrics.evaluate(Y, S, threshold=0.5, hierarchy=h) == pytest.approx(whole, nan_ok=True)
    assert metrics.evaluate(Y, S, sp.csr_array(S > 0.5), hierarchy=h) == pytest.approx(whole, nan_ok=True)
    assert sparse == pytest.approx(whole, nan_ok=True)
