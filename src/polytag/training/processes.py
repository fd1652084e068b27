"""Several processes that work on one run: how they start, find each other, and end together."""

import os
import pickle
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import distributed, multiprocessing

from polytag.errors import ParameterError, PolytagError

_GRACE = 5.0
"""Seconds that the others have to notice by themselves that one of them is gone."""

_BROKEN = ("gloo", "nccl", "connection closed", "connection reset", "timed out", "broken pipe")
"""Words in the errors of a connection that broke; PyTorch has no class for all of them."""


class LostProcessError(PolytagError, RuntimeError):
    """One of several processes died or could not be reached any more."""


class Place(NamedTuple):
    """Where a process stands among those that work on the same run.

    Attributes:
        rank: Its number, from 0; process 0 is the one that writes files.
        processes: How many there are.
        device: What it computes on.
    """

    rank: int
    processes: int
    device: torch.device


_place: ContextVar[Place | None] = ContextVar("place", default=None)


def place() -> Place | None:
    """Return where this process stands, within ``launch`` or ``joined``; ``None`` if it works alone."""
    return _place.get()


def is_writer() -> bool:
    """Return whether this process is the one that writes files: process 0, or the only one."""
    here = place()
    return here is None or here.rank == 0


def wait_for_all() -> None:
    """Return when all processes have come here; at once if there is only this one."""
    if place() is not None:
        distributed.barrier()


def decided_by_writer(decision: bool) -> bool:
    """Return what the process that writes files has decided, in all processes; all must call."""
    if place() is None:
        return decision
    decisions = [decision]
    distributed.broadcast_object_list(decisions)
    return decisions[0]


@contextmanager
def joined(device: str = "auto", timeout: float = 600.0) -> Iterator[Place]:
    """Join the other processes that ``torchrun`` started, for the time of the block.

    Args:
        device: ``"auto"`` takes one GPU a process where there are enough, else the CPU; or ``"cpu"`` or ``"cuda"``.
        timeout: Seconds after which a process that does not answer is given up.

    Raises:
        ParameterError: This process was not started by ``torchrun``.
        LostProcessError: Another process died or stopped answering.
    """
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ParameterError(
            f"expected a process started by torchrun, but {', '.join(missing)} is not set; start it as: "
            "torchrun --standalone --nproc-per-node 2 PROGRAM"
        )
    rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local = int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    with _connected(rank, processes, _device(device, *local), "env://", timeout) as here:
        yield here


def launch(
    function: Callable[..., Any], processes: int, *args: Any, device: str = "auto", threads: int = 1, timeout: float = 600.0
) -> list[Any]:
    """Call a function in several new processes of this machine that know each other, and return what each returned.

    The function must live in a module, and a script must call ``launch`` below ``if __name__ == "__main__":``, since every process
    imports it anew. Files are written by process 0 only (``is_writer()``); checkpoints see to that themselves.

    Args:
        function: What each process does.
        processes: How many.
        *args: Arguments of the function; they are pickled.
        device: As for ``joined``.
        threads: Threads of each process.
        timeout: As for ``joined``.

    Returns:
        One value a process, in order.

    Raises:
        ParameterError: ``processes`` or ``threads`` is below 1.
        LostProcessError: A process died, or failed with an error that is not polytag's own; the message says which.
        PolytagError: What a process raised.

    Cost: starting a process and importing torch takes seconds.
    """
    if processes < 1 or threads < 1:
        raise ParameterError(f"expected processes >= 1 and threads >= 1, but got processes={processes} and threads={threads}")
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="polytag-") as folder:
        workers = [
            spawn.Process(target=_work, args=(rank, processes, folder, device, threads, timeout, function, args))
            for rank in range(processes)
        ]
        stopped: set[int] = set()
        try:
            for worker in workers:
                worker.start()
            _wait(workers)
        finally:
            stopped |= _stop(workers)
        outcomes = [_outcome(folder, rank) for rank in range(processes)]
    _blame([worker.exitcode for worker in workers], outcomes, stopped)
    return [outcome.value for outcome in outcomes if outcome is not None]


_KEPT = "what was saved last (checkpoint, finished cells) is whole, and the same command continues from there"


class _Outcome(NamedTuple):
    value: Any = None
    error: BaseException | None = None
    report: str = ""


