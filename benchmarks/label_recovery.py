"""How well does each label enhancement recover label distributions that are known? All registered methods, and what needs no method.

Data: ``make_label_distribution`` in three settings (the published one on its surface, a larger one, the same with noisy labels), several
seeds each. Baselines: the labels divided by their number, the even distribution, and half of each. Prints the six measures, mean over the
seeds, and the processor seconds of one run::

    python label_recovery.py --seeds 3
    python label_recovery.py --methods glle,levi --rows 300
    python label_recovery.py --methods glle --tuned ""
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from polytag.data import make_label_distribution
from polytag.metrics import evaluate_distributions
from polytag.metrics.distribution import MEASURES
from polytag.registry import get, names

SETTINGS: dict[str, dict[str, Any]] = {
    "surface": {"d": 3, "q": 3, "surface": True},
    "larger": {"d": 12, "q": 8},
    "noisy": {"d": 12, "q": 8, "noise": 0.3},
}
ARROWS = {"max": "↑", "min": "↓"}
TUNED: dict[str, dict[str, Any]] = {"flem": {"alpha": 0.9, "beta": 0.5, "epochs": 100}}
"""Other settings of a method, to see what its defaults, which are meant for prediction, cost here."""

Recover = Callable[[Any, np.ndarray, int], np.ndarray]


def labels(X: Any, Y: np.ndarray, seed: int) -> np.ndarray:
    """Divide the labels by their number; nothing is recovered."""
    return Y / Y.sum(axis=1, keepdims=True)


def even(X: Any, Y: np.ndarray, seed: int) -> np.ndarray:
    """Say the same of all labels."""
    return np.full(Y.shape, 1 / Y.shape[1])


def half(X: Any, Y: np.ndarray, seed: int) -> np.ndarray:
    """Take half of the labels and half of the even distribution."""
    return (labels(X, Y, seed) + even(X, Y, seed)) / 2


def enhancer(name: str, **params: Any) -> Recover:
    """Return what recovers distributions with a registered enhancer."""
    return lambda X, Y, seed: get("enhancer", name)(**params).fit_transform(X, Y, seed=seed)


def measured(recover: Recover, setting: dict[str, Any], rows: int, seeds: int) -> list[float]:
    """Return the measures and the processor seconds, mean over seeds."""
    lines = []
    for seed in range(seeds):
        data, truth = make_label_distribution(rows, **setting, seed=seed)
        start = time.process_time()
        found = recover(data.X, data.Y, seed)
        seconds = time.process_time() - start
        lines.append([*evaluate_distributions(truth, found).values(), seconds])
    return [float(value) for value in np.mean(lines, axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--methods", default=",".join(names("enhancer")))
    parser.add_argument("--tuned", default="flem", help="methods that run once more with other settings")
    args = parser.parse_args()
    torch.set_num_threads(1)
    methods: dict[str, Recover] = {"labels": labels, "even": even, "half of each": half}
    methods |= {name: enhancer(name) for name in args.methods.split(",")}
    unknown = set(filter(None, args.tuned.split(","))) - set(TUNED)
    if unknown:
        parser.error(f"there are no other settings for {', '.join(sorted(unknown))}; there are for {', '.join(TUNED)}")
    methods |= {f"{name}, tuned": enhancer(name, **TUNED[name]) for name in args.tuned.split(",") if name}
    for title, setting in SETTINGS.items():
        described = ", ".join(f"{name}={value}" for name, value in setting.items())
        print(f"\n{title}: {args.rows} rows, {described}; mean over {args.seeds} seeds\n")
        print("| method |" + "".join(f" {name} {ARROWS[better]} |" for name, better in MEASURES.items()) + " seconds |")
        print("|---|" + "---|" * (len(MEASURES) + 1))
        found = {name: measured(recover, setting, args.rows, args.seeds) for name, recover in methods.items()}
        values = np.array(list(found.values()))
        best = [values[:, c].max() if better == "max" else values[:, c].min() for c, better in enumerate(MEASURES.values())]
        for name, line in found.items():
            cells = [f" **{value:.4f}** |" if value == best[c] else f" {value:.4f} |" for c, value in enumerate(line[:-1])]
            print(f"| {name} |" + "".join(cells) + f" {line[-1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
