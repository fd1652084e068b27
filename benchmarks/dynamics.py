"""What it costs to follow the predictions of all cells: D2ACE and Uncertainty against Python loops, and how close their cheap forms come.

The first table is the bookkeeping of one step, ``update`` on random rows and logits. Rivals keep the same window and average for each cell
in nested lists: a loop of plain Python, and the same loop with a NumPy call for each formula, as the published code has it. Both compute E
and h at once, as that code does; the selectors do so at the end of the epoch, which is the column ``epoch`` (in ms, and in microseconds for
each of its steps). Medians over steps of processor time, on one thread, so that other work on the machine matters less.

The second table trains a linear model, with the batches of D2ACE in float64 with the whole window, and tells all other forms of it the same
logits: least rank correlation of the scores by E and by h with the exact ones, and largest and mean relative deviation of a probability.
"""

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from polytag.data.synthetic import make_multilabel
from polytag.selectors.d2ace import D2ACE
from polytag.selectors.per_epoch import PerEpoch
from polytag.selectors.uncertainty import Uncertainty

Cell = dict[str, Any]


def new_cell() -> Cell:
    """Return an empty history of a cell."""
    return {"window": [], "F": 0.0, "E": 0.0, "h": 0.0}


def plain_cell(cell: Cell, logit: float, y: float) -> None:
    """Follow one cell in plain Python."""
    p = min(max(1 / (1 + math.exp(-logit)), 1e-6), 1 - 1e-6)
    window = cell["window"]
    cell["F"] = 0.7 * (abs(p - window[-1]) if window else 0.0) + 0.3 * cell["F"]
    window.append(p)
    if len(window) > 5:
        window.pop(0)
    change = sum(abs(b - a) for a, b in zip(window, window[1:])) / max(len(window) - 1, 1)  # noqa: RUF007  (as fast as it gets)
    cell["E"] = 0.5 * change - 0.5 * (p * math.log2(p) + (1 - p) * math.log2(1 - p))
    cell["h"] = abs(y - p) * (1 - cell["F"])


def numpy_cell(cell: Cell, logit: float, y: float) -> None:
    """Follow one cell with a NumPy call for each formula."""
    p = np.clip(1 / (1 + np.exp(-logit)), 1e-6, 1 - 1e-6)
    window = cell["window"]
    cell["F"] = 0.7 * (np.abs(p - window[-1]) if window else 0.0) + 0.3 * cell["F"]
    window.append(p)
    if len(window) > 5:
        window.pop(0)
    change = np.mean(np.abs(np.diff(window))) if len(window) > 1 else 0.0
    cell["E"] = 0.5 * change - 0.5 * (p * np.log2(p) + (1 - p) * np.log2(1 - p))
    cell["h"] = np.abs(y - p) * (1 - cell["F"])


def loop_step(follow: Callable[[Cell, float, float], None], b: int, q: int, rng: np.random.Generator, repeats: int) -> float:
    """Return the median time of a step of a loop over b x q cells whose windows are full, in microseconds."""
    cells = [[new_cell() for _ in range(q)] for _ in range(b)]
    for row in cells:
        for cell in row:
            cell["window"] = rng.random(5).tolist()
    labels, times = (rng.random((b, q)) < 0.02).astype(float).tolist(), []
    for _ in range(repeats):
        logits = rng.normal(0, 2, size=(b, q)).tolist()
        start = time.thread_time()
        for i in range(b):
            for j in range(q):
                follow(cells[i][j], logits[i][j], labels[i][j])
        times.append(time.thread_time() - start)
    return 1e6 * float(np.median(times))


def selector_step(selector: PerEpoch, b: int, rng: np.random.Generator, steps: int) -> tuple[float, float]:
    """Return the median time of an update, in microseconds, and the time to prepare an epoch, in milliseconds."""
    q = selector.targets.index.q
    logits = [torch.from_numpy(rng.normal(0, 2, size=(b, q)).astype(np.float32)) for _ in range(8)]
    times = []
    for step in range(steps):
        rows = torch.from_numpy(rng.choice(selector.n, b, replace=False))
        start = time.thread_time()
        selector.update(rows, logits[step % 8])
        times.append(time.thread_time() - start)
    start = time.thread_time()
    selector.begin_epoch()
    return 1e6 * float(np.median(times)), 1e3 * (time.thread_time() - start)


