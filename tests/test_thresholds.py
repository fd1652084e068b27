"""Cuts: what each rule promises on the rows it was fitted on, against trying everything."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytag import thresholds
from polytag.errors import DataError, ParameterError, UnknownNameError
from polytag.hierarchy import Hierarchy
from polytag.thresholds import GRID, CardinalityMatched, Fixed, GlobalF1, LabelF1, LevelCuts, LevelF1, Threshold, TopK


def toy(seed: int = 0, ties: bool = False, n: int = 30, q: int = 4):
    rng = np.random.default_rng(seed)
    Y = (rng.random((n, q)) < [0.5, 0.3, 0.1, 0.05][:q]).astype(float)
    proba = np.clip(0.25 * Y + 0.6 * rng.random((n, q)), 0, 1)
    return np.round(proba, 1) if ties else proba, Y


def f1(chosen, Y) -> float:
    right, total = np.sum(chosen & (Y == 1)), np.sum(chosen & ~np.isnan(Y)) + np.sum(Y == 1)
    return 2 * right / total if total else 0.0


def every_cut(scores):
    """Return one cut below, between and above all distinct scores."""
    distinct = np.unique(scores)
    return np.concatenate([[distinct[0] - 1], (distinct[1:] + distinct[:-1]) / 2, [distinct[-1]]])


def test_the_grid_is_the_papers():
    assert len(GRID) == 27
    assert GRID[0] == 0.01
    assert GRID[9] == 0.1
    assert GRID[10] == 0.15
    assert GRID[-1] == 0.95


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_grids_find_the_best_of_their_cuts(seed, ties):
    proba, Y = toy(seed, ties)
    Y[0, 0] = np.nan
    known = ~np.isnan(Y)
    found = GlobalF1().fit(proba, Y)
    assert f1(found.predict(proba), Y) == pytest.approx(max(f1(proba > cut, Y) for cut in GRID))
    assert len(set(found.values)) == 1
    macro = GlobalF1("macro").fit(proba, Y).values[0]
    values = [np.mean([f1(proba[:, [j]] > cut, Y[:, [j]]) for j in range(4)]) for cut in GRID]
    assert np.mean([f1(proba[:, [j]] > macro, Y[:, [j]]) for j in range(4)]) == pytest.approx(max(values))
    each = LabelF1().fit(proba, Y)
    for j in range(4):
        column = known[:, j]
        best = max(f1(proba[column, j] > cut, Y[column, j]) for cut in GRID)
        assert f1(proba[column, j] > each.values[j], Y[column, j]) == pytest.approx(best)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_without_a_grid_no_cut_is_better(seed, ties):
    proba, Y = toy(seed, ties)
    found = GlobalF1(grid=None).fit(proba, Y)
    assert f1(found.predict(proba), Y) == pytest.approx(max(f1(proba > cut, Y) for cut in every_cut(proba)))
    each = LabelF1(grid=None).fit(proba, Y)
    for j in np.flatnonzero(Y.any(axis=0)):
        best = max(f1(proba[:, j] > cut, Y[:, j]) for cut in every_cut(proba[:, j]))
        assert f1(proba[:, j] > each.values[j], Y[:, j]) == pytest.approx(best)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_cardinality_is_matched(seed, ties):
    proba, Y = toy(seed, ties)
    chosen = CardinalityMatched().fit(proba, Y).predict(proba).sum()
    assert abs(chosen - Y.sum()) == min(abs((proba > cut).sum() - Y.sum()) for cut in every_cut(proba))
    each = CardinalityMatched(per_label=True).fit(proba, Y).predict(proba).sum(axis=0)
    for j in range(4):
        best = min(abs((proba[:, j] > cut).sum() - Y[:, j].sum()) for cut in every_cut(proba[:, j]))
        assert abs(each[j] - Y[:, j].sum()) == best
    if not ties:
        assert chosen == Y.sum()


def test_neighbouring_floats_are_told_apart():
    low = 0.3
    high = np.nextafter(low, 1)
    found = LabelF1(grid=None).fit(np.array([[low], [high]]), np.array([[0], [1]]))
    np.testing.assert_array_equal(found.predict(np.array([[low], [high]])), [[False], [True]])


def test_labels_without_positives_keep_one_half():
    proba, Y = toy()
    Y[:, 2] = 0
    for rule in (LabelF1(), LabelF1(grid=None)):
        assert rule.fit(proba, Y).values[2] == 0.5
    for rule in (GlobalF1(), GlobalF1(grid=None), GlobalF1("macro")):
        assert (rule.fit(proba, np.zeros_like(Y)).values == 0.5).all()


def test_of_equal_cuts_the_nearest_to_one_half():
    proba, Y = np.array([[0.9], [0.02]]), np.array([[1], [0]])
    assert LabelF1().fit(proba, Y).values[0] == 0.5
    assert GlobalF1().fit(proba, Y).values[0] == 0.5


def test_fixed_cuts_are_strict():
    proba = np.array([[0.5, 0.7], [0.51, 0.2]])
    np.testing.assert_array_equal(Fixed().fit(proba, proba).predict(proba), [[False, True], [True, False]])
    np.testing.assert_array_equal(Fixed([0.6, 0.1]).predict(proba), [[False, True], [False, True]])
    with pytest.raises(ParameterError, match="2 \\(one a label\\), but got 3"):
        Fixed([0.1, 0.2, 0.3]).fit(proba, proba)
    with pytest.raises(ParameterError, match="call fit"):
        Fixed().predict(proba)
    with pytest.raises(ParameterError):
        Fixed(np.nan)


def test_top_k_takes_the_lower_label_of_a_tie():
    proba = np.array([[0.5, 0.5, 0.5], [0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(TopK(2).predict(proba), [[True, True, False], [False, True, True]])
    fitted = TopK().fit(proba, np.array([[1, 0, 0], [0, 0, 1]]))
    np.testing.assert_array_equal(fitted.predict(proba), [[True, False, False], [False, False, True]])
    assert TopK().fit(proba, np.zeros((2, 3))).predict(proba).sum() == 2
    with pytest.raises(ParameterError, match="fitted first"):
        TopK().predict(proba)
    with pytest.raises(ParameterError, match="at least 1"):
        TopK(0)


def test_rules_have_names():
    assert isinstance(Threshold.named("f1"), GlobalF1)
    assert isinstance(Threshold.named("label_f1"), LabelF1)
    assert isinstance(Threshold.named("cardinality"), CardinalityMatched)
    rule = LabelF1(grid=None)
    assert Threshold.named(rule) is rule
    assert Threshold.named(0.3).fit(np.zeros((1, 2)), np.zeros((1, 2))).values.tolist() == [0.3, 0.3]
    assert Threshold.named([0.1, 0.2]).fit(np.zeros((1, 2)), np.zeros((1, 2))).values.tolist() == [0.1, 0.2]
    with pytest.raises(UnknownNameError, match="did you mean 'label_f1'"):
        Threshold.named("labelf1")
    with pytest.raises(ParameterError, match="TopK has no cuts"):
        Threshold.named(TopK(3))


def test_form_does_not_matter():
    proba, Y = toy(3)
    expected = LabelF1().fit(proba, Y).values
    for p, y in ((torch.tensor(proba), torch.tensor(Y)), (proba.tolist(), sp.csr_array(Y)), (np.asfortranarray(proba), Y.astype(bool))):
        np.testing.assert_array_equal(LabelF1().fit(p, y).values, expected)


def test_bad_input_is_refused():
    proba, Y = toy()
    with pytest.raises(DataError, match="one shape"):
        LabelF1().fit(proba, Y[:, :2])
    with pytest.raises(DataError, match="NaN"):
        GlobalF1().fit(np.full_like(proba, np.nan), Y)
    with pytest.raises(DataError, match=r"\(n, q\)"):
        GlobalF1().fit(proba[0], Y[0])
    for bad in (lambda: GlobalF1("median"), lambda: GlobalF1("macro", grid=None), lambda: LabelF1(grid=[]).fit(proba, Y)):
        with pytest.raises(ParameterError):
            bad()


def test_every_public_class_is_described():
    for name in ("Fixed", "GlobalF1", "LabelF1", "CardinalityMatched", "TopK"):
        assert "Args:" in getattr(thresholds, name).__doc__


PETS = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog"), ("cat", "kitten"), ("dog", "kitten")])


def coherent(chosen, hierarchy):
    """Keep the labels of which all ancestors are chosen, one by one."""
    return np.array([[all(row[[k, *hierarchy.ancestors[[k]].indices]]) for k in range(hierarchy.q)] for row in chosen])


def test_cuts_of_levels_stop_at_a_parent():
    proba = np.array([[0.9, 0.7, 0.55, 0.5], [0.9, 0.55, 0.7, 0.5], [0.9, 0.7, 0.7, 0.5], [0.4, 0.9, 0.9, 0.9]])
    expected = [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    for cuts in ({1: 0.5, 2: 0.6, 3: 0.4}, {"1": 0.5, "2": 0.6, "3": 0.4}, [0.5, 0.6, 0.4]):
        rule = LevelCuts(cuts, PETS)
        assert rule.values.tolist() == [0.5, 0.6, 0.6, 0.4]
        assert rule.predict(proba).tolist() == [[bool(cell) for cell in row] for row in expected]
    named = Threshold.named({1: 0.5, 2: 0.6, 3: 0.4}, hierarchy=PETS)
    assert np.array_equal(named.fit(proba, proba > 0.5).predict(proba), np.array(expected) == 1)
    late = LevelCuts([0.5, 0.6, 0.4])
    late.hierarchy = PETS
    assert np.array_equal(late.fit(proba, proba > 0.5).predict(proba), np.array(expected) == 1)


@pytest.mark.parametrize("cuts", [{1: 0.5, 2: 0.6}, [0.5, 0.6], {1: 0.5, 2: 0.6, 4: 0.1}, [0.5, 0.6, np.nan], 0.5])
def test_every_level_has_its_cut(cuts):
    with pytest.raises(ParameterError, match="a cut for each of the levels 1 to 3"):
        LevelCuts(cuts, PETS)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_cut_of_a_level_is_the_best_for_what_is_reached(seed, ties):
    rng = np.random.default_rng(seed)
    edges = [(child, parent) for child in range(7) for parent in range(child) if rng.random() < 1.2 / child]
    h = Hierarchy(tuple("abcdefg"), np.array(edges).reshape(-1, 2))
    Y = h.close((rng.random((25, 7)) < 0.3).astype(float))
    Y[rng.random(Y.shape) < 0.1] = np.nan
    proba = np.clip(0.3 * (Y == 1) + 0.6 * rng.random(Y.shape), 0, 1)
    proba = np.round(proba, 1) if ties else proba
    rule = Threshold.named("level_f1", hierarchy=h).fit(proba, Y)
    found = rule.predict(proba)
    assert np.array_equal(found, coherent(proba > rule.values, h))
    assert not h.violations(found).any()
    for level in range(1, h.depth + 1):
        here = h.levels == level
        (cut,) = set(rule.values[here])
        reached = coherent(found | here, h)[:, here]  # all labels of the level that the levels above let through
        values = [f1(reached & (proba[:, here] > other), Y[:, here]) for other in GRID]
        if max(values) > 0:
            assert f1(found[:, here], Y[:, here]) == pytest.approx(max(values))
            assert abs(cut - 0.5) == pytest.approx(min(abs(o - 0.5) for o, v in zip(GRID, values) if v == pytest.approx(max(values))))
        else:
            assert cut == 0.5


def test_rules_of_levels_need_a_hierarchy():
    proba, Y = toy()
    assert isinstance(Threshold.named("level_f1"), LevelF1)
    for rule in (LevelF1(), LevelCuts([0.5])):
        with pytest.raises(ParameterError, match="pass hierarchy="):
            rule.fit(proba, Y)
    with pytest.raises(ParameterError, match="no cuts yet"):
        LevelF1(PETS).predict(proba)
    with pytest.raises(DataError, match="probabilities of the 4 labels of the hierarchy, but got 3"):
        LevelF1(PETS).fit(proba[:, :3], Y[:, :3])
    assert np.array_equal(Threshold.named("f1", hierarchy=PETS).fit(proba, Y).values, GlobalF1().fit(proba, Y).values)
