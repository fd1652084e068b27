"""One epoch on a data set that lies on disk: 1e7 x 64 features, with Random and with other strategies, and the ratio of the two.

The set is written block by block into a temporary folder (2.8 GB at 1e7 rows; ``--folder`` keeps it), opened as mapped files and trained on
by the trainer itself. Strategies have been told losses of all rows before, so that the measured epoch is one of selection, not of warm-up.
Epochs of the strategies take turns, ``--repeats`` of each, and the fastest of each counts, so that the state of the disk cache and of the
machine is the same for all. On a busy machine the processor times (and their ratio) are the ones to look at.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from strategies import Logits, inform, made

from polytag import Table, Trainer
from polytag.data.mapped import open_mapped, write_mapped
from polytag.errors import DataError
from polytag.registry import get

_BLOCK = 2**16


def blocks(n: int, d: int, q: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Make rows whose labels depend on the features: about three labels each, of unequal frequency."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((d, q), dtype=np.float32) / np.sqrt(np.float32(d))
    share = 1 / (1 + np.arange(q))
    levels = np.quantile(rng.standard_normal(10**5) * np.sqrt(1.5), 1 - np.minimum(3 * share / share.sum(), 0.9)).astype(np.float32)
    for start in range(0, n, _BLOCK):
        x = rng.standard_normal((min(_BLOCK, n - start), d), dtype=np.float32)
        noise = rng.standard_normal((len(x), q), dtype=np.float32) * np.float32(np.sqrt(0.5))
        yield x, x @ directions + noise > levels


def epoch_of(name: str, table: Table, args: argparse.Namespace) -> tuple[float, float, float]:
    """Train one epoch of selection; return the seconds, those of the processor, and the share that went into selection."""
    selector = made(name, table.labels, args.batch)
    if name != "random":
        inform(selector, Logits(table.q, np.random.default_rng(0)), visits=1)
    params = {} if args.model == "linear" else {"hidden": [args.hidden]}
    model = get("model", args.model).from_data(table, **params)
    start = time.process_time()
    run = Trainer(epochs=1, lr=1e-3).fit(model, table, selector)
    return run.seconds, time.process_time() - start, run.select_seconds / run.seconds


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--d", type=int, default=64)
    parser.add_argument("--q", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--model", choices=("linear", "mlp"), default="mlp")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--strategies", default="random,adaptive", help="the first is the one that the others are compared with")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the set is kept; by default a temporary folder")
    args = parser.parse_args()
    n, bytes_needed = int(args.rows), int(args.rows) * (4 * args.d + 30)
    place = Path(args.folder or tempfile.mkdtemp(prefix="large-epoch-"))
    try:
        path = place / f"{n}x{args.d}x{args.q}"
        if not path.exists():
            free = shutil.disk_usage(place if place.exists() else place.parent).free
            if free < 1.2 * bytes_needed:
                raise DataError(
                    f"the set needs {bytes_needed / 1e9:.1f} GB, but {place} has {free / 1e9:.1f} GB left; pass --rows or --folder"
                )
            start = time.perf_counter()
            write_mapped(path, blocks(n, args.d, args.q, seed=0), name="synthetic")
            print(f"written in {time.perf_counter() - start:.1f} s")
        start = time.perf_counter()
        table = Table(open_mapped(path))
        opened = time.perf_counter() - start
        size = sum(file.stat().st_size for file in path.iterdir()) / 1e9
        print(f"{n} x {args.d}, q {args.q}, {size:.2f} GB on disk, opened in {1e3 * opened:.1f} ms; {args.model}, batch {args.batch}, "
              f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), fastest of {args.repeats}")  # fmt: skip
        results: dict[str, tuple[float, float, float]] = {}
        for _ in range(args.repeats):
            for name in args.strategies.split(","):
                results[name] = min(results.get(name, (np.inf, np.inf, 0.0)), epoch_of(name, table, args))
        base, processor = results[args.strategies.split(",")[0]][:2]
        print(f"{'strategy':>19} {'seconds':>8} {'rows/s':>9} {'selection':>9} {'processor s':>11} {'ratio':>6} {'processor':>9}")
        for name, (seconds, busy, share) in results.items():
            figures = f"{seconds:8.1f} {n / seconds:9.0f} {100 * share:8.1f}% {busy:11.1f} {seconds / base:6.2f} {busy / processor:9.2f}"
            print(f"{name:>19} {figures}", flush=True)
    finally:
        if args.folder is None:
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
