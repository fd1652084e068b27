"""How fast ML-kNN is against scikit-multilearn in the same run, and how far their posteriors lie apart.

Time is processor time to learn from two thirds of the rows and to score the rest, for polytag the least of several repeats.
scikit-multilearn 0.2.0 (``--rival`` names the folder where it is installed) needs three small adjustments, all made here:
``NearestNeighbors`` takes its number by name in today's scikit-learn; ``ignore_first_neighbours=1`` is meant for training only, where the
first neighbour is the row itself; and its ``predict_proba`` returns the joint probability, whose share of both outcomes is the posterior.

Of equally near rows scikit-multilearn takes any, and of a row that occurs twice it may drop the copy instead of the row itself. So the
posteriors are compared twice: with its own neighbours, and with polytag's neighbours handed to it, where only rounding may remain. The last
column is the largest relative difference of the neighbours' distances: where it is 0, the two searches differ in ties only.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from polytag.classical import MLkNN
from polytag.data.neighbours import NeighbourSearch
from polytag.data.readers import read_arff

FILES = {"yeast": "mulan/yeast/yeast.arff.gz", "bibtex": "mulan/bibtex/bibtex.arff.gz"}


class PolytagNeighbours:
    """Looks like ``NearestNeighbors``, but finds polytag's neighbours."""

    def __init__(self, n_neighbors: int) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, X: Any) -> "PolytagNeighbours":
        """Remember the training rows."""
        self.X = X
        return self

    def kneighbors(self, X: Any, k: int, return_distance: bool) -> np.ndarray:
        """Return the nearest training rows; of the training rows themselves, each row first."""
        if X is not self.X:
            return NeighbourSearch(self.X).of(X, k)
        near = NeighbourSearch(X).of_training_rows(k - 1)
        return np.column_stack([np.arange(len(near)), near])


def rival(X: Any, Y: Any, rows: Any, finder: Any) -> tuple[float, np.ndarray]:
    """Return processor time and posteriors of scikit-multilearn."""
    import skmultilearn.adapt.mlknn as module

    module.NearestNeighbors = lambda k: finder(n_neighbors=k)
    start = time.process_time()
    model = module.MLkNN(k=10, s=1.0, ignore_first_neighbours=1).fit(X, Y)
    model.ignore_first_neighbours = 0
    joint = model.predict_proba(rows).toarray()
    seconds = time.process_time() - start
    model._prior_prob_true, model._prior_prob_false = model._prior_prob_false, model._prior_prob_true
    model._cond_prob_true, model._cond_prob_false = model._cond_prob_false, model._cond_prob_true
    return seconds, joint / (joint + model.predict_proba(rows).toarray())


def ours(X: Any, Y: Any, rows: Any) -> tuple[float, np.ndarray]:
    """Return processor time and posteriors of polytag."""
    start = time.process_time()
    scores = MLkNN(k=10, s=1.0).fit(X, Y).predict_proba(rows)
    return time.process_time() - start, scores


def farther(X: Any, rows: Any, k: int = 10) -> float:
    """Return the largest relative difference between the distances of polytag's and scikit-learn's neighbours."""
    near, theirs = NeighbourSearch(X).of(rows, k), NearestNeighbors(n_neighbors=k).fit(X).kneighbors(rows)[0]
    difference = [np.asarray(((rows - X[near[:, i]]) ** 2).sum(axis=1)).ravel() ** 0.5 - theirs[:, i] for i in range(k)]
    return float((np.abs(difference).T / np.maximum(theirs, 1e-12)).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("POLYTAG_DATA", "../shared/data")), help="folder of real data")
    parser.add_argument("--rival", type=Path, help="folder of scikit-multilearn, if it is not installed (pip install --no-deps --target)")
    parser.add_argument("--repeats", type=int, default=5, help="repeats of polytag (scikit-multilearn: once)")
    parser.add_argument("--files", nargs="*", default=list(FILES), choices=list(FILES))
    options = parser.parse_args()
    if options.rival:
        sys.path.insert(0, str(options.rival))
    print(
        f"{'set':8} {'polytag s':>10} {'rival s':>9} {'faster':>8} {'posteriors: mean':>17} "
        f"{'most':>9} {'same neighbours':>16} {'distances':>10}",
        flush=True,
    )
    for name in options.files:
        data = read_arff(options.data / FILES[name])
        order = np.random.default_rng(0).permutation(data.n)
        train, test = order[: 2 * data.n // 3], order[2 * data.n // 3 :]
        X, rows = data.X[train], data.X[test]
        Y = sparse.csr_matrix(data.Y[train])
        seconds, scores = min((ours(X, Y, rows) for _ in range(options.repeats)), key=lambda run: run[0])
        rival_seconds, rival_scores = rival(X, Y, rows, NearestNeighbors)
        _, same = rival(X, Y, rows, PolytagNeighbours)
        apart = np.abs(scores - rival_scores)
        print(
            f"{name:8} {seconds:10.3f} {rival_seconds:9.2f} {rival_seconds / seconds:7.0f}x {apart.mean():17.1e} "
            f"{apart.max():9.1e} {np.abs(scores - same).max():16.1e} {farther(X, rows):10.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
