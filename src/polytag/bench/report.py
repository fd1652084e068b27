"""The folder that a comparison leaves behind: tables, pictures, and everything needed to judge and repeat it."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from polytag.bench.distribution_plots import plot_parts
from polytag.bench.grid import Grid
from polytag.bench.method import Method
from polytag.bench.plots import plot_convergence
from polytag.bench.rank_plots import plot_all_ranks
from polytag.bench.record import Record
from polytag.bench.results import Results
from polytag.bench.spec import Experiment, Protocol
from polytag.bench.store import Store, cell_key, write_whole
from polytag.bench.tables import Published, all_tables, values_csv
from polytag.data.parted import seen_in_training
from polytag.errors import MissingExtraError, ResumeError

_PLOTS: dict[str, Callable[[Results, Path], list[Path]]] = {
    "Which methods differ": plot_all_ranks,
    "Convergence": plot_convergence,
    "Parts of the objective": plot_parts,
}
"""Sections of pictures, as they stand in the report."""


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        results: The numbers.
        tables: The tables, ready to print.
        files: Files of the folder, besides the records.
        notes: What the reader should know: cells that are missing, files that are not records, plots that could not be drawn.
    """

    results: Results
    tables: list[Grid]
    files: list[Path]
    notes: list[str]


def save_experiment(store: Store, experiment: Experiment, hashes: dict[str, str]) -> None:
    """Write down what was asked for last, so that a report can be made from the folder alone.

    Args:
        store: The folder.
        experiment: What was asked for.
        hashes: Content hash of every data set.
    """
    content = {"experiment": experiment.identity() | {"protocol": experiment.protocol.model_dump(mode="json")}, "data": hashes}
    write_whole(store.folder / "experiment.json", json.dumps(content, indent=1))


def load_experiment(folder: Path) -> tuple[Experiment, dict[str, str]]:
    """Read what ``save_experiment`` wrote.

    Raises:
        ResumeError: The folder holds no experiment, or one that this version cannot read.
    """
    path = folder / "experiment.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Experiment(**content["experiment"]), content["data"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ResumeError(f"expected the folder of a comparison with a readable {path.name}, but got {folder} ({error})") from error


def finished(store: Store, experiment: Experiment, hashes: dict[str, str]) -> list[Record]:
    """Return the records of the cells that were asked for, whatever else the folder holds."""
    keys = (cell_key(hashes[c.dataset], c.method, experiment.protocol, c.fold, c.seed) for c in experiment.cells())
    return [record for record in map(store.get, keys) if record is not None]


def write_report(
    store: Store, experiment: Experiment, hashes: dict[str, str], *, published: Published | None = None, remarks: Sequence[str] = ()
) -> Report:
    """Write ``table.md``, ``table.csv``, ``report.md`` and the plots from the records of an experiment.

    Args:
        store: The folder.
        experiment: What the report is about.
        hashes: Content hash of every data set.
        published: Where to look up printed values.
        remarks: Lines to add, such as notes of the paper that the values come from.

    Cost: reads each record once.
    """
    results = Results(experiment, finished(store, experiment, hashes))
    tables, notes = all_tables(results, published), list(store.problems())
    if results.missing:
        notes.append(f"{results.missing} of {len(list(experiment.cells()))} cells have no record yet; the same command runs them")
    plots: dict[str, list[Path]] = {}
    try:
        for title, draw in _PLOTS.items():
            plots[title] = draw(results, store.folder / "plots")
    except MissingExtraError as error:
        notes.append(str(error))
    notes += [*_mixtures(results.records), *_unselected(results.records), *leaks(experiment)]
    text = {
        "table.md": "\n".join(grid.to_markdown() for grid in tables),
        "table.csv": values_csv(results, published),
        "report.md": _report(results, tables, plots, [*remarks, *notes], store.folder),
    }
    for name, content in text.items():
        write_whole(store.folder / name, content)
    return Report(results, tables, [*(store.folder / name for name in text), *chain.from_iterable(plots.values())], notes)


def leaks(experiment: Experiment) -> list[str]:
    """Warn of folders whose features an encoder made that has seen labels of rows which the folds test on."""
    if experiment.protocol.split.get("parts") == "published":
        return []
    return [warning for name in experiment.datasets if (warning := seen_in_training(name)) is not None]


