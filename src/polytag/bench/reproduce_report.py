"""The page that a reproduction leaves behind: ours next to the paper's, the claims tested, and what is missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polytag.bench.grid import Grid
from polytag.bench.rank_plots import Diagram, plot_ranks
from polytag.bench.reproduce import Reproduced
from polytag.bench.reproduce_tables import (
    Pairs,
    closeness_grid,
    friedman_grid,
    independent_table,
    metric_grid,
    order_grid,
    pairs_grid,
    reproduction_csv,
    side_by_side,
)
from polytag.bench.results import direction
from polytag.bench.store import write_whole
from polytag.bench.tables import arrowed
from polytag.errors import MissingExtraError

_SIZES = {"train": "train", "valid": "valid", "test": "test", "d": "features", "q": "labels"}


@dataclass(frozen=True)
class Frame:
    """What a report says around its numbers.

    Attributes:
        title: Title of the paper.
        about: Lines about the paper and the run.
        notes: What to know before comparing.
        control: The method that all others are tested against; empty: none.
        questions: Claims to test: title, and methods with their rivals.
        sizes: Data set -> what the paper says of its size: ``train``, ``valid``, ``test``, ``d``, ``q``.
        missing: Data sets that are not here, and how to get each.
    """

    title: str
    about: Sequence[str] = ()
    notes: Sequence[str] = ()
    control: str = ""
    questions: Sequence[tuple[str, Pairs]] = ()
    sizes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def reproduction_grids(result: Reproduced, frame: Frame) -> list[Grid]:
    """Return every table that the results allow: one a metric, printed values beside ours, and the tests."""
    grids: list[Grid | None] = [metric_grid(result, metric) for metric in result.metrics]
    grids += [side_by_side(result), closeness_grid(result), order_grid(result), friedman_grid(result)]
    grids += [pairs_grid(result, title, pairs) for title, pairs in frame.questions]
    if frame.control in result.arms:
        pairs = [(name, frame.control) for name in result.arms if name != frame.control]
        grids.append(pairs_grid(result, f"Each method against {frame.control}", pairs))
    return [grid for grid in grids if grid is not None]


def write_reproduction(result: Reproduced, folder: Path, frame: Frame) -> tuple[list[Grid], list[str]]:
    """Write ``report.md``, ``table.csv`` and the rank diagrams; the reports of the legs stand in folders beside them.

    Args:
        result: The numbers.
        folder: Where to write.
        frame: What is said around them.

    Returns:
        The tables, and notes: what to know, and what is not finished.
    """
    grids = reproduction_grids(result, frame)
    notes = [*frame.notes, *(f"not finished: {line}" for line in result.missing())]
    try:
        plots = _plots(result, folder / "plots")
    except MissingExtraError as error:
        plots = []
        notes.append(str(error))
    lines = [f"# Reproduction of “{frame.title}”", "", *(f"- {line}" for line in frame.about), ""]
    lines += [*(f"> {note}\n>" for note in notes), ""] if notes else []
    lines += ["## Results", "", *(grid.to_markdown() for grid in grids)]
    if plots:
        lines += ["## Which methods differ", "", *(f"![{plot.stem}]({plot.relative_to(folder).as_posix()})\n" for plot in plots)]
    chosen = chosen_grid(result)
    lines += [
        "## Methods",
        "",
        methods_grid(result).to_markdown(),
        *([chosen.to_markdown()] if chosen else []),
        "## Data",
        "",
        data_grid(result, frame.sizes).to_markdown(),
    ]
    if frame.missing:
        lines += ["## What is missing, and how to get it", "", *(f"- **{name}**: {how}" for name, how in frame.missing.items()), ""]
    lines += ["## Where the runs are", ""]
    for part in result.legs:
        protocol = part.experiment.protocol
        lines.append(
            f"- [{part.name}]({part.name}/report.md): {part.title or 'all data sets'}; {protocol.folds} fold(s), seeds "
            f"{', '.join(map(str, protocol.seeds))}, preset {protocol.preset}"
        )
    write_whole(folder / "report.md", "\n".join([*lines, ""]))
    write_whole(folder / "table.csv", reproduction_csv(result))
    return grids, notes


def methods_grid(result: Reproduced) -> Grid:
    """Return what each name of the paper stands for here."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for part in result.legs:
        for each in part.arms:
            models, selectors = found.setdefault(each.name, ({}, {}))
            models[each.method.backbone] = selectors[each.method.strategy] = None
    rows = [[name, " or ".join(models), " or ".join(selectors)] for name, (models, selectors) in found.items()]
    caption = (
        "Values in brackets are chosen on the validation rows; of several forms, that of the settings of the run (at the end) was taken."
    )
    return Grid("Methods", ["name", "model, loss and enhancement", "selector"], rows, caption)


def chosen_grid(result: Reproduced) -> Grid | None:
    """Return what the validation rows chose for each method that searches, on each data set; ``None`` if none does."""
    rows = []
    for method in result.arms:
        cells = []
        for case in result.cases:
            found = [record.prepared["search"]["chosen"] for record in result.records(method, case.name) if "search" in record.prepared]
            counts = Counter(", ".join(f"{name.rpartition('.')[2]} {_plain(value)}" for name, value in chosen.items()) for chosen in found)
            cells.append("; ".join(text if len(counts) == 1 else f"{text} ({count})" for text, count in counts.most_common()) or "-")
        if any(cell != "-" for cell in cells):
            rows.append([method, *cells])
    if not rows:
        return None
    caption = "In brackets: in how many folds and seeds, where they do not agree."
    return Grid("Chosen on the validation rows", ["method", *(case.name for case in result.cases)], rows, caption)


def data_grid(result: Reproduced, sizes: Mapping[str, Mapping[str, int]]) -> Grid:
    """Return the rows, features and labels that were used, and in brackets those of the paper where they differ.

    Args:
        result: The numbers.
        sizes: Data set -> what the paper says.
    """
    rows = []
    for case in result.cases:
        first = next((record for name in result.arms for record in result.records(name, case.name)), None)
        if first is None:
            rows.append([case.name, case.data, *["-"] * len(_SIZES)])
            continue
        done = first.prepared
        here = {**done["rows"], "d": done["features"], "q": done["labels"]}
        theirs = sizes.get(case.name, {})
        counts = [f"{here[key]}" + (f" ({theirs[key]})" if theirs.get(key, here[key]) != here[key] else "") for key in _SIZES]
        rows.append([case.name, case.data, *counts])
    caption = "Of the first cell. In brackets: in the paper, where it is another number."
    return Grid("Data", ["name", "data", *_SIZES.values()], rows, caption)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plots(result: Reproduced, folder: Path) -> list[Path]:
    """Draw a critical-difference diagram for every metric that enough independent data sets have."""
    files = []
    for metric in result.tested:
        table = independent_table(result, metric)
        if table.shape[0] < 2 or table.shape[1] < 3:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        files.append(plot_ranks(Diagram.of(result.ranked, table, direction(metric)), folder / f"ranks-{metric}.png", title=arrowed(metric)))
    return files
