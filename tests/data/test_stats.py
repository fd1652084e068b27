"""Measures of data sets: the specification's numbers, and slow obvious computations."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from polytag.data import stats
from polytag.data.dataset import Dataset
from polytag.hierarchy import Hierarchy

TOY = np.array([[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 0, 0]])


def test_toy_set_has_the_numbers_of_the_specification() -> None:
    measures = stats.describe(Dataset(np.arange(24.0).reshape(6, 4), TOY))
    expected = {
        "n": 6, "d": 4, "q": 3, "cardinality": 1.5, "density": 0.5, "labelsets": 4, "labelsets_share": 4 / 6, "labelsets_once": 3,
        "mean_ir": 2.0, "max_ir": 2.5, "cvir": 0.4330127019, "minority_labels": 2, "min_positives": 2, "max_positives": 5,
        "scumble": 0.0321640324, "tcs": 3.8712010109, "rows_without_label": 0, "empty_labels": 0, "repeated_rows": 0,
        "missing_features": 0, "missing_labels": 0,
    }  # fmt: skip
    assert {name: measures[name] for name in expected} == pytest.approx(expected, abs=1e-10)
    assert stats.scumble_of_rows(TOY) == pytest.approx([0, 0.0964920, 0.0964920, 0, 0, 0], abs=1e-7)
    assert stats.imbalance_ratios([5, 2, 2]).tolist() == [1, 2.5, 2.5]


@pytest.mark.data
@pytest.mark.usefixtures("catalogue_folders")
def test_cal500_has_the_numbers_of_the_specification() -> None:
    from polytag import load_dataset

    data = load_dataset("cal500")
    measures = stats.describe(data)
    expected = {
        "n": 502, "d": 68, "q": 174, "cardinality": 26.0438247, "density": 0.1496771534, "mean_ir": 20.5777832, "max_ir": 88.8,
        "cvir": 1.0871282952, "scumble": 0.3372218934, "labelsets": 502, "tcs": 15.5971631, "minority_labels": 60, "min_positives": 5,
    }  # fmt: skip
    assert {name: measures[name] for name in expected} == pytest.approx(expected, rel=1e-8, abs=1e-7)
    kept = stats.describe(data.with_labels(data.labels.counts > 20))
    assert kept["q"] == 119
    assert kept["mean_ir"] == pytest.approx(7.6753426567, abs=1e-7)


LABELS = hnp.arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 6)), elements=st.integers(0, 1))


@given(LABELS)
@settings(max_examples=150, deadline=None)
def test_scumble_equals_its_definition(Y: np.ndarray) -> None:
    counts = Y.sum(0)
    ratios = [max(counts) / c if c else math.inf for c in counts]
    slow = []
    for row in Y:
        mine = [ratios[j] for j in np.flatnonzero(row)]
        slow.append(1 - math.prod(mine) ** (1 / len(mine)) / (sum(mine) / len(mine)) if mine else 0.0)
    assert stats.scumble_of_rows(Y) == pytest.approx(slow, abs=1e-12)
    by_label = [np.mean([slow[i] for i in np.flatnonzero(Y[:, j])]) if counts[j] else 0.0 for j in range(Y.shape[1])]
    assert stats.scumble_of_labels(Y) == pytest.approx(by_label, abs=1e-12)


@given(LABELS)
@settings(max_examples=100, deadline=None)
def test_labelsets_are_counted(Y: np.ndarray) -> None:
    rows = [tuple(row) for row in Y.tolist()]
    assert stats.labelset_counts(Y).tolist() == sorted((rows.count(row) for row in set(rows)), reverse=True)
    assert stats.labelset_counts(sparse.csr_array(Y)).tolist() == stats.labelset_counts(Y).tolist()


def test_variation_of_imbalance_leaves_out_labels_that_never_occur() -> None:
    ratios = stats.imbalance_ratios([10, 5, 0, 2])
    finite = np.array([1.0, 2.0, 5.0])
    assert stats.imbalance_variation(ratios) == pytest.approx(finite.std(ddof=1) / finite.mean())
    assert stats.imbalance_variation(stats.imbalance_ratios([3])) == 0.0
    assert math.isnan(stats.imbalance_variation(stats.imbalance_ratios([0, 0])))


def test_class_imbalance_takes_the_larger_class_of_each_label() -> None:
    Y = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
    assert stats.class_imbalance_ratios(Y).tolist() == [3.0, 3.0, math.inf, 1.0]


def test_sparse_features_give_the_same_measures_and_stay_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.array([[0.0, 1.0], [0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    dense = stats.describe(Dataset(X, TOY))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("sparse features were made dense")

    for name in ("toarray", "todense"):
        monkeypatch.setattr(sparse.csr_array, name, refuse)
    assert stats.describe(Dataset(sparse.csr_array(X), TOY)) == dense
    assert stats.describe(Dataset(sparse.csr_array(X), sparse.csr_array(TOY))) == dense
    assert dense["repeated_rows"] == 3


def test_missing_cells_are_counted_and_unknown_labels_are_not_taken_for_absent_ones() -> None:
    X = np.array([[np.nan, 1.0], [0.0, 0.0], [np.nan, 1.0]])
    Y = np.array([[1.0, np.nan], [0.0, 0.0], [np.nan, 0.0]])
    measures = stats.describe(Dataset(X, Y))
    assert (measures["missing_features"], measures["missing_labels"], measures["repeated_rows"]) == (2, 2, 1)
    assert measures["density"] == 1 / 4
    assert measures["rows_without_label"] == 1
    unknown = stats.describe(Dataset(X, np.full((3, 2), np.nan)))
    assert math.isnan(unknown["cardinality"])
    assert math.isnan(unknown["mean_ir"])
    assert unknown["rows_without_label"] == 0


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_a_hierarchy_is_measured_too(form) -> None:
    graph = Hierarchy.from_edges([("a", "c"), ("b", "c"), ("c", "d"), ("a", "e")], "abcde")
    Y = form(np.array([[1, 1, 1, 1, 0], [1, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]))
    measures = stats.describe(Dataset(np.eye(4), Y, label_names="abcde", hierarchy=graph))
    wanted = {"levels": 3, "edges": 4, "tops": 2, "ends": 2, "several_parents": 1, "declared": 3 / 4, "violations": 2}
    assert {name: measures[name] for name in wanted} == wanted
    assert "levels" not in stats.describe(Dataset(np.eye(4), Y))


def test_label_frequencies_are_drawn(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    from polytag.data.plots import plot_label_frequencies

    data = Dataset(np.zeros((6, 2)), TOY, label_names=["cost $", "price $", "a very long name of a label indeed"], name="to$y")
    for name in ("few.png", "few.svg"):
        path = plot_label_frequencies(data, tmp_path / name)
        assert path.stat().st_size > 3000
    assert "2 minority labels" in plot_text(tmp_path / "few.svg")
    wide = Dataset(np.zeros((6, 2)), np.tile(TOY, 20))
    assert plot_label_frequencies(wide, tmp_path / "many.png").stat().st_size > 3000
    nothing = Dataset(np.zeros((2, 2)), np.zeros((2, 3)))
    assert plot_label_frequencies(nothing, tmp_path / "none.png").stat().st_size > 3000


def plot_text(path) -> str:
    """Return the comments of an SVG file, where matplotlib repeats the text that it draws as outlines."""
    return path.read_text(encoding="utf-8")
