"""What must hold of any data: invariances, extremes, relations between metrics."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.test_evaluate import matrix

from polytag import metrics, registry
from polytag.errors import ParameterError, UnknownNameError

RANKING = ["macro_auc", "example_auc", "ranking_loss", "one_error", "coverage_error", "coverage", "coverage_norm", "macro_ap", "lrap",
           "micro_auc", "micro_ap", "precision_at_3", "recall_at_3", "ndcg_at_3", "psp_at_3"]  # fmt: skip


@given(st.integers(0, 10**6), st.sampled_from(["none", "many"]))
@settings(max_examples=40, deadline=None)
def test_rankings_see_the_order_only(seed, ties):
    Y, S = matrix(seed, ties)
    before = metrics.evaluate(Y, S, metrics=RANKING)
    after = metrics.evaluate(Y, np.log(S + 0.5) * 7 - 100, metrics=RANKING)
    assert after == pytest.approx(before, nan_ok=True)


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_order_of_rows_and_labels_does_not_matter(seed):
    Y, S = matrix(seed)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(Y.shape[0]), rng.permutation(Y.shape[1])
    shuffled = metrics.evaluate(Y[rows][:, columns], S[rows][:, columns], threshold=0.4)
    assert shuffled == pytest.approx(metrics.evaluate(Y, S, threshold=0.4), nan_ok=True)


@given(st.integers(0, 10**6), st.sampled_from(["none", "some", "many"]))
@settings(max_examples=40, deadline=None)
def test_metrics_agree_with_each_other(seed, ties):
    Y, S = matrix(seed, ties)
    outcome = metrics.Outcome(Y, S, threshold=0.5)
    found = metrics.evaluate(outcome)
    assert found["precision_at_1"] == pytest.approx(1 - found["one_error"])
    assert found["accuracy"] == pytest.approx(1 - found["hamming_loss"])
    assert found["coverage_norm"] == pytest.approx((found["coverage_error"] - 1) / Y.shape[1])
    halves = metrics.ranking_loss(outcome, ties=0.5, degenerate="skip")
    assert halves == pytest.approx(1 - found["example_auc"], nan_ok=True)
    turned = metrics.Outcome(Y.T, S.T, threshold=0.5)
    for rows, labels in (("example_auc", "macro_auc"), ("example_f1", "macro_f1"), ("example_recall", "macro_recall")):
        assert registry.get("metric", rows)(turned) == pytest.approx(found[labels], nan_ok=True)
    if Y.any():
        assert metrics.recall_at_k(outcome, k=Y.shape[1]) == pytest.approx(1.0)


def test_perfect_and_worst():
    Y, _ = matrix(11, shape=(40, 9))
    Y[0, 0], Y[1, 0] = 0, 1
    found = metrics.evaluate(Y, Y, threshold=0.5, undefined="one")
    for name, value in found.items():
        metric = metrics.direction(name)
        if name.startswith(("coverage", "precision_at", "ndcg", "recall_at", "psp")):
            continue  # their best value depends on the number of labels, or on the order of ties
        assert value == pytest.approx(1.0 if metric == "max" else 0.0 if name != "one_error" else np.mean(Y.sum(axis=1) == 0)), name
    worst = metrics.evaluate(Y, 1 - Y, threshold=0.5)
    assert (worst["macro_auc"], worst["example_auc"], worst["macro_f1"], worst["hamming_loss"]) == (0, 0, 0, 1)


def test_random_scores_have_no_skill():
    rng = np.random.default_rng(0)
    Y, S = rng.random((3000, 10)) < 0.3, rng.random((3000, 10))
    found = metrics.evaluate(Y, S, metrics=["macro_auc", "micro_auc", "example_auc"])
    assert all(abs(value - 0.5) < 0.02 for value in found.values())


def test_batches_add_up_where_terms_are_instances():
    Y, S = matrix(12, "some", shape=(30, 6))
    for name in ("ranking_loss", "lrap", "coverage_error", "one_error", "precision_at_3", "ndcg_at_3"):
        metric = registry.get("metric", name)
        parts = [metric.terms(Y[rows], S[rows]) for rows in np.array_split(np.arange(30), 4)]
        assert sum(part.value * part.used for part in parts) / 30 == pytest.approx(metric(Y, S))


def test_own_metrics_join():
    @metrics.metric("test_only_share_of_ones", needs="labels", direction="min")
    def share(Y, labels=None):
        outcome = metrics.Outcome.of(Y, labels=labels)
        return outcome.sets.predicted_by_row.sum() / (outcome.cells.n * outcome.cells.q)

    try:
        found = metrics.evaluate([[1, 0], [0, 0]], labels=[[1, 1], [0, 1]], metrics=["test_only_share_of_ones"])
        assert found == {"test_only_share_of_ones": 0.75}
        assert metrics.direction("test_only_share_of_ones") == "min"
        with pytest.raises(ParameterError, match="already belongs"):
            registry.register("metric", "test_only_share_of_ones")(metrics.macro_auc)
    finally:
        registry._METHODS["metric"].pop("test_only_share_of_ones")


def test_a_metric_describes_itself():
    assert metrics.direction("coverage_error") == "min"
    assert metrics.value_range("precision_at_11") == (0.0, 1.0)
    assert "needs probabilities, min" in repr(metrics.ece)
    assert pickle.loads(pickle.dumps(metrics.macro_auc)) is metrics.macro_auc
    with pytest.raises(UnknownNameError):
        metrics.direction("loss")
