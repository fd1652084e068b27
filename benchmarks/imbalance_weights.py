"""What the imbalance weights of Adaptive and AdaC cost, once a training set: ours against the usual way.

The usual way: neighbours of all rows by ``sklearn.neighbors.NearestNeighbors``, then B and S as dense matrices, one cell at a time.
The data have the shape of bibtex (7395 rows, 1836 binary features, 159 labels) unless a data set is named.
Seconds, the best of several repeats.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

import polytag
from polytag.data.labels import LabelIndex
from polytag.data.stats import minority_labels
from polytag.selectors import imbalance_weights


def bibtex_like(rng: np.random.Generator) -> tuple[sparse.csr_array, np.ndarray]:
    """Make data of the shape of bibtex, in which each label raises the chance of 40 words."""
    n, d, q = 7395, 1836, 159
    Y = (rng.random((n, q)) < 0.14 * np.arange(1, q + 1) ** -0.6).astype(np.float64)
    words = np.zeros((q, d))
    words[np.arange(q)[:, None], rng.integers(d, size=(q, 40))] = 0.3
    return sparse.csr_array((rng.random((n, d)) < 0.015 + Y @ words).astype(np.float64)), Y


def usual_way(X: np.ndarray, Y: np.ndarray, k: int = 5) -> np.ndarray:
    """Compute the weights cell by cell."""
    near = NearestNeighbors(n_neighbors=k + 1).fit(X).kneighbors(X, return_distance=False)[:, 1:]
    n, q = Y.shape
    B, S = np.zeros((n, q)), np.zeros((n, q))
    for i in range(n):
        for j in range(q):
            if Y[i, j] == 1:
                B[i, j] = np.sum(Y[near[i], j] == 0) / k
    for j in range(q):
        total = sum(b for b in B[:, j] if b < 1)
        for i in range(n):
            S[i, j] = B[i, j] / total if B[i, j] < 1 and total > 0 else 0.0
    return 1 + S[:, minority_labels(Y.sum(axis=0))].sum(axis=1)


def best(compute: Callable[[], np.ndarray], repeats: int) -> tuple[float, np.ndarray]:
    """Return the shortest time and the result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = compute()
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", help="name or path of a data set; features are taken as they are")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    if args.dataset is None:
        X, Y = bibtex_like(np.random.default_rng(0))
    else:
        data = polytag.load_dataset(args.dataset)
        X, Y = data.X, data.Y.toarray() if sparse.issparse(data.Y) else data.Y
    dense, csr = X.toarray() if sparse.issparse(X) else X, sparse.csr_array(X)
    minority = minority_labels(LabelIndex.from_labels(Y).counts)
    rows = int((Y[:, minority] == 1).any(axis=1).sum())
    print(f"n={len(Y)} d={X.shape[1]} q={Y.shape[1]}; {rows} rows have one of {len(minority)} minority labels")
    usual, expected = best(lambda: usual_way(dense, Y), 1)
    print(f"{'usual way':>22} {usual:8.2f} s")
    continuous = dense * 0.9 + 0.01
    for name, x in (("dense x", dense), ("sparse x", csr), ("dense x, not whole", continuous)):
        seconds, weights = best(lambda x=x: imbalance_weights(x, Y), args.repeats)
        print(f"{name:>22} {seconds:8.2f} s   {usual / seconds:6.1f} times faster   sum(w - 1) = {weights.sum() - len(Y):.0f}")
    print(f"{'':>22}          the usual way, with ties in another order: sum(w - 1) = {expected.sum() - len(Y):.0f}")


if __name__ == "__main__":
    main()
