"""What ``compare`` and ``demo`` do alike: run the missing cells behind a progress bar, then write and print the report."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from polytag.bench.report import Report
    from polytag.bench.runner import Outcome
    from polytag.bench.spec import Experiment
    from polytag.bench.store import Store

INTERRUPTED = 130


def run_and_report(
    experiment: "Experiment",
    out: Path,
    *,
    jobs: int = 1,
    threads: int = 1,
    device: str = "auto",
    published: str | None = None,
    run: Callable[..., list["Outcome"]] | None = None,
) -> int:
    """Run an experiment into a folder and show what came out.

    Args:
        experiment: What to run.
        out: The folder.
        jobs: Number of processes.
        threads: Threads of each.
        device: ``"auto"`` takes a GPU if there is one.
        published: Key of the paper whose values are shown next to ours.
        run: Runs the cells instead of ``run_experiment``, which takes jobs, threads and device.

    Returns:
        Exit code: 0, 1 if a cell failed, 130 after Ctrl-C.
    """
    from polytag.bench.report import leaks, save_experiment
    from polytag.bench.runner import plan, run_experiment
    from polytag.bench.store import Store

    if run is None:
        run = partial(run_experiment, jobs=jobs, threads=threads, device=chosen_device(device))
    console, store = wide_console(), Store(out)
    try:
        cells, hashes = plan(experiment)
        for warning in leaks(experiment):
            typer.echo(f"WARNING {warning}", err=True)
        save_experiment(store, experiment, hashes)
        with Bar(console, len(cells), experiment.protocol.monitor) as bar:
            outcomes = run(experiment, store, watch=bar.advance, cells=cells)
    except KeyboardInterrupt:
        return interrupted(out)
    show(out, published)
    return tell_failures(outcomes, store)


def tell_failures(outcomes: Sequence["Outcome"], store: "Store") -> int:
    """Name the cells that failed, those with one cause together, and return the exit code: 1 if there are any."""
    failed = [outcome for outcome in outcomes if outcome.record is None]
    alike: dict[tuple[str, ...], list[Outcome]] = defaultdict(list)
    for outcome in failed:  # what is wrong with a method is mostly wrong in all its folds
        method = outcome.cell.method
        alike[outcome.cell.dataset, method.backbone, method.strategy, outcome.error].append(outcome)
    for (*place, error), group in alike.items():
        where = "; ".join(f"seed {outcome.cell.seed}, fold {outcome.cell.fold}" for outcome in group)
        typer.echo(f"FAILED {', '.join(place)} ({where}): {error}\n  traceback: {store.failures / group[0].key}.txt", err=True)
    if failed:
        typer.echo(f"{len(failed)} of {len(outcomes)} cells failed; the same command tries them again.", err=True)
    return 1 if failed else 0


def interrupted(out: Path) -> int:
    """Say what Ctrl-C has left, and return the exit code."""
    done = len(list((out / "records").glob("*.json")))
    typer.echo(f"\nStopped. {done} finished cells are kept in {out}; the same command continues from there.", err=True)
    return INTERRUPTED


def show(folder: Path, published: str | None) -> "Report":
    """Write the report of a folder, print its tables and say where the files are."""
    from polytag import papers
    from polytag.bench.report import load_experiment, write_report
    from polytag.bench.store import Store

    paper = None if published is None else papers.load_paper(published)
    experiment, hashes = load_experiment(folder)
    remarks = []
    if paper is not None:
        remarks = [f"Published values: {paper.citation}, {paper.url}", *paper.notes]
        remarks += [f"{name}: {note}" for name in experiment.datasets if (note := paper.dataset_note(name)) is not None]
    result = write_report(Store(folder), experiment, hashes, published=None if paper is None else paper.value, remarks=remarks)
    console = wide_console()
    for grid in result.tables:
        console.print(grid.to_rich())
        console.print()
    for remark in [*remarks, *result.notes]:
        typer.echo(f"note: {remark}")
    plots = sum(file.suffix == ".png" for file in result.files)
    typer.echo(f"Report: {folder / 'report.md'}, with table.md, table.csv, records/ and {plots} plot{'s' * (plots != 1)} beside it.")
    return result


def chosen_device(device: str) -> str:
    """Return the device that ``"auto"`` stands for, or check the one that was named.

    Raises:
        ParameterError: torch does not know the device, or cannot use it here.
    """
    import torch

    from polytag.errors import ParameterError

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(f"expected a device that torch can use here, such as cpu or cuda, but got {device!r} ({error})") from error
    return device


class Bar:
    """A progress bar over cells that also says which strategy leads so far.

    Args:
        console: Where it is drawn.
        total: Number of cells.
        monitor: Metric by which the leader is named.
    """

    def __init__(self, console: Any, total: int, monitor: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.table import Column

        self._metric = "macro_auc" if monitor == "loss" else monitor
        self._values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        rest = TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True))  # a long name is cut, not the numbers
        columns = (BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), rest)
        self._progress = Progress(*columns, console=console, transient=False, expand=True)
        self._task = self._progress.add_task("starting", total=total)
        self._kept = 0

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def advance(self, outcome: "Outcome") -> None:
        """Count a cell."""
        self._kept += outcome.kept
        method, leader = outcome.cell.method, ""
        if outcome.record is not None:
            place = self._values[outcome.cell.dataset, method.backbone]
            place[method.strategy].append(outcome.record.metrics.get(self._metric, float("nan")))
            leader = f", {self._metric} so far: {self._leader(place)}"
        text = f"{self._kept} cells kept; " * (self._kept > 0) + f"{outcome.cell.dataset}, {method.backbone}{leader}"
        self._progress.update(self._task, advance=1, description=text)

    def _leader(self, place: dict[str, list[float]]) -> str:
        from polytag import metrics

        means = {name: sum(values) / len(values) for name, values in place.items()}
        best = (max if metrics.direction(self._metric) == "max" else min)(means, key=lambda name: means[name])
        return f"{best} {means[best]:.4f}"


def wide_console() -> Any:
    """Return a console wide enough for the tables when the output is not a terminal."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=200)
