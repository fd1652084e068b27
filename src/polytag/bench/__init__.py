"""The fair comparison: what to run, how to run it, what is kept, and how to read it."""

from typing import TYPE_CHECKING

from polytag._lazy import lazy

if TYPE_CHECKING:
    from polytag.bench import stats
    from polytag.bench.cell import run_cell
    from polytag.bench.grid import Grid
    from polytag.bench.method import Method
    from polytag.bench.record import Record
    from polytag.bench.report import Report, write_report
    from polytag.bench.results import Results
    from polytag.bench.runner import Outcome, run_experiment
    from polytag.bench.spec import Cell, Experiment, Protocol
    from polytag.bench.store import Store

_HOMES = {
    **dict.fromkeys(("Cell", "Experiment", "Protocol"), "polytag.bench.spec"),
    **dict.fromkeys(("Report", "write_report"), "polytag.bench.report"),
    **dict.fromkeys(("Outcome", "run_experiment"), "polytag.bench.runner"),
    "Grid": "polytag.bench.grid",
    "Method": "polytag.bench.method",
    "Record": "polytag.bench.record",
    "Results": "polytag.bench.results",
    "Store": "polytag.bench.store",
    "run_cell": "polytag.bench.cell",
    "stats": ".stats",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)

__all__ = [
    "Cell",
    "Experiment",
    "Grid",
    "Method",
    "Outcome",
    "Protocol",
    "Record",
    "Report",
    "Results",
    "Store",
    "run_cell",
    "run_experiment",
    "stats",
    "write_report",
]
