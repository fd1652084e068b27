"""What it costs to choose a batch, as the data set grows: draw and update of every strategy, in microseconds and as ratios.

``draw`` is all that happens before the step: drawing, looking at candidates where a strategy does (``screen``; the model's forward passes
over them are not counted, their rows a batch stand in the column ``looked``), and asking for weights. ``update`` comes after it. Both are
medians over steps. What is done once an epoch (Random shuffles, Hard ranks all rows, others work out a distribution) is a column of its
own, spread over the steps of an epoch. ``step`` is the sum.

Rivals draw the same batch from probabilities that change at every step: ``numpy.random.Generator.choice(p=..., replace=False)`` and
``torch.multinomial``; the time to compute their probabilities from the losses is counted, as it is for the selectors. The rival of D2ACE's
``update`` does the same bookkeeping cell by cell in Python. Losses have a long tail, rows up to 3 labels. Strategies that remember
something of each cell are measured up to ``--cells`` cells.
"""

import argparse
import math
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from strategies import BY_CELL, STRATEGIES, Logits, chosen, endless, inform, made, synthetic_labels

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.selectors import BatchSelector


def seconds_of(step: Callable[[], object], steps: int) -> float:
    """Return the median time of a step, after one to warm up."""
    step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def selector_times(selector: BatchSelector, logits: Logits, steps: int) -> tuple[float, float, float, float]:
    """Return the seconds to draw, to update, and of an epoch's preparation a step; and the candidates looked at a batch."""
    inform(selector, logits)
    batches = endless(selector)
    draws, updates, looks = [], [], []
    for _ in range(steps + 1):
        start = time.perf_counter()
        rows, looked = chosen(selector, next(batches), logits)
        selector.weights(rows)
        draws.append(time.perf_counter() - start)
        answer = logits.of(len(rows))
        start = time.perf_counter()
        selector.update(rows, answer)
        updates.append(time.perf_counter() - start)
        looks.append(looked)
    draw = float(np.median(draws[1:]))
    return draw, float(np.median(updates[1:])), max(draws[0] - draw, 0.0) / len(selector), float(np.mean(looks[1:]))


def drawing_rivals(losses: np.ndarray, batch: int, pressure: float, rng: np.random.Generator, steps: int) -> dict[str, float]:
    """Return the seconds of a draw on fresh probabilities."""
    n = len(losses)

    def proba() -> np.ndarray:
        weights = pressure ** np.minimum(np.ceil(n * (losses / losses.max())) / n, 1.0)
        return weights / weights.sum()

    times = {"numpy choice": seconds_of(lambda: rng.choice(n, batch, replace=False, p=proba()), steps)}
    tensor, generator = torch.from_numpy(losses), torch.Generator().manual_seed(0)
    if n < 2**24:

        def multinomial() -> torch.Tensor:
            weights = pressure ** (torch.ceil(n * (tensor / tensor.max())) / n)
            return torch.multinomial(weights, batch, replacement=False, generator=generator)

        times["torch multinomial"] = seconds_of(multinomial, steps)
    return times


def cell_by_cell(index: LabelIndex, batch: int, logits: Logits) -> float:
    """Return the seconds that D2ACE's bookkeeping of a batch takes in a Python loop: change, entropy, moving average, hardness."""
    rows = range(min(batch, index.n))
    history: dict[tuple[int, int], list[float]] = {}
    steadiness: dict[tuple[int, int], float] = {}
    scores: dict[tuple[int, int], tuple[float, float]] = {}

    def step() -> None:
        proba = logits.of(len(rows)).sigmoid().clamp(1e-6, 1 - 1e-6).tolist()
        for row in rows:
            labels = set(index.labels_of(row).tolist())
            for j, p in enumerate(proba[row]):
                cell = (row, j)
                past = history.setdefault(cell, [])
                change = abs(p - past[-1]) if past else 0.0
                past.append(p)
                del past[:-5]
                mean = sum(abs(a - b) for a, b in pairwise(past)) / max(len(past) - 1, 1)
                steadiness[cell] = 0.7 * change + 0.3 * steadiness.get(cell, 0.0)
                entropy = -p * math.log2(p) - (1 - p) * math.log2(1 - p)
                scores[cell] = (mean + entropy) / 2, abs((j in labels) - p) * (1 - steadiness[cell])

    return seconds_of(step, 3)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1e4,1e5,1e6,1e7")
    parser.add_argument("--pressures", default="8,64")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--q", type=int, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--cells", type=float, default=2e7, help="largest n x q for strategies that remember each cell")
    args = parser.parse_args()
    sizes, pressures = [int(float(s)) for s in args.sizes.split(",")], [float(p) for p in args.pressures.split(",")]
    if min(sizes) < 10 * args.batch:
        raise ParameterError(f"expected sizes of at least {10 * args.batch}, but got {min(sizes)}")
    print(
        f"batch {args.batch}, q {args.q}, microseconds a step, torch {torch.__version__}, numpy {np.__version__}, "
        f"{torch.get_num_threads()} thread(s)"
    )
    growth_head = "vs n=" + args.sizes.split(",")[0]
    print(
        f"{'n':>9} {'pressure':>8} {'method':>19} {'draw':>8} {'update':>7} {'epoch':>6} {'step':>8} {growth_head:>9} "
        f"{'multinom. /':>12} {'looked':>7}"
    )
    first: dict[tuple[str, float], float] = {}
    for n in sizes:
        rng = np.random.default_rng(0)
        index, losses, logits = synthetic_labels(n, args.q, rng), rng.gamma(1.0, 0.3, size=n), Logits(args.q, rng)
        for pressure in pressures:
            rivals = drawing_rivals(losses, args.batch, pressure, rng, max(3, min(args.steps, 10**7 // n)))
            lines = {name: (draw, 0.0, 0.0, 0.0) for name, draw in rivals.items()}
            chosen_names = [name for name in args.strategies.split(",") if name not in BY_CELL or n * args.q <= args.cells]
            for name in chosen_names:
                lines[name] = selector_times(made(name, index, args.batch, pressure), logits, args.steps)
            if "d2ace" in lines and pressure == pressures[0]:
                lines["d2ace cell by cell"] = (0.0, cell_by_cell(index, args.batch, logits), 0.0, 0.0)
            base = rivals.get("torch multinomial", rivals["numpy choice"])
            for name, (draw, update, epoch, looked) in lines.items():
                total = draw + update + epoch
                growth = total / first.setdefault((name, pressure), total)
                figures = " ".join(f"{1e6 * t:{w}.0f}" for t, w in ((draw, 8), (update, 7), (epoch, 6), (total, 8)))
                print(f"{n:9d} {pressure:8g} {name:>19} {figures} {growth:9.2f} {base / total:12.2f} {looked:7.0f}", flush=True)
            for name in sorted(set(args.strategies.split(",")) - set(chosen_names)):
                print(f"{n:9d} {pressure:8g} {name:>19}  not measured: keeps {n * args.q:.0e} cells, more than {args.cells:.0e} (--cells)")


if __name__ == "__main__":
    main()
