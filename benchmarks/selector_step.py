"""What it costs to choose a batch, as the data set grows: draw and update of each selector, in microseconds and as ratios.

Rivals draw the same batch from probabilities that change at every step: ``numpy.random.Generator.choice(p=..., replace=False)`` and
``torch.multinomial``; the time to compute their probabilities from the losses is counted, as it is for the selectors.
Losses are gamma-distributed, 20 labels, up to 3 a row. Medians over steps, after one step to warm up. What is done once an epoch (Random
shuffles, Hard ranks all rows) is a column of its own, spread over the steps of an epoch. ``step`` is the sum.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.selectors import AdaC, Adaptive, BatchSelector, Hard, Random

Q, B = 20, 128


def synthetic_labels(n: int, rng: np.random.Generator) -> LabelIndex:
    """Make an index of about three labels a row with unequal frequencies, without a dense matrix."""
    frequency = np.cumsum(1 / (1 + np.arange(Q)))
    picks = np.searchsorted(frequency[:-1] / frequency[-1], rng.random((n, 3), dtype=np.float32)).astype(np.int8)
    picks.sort(axis=1)
    kept = np.ones((n, 3), dtype=bool)
    kept[:, 1:] = picks[:, 1:] != picks[:, :-1]
    columns = picks[kept].astype(np.int64)
    rows = np.repeat(np.arange(n), kept.sum(axis=1))
    row_starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    by_label = rows[np.argsort(columns, kind="stable")]
    return LabelIndex(n, Q, row_starts, columns, np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=Q))]), by_label)


def microseconds(step: Callable[[], object], steps: int) -> float:
    """Return the median time of a step."""
    step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return 1e6 * float(np.median(times))


def prepared(kind: type[BatchSelector], index: LabelIndex, pressure: float, losses: np.ndarray) -> BatchSelector:
    """Make a selector in its first epoch of selection, with known losses."""
    if kind is Random:
        return Random(index, B, seed=0)
    if kind is Hard:
        selector = Hard(index, B, seed=0, pressure=pressure, warmup=0)
        selector.losses[:] = losses
        return selector
    selector = kind(index, B, seed=0, pressure=pressure, warmup=0, imbalance_weight=False)
    selector.losses.record(np.arange(selector.n), losses)
    return selector


def selector_times(selector: BatchSelector, rng: np.random.Generator, steps: int) -> tuple[float, float, float]:
    """Return the time to draw, to update, and the share of what is done once an epoch, in microseconds."""
    start = time.perf_counter()
    batches = iter(selector)
    first = next(batches)
    epoch = 1e6 * (time.perf_counter() - start) / len(selector) if isinstance(selector, Random | Hard) else 0.0
    if isinstance(selector, Random):
        return microseconds(lambda: next(batches, first), steps), 0.0, epoch
    draw = microseconds(lambda: selector.draw(B), steps)
    rows = [selector.draw(B) for _ in range(8)]
    logits = [torch.from_numpy(rng.normal(0, 2, size=(B, Q)).astype(np.float32)) for _ in range(8)]
    turn = iter(range(10**9))

    def update() -> None:
        at = next(turn) % 8
        selector.update(rows[at], logits[at])

    return draw, microseconds(update, steps), epoch


def rival_times(losses: np.ndarray, pressure: float, rng: np.random.Generator, steps: int) -> dict[str, float]:
    """Return the time of a draw on fresh probabilities, in microseconds."""
    n = len(losses)

    def proba() -> np.ndarray:
        weights = pressure ** np.minimum(np.ceil(n * (losses / losses.max())) / n, 1.0)
        return weights / weights.sum()

    times = {"numpy choice": microseconds(lambda: rng.choice(n, B, replace=False, p=proba()), steps)}
    tensor, generator = torch.from_numpy(losses), torch.Generator().manual_seed(0)
    if n < 2**24:

        def multinomial() -> torch.Tensor:
            weights = pressure ** (torch.ceil(n * (tensor / tensor.max())) / n)
            return torch.multinomial(weights, B, replacement=False, generator=generator)

        times["torch multinomial"] = microseconds(multinomial, steps)
    return times


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1e4,1e5,1e6,1e7")
    parser.add_argument("--pressures", default="8,64")
    parser.add_argument("--steps", type=int, default=200)
    args = parser.parse_args()
    sizes, pressures = [int(float(s)) for s in args.sizes.split(",")], [float(p) for p in args.pressures.split(",")]
    if min(sizes) < 10 * B:
        raise ParameterError(f"expected sizes of at least {10 * B}, but got {min(sizes)}")
    print(f"batch {B}, microseconds a step, torch {torch.__version__}, numpy {np.__version__}, {torch.get_num_threads()} threads")
    growth_head = "vs n=" + args.sizes.split(",")[0]
    print(
        f"{'n':>9} {'pressure':>8} {'method':>18} {'draw':>8} {'update':>7} {'epoch':>5} {'step':>8} {growth_head:>9} {'multinom. /':>12}"
    )
    first: dict[tuple[str, float], float] = {}
    for n in sizes:
        rng = np.random.default_rng(0)
        index, losses = synthetic_labels(n, rng), rng.gamma(1.0, 0.3, size=n)
        for pressure in pressures:
            rivals = rival_times(losses, pressure, rng, max(3, min(args.steps, 10**7 // n)))
            lines = {name: (draw, 0.0, 0.0) for name, draw in rivals.items()}
            for kind in (Random, Hard, Adaptive, AdaC):
                lines[kind.__name__] = selector_times(prepared(kind, index, pressure, losses), rng, args.steps)
            base = sum(lines.get("torch multinomial", lines["numpy choice"]))
            for name, (draw, update, epoch) in lines.items():
                total = draw + update + epoch
                growth = total / first.setdefault((name, pressure), total)
                figures = f"{draw:8.0f} {update:7.0f} {epoch:5.0f} {total:8.0f} {growth:9.2f} {base / total:12.2f}"
                print(f"{n:9d} {pressure:8g} {name:>18} {figures}")


if __name__ == "__main__":
    main()
