"""Run the cells of an experiment, in one process or in many, and leave what is already done alone."""

import functools
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import joblib
import torch
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from polytag.bench.cell import run_cell
from polytag.bench.record import Record, environment
from polytag.bench.spec import Cell, Experiment, Protocol
from polytag.bench.store import Store, cell_key, content_hash
from polytag.data.catalogue import load_dataset
from polytag.data.dataset import Dataset
from polytag.errors import ParameterError


@dataclass(frozen=True)
class Outcome:
    """What became of one cell.

    Attributes:
        cell: The cell.
        key: Its name in the store.
        record: The record; ``None`` if it failed.
        error: The last line of the traceback; empty if it went well.
        kept: Whether it had been done before.
    """

    cell: Cell
    key: str
    record: Record | None
    error: str = ""
    kept: bool = False


Watcher = Callable[[Outcome], None]
Reading: TypeAlias = tuple[tuple[str, Any], ...]
"""Arguments of ``load_dataset`` as pairs."""


def plan(experiment: Experiment) -> tuple[list[tuple[str, Cell]], dict[str, str]]:
    """Return all cells of an experiment with their keys, and the content hash of every data set.

    Cost: every data set is read once, one at a time.
    """
    hashes = {name: content_hash(load_dataset(name, **(experiment.reading or {}))) for name in experiment.datasets}
    protocol = experiment.protocol
    cells = [(cell_key(hashes[cell.dataset], cell.method, protocol, cell.fold, cell.seed), cell) for cell in experiment.cells()]
    return cells, hashes


def run_experiment(
    experiment: Experiment,
    store: Store,
    *,
    jobs: int = 1,
    threads: int = 1,
    device: str = "cpu",
    watch: Watcher | None = None,
    cells: Sequence[tuple[str, Cell]] | None = None,
) -> list[Outcome]:
    """Run every cell that the store does not hold yet.

    A record is written by the process that made it, as soon as it is made. Trainings that take minutes are saved once a minute: whoever is
    stopped continues from there, as long as versions, code, device and threads are the same. The result does not depend on ``jobs``:
    every cell runs with the same number of threads and with seeds of its own.

    Args:
        experiment: What to run.
        store: Where records are kept.
        jobs: Number of processes; with joblib's ``parallel_config`` the cells go to another backend, such as a cluster.
        threads: Threads of each process; sums in another number of threads may differ in the last bits.
        device: Where models live.
        watch: Called after each cell, in the process of the caller.
        cells: The cells that ``plan`` returned, if they are at hand.

    Returns:
        One outcome a cell, in the order of ``experiment.cells()``. A cell that fails leaves its traceback in the store and stops nothing.

    Raises:
        ParameterError: ``jobs`` or ``threads`` is below 1.
        KeyboardInterrupt: The user pressed Ctrl-C; finished cells are kept, and what was saved of the running ones.
    """
    if jobs < 1 or threads < 1:
        raise ParameterError(f"expected jobs >= 1 and threads >= 1, but got jobs={jobs} and threads={threads}")
    outcomes: dict[str, Outcome] = {}

    def done(outcome: Outcome) -> None:
        outcomes[outcome.key] = outcome
        if watch is not None:
            watch(outcome)

    planned = list(plan(experiment)[0] if cells is None else cells)
    for key, cell in planned:
        record = store.get(key)
        if record is not None:
            done(Outcome(cell, key, record, kept=True))
    missing = [(key, cell) for key, cell in planned if key not in outcomes]
    reading = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in (experiment.reading or {}).items())
    work = functools.partial(_attempt, experiment.protocol, reading, store.folder, threads, device)
    parallel = joblib.Parallel(n_jobs=min(jobs, max(len(missing), 1)), return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
    try:
        for outcome in parallel(joblib.delayed(work)(key, cell) for key, cell in missing):
            done(outcome)
    except KeyboardInterrupt:
        if jobs > 1:
            get_reusable_executor().shutdown(wait=False, kill_workers=True)
        raise
    except TerminatedWorkerError:
        reason = f"a worker process was killed, most likely for want of memory; use fewer than {jobs} jobs"
        for key, cell in missing:
            if key not in outcomes:
                store.fail(key, reason)
                done(Outcome(cell, key, store.get(key), error=reason))
    return [outcomes[key] for key, _ in planned]


def _attempt(protocol: Protocol, reading: Reading, folder: Path, threads: int, device: str, key: str, cell: Cell) -> Outcome:
    """Run one cell where it is sent to, and write its record there."""
    store = Store(folder)
    record = store.get(key)
    if record is not None:  # another run on the same folder has been faster
        return Outcome(cell, key, record, kept=True)
    try:
        with _bound_to_the_parent(), _threads(threads):
            data = _loaded(cell.dataset, reading)
            resume = store.unfinished(key, environment(device))
            record = run_cell(data, cell.method, protocol, cell.fold, cell.seed, source=cell.dataset, device=device, resume=resume)
        record = replace(record, dataset={**record.dataset, "name": cell.dataset})
        store.put(record)
    except Exception as error:
        store.fail(key, f"{cell}\n\n{traceback.format_exc()}")
        return Outcome(cell, key, None, error=f"{type(error).__name__}: {error}")
    return Outcome(cell, key, record)


@functools.lru_cache(maxsize=1)
def _loaded(name: str, reading: Reading) -> Dataset:
    return load_dataset(name, **dict(reading))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with so many threads; the number of threads decides the order of sums, hence the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _bound_to_the_parent() -> Iterator[None]:
    """In a worker process, let the parent deal with Ctrl-C, and do not outlive it.

    One message instead of one traceback a worker; and a parent that is killed leaves nobody computing for a run that no longer exists.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Event()
    threading.Thread(target=_end_with, args=(parent.pid, over), daemon=True).start()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        over.set()
        signal.signal(signal.SIGINT, before)


def _end_with(parent: int, over: threading.Event) -> None:
    while not over.wait(1.0):
        if os.getppid() != parent:
            os._exit(1)
