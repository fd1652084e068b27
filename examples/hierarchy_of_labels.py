"""Learn labels that are paths, such as animal/dog/poodle, get paths back, draw how well each is learnt, and stop at a parent if unsure.

Prints some predictions, then how right they are (hierarchical precision, recall and F) with one cut for all labels, and with a cut for each
level that rises from the top down::

    python hierarchy_of_labels.py --plot labels.png
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from polytag import DeepMultiLabelClassifier
from polytag.data.hierarchy_plots import plot_hierarchy
from polytag.hierarchy import label_paths
from polytag.metrics import h_f1, h_precision, h_recall

PATHS = ["animal/dog/poodle", "animal/dog/beagle", "animal/cat", "animal/bird/owl", "animal/bird/hen", "plant/tree/oak", "plant/tree/ash",
         "plant/flower", "vehicle/car", "vehicle/bicycle"]  # fmt: skip
FEATURES = [f"x{j}" for j in range(16)]


def make_table(rows: int) -> pd.DataFrame:
    """Return a table of features and paths, one or two a row; what a path begins with shows more clearly than where it ends."""
    rng = np.random.default_rng(0)
    nodes = {"/".join(path.split("/")[:k]) for path in PATHS for k in (1, 2, 3)}
    centre = {node: rng.normal(size=16) * (2.0, 1.5, 1.2)[node.count("/")] for node in sorted(nodes)}
    chosen = [sorted(set(rng.choice(PATHS, size=rng.integers(1, 3)).tolist())) for _ in range(rows)]
    above = [{"/".join(path.split("/")[:k]) for path in row for k in (1, 2, 3)} for row in chosen]
    X = np.array([sum(centre[node] for node in sorted(row)) for row in above]) + rng.normal(size=(rows, 16)) * 1.5
    return pd.DataFrame(X, columns=FEATURES).assign(labels=["@".join(row) for row in chosen])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, help="picture to write")
    args = parser.parse_args()
    table = make_table(1500)
    train, test = table[:1000], table[1000:]
    for name, threshold in {"one cut": 0.5, "rising cuts": {1: 0.5, 2: 0.6, 3: 0.8}}.items():
        model = DeepMultiLabelClassifier("chmcnn", hierarchy="/", threshold=threshold, epochs=30, batch_size=128, lr=1e-3, random_state=0)
        found = model.fit(train[FEATURES], train["labels"]).predict(test[FEATURES])
        print(*(f"{name}: true {true:40} predicted {'@'.join(paths)}" for true, paths in zip(test["labels"][:5], found)), sep="\n")
        tree = model.hierarchy_
        Y, P = label_paths(test["labels"], hierarchy=tree).Y, label_paths(found, hierarchy=tree).Y
        stopped = np.mean([any(path not in PATHS for path in row) for row in found])
        scores = "  ".join(f"{m.__name__} {m(Y, P, hierarchy=tree):.3f}" for m in (h_precision, h_recall, h_f1))
        print(f"{name}: {scores}  rows that stop at a parent {stopped:.3f}\n")
        if args.plot and name == "one cut":
            values = f1_score(Y.toarray(), P.toarray(), average=None, zero_division=np.nan)
            plot_hierarchy(tree, args.plot, values, Y.sum(axis=0), "C-HMCNN on new rows")


if __name__ == "__main__":
    main()
