"""TabM against what a practitioner would try first, and against the published values of the Adaptive paper.

On each data set: TabM (batches drawn at random, trained as ``TabM.DEFAULTS`` say), a random forest of 500 trees and a logistic regression
for each label (C = 1), with the same stratified folds, features scaled to [0, 1] on the training rows, labels cut at 0.5. TabM chooses its
epoch on a tenth of the training rows; the other two, which choose nothing, are trained on those as well. Beside them stands the best value
that Table 2 of the paper prints for any of its models, with Random or Adaptive batches.

TabM passes on a set if no rival is better in ranking loss, Hamming loss and one-error and none is ahead by more than .005 in macro-AUC. The
target is at least four sets of five.

Data come from ``polytag.load_dataset`` (set POLYTAG_DATA or let it download).
"""

import argparse
import csv
import os
import time
import warnings
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from polytag import load_dataset, metrics
from polytag.bench.cell import derived_seeds
from polytag.data import Dataset, Preparation, Table, kfold
from polytag.data.prepare import PreparedSplit
from polytag.models import TabM
from polytag.papers.published import load_paper
from polytag.selectors import Random
from polytag.training import Trainer, predict

DATASETS = ("yeast", "emotions", "enron", "scene", "bibtex")
METRICS = ("ranking_loss", "hamming_loss", "one_error", "macro_auc", "macro_f1", "micro_f1")
ERRORS = METRICS[:3]
SLACK = 0.005
PUBLISHED = "best published"


def tabm(parts: PreparedSplit, seeds: list[int], options: argparse.Namespace) -> np.ndarray:
    """Train TabM as its defaults say and return the probabilities of the test rows."""
    train, valid, test = (Table(part) for part in parts[:3])
    how = TabM.training_defaults()
    selector = Random(train.targets, how.pop("batch_size"), seed=seeds[1])
    how["epochs"] = options.epochs or how["epochs"]
    model = TabM.from_data(train, seed=seeds[0])
    run = Trainer(**how, seed=seeds[2]).fit(model, train, selector, valid)
    print(f"  tabm stopped after {len(run.history)} epochs, the best is number {run.best_epoch}", flush=True)
    return predict(model, test).double().sigmoid().numpy()


def forest(parts: PreparedSplit, seeds: list[int], options: argparse.Namespace) -> np.ndarray:
    """Grow a forest on all labels at once, a few trees at a time, since the leaves of all of them would fill the memory."""
    x, y = fitted_on(parts)
    total, grown = np.zeros(parts.test.Y.shape), 0
    while grown < options.trees:
        trees = min(20, options.trees - grown)
        found = RandomForestClassifier(trees, random_state=seeds[0] % 2**31 + grown).fit(x, y)
        columns = [p @ (classes == 1) for p, classes in zip(found.predict_proba(parts.test.X), found.classes_, strict=True)]
        total, grown = total + trees * np.column_stack(columns), grown + trees
    return total / grown


def logistic(parts: PreparedSplit, seeds: list[int], options: argparse.Namespace) -> np.ndarray:
    """Fit a logistic regression for each label."""
    x, y = fitted_on(parts)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Label .* is present in all|Label not .* is present in all")
        return OneVsRestClassifier(LogisticRegression(C=1.0, max_iter=2000)).fit(x, y).predict_proba(parts.test.X)


METHODS: dict[str, Callable[[PreparedSplit, list[int], argparse.Namespace], np.ndarray]] = {
    "tabm": tabm,
    "random forest": forest,
    "logistic": logistic,
}


def fitted_on(parts: PreparedSplit) -> tuple[Any, np.ndarray]:
    """Return features and dense labels of training and validation rows."""
    stack = sparse.vstack if sparse.issparse(parts.train.X) else np.vstack
    y = [part.Y.toarray() if sparse.issparse(part.Y) else part.Y for part in (parts.train, parts.valid)]
    return stack([parts.train.X, parts.valid.X]), np.vstack(y).astype(np.int64)