def cost_table(n: int, q: int, b: int, steps: int) -> None:
    """Print what a step costs."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, 16)).astype(np.float32), (rng.random((n, q)) < 2.4 / q).astype(np.float32)
    plain, numpy_calls = (loop_step(follow, b, q, rng, 3) for follow in (plain_cell, numpy_cell))
    print(f"n={n} q={q} b={b}; a step of the loop in plain Python {plain / 1e3:.1f} ms, with NumPy calls {numpy_calls / 1e3:.1f} ms")
    print(f"{'':>34} {'step us':>8} {'plain / step':>13} {'NumPy / step':>13} {'epoch ms':>9} {'us a step':>10} {'bytes / (n q)':>14}")
    for kind in (D2ACE, Uncertainty):
        for history in ("window", "running"):
            for dtype in ("float16", "float32"):
                selector = kind(y, b, x=x, warmup=0, history=history, dtype=dtype)
                step, epoch = selector_step(selector, b, rng, steps)
                large = [part for part in selector.state_dict().values() if isinstance(part, torch.Tensor) and part.numel() >= n * q]
                name = f"{kind.__name__} {history} {dtype}"
                share = 1e3 * epoch / len(selector)
                figures = f"{step:8.0f} {plain / step:13.0f} {numpy_calls / step:13.0f} {epoch:9.0f} {share:10.0f}"
                print(f"{name:>34} {figures} {sum(part.nbytes for part in large) / (n * q):14.0f}")


def deviation_table(n: int, q: int, epochs: int) -> None:
    """Print how far the approximations are from the exact distribution after training with it."""
    data, _ = make_multilabel(n, d=40, q=q, cardinality=3.0, seed=0)
    x, y = torch.from_numpy(np.asarray(data.X, dtype=np.float32)), torch.from_numpy(np.asarray(data.Y, dtype=np.float32))
    model = torch.nn.Sequential(torch.nn.Linear(40, 64), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(64, q))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    exact = D2ACE(y, 128, x=x, dtype="float64")
    forms = (("window", "float16"), ("window", "float32"), ("running", "float16"), ("running", "float64"))
    others = [D2ACE(y, 128, x=x, history=history, dtype=dtype) for history, dtype in forms]
    print(f"\nn={n} q={q}, network with dropout, against the whole window in float64")
    print(f"{'':>15} {'epoch':>6} {'rank correlation':>17} {'largest dev. of P':>18} {'mean dev. of P':>15}")
    for epoch in range(epochs):
        for rows in exact:
            logits = model(x[rows])
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(logits, y[rows]).backward()
            optimizer.step()
            for selector in (exact, *others):
                selector.update(rows, logits.detach())
        if epoch + 1 not in (epochs // 2, epochs):
            continue
        reference, scores = probabilities(exact, epoch + 1), [exact.scores(metric).rows for metric in ("uncertainty", "hardness")]
        for selector in others:
            ranks = [spearmanr(selector.scores(metric).rows, s).statistic for metric, s in zip(("uncertainty", "hardness"), scores)]
            far = abs(probabilities(selector, epoch + 1) / reference - 1)
            name = f"{selector.history} {selector.dtype}"
            print(f"{name:>15} {epoch + 1:6d} {min(ranks):17.6f} {far.max():18.4f} {far.mean():15.5f}")


def probabilities(selector: D2ACE, epoch: int) -> np.ndarray:
    """Return P at the beginning of an epoch."""
    selector.epoch = epoch
    selector.begin_epoch()
    return selector.probabilities()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=7395)
    parser.add_argument("--labels", type=int, default=159)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cost_table(args.rows, args.labels, args.batch, args.steps)
    deviation_table(2000, 20, args.epochs)


if __name__ == "__main__":
    main()
