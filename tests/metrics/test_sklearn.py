"""Equal to scikit-learn on 200 random matrices, with and without ties and degenerate rows and labels."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk
from tests.metrics.test_evaluate import matrix

from polytag import metrics


def theirs(Y, S, P) -> dict[str, float]:
    """Return scikit-learn's values; where it has no value for a degenerate label or row, of the others."""
    found = {"subset_accuracy": sk.accuracy_score(Y, P), "hamming_loss": sk.hamming_loss(Y, P)}
    for ours, average in (("macro", "macro"), ("micro", "micro"), ("example", "samples")):
        for kind in ("f1", "precision", "recall"):
            found[f"{ours}_{kind}"] = getattr(sk, f"{kind}_score")(Y, P, average=average, zero_division=0)
    found["jaccard"] = sk.jaccard_score(Y, P, average="samples", zero_division=0)
    found["ranking_loss"] = sk.label_ranking_loss(Y, S)
    found["coverage_error"] = sk.coverage_error(Y, S)
    found["lrap"] = sk.label_ranking_average_precision_score(Y, S)
    found["macro_ap"] = sk.average_precision_score(Y, S, average="macro")
    found["micro_ap"] = sk.average_precision_score(Y, S, average="micro")
    for axis, name in ((0, "macro_auc"), (1, "example_auc")):
        inner = (Y.min(axis=axis) == 0) & (Y.max(axis=axis) == 1)
        pairs = [(y, s) for y, s, used in zip(*((Y.T, S.T) if axis == 0 else (Y, S)), inner) if used]
        if pairs:
            found[name] = float(np.mean([sk.roc_auc_score(y, s) for y, s in pairs]))
    if 0 < Y.sum() < Y.size:
        found["micro_auc"] = sk.roc_auc_score(Y.ravel(), S.ravel())
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ties", ["none", "some", "many", "constant"])
def test_two_hundred_random_matrices(ties, dtype):
    rng = np.random.default_rng(1)
    for seed in range(25):
        Y, S = matrix(seed, ties, dtype=dtype, shape=(int(rng.integers(2, 40)), int(rng.integers(3, 20))))
        Y, P = Y.astype(int), (S > 0.5).astype(int)
        outcome = metrics.Outcome(Y, S, threshold=0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs(Y, S, P)
        skipping = {name for name in ("macro_auc", "example_auc") if name in expected}
        found = metrics.evaluate(outcome, undefined="zero") | metrics.evaluate(outcome, metrics=sorted(skipping))
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-9), (seed, name)
        if ties == "none" and len(np.unique(S)) == S.size:
            for k in (1, 3, 5):
                assert found[f"ndcg_at_{k}"] == pytest.approx(sk.ndcg_score(Y, S, k=k, ignore_ties=True), abs=1e-9)
        assert found["brier"] == pytest.approx(float(np.mean((S.astype(float) - Y) ** 2)), abs=1e-9)


def test_a_large_matrix_with_rare_and_common_labels():
    rng = np.random.default_rng(2)
    Y = (rng.random((700, 40)) < np.geomspace(0.004, 0.9, 40)).astype(int)
    S = (1 / (1 + np.exp(-3 * rng.normal(size=Y.shape) - 4 * Y))).astype(np.float32)
    assert len(np.unique(S)) < S.size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs(Y, S, S > 0.5)
    found = metrics.evaluate(Y, S, threshold=0.5, undefined="zero") | metrics.evaluate(Y, S, metrics=["macro_auc", "example_auc"])
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name
