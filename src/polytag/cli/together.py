"""``polytag compare`` with several processes a cell."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polytag.bench.spec import Experiment


def compare_together(
    experiment: "Experiment", out: Path, *, processes: int, launcher: str, threads: int, device: str, published: str | None
) -> int:
    """Let several processes train each cell together, and show what came out.

    Args:
        experiment: What to run.
        out: The folder.
        processes: How many; where ``torchrun`` has started them already, 1 or their number.
        launcher: ``"own"`` starts them here; ``"torchrun"`` joins those that it started.
        threads: Threads of each.
        device: As for ``polytag.training.joined``.
        published: As for ``run_and_report``.

    Returns:
        Exit code, as ``run_and_report``.

    Raises:
        ParameterError: The launcher is unknown, ``torchrun`` did not start this process, or it started another number.
        LostProcessError: One of them died.
    """
    import torch

    from polytag.cli.session import interrupted
    from polytag.errors import ParameterError
    from polytag.training import joined, launch

    if launcher not in ("own", "torchrun"):
        raise ParameterError(f"expected --launcher own or torchrun, but got {launcher!r}")
    if launcher == "own":
        try:
            return int(launch(_work, processes, experiment, out, published, device=device, threads=threads)[0])
        except KeyboardInterrupt:
            return interrupted(out)
    started = os.environ.get("WORLD_SIZE", "none")
    if started == "none" or processes not in (1, int(started)):
        raise ParameterError(
            f"expected {max(processes, 2)} processes started by torchrun, but found {started}; start the command as: "
            f"torchrun --standalone --nproc-per-node {max(processes, 2)} -m polytag compare ... --launcher torchrun"
        )
    torch.set_num_threads(threads)
    with joined(device):
        return _work(experiment, out, published)


def _work(*arguments: Any) -> int:
    """Be one of the processes; only the first one speaks."""
    from polytag.bench.store import Store
    from polytag.bench.together import run_together
    from polytag.cli.session import run_and_report
    from polytag.training.processes import is_writer

    experiment, out, published = arguments
    if is_writer():
        return run_and_report(experiment, out, published=published, run=run_together)
    run_together(experiment, Store(out))
    return 0
