"""Numbers of the specification, of scikit-learn and of published evaluation codes."""

import json

import numpy as np
import pytest

from polytag import metrics

A = (
    [[1, 0, 1, 0, 0], [0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [1, 0, 0, 0, 1]],
    [[0.9, 0.45, 0.4, 0.2, 0.1], [0.35, 0.3, 0.8, 0.15, 0.6], [0.2, 0.7, 0.55, 0.4, 0.5], [0.65, 0.62, 0.25, 0.33, 0.05]],
)
B = (
    [[1, 0, 1, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [1, 0, 0, 0, 1]],
    [
        [0.9, 0.4, 0.4, 0.2, 0.1],
        [0.3, 0.3, 0.8, 0.1, 0.6],
        [0.2, 0.7, 0.1, 0.4, 0.5],
        [0.6, 0.5, 0.9, 0.1, 0.3],
        [0.5, 0.5, 0.5, 0.5, 0.5],
        [0.8, 0.7, 0.2, 0.3, 0.05],
    ],
)
C = (np.where(np.arange(30).reshape(6, 5) == 18, 0, B[0]), B[1])

TABLE = [
    ("macro_f1", {"undefined": "zero"}, 0.4333333333, 0.38, 0.38),
    ("macro_f1", {"undefined": "one"}, 0.6333333333, 0.38, 0.58),
    ("macro_f1", {}, 0.5416666667, 0.38, 0.475),
    ("micro_f1", {}, 0.5714285714, 0.5, 0.5263157895),
    ("example_f1", {"undefined": "zero"}, 0.5833333333, 0.3730158730, 0.3888888889),
    ("jaccard", {"undefined": "zero"}, 0.4166666667, 0.2611111111, 0.2777777778),
    ("subset_accuracy", {}, 0, 0, 0),
    ("hamming_loss", {}, 0.3, 0.3333333333, 0.3),
    ("ranking_loss", {}, 0.3541666667, 0.3611111111, 0.3611111111),
    ("ranking_loss", {"ties": 0.5}, 0.3541666667, 0.25, 0.25),
    ("ranking_loss", {"degenerate": "skip"}, 0.3541666667, 0.5416666667, 0.4333333333),
    ("example_auc", {}, 0.6458333333, 0.625, 0.7),
    ("coverage_error", {}, 3.5, 3.6666666667, 3.5),
    ("coverage", {}, 2.5, 2.6666666667, 2.5),
    ("coverage_norm", {}, 0.5, 0.5333333333, 0.5),
    ("lrap", {}, 0.6333333333, 0.7055555556, 0.7055555556),
    ("macro_ap", {}, 0.6458333333, 0.5861111111, 0.6909722222),
    ("macro_ap", {"undefined": "zero"}, 0.5166666667, 0.5861111111, 0.5527777778),
    ("micro_ap", {}, 0.5435064935, 0.5888482526, 0.6048668503),
    ("macro_auc", {}, 0.5, 0.5019444444, 0.6024305556),
    ("authors_macro_auc", {}, 0.4, 0.5344444444, 0.4944444444),
    ("macro_auc", {"undefined": "zero"}, 0.4, 0.5019444444, 0.4819444444),
    ("micro_auc", {}, 0.6208791209, 0.6157407407, 0.6770334928),
    ("one_error", {}, 0.5, 0.5, 0.5),
    ("one_error", {"empty": "skip"}, 0.5, 0.4, 0.4),
    ("precision_at_1", {}, 0.5, 0.5, 0.5),
    ("precision_at_3", {}, 0.4166666667, 0.4444444444, 0.4444444444),
    ("ndcg_at_1", {}, 0.5, 0.5, 0.5),
    ("ndcg_at_3", {}, 0.6376626357, 0.5699534649, 0.5699534649),
    ("psp_at_1", {}, 0.4938999919, 0.5776969547, 0.5873140945),
    ("psp_at_3", {}, 0.7092799428, 0.7859835177, 0.7967946379),
    ("ece", {}, 0.275, 0.255, 0.2483333333),
]


@pytest.mark.parametrize(("name", "flags", "a", "b", "c"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE])
def test_hand_examples(name, flags, a, b, c):
    for (Y, S), expected in ((A, a), (B, b), (C, c)):
        assert getattr(metrics, name)(metrics.Outcome(Y, S, threshold=0.5), **flags) == pytest.approx(expected, abs=5e-10)


def test_hand_examples_use_that_many_labels():
    assert [metrics.macro_auc.terms(*case).used for case in (A, B, C)] == [4, 5, 4]
    np.testing.assert_allclose(
        metrics.inverse_propensities(np.sum(A[0], axis=0), 4), [1.321032, 1.386294, 1.321032, 1.511605, 1.321032], atol=1e-6
    )


def cases(folder, name):
    """Yield (title, Y, S, stored values by name, the archive, its number) of every matrix."""
    entry = json.loads((folder / "index.json").read_text(encoding="utf-8"))["cases"][name]
    with np.load(folder / entry["file"]) as archive:
        stored = {key: archive[key] for key in archive.files}
    for number, title in enumerate(entry["case_names"]):
        values = dict(zip(entry["value_names"], stored["values"][number]))
        yield (
            title,
            stored[f"{number:02d}/Y"],
            stored[f"{number:02d}/S"],
            values,
            {key.removeprefix(f"{number:02d}/"): value for key, value in stored.items() if key.startswith(f"{number:02d}/")},
        )


def equal(found, expected, what):
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True), what


PLAIN = {
    "hamming_loss": "hamming_loss",
    "subset_accuracy": "subset_accuracy",
    "auc_macro_skip": "macro_auc",
    "auc_micro": "micro_auc",
    "auc_example_skip": "example_auc",
    "ap_macro_with_positives": "macro_ap",
    "lrap": "lrap",
    "coverage_error": "coverage_error",
    "ranking_loss": "ranking_loss",
}
FILLED = {"zd0": "zero", "zd1": "one", "skip": "skip"}


def test_scikit_learn_on_31_matrices(golden):
    seen = 0
    for title, Y, S, stored, arrays in cases(golden, "metrics"):
        outcome = metrics.Outcome(Y, S, threshold=0.5)
        for theirs, ours in PLAIN.items():
            equal(getattr(metrics, ours)(outcome), stored[theirs], (title, theirs))
        for suffix, undefined in FILLED.items():
            for theirs, ours in (("macro", "macro"), ("micro", "micro"), ("samples", "example")):
                for kind in ("f1", "precision", "recall"):
                    if f"{kind}_{theirs}_{suffix}" in stored:
                        found = getattr(metrics, f"{ours}_{kind}")(outcome, undefined=undefined)
                        equal(found, stored[f"{kind}_{theirs}_{suffix}"], (title, kind, theirs, suffix))
        equal(metrics.macro_ap(outcome, undefined="zero"), stored["ap_macro_all"], title)
        equal(metrics.micro_ap(outcome, undefined="zero"), stored["ap_micro"], title)
        equal(metrics.jaccard(outcome, undefined="zero"), stored["jaccard_samples_zd0"], title)
        equal(metrics.jaccard(outcome, undefined="one"), stored["jaccard_samples_zd1"], title)
        equal(metrics.macro_f1(outcome, beta=0.5, undefined="zero"), stored["fbeta05_macro_zd0"], title)
        equal(metrics.micro_f1(outcome, beta=2, undefined="zero"), stored["fbeta2_micro_zd0"], title)
        assert metrics.macro_auc.terms(outcome).used == stored["auc_labels_used"]
        np.testing.assert_allclose(metrics.macro_auc.terms(outcome).terms, arrays["per_label_auc"], atol=1e-9)
        np.testing.assert_allclose(np.nan_to_num(metrics.macro_ap.terms(outcome).terms), arrays["per_label_ap"], atol=1e-9)
        np.testing.assert_allclose(np.nan_to_num(metrics.macro_f1.terms(outcome).terms), arrays["per_label_f1"], atol=1e-9)
        np.testing.assert_allclose(metrics.example_auc.terms(outcome).terms, arrays["per_example_auc"], atol=1e-9)
        if len(np.unique(S)) == S.size:  # with ties scikit-learn ranks otherwise
            for k in (1, 3, 5):
                equal(metrics.ndcg_at_k(outcome, k=k), stored[f"ndcg_{k}_ignore_ties"], (title, k))
        seen += 1
    assert seen == 31


AUTHORS = {
    "adabatch_hamming_loss": "authors_hamming_loss",
    "adabatch_macro_averaging_auc": "authors_macro_auc",
    "adabatch_macro_f1": "authors_macro_f1",
    "adabatch_micro_f1": "authors_micro_f1",
    "adabatch_one_error": "authors_one_error",
    "adabatch_ranking_loss": "authors_ranking_loss",
    "d2ace_average_precision": "d2ace_average_precision",
    "d2ace_coverage": "d2ace_coverage",
    "d2ace_example_precision": "d2ace_example_precision",
    "d2ace_example_recall": "d2ace_example_recall",
    "d2ace_jaccard_index": "d2ace_jaccard",
    "d2ace_macro_acc": "d2ace_macro_accuracy",
    "d2ace_macro_auc": "d2ace_macro_auc",
    "d2ace_macro_aupr": "d2ace_macro_ap",
    "d2ace_macro_precision": "d2ace_macro_precision",
    "d2ace_macro_recall": "d2ace_macro_recall",
    "d2ace_micro_acc": "d2ace_micro_accuracy",
    "d2ace_micro_aupr": "d2ace_micro_ap",
    "d2ace_micro_precision": "d2ace_micro_precision",
    "d2ace_micro_recall": "d2ace_micro_recall",
    "d2ace_subset_accuracy": "d2ace_subset_accuracy",
    "flem_Hamming": "flem_hamming_loss",
    "flem_Ranking": "flem_ranking_loss",
    "flem_Coverage": "flem_coverage",
    "flem_mAP": "flem_map",
    "dela_HammingLoss": "dela_hamming_loss",
    "dela_OneError": "dela_one_error",
    "dela_Coverage": "dela_coverage",
    "dela_RankingLoss": "dela_ranking_loss",
    "dela_AveragePrecision": "dela_average_precision",
    "dela_MacroAUC": "dela_macro_auc",
}


def test_four_published_codes_on_31_matrices(golden):
    compared = 0
    for title, Y, S, stored, _ in cases(golden, "metrics_authors"):
        outcome, shifted = metrics.Outcome(Y, S, threshold=0.5), metrics.Outcome(Y, S - 0.5)
        tied = any(len(np.unique(row)) < len(row) for row in (*S, *S.T))
        for theirs, ours in AUTHORS.items():
            family = theirs.split("_")[0]
            if (tied and (family == "dela" or theirs == "d2ace_coverage")) or (family == "flem" and not Y.any()):
                continue  # the code has no value there, or one that depends on the order in which its sort leaves ties
            equal(metrics.evaluate(outcome, metrics=[ours])[ours], stored[theirs], (title, theirs))
            compared += 1
            if family == "flem":
                logits = stored["flem_logits_" + theirs.split("_")[1]]
                equal(metrics.evaluate(shifted, metrics=[ours])[ours], logits, (title, theirs, "logits"))
    assert compared > 850
