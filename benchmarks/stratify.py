"""Stratified folds: polytag against the package iterative-stratification.

Both cut the same labels into the same number of folds, with several seeds. For each data set the table shows the deviation of the label
odds (LD) and of the fold sizes (ED) averaged over the seeds, cells (fold, label) left without a positive although there are enough of
them, and the smallest time of one complete cut; ratios are polytag over the rival, smaller is better. The last columns are polytag with
order 2 (pairs of labels), which the rival does not offer.

Real data come from ``polytag.load_dataset`` (set POLYTAG_DATA or let it download); ``--synthetic`` draws labels of about the same sizes.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from polytag import load_dataset
from polytag.data import IterativeStratifiedKFold, LabelIndex, make_multilabel
from polytag.data.stratify import Deviation, deviation

SIZES = {
    "yeast": (2417, 14, 4.2, 3.0),
    "scene": (2407, 6, 1.07, 1.25),
    "bibtex": (7395, 159, 2.4, 12.5),
    "corel5k": (5000, 374, 3.5, 190.0),
    "delicious": (16105, 983, 19.0, 71.0),
}


def labels(name: str, synthetic: bool) -> Any:
    if not synthetic:
        return load_dataset(name).Y
    n, q, cardinality, imbalance = SIZES[name]
    return make_multilabel(n, 2, q, cardinality=cardinality, imbalance=imbalance)[0].Y


def measure(splitter: Callable[..., Any], Y: Any, index: LabelIndex, seeds: int) -> tuple[Deviation, float]:
    """Return the mean deviation over the seeds and the smallest time of a cut."""
    found, times = [], []
    for seed in range(seeds):
        start = time.perf_counter()
        folds = list(splitter(random_state=seed).split(Y, Y))
        times.append(time.perf_counter() - start)
        parts = np.empty(index.n, dtype=np.int64)
        for fold, (_, test) in enumerate(folds):
            parts[test] = fold
        found.append(deviation(index, parts))
    return Deviation(*np.mean(found, axis=0)), min(times)


def main() -> None:
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--synthetic", action="store_true", help="labels drawn at random, no data needed")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--folds", type=int, default=5)
    options.add_argument("--sets", nargs="*", default=list(SIZES), choices=list(SIZES))
    chosen = options.parse_args()
    rival = partial(MultilabelStratifiedKFold, chosen.folds, shuffle=True)
    ours, pairs = partial(IterativeStratifiedKFold, chosen.folds), partial(IterativeStratifiedKFold, chosen.folds, order=2)
    print(f"{chosen.folds} folds, mean over {chosen.seeds} seeds; time is the smallest")
    print("| set | LD rival | LD | ratio | ED rival | ED | lack rival | lack | ms rival | ms | ratio | LD order 2 | ms order 2 |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name in chosen.sets:
        Y = labels(name, chosen.synthetic)
        dense, index = Y.toarray() if hasattr(Y, "toarray") else np.asarray(Y), LabelIndex.from_labels(Y)
        (theirs, theirs_s), (found, found_s) = measure(rival, dense, index, chosen.seeds), measure(ours, Y, index, chosen.seeds)
        second, second_s = measure(pairs, Y, index, 1)
        cells = [
            name, f"{theirs.labels:.6f}", f"{found.labels:.6f}", f"{found.labels / theirs.labels:.2f}", f"{theirs.examples:.2f}",
            f"{found.examples:.2f}", f"{theirs.missing:.1f}", f"{found.missing:.1f}", f"{theirs_s * 1e3:.1f}", f"{found_s * 1e3:.1f}",
            f"{found_s / theirs_s:.2f}", f"{second.labels:.6f}", f"{second_s * 1e3:.1f}",
        ]  # fmt: skip
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
