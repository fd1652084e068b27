"""Recover how much each label describes each row, on data where the truth is known, draw it, and learn from it.

Prints how near each method comes to the true label distributions, next to labels that are merely divided by their number; then the AUC of
a linear model that learns from the noisy labels alone, or from the distributions beside them, against labels without noise::

    python label_distributions.py --plot degrees.png
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from polytag import Dataset, Table, Trainer
from polytag.bench.distribution_plots import plot_distributions
from polytag.data import make_label_distribution
from polytag.data.synthetic_distributions import ticked
from polytag.enhance import FLEM, GLLE, LEVI, Enhancer
from polytag.metrics import evaluate_distributions, macro_auc
from polytag.models import Enhanced, Linear
from polytag.selectors import Random
from polytag.training import predict


def auc(enhancer: Enhancer | None, train: Table, test: Table) -> float:
    """Train a linear model, with label distributions beside the labels if an enhancer is given, and return its AUC on other rows."""
    model = Linear.from_data(train, seed=0)
    trained = model if enhancer is None else Enhanced.around(model, enhancer, train, seed=0)
    Trainer(epochs=30, lr=1e-2).fit(trained, train, Random(train.labels, 32, seed=0))
    return macro_auc(test.dataset.Y, predict(model, test).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--plot", type=Path, help="picture to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, truth = make_label_distribution(args.rows + 2000, d=6, q=5, noise=0.4, seed=0)
    train, test = data.take(np.arange(args.rows)), Dataset(data.X[args.rows :], ticked(truth[args.rows :]))
    methods: dict[str, Enhancer] = {"glle": GLLE(), "levi": LEVI(hidden=64, latent=16, lr=3e-3), "flem": FLEM(alpha=0.9, beta=0.5)}
    found = {"labels": train.Y / train.Y.sum(axis=1, keepdims=True)}
    found |= {name: method.fit_transform(train.X, train.Y) for name, method in methods.items()}
    for name, degrees in found.items():
        measures = evaluate_distributions(truth[: args.rows], degrees)
        print(f"{name:8}" + "  ".join(f"{measure} {value:.3f}" for measure, value in measures.items()))
    print()
    for name, enhancer in {"labels": None, "glle": GLLE(beta=0.1), "flem": FLEM(alpha=0.1, beta=0.1)}.items():
        print(f"linear model, {name:8}AUC on new rows {auc(enhancer, Table(train), Table(test)):.4f}")
    if args.plot is not None:
        print(plot_distributions(train.Y, found, args.plot, rows=range(4), truth=truth[: args.rows]))


if __name__ == "__main__":
    main()
