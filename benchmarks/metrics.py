"""Times all metrics against scikit-learn's functions for the same list.

The list is what scikit-learn has of ``polytag.metrics.evaluate``: precision, recall, F1 and AUC (macro, micro, example), Jaccard, subset
accuracy, Hamming loss, average precision (macro, micro), ranking loss, coverage, LRAP, nDCG at 1, 3 and 5. scikit-learn's AUC of instances
is so slow that the ratio without it is printed as well. ``everything`` is the whole of ``evaluate``: one-error, precision, recall and
propensity-scored precision at k, and calibration besides. Times are processor seconds of one thread, the least of several runs.
"""

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from sklearn import metrics as sk

from polytag import metrics

SHARED = [f"{average}_{kind}" for kind in ("precision", "recall", "f1", "auc") for average in ("macro", "micro", "example")]
SHARED += ["jaccard", "subset_accuracy", "hamming_loss", "macro_ap", "micro_ap", "ranking_loss", "coverage_error", "lrap", "ndcg_at_k"]


def data(n: int, q: int, density: float, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return labels with unequal frequencies, every label with both classes, and probabilities with skill."""
    rng = np.random.default_rng(0)
    frequency = rng.pareto(1.2, q) + 0.2
    frequency = np.clip(frequency / frequency.sum() * density * q, 2 / n, 0.9)
    labels = (rng.random((n, q)) < frequency).astype(np.int8)
    labels[np.arange(q) % n, np.arange(q)] = 1
    labels[(np.arange(q) + 1) % n, np.arange(q)] = 0
    logits = rng.normal(size=(n, q)) + 1.5 * labels + np.log(frequency / (1 - frequency))
    return labels, (1 / (1 + np.exp(-logits))).astype(dtype)


def seconds(call: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def rivals(labels: np.ndarray, scores: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return scikit-learn's calls, with its own AUC of instances apart."""
    sets = (scores > 0.5).astype(np.int8)
    calls: dict[str, Callable[[], object]] = {}
    for average in ("macro", "micro", "samples"):
        for kind in ("precision", "recall", "f1"):
            function = getattr(sk, f"{kind}_score")
            calls[f"{average} {kind}"] = lambda function=function, average=average: function(labels, sets, average=average, zero_division=0)
        calls[f"{average} auc"] = lambda average=average: sk.roc_auc_score(labels, scores, average=average)
    for average in ("macro", "micro"):
        calls[f"{average} ap"] = lambda average=average: sk.average_precision_score(labels, scores, average=average)
    calls["jaccard"] = lambda: sk.jaccard_score(labels, sets, average="samples", zero_division=0)
    for function in (sk.accuracy_score, sk.hamming_loss):
        calls[function.__name__] = lambda function=function: function(labels, sets)
    for function in (sk.label_ranking_loss, sk.coverage_error, sk.label_ranking_average_precision_score):
        calls[function.__name__] = lambda function=function: function(labels, scores)
    for k in (1, 3, 5):
        calls[f"ndcg {k}"] = lambda k=k: sk.ndcg_score(labels, scores, k=k, ignore_ties=True)
    return calls


def compare(n: int, q: int, density: float, dtype: str, repeats: int) -> None:
    labels, scores = data(n, q, density, dtype)
    ours = seconds(lambda: metrics.evaluate(labels, scores, threshold=0.5, metrics=SHARED), repeats)
    everything = seconds(lambda: metrics.evaluate(labels, scores, threshold=0.5), repeats)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = {name: seconds(call, 1) for name, call in rivals(labels, scores).items()}
    total = sum(theirs.values())
    fair = total - theirs["samples auc"]
    print(
        f"| {n} x {q} | {density:g} | {dtype} | {total:.2f} s | {ours * 1e3:.0f} ms | {everything * 1e3:.0f} ms "
        f"| {total / ours:.0f} | {fair / ours:.0f} | {total / everything:.0f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["5000x374", "20000x1000"], help="n x q of the matrices")
    parser.add_argument("--density", nargs="+", type=float, default=[0.05], help="share of positive cells")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| n x q | density | scores | scikit-learn | same list | everything | ratio | without example AUC | ratio, everything |")
    print("|---|---|---|---|---|---|---|---|---|")
    for shape in given.shapes:
        for density in given.density:
            for dtype in ("float32", "float64"):
                compare(*map(int, shape.split("x")), density, dtype, given.repeats)


if __name__ == "__main__":
    main()