def cell(name: str, fold: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train and test all methods on one fold."""
    torch.set_num_threads(1)
    preparation = Preparation(min_label_count=options.min_label_count)
    data: Dataset = load_dataset(name)
    tested = data.with_labels(preparation.kept_labels(data))
    parts = preparation.prepare(data, kfold(tested, 5, seed=options.seed)[fold])
    rows = []
    for method in options.methods:
        start = time.perf_counter()
        proba = METHODS[method](parts, derived_seeds(options.seed, fold), options)
        scores = metrics.evaluate(parts.test.Y, proba, threshold=0.5, metrics=list(METRICS))
        seconds = time.perf_counter() - start
        rows.append({"dataset": name, "fold": fold, "method": method, **scores, "seconds": round(seconds, 1)})
        print(f"{name} fold {fold} {method}: " + " ".join(f"{m} {scores[m]:.4f}" for m in METRICS) + f", {seconds:.0f} s", flush=True)
    return rows


def published(name: str) -> dict[str, tuple[float, str]]:
    """Return the best printed value of each metric, and whose it is; nothing where the paper has no such set."""
    paper = load_paper("adaptive-2024")
    best: dict[str, tuple[float, str]] = {}
    for metric in METRICS:
        found = [
            (value, f"{model} {selector}")
            for model, selector in product(("c2ae", "mpvae", "paca", "clif", "dela"), ("random", "adaptive"))
            if (value := paper.value(model, name, selector, metric)) is not None
        ]
        if found:
            best[metric] = (max if metrics.direction(metric) == "max" else min)(found)
    return best


def report(rows: list[dict[str, Any]]) -> str:
    """Return a table for each data set and whether the target is met, as Markdown."""
    passed, lines = [], []
    names = list(dict.fromkeys(row["dataset"] for row in rows))
    for name in names:
        mine = [row for row in rows if row["dataset"] == name]
        means = {
            method: {m: float(np.mean([row[m] for row in mine if row["method"] == method])) for m in (*METRICS, "seconds")}
            for method in dict.fromkeys(row["method"] for row in mine)
        }
        printed = published(name)
        folds = len({row["fold"] for row in mine})
        lines += [f"### {name}, {folds} fold{'s' * (folds > 1)}", "", "| method | " + " | ".join((*METRICS, "seconds")) + " |"]
        lines += ["|---" * (len(METRICS) + 2) + "|"]
        for method, values in means.items():
            lines += [f"| {method} | " + " | ".join(f"{values[m]:.4f}" for m in METRICS) + f" | {values['seconds']:.0f} |"]
        if printed:
            lines += [f"| {PUBLISHED} | " + " | ".join(f"{printed[m][0]:.4f} ({printed[m][1]})" for m in METRICS) + " | |"]
        note = load_paper("adaptive-2024").dataset_note(name)
        lines += ["", *([f"The paper's data differ: {note}.", ""] if note else [])]
        behind = shortfalls(means, {metric: value for metric, (value, _) in printed.items()})
        passed += [name] * (not behind)
        lines += ["TabM passes." if not behind else "TabM is behind: " + "; ".join(behind) + ".", ""]
    verdict = "met" if len(passed) >= min(4, len(names)) else "not met"
    return "\n".join([*lines, f"**Target {verdict}**: TabM passes on {len(passed)} of {len(names)} sets ({', '.join(passed) or 'none'})."])


def shortfalls(means: dict[str, dict[str, float]], printed: dict[str, float]) -> list[str]:
    """Say where a rival is better than TabM, or ahead by more than the slack in macro-AUC."""
    ours = means["tabm"]

    def better(metric: str, theirs: float) -> bool:
        return theirs < ours[metric] if metric in ERRORS else theirs > ours[metric] + SLACK

    return [
        f"{metric} {ours[metric]:.4f} against {values[metric]:.4f} ({rival})"
        for rival, values in {**means, PUBLISHED: printed}.items()
        for metric in (*ERRORS, "macro_auc")
        if metric in values and rival != "tabm" and better(metric, values[metric])
    ]


def write(rows: list[dict[str, Any]], text: str, out: Path) -> None:
    """Write the values of each fold as CSV and the report as Markdown."""
    with out.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    out.with_suffix(".md").write_text(text + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--folds", type=int, default=5, choices=range(1, 6), help="how many of the five folds are run")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--epochs", type=int, help="most epochs of TabM; its default otherwise")
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--min-label-count", type=int, help="drop labels with at most so many positives, as the paper's code does with 20")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="folds at a time, one processor each")
    parser.add_argument("--out", type=Path, help="write OUT.csv and OUT.md")
    options = parser.parse_args()
    cells: Iterable[tuple[str, int]] = product(options.datasets, range(options.folds))
    done = Parallel(n_jobs=options.jobs, batch_size=1)(delayed(cell)(name, fold, options) for name, fold in cells)
    rows = [row for found in done for row in found]
    text = report(rows) if "tabm" in options.methods else ""
    print(text)
    if options.out is not None:
        write(rows, text, options.out)


if __name__ == "__main__":
    main()
