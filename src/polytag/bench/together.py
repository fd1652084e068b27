"""The cells of an experiment one after the other, each trained by several processes together."""

import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import distributed

from polytag.bench.cell import run_cell
from polytag.bench.runner import Outcome, Watcher, plan
from polytag.bench.spec import Cell, Experiment
from polytag.bench.store import Store
from polytag.data.catalogue import load_dataset
from polytag.errors import DataError, DivergenceError, ParameterError
from polytag.training.processes import Place, is_writer, place, wait_for_all


def run_together(
    experiment: Experiment, store: Store, *, watch: Watcher | None = None, cells: Sequence[tuple[str, Cell]] | None = None
) -> list[Outcome]:
    """Run every cell that the store does not hold yet; all processes of ``launch`` or ``joined`` must call it.

    The first process says what is to be done, and writes the records; each of them names the number of processes.

    Args:
        experiment: What to run.
        store: Where records are kept.
        watch: Called after each cell, in the first process.
        cells: The cells that ``plan`` returned, if they are at hand; those of the first process count.

    Returns:
        As ``run_experiment``. A cell fails alone where its error is the same in all processes (bad data, a diverging loss).

    Raises:
        ParameterError: There is only one process.
        Exception: Any other error, since the processes would wait for each other in vain; finished cells are kept.
    """
    here = place()
    if here is None:
        raise ParameterError("run_together needs several processes; call it within launch(...) or joined(), or use run_experiment")
    tasks: list[Any] = [None]
    if is_writer():
        tasks[0] = [(key, cell, store.get(key)) for key, cell in (plan(experiment)[0] if cells is None else cells)]
    distributed.broadcast_object_list(tasks)
    outcomes = []
    for key, cell, record in tasks[0]:
        outcome = Outcome(cell, key, record, kept=True) if record is not None else _run(experiment, store, here, key, cell)
        outcomes.append(outcome)
        if watch is not None and is_writer():
            watch(outcome)
    return outcomes


def _run(experiment: Experiment, store: Store, here: Place, key: str, cell: Cell) -> Outcome:
    """Train one cell in all processes; the first one writes what came of it."""
    try:
        data: Any = load_dataset(cell.dataset, **experiment.reading) if experiment.reading else cell.dataset
        record = run_cell(data, cell.method, experiment.protocol, cell.fold, cell.seed, source=cell.dataset, device=str(here.device))
    except (DataError, DivergenceError, ParameterError) as error:
        if is_writer():
            store.fail(key, f"{cell}\n\n{traceback.format_exc()}")
        return Outcome(cell, key, None, error=f"{type(error).__name__}: {error}")
    record = replace(
        record, dataset={**record.dataset, "name": cell.dataset}, environment={**record.environment, "processes": here.processes}
    )
    if is_writer():
        store.put(record)
    wait_for_all()
    return Outcome(cell, key, record)