def _work(
    rank: int,
    processes: int,
    folder: str,
    device: str,
    threads: int,
    timeout: float,
    function: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:
    """Be one of the processes: connect, call the function, leave the outcome in a file."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent as well, and it ends all
    torch.set_num_threads(threads)
    try:
        with _connected(rank, processes, _device(device, rank, processes), f"file://{folder}/store", timeout):
            outcome = _Outcome(function(*args))
        content = pickle.dumps(outcome)
    except Exception as error:
        outcome = _Outcome(None, error, traceback.format_exc())
        content = pickle.dumps(outcome if _survives_pickling(error) else _Outcome(None, RuntimeError(repr(error)), outcome.report))
    aside = Path(folder, f"{rank}.aside")
    aside.write_bytes(content)
    aside.rename(Path(folder, f"{rank}.outcome"))
    if outcome.error is not None:
        os._exit(1)  # threads of a broken connection may keep the interpreter from ending


@contextmanager
def _connected(rank: int, processes: int, device: torch.device, address: str, timeout: float) -> Iterator[Place]:
    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    here, lost = Place(rank, processes, device), False
    token = _place.set(here)
    try:
        distributed.init_process_group(backend, address, timedelta(seconds=timeout), processes, rank)
        yield here
    except RuntimeError as error:
        if isinstance(error, PolytagError) or not _is_broken_connection(error):
            raise
        lost = True
        raise LostProcessError(
            f"process {rank} of {processes} lost the connection to another one, which died or stopped answering; {_KEPT}"
        ) from error
    finally:
        _place.reset(token)
        if distributed.is_initialized() and not (lost and backend == "nccl"):  # which would wait for the lost one
            distributed.destroy_process_group()


def _device(device: str, local_rank: int, local_processes: int) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() and torch.cuda.device_count() >= local_processes else "cpu"
    if device == "cuda":
        if torch.cuda.device_count() < local_processes:
            raise ParameterError(
                f"expected a GPU for each of {local_processes} processes, but there are {torch.cuda.device_count()}; "
                "use fewer processes or device='cpu'"
            )
        return torch.device("cuda", local_rank)
    return torch.device(device)


def _is_broken_connection(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or any(word in str(error).lower() for word in _BROKEN)


def _end_with_parent() -> None:
    """Do not outlive a parent that was killed: nobody would read the result."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _survives_pickling(error: Exception) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False


def _wait(workers: list[Any]) -> None:
    """Wait until all have ended, or one has failed and the others have had time to notice."""
    deadline: float | None = None
    while running := [worker for worker in workers if worker.is_alive()]:
        if deadline is not None and time.monotonic() > deadline:
            return
        connection.wait([worker.sentinel for worker in running], timeout=0.2)  # a process that ends shows it before it has an exit code
        if deadline is None and any(worker.exitcode not in (None, 0) for worker in workers):
            deadline = time.monotonic() + _GRACE


def _stop(workers: list[Any]) -> set[int]:
    """End whoever still runs and return their ranks."""
    running = {rank for rank, worker in enumerate(workers) if worker.pid is not None and worker.is_alive()}
    for rank in running:
        workers[rank].terminate()
    for rank in running:
        workers[rank].join(1.0)
        if workers[rank].is_alive():
            workers[rank].kill()
            workers[rank].join()
    return running


def _outcome(folder: str, rank: int) -> _Outcome | None:
    with suppress(FileNotFoundError):
        outcome: _Outcome = pickle.loads(Path(folder, f"{rank}.outcome").read_bytes())
        return outcome
    return None


def _blame(codes: list[int | None], outcomes: list[_Outcome | None], stopped: set[int]) -> None:
    """Raise for the process that failed first: one that died without a word, one with an error of its own, one that had to be stopped."""
    processes = len(codes)
    for rank, (code, outcome) in enumerate(zip(codes, outcomes)):
        if code and outcome is None and rank not in stopped:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise LostProcessError(f"process {rank} of {processes} {how}; all others have been stopped, {_KEPT}")
    failed = [(rank, outcome) for rank, outcome in enumerate(outcomes) if outcome is not None and outcome.error is not None]
    own = [(rank, outcome) for rank, outcome in failed if not isinstance(outcome.error, LostProcessError)]
    if stopped and not own:
        raise LostProcessError(f"process {min(stopped)} of {processes} stopped answering; all others have been stopped, {_KEPT}")
    for rank, outcome in own or failed:
        error = outcome.error
        if not isinstance(error, PolytagError):
            error = LostProcessError(f"process {rank} of {processes} failed with {error!r}; all others have been stopped, {_KEPT}")
        error.add_note(f"In process {rank}:\n{outcome.report}")
        raise error