def _report(results: Results, tables: list[Grid], plots: dict[str, list[Path]], notes: Sequence[str], folder: Path) -> str:
    experiment = results.experiment
    lines = ["# Comparison", ""]
    lines += [f"- data sets: {', '.join(results.datasets)}", f"- models: {', '.join(results.backbones)}"]
    lines += [f"- strategies: {', '.join(results.strategies)}", f"- seeds: {', '.join(map(str, experiment.protocol.seeds))}"]
    lines += [f"- cells: {len(results.records)} of {len(list(experiment.cells()))}", ""]
    lines += [f"> {note}" for note in notes] + [""] * bool(notes)
    lines += ["## Results", "", *(grid.to_markdown() for grid in tables)]
    for title, files in plots.items():
        if files:
            lines += [f"## {title}", "", *(f"![{plot.stem}]({plot.relative_to(folder).as_posix()})\n" for plot in files)]
    lines += ["## Protocol", "", _protocol_grid(experiment.protocol).to_markdown()]
    lines += ["The learning rate and weight decay of each model, where the protocol leaves them open:", "", *_rates(results), ""]
    lines += ["## Data", "", _data_grid(results).to_markdown()]
    lines += ["## Where it ran", "", *_environments(results.records), ""]
    return "\n".join(lines)


def _protocol_grid(protocol: Protocol) -> Grid:
    """List every switch, and mark those in which the run departs from the clean protocol."""
    clean = Protocol()
    rows: list[list[str]] = []
    marked: set[tuple[int, int]] = set()
    for name, value in _switches(protocol).items():
        usual = _switches(clean).get(name)
        if value != usual:
            marked.add((len(rows), 1))
        rows.append([name, _shown(value), "" if value == usual else f"clean: {_shown(usual)}"])
    title = f"Preset {protocol.preset}"
    return Grid(title, ["switch", "value", "remark"], rows, "Marked: other than in the clean protocol.", frozenset(marked))


def _switches(protocol: Protocol) -> dict[str, Any]:
    values = protocol.model_dump(mode="json", exclude={"preset"})
    nested = {f"{part}.{name}": value for part in ("split", "preparation") for name, value in values.pop(part).items()}
    return {**values, **nested}


def _shown(value: Any) -> str:
    return "-" if value is None else json.dumps(value) if isinstance(value, dict | list) else str(value)


def _rates(results: Results) -> list[str]:
    """Say what each model was trained with; a strategy that is trained differently has a line of its own."""
    lines = []
    for backbone in results.backbones:
        found: dict[str, str] = {}
        for record in results.records:
            method = Method(**record.method)
            if method.backbone == backbone:
                found[method.strategy] = ", ".join(f"{name} {value:g}" for name, value in record.training.items())
        if len(set(found.values())) == 1:
            lines.append(f"- {backbone}: {next(iter(found.values()))}")
        else:
            lines += [f"- {backbone}, {strategy}: {rates}" for strategy, rates in found.items()]
    return lines


def _data_grid(results: Results) -> Grid:
    header = [
        "data set",
        "n",
        "d",
        "q",
        "labels used",
        "features used",
        "rows dropped",
        "train/valid/test rows of the first fold",
        "content",
    ]
    rows = []
    for name in results.datasets:
        record = next((record for record in results.records if record.dataset["name"] == name), None)
        if record is None:
            rows.append([name, *["-"] * (len(header) - 1)])
            continue
        about, done = record.dataset, record.prepared
        parts = "/".join(str(count) for count in done["rows"].values())
        counts = [about["n"], about["d"], about["q"], done["labels"], done["features"], done["rows_dropped"]]
        rows.append([name, *map(str, counts), parts, about["hash"][:12]])
    return Grid("Data", header, rows)


def _environments(records: Sequence[Record]) -> list[str]:
    """Describe each different environment once, with the number of cells that ran in it."""
    kinds: Counter[str] = Counter()
    for record in records:
        about = record.environment
        versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        machine = f"{about['processor']}, {about['cores']} cores, {about['system']}, device {about['device']}"
        kinds[f"{machine}; {about['threads']} thread(s) a cell; {versions}; code {about.get('code')}"] += 1
    return [f"- {count} cells: {kind}" for kind, count in kinds.most_common()]


def _unselected(records: Sequence[Record]) -> list[str]:
    """Warn of selectors that never came to choose a batch."""
    idle = Counter(r.method["selector"] for r in records if r.history and r.training.get("plain_epochs", 0) >= len(r.history))
    return [
        f"{selector} chose no batch in {count} cells: its warm-up, a plain pass each epoch, took all of them; "
        "ask for more epochs or a shorter one (--set selector.warmup=0)"
        for selector, count in sorted(idle.items())
    ]


def _mixtures(records: Sequence[Record]) -> list[str]:
    """Warn when records were made under different conditions."""
    mixed = []
    for what, values in (
        ("versions of polytag", {record.environment["versions"]["polytag"] for record in records}),
        ("states of the code", {str(record.environment.get("code")) for record in records}),
        ("versions of torch", {record.environment["versions"]["torch"] for record in records}),
        ("devices", {record.environment["device"] for record in records}),
        ("numbers of threads", {str(record.environment["threads"]) for record in records}),
    ):
        if len(values) > 1:
            mixed.append(f"the records come from different {what} ({', '.join(sorted(values))}); they may not compare")
    return mixed
