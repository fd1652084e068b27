"""What a selector keeps in memory beside the labels, strategy by strategy: MB at n = 1e6 and 1e7.

Each strategy is told about all rows twice, then begins an epoch, draws and learns from some batches. ``kept``: NumPy arrays that it holds
afterwards (tracemalloc); ``peak``: the most that they were at any moment since it was made; ``RSS``: the same as the operating system
sees it, torch and everything else included, as growth over a process that holds the labels only. Made in a child process each.
Strategies that remember something of each cell (n x q) are measured up to ``--cells`` cells.
"""

import argparse
import multiprocessing
import resource
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import torch
from strategies import BY_CELL, STRATEGIES, Logits, endless, inform, made, synthetic_labels

from polytag.data.labels import LabelIndex

MB = 1e6


def resident() -> float:
    """Return the memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / MB


def measured(name: str, index: LabelIndex, batch_size: int, results: Any) -> None:
    """Report (kept, peak, RSS peak) of a strategy, in MB."""
    torch.set_num_threads(1)
    logits = Logits(index.q, np.random.default_rng(0))
    before = resident()
    tracemalloc.start()
    selector = made(name, index, batch_size)
    inform(selector, logits)
    batches = endless(selector)
    for _ in range(20):
        rows = next(batches)
        while selector.screening:
            rows = selector.screen(rows, logits.of(len(rows)))
        selector.weights(rows)
        selector.update(rows, logits.of(len(rows)))
    kept, peak = tracemalloc.get_traced_memory()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    results.put((kept / MB, peak / MB, most - before))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1e6,1e7")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--q", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--cells", type=float, default=2e7, help="largest n x q for strategies that remember each cell")
    args = parser.parse_args()
    fork = multiprocessing.get_context("fork")
    print(f"q {args.q}, batch {args.batch}; MB beside the labels, torch {torch.__version__}, numpy {np.__version__}")
    print(f"{'n':>9} {'strategy':>19} {'kept':>8} {'peak':>8} {'RSS':>8} {'bytes a row':>12}")
    for n in (int(float(size)) for size in args.sizes.split(",")):
        index = synthetic_labels(n, args.q, np.random.default_rng(0))
        held = sum(array.nbytes for array in (index.row_starts, index.columns, index.column_starts, index.rows))
        print(f"{n:9d} {'(the labels)':>19} {held / MB:8.0f}")
        for name in args.strategies.split(","):
            if name in BY_CELL and n * args.q > args.cells:
                print(f"{n:9d} {name:>19}     not measured: it keeps {n * args.q:.0e} cells, the cap is {args.cells:.0e} (--cells)")
                continue
            results = fork.SimpleQueue()
            child = fork.Process(target=measured, args=(name, index, args.batch, results))
            child.start()
            child.join()
            if child.exitcode:
                sys.exit(f"the measurement of {name} ended with {child.exitcode}")
            kept, peak, most = results.get()
            print(f"{n:9d} {name:>19} {kept:8.0f} {peak:8.0f} {most:8.0f} {kept * MB / n:12.1f}", flush=True)


if __name__ == "__main__":
    main()
