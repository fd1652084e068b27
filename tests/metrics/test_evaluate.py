"""All metrics at once: equal to the slow definitions, whatever the form, type, ties and gaps of the input."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import metrics as slow

from polytag import metrics
from polytag.errors import DataError, ParameterError, UnknownNameError
from polytag.metrics import outcome as outcome_module


def matrix(seed: int, ties: str = "none", unknown: float = 0.0, dtype=np.float64, shape=None):
    """Return labels and scores: random size and density, with empty and full rows and columns now and then."""
    rng = np.random.default_rng(seed)
    n, q = shape or (int(rng.integers(1, 13)), int(rng.integers(1, 9)))
    Y = (rng.random((n, q)) < rng.choice([0.05, 0.3, 0.5, 0.9])).astype(float)
    for axis, count in ((0, n), (1, q)):
        for value in (0.0, 1.0):
            if rng.random() < 0.3:
                Y[(int(rng.integers(count)), slice(None)) if axis == 0 else (slice(None), int(rng.integers(count)))] = value
    S = rng.random((n, q))
    S = {"none": S, "some": np.round(S, 1), "many": np.round(S * 2) / 2, "constant": np.full_like(S, 0.5)}[ties].astype(dtype)
    Y[rng.random((n, q)) < unknown] = np.nan
    return Y, S


def same(found: dict, expected: dict, tolerance: float = 1e-9) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=tolerance, nan_ok=True), name


@pytest.mark.parametrize("ties", ["none", "some", "many", "constant"])
@pytest.mark.parametrize("undefined", ["skip", "zero", "one", "nan"])
def test_equals_the_definitions(ties, undefined):
    for seed in range(12):
        Y, S = matrix(seed, ties)
        same(metrics.evaluate(Y, S, threshold=0.5, undefined=undefined), slow.every(Y, S, S > 0.5, undefined))


@pytest.mark.parametrize("ties", ["none", "many", "constant"])
def test_unknown_cells_take_no_part(ties):
    for seed in range(25):
        Y, S = matrix(seed, ties, unknown=0.4)
        if np.isnan(Y).all():
            continue
        found = metrics.evaluate(Y, S, threshold=0.5)
        same(found, slow.every(Y, S, S > 0.5))
        other = np.where(np.isnan(Y), np.random.default_rng(seed).random(Y.shape), S)
        same(metrics.evaluate(Y, other, threshold=0.5), found)


@given(
    st.integers(0, 10**6), st.sampled_from(["none", "some", "many"]), st.sampled_from([0.0, 0.2]), st.sampled_from([np.float32, np.float64])
)
@settings(max_examples=60, deadline=None)
def test_equals_the_definitions_on_anything(seed, ties, unknown, dtype):
    Y, S = matrix(seed, ties, unknown, dtype)
    if not np.isnan(Y).all():
        same(metrics.evaluate(Y, S, threshold=0.5, k=(2, 20)), slow.every(Y, S, S > 0.5, ks=(2, 20)))


def test_small_blocks_give_the_same(monkeypatch):
    Y, S = matrix(3, "some", unknown=0.1, shape=(40, 23))
    whole = metrics.evaluate(Y, S, threshold=0.5)
    monkeypatch.setattr(outcome_module, "BLOCK", 50)
    same(metrics.evaluate(Y, S, threshold=0.5), whole, 1e-13)


def test_form_and_type_do_not_matter():
    Y, S = matrix(5, shape=(30, 7))
    P = (S > 0.5).astype(np.int8)
    expected = metrics.evaluate(Y, S, P)
    for y in (
        Y.astype(bool),
        Y.astype(np.int8),
        sp.csr_matrix(Y),
        sp.csc_array(Y),
        torch.tensor(Y),
        torch.tensor(Y).bfloat16(),
        Y.tolist(),
        np.asfortranarray(Y),
    ):
        for p in (P, P.astype(bool), sp.csr_array(P), torch.tensor(P), P.tolist()):
            same(metrics.evaluate(y, S, p), expected, 0)
    for s in (torch.tensor(S, requires_grad=True), S.tolist(), np.asfortranarray(S), S[::-1][::-1]):
        same(metrics.evaluate(Y, s, P), expected, 0)
    same(metrics.evaluate(Y, S, threshold=0.5), expected, 0)


def test_unknown_cells_of_a_sparse_matrix():
    Y, S = matrix(5, unknown=0.3, shape=(12, 7))
    dense = metrics.evaluate(Y, S, S > 0.5)
    sparse = sp.csr_array(np.nan_to_num(Y, nan=7.0))
    sparse.data[sparse.data == 7.0] = np.nan
    same(metrics.evaluate(sparse, S, sp.csr_array(S > 0.5)), dense, 0)


def test_low_precision_scores_keep_their_values():
    Y, S = matrix(8, shape=(30, 7))
    half = torch.tensor(S).bfloat16()
    same(metrics.evaluate(Y, half, threshold=0.5), metrics.evaluate(Y, half.double(), threshold=0.5), 1e-12)


def test_float64_scores_are_not_rounded():
    Y = np.array([[1.0], [0.0], [1.0], [0.0]])
    S = 0.3 + 1e-12 * np.array([[3.0], [2.0], [1.0], [0.0]])
    assert metrics.macro_auc(Y, S) == 0.75
    assert metrics.macro_auc(Y, S.astype(np.float32)) == 0.5


def test_infinite_scores_rank():
    Y = np.array([[1, 0, np.nan, 0], [0, 1, 1, np.nan]])
    S = np.array([[np.inf, np.inf, np.inf, 0.0], [-np.inf, -np.inf, np.inf, -np.inf]])
    assert metrics.example_auc(Y, S) == pytest.approx((0.75 + 0.75) / 2)
    assert metrics.ranking_loss(Y, S) == pytest.approx(0.5)
    assert metrics.coverage_error(Y, S) == pytest.approx(2.5)
    assert metrics.lrap(Y, S) == pytest.approx((0.5 + (1 + 2 / 3) / 2) / 2)
    assert metrics.precision_at_k(Y, S, k=2) == pytest.approx(0.5)


def test_thresholds_are_strict_and_exact():
    S = np.array([[0.1, 0.3, 0.5]], dtype=np.float32)
    Y = np.array([[1, 1, 1]])
    assert metrics.evaluate(Y, S, threshold=0.5, metrics=["micro_recall"]) == {"micro_recall": 0.0}
    below = float(np.float32(0.1)) - 1e-12  # float32(0.1) lies above it by less than float32 can tell
    assert metrics.evaluate(Y, S, threshold=[below, 0.4, 0.4], metrics=["micro_recall"])["micro_recall"] == pytest.approx(2 / 3)
    assert metrics.evaluate(Y, S, threshold=[float(np.float32(0.1)), 0.4, 0.4], metrics=["micro_recall"])["micro_recall"] == pytest.approx(
        1 / 3
    )

    class Cut:
        values = np.array([0.0, 0.0, 0.6])

    assert metrics.evaluate(Y, S, threshold=Cut(), metrics=["micro_recall"])["micro_recall"] == pytest.approx(2 / 3)


def test_what_is_listed_depends_on_what_is_given():
    Y, S = matrix(5, shape=(9, 4))
    assert "macro_f1" not in metrics.evaluate(Y, S)
    assert "ece" not in metrics.evaluate(Y, S - 0.5)
    assert "macro_auc" not in metrics.evaluate(Y, labels=S > 0.5)
    assert list(metrics.evaluate(Y, S, metrics=["lrap", "macro_auc"])) == ["lrap", "macro_auc"]
    assert list(metrics.evaluate(Y, S, metrics=["precision_at_k", "ndcg_at_9"], k=(2, 4))) == [
        "precision_at_2",
        "precision_at_4",
        "ndcg_at_9",
    ]
    assert "psp_at_7" in metrics.evaluate(Y, S, k=[7])


def test_what_is_missing_is_said():
    Y, S = matrix(5, shape=(9, 4))
    with pytest.raises(ParameterError, match="macro_f1 compares label sets"):
        metrics.evaluate(Y, S, metrics=["macro_f1"])
    with pytest.raises(ParameterError, match=r"lrap needs scores.*ece needs scores"):
        metrics.evaluate(Y, labels=S > 0.5, metrics=["lrap", "ece"])
    with pytest.raises(ParameterError, match=r"probabilities.*-0\."):
        metrics.evaluate(Y, S - 0.9, metrics=["ece"])
    with pytest.raises(ParameterError, match="apply a sigmoid"):
        metrics.brier(Y, S * 3)
    with pytest.raises(ParameterError, match="pass scores"):
        metrics.macro_auc(Y)
    with pytest.raises(ParameterError, match="pass labels"):
        metrics.jaccard(Y)
    with pytest.raises(UnknownNameError, match="did you mean 'macro_auc'"):
        metrics.evaluate(Y, S, metrics=["macro_auk"])
    with pytest.raises(ParameterError, match="'skip', 'zero', 'one' or 'nan'"):
        metrics.evaluate(Y, S, undefined="half")


@pytest.mark.parametrize(
    ("y", "s", "p", "message"),
    [
        ([[1, 0]], [[0.1, np.nan]], None, "row 0, label 1 is NaN"),
        ([[1, 2]], [[0.1, 0.2]], None, "but got 2"),
        ([[1, 0]], [[0.1]], None, r"\(1, 2\), but got \(1, 1\)"),
        ([1, 0], [0.1, 0.2], None, r"shape \(n, q\)"),
        (np.zeros((0, 3)), np.zeros((0, 3)), None, "at least one row"),
        ([[1, 0]], None, [[1, 0.5]], "got 0.5"),
        ([[1, 0]], None, [[1, 0, 1]], "expected predicted labels of the shape"),
        ([["a", "b"]], [[0.1, 0.2]], None, "expected numbers"),
    ],
)
def test_bad_input_is_refused(y, s, p, message):
    with pytest.raises((DataError, ParameterError), match=message):
        metrics.evaluate(y, s, p)


def test_bad_thresholds_are_refused():
    for threshold in ([0.1, 0.2, 0.3], np.nan):
        with pytest.raises(DataError, match="one threshold or 2"):
            metrics.evaluate([[1, 0]], [[0.1, 0.2]], threshold=threshold)


def test_terms_come_with_their_number():
    Y = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]])
    S = np.array([[0.9, 0.1, 0.4], [0.8, 0.2, 0.3], [0.7, 0.2, 0.2]])
    value, terms, used = metrics.macro_auc.terms(Y, S)
    assert (value, used) == (0.5, 1)
    np.testing.assert_array_equal(terms, [0.5, np.nan, np.nan])
    assert metrics.macro_auc.terms(Y, S, undefined="zero").used == 3
    np.testing.assert_allclose(metrics.ranking_loss.terms(Y, S).terms, [0, 0.5, 0.5])
    assert metrics.micro_auc.terms(Y, S).used == 1


def test_flags_of_the_conventions():
    Y, S = matrix(4, "many", shape=(20, 5))
    Y[0], Y[1] = 0, 1
    inner = (Y.sum(axis=1) > 0) & (Y.sum(axis=1) < 5)
    assert metrics.ranking_loss(Y, S, ties=0.5, degenerate="skip") == pytest.approx(1 - metrics.example_auc(Y, S))
    assert metrics.ranking_loss(Y, S, degenerate="skip") == pytest.approx(metrics.ranking_loss(Y[inner], S[inner]))
    some = Y.sum(axis=1) > 0
    assert metrics.one_error(Y, S, empty="skip") == pytest.approx(metrics.one_error(Y[some], S[some]))
    assert metrics.lrap(Y, S, empty="skip") == pytest.approx(metrics.lrap(Y[some], S[some]))
    assert metrics.coverage(Y, S, empty="zero") == pytest.approx(metrics.coverage(Y, S) + (~some).mean())
    assert metrics.coverage_norm(Y, S, empty="zero") == pytest.approx(metrics.coverage(Y, S, empty="zero") / 5)
    assert metrics.macro_auc(Y, S, ties="full") > metrics.macro_auc(Y, S) > metrics.macro_auc(Y, S, ties="none")
    for call in (
        lambda: metrics.ranking_loss(Y, S, degenerate="one"),
        lambda: metrics.one_error(Y, S, empty="zero"),
        lambda: metrics.lrap(Y, S, empty="zero"),
        lambda: metrics.coverage(Y, S, empty="one"),
        lambda: metrics.macro_auc(Y, S, ties="most"),
        lambda: metrics.precision_at_k(Y, S, k=0),
        lambda: metrics.ece(Y, S, bins=0),
    ):
        with pytest.raises(ParameterError):
            call()


def test_propensities_come_from_the_training_labels():
    Y, S = matrix(6, shape=(25, 6))
    train = (np.random.default_rng(1).random((60, 6)) < [0.5, 0.4, 0.3, 0.2, 0.1, 0.02]).astype(int)
    weights = metrics.inverse_propensities(train.sum(axis=0), 60)
    np.testing.assert_allclose(weights, slow.propensity_weights(train))
    top = np.argsort(-S, axis=1, kind="stable")[:, :2]
    gain = sum(weights[j] for i in range(25) for j in top[i] if Y[i, j])
    best = sum(sum(sorted((weights[j] for j in range(6) if Y[i, j]), reverse=True)[:2]) for i in range(25))
    assert metrics.psp_at_k(Y, S, k=2, train_labels=train) == pytest.approx(gain / best)
    assert metrics.psp_at_k(Y, S, k=2, train_labels=train, normalize=False) == pytest.approx(gain / 50)
    assert metrics.evaluate(Y, S, k=[2], train_labels=sp.csr_array(train))["psp_at_2"] == pytest.approx(gain / best)
    with pytest.raises(ParameterError, match="6 labels"):
        metrics.psp_at_k(Y, S, train_labels=train[:, :5])
    assert (metrics.inverse_propensities(np.array([0, 2]), 2) == 1).all()


def test_a_wide_window_after_a_narrow_one():
    Y, S = matrix(7, "some", shape=(30, 12))
    prepared = metrics.Outcome(Y, S)
    assert metrics.one_error(prepared) == pytest.approx(1 - metrics.precision_at_1(prepared))
    for k in (9, 2, 11, 40):
        assert metrics.precision_at_k(prepared, k=k) == metrics.precision_at_k(Y, S, k=k)


def test_nothing_given_is_changed():
    Y, S = matrix(9, "some", unknown=0.1, shape=(30, 12))
    P = S > 0.5
    copies = [a.copy() for a in (Y, S, P)]
    for array in (Y, S, P):
        array.setflags(write=False)
    metrics.evaluate(Y, S, P)
    for array, copy in zip((Y, S, P), copies):
        np.testing.assert_array_equal(array, copy)


def test_everything_undefined_is_nan_unless_filled():
    Y, S = np.zeros((3, 2)), np.full((3, 2), 0.4)
    found = metrics.evaluate(Y, S, threshold=0.5)
    assert all(
        math.isnan(found[name]) for name in ("macro_auc", "micro_auc", "example_auc", "macro_ap", "macro_f1", "micro_f1", "psp_at_1")
    )
    assert metrics.evaluate(Y, S, threshold=0.5, undefined="zero", metrics=["macro_auc", "micro_f1"]) == {"macro_auc": 0.0, "micro_f1": 0.0}
