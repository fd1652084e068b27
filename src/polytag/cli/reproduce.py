"""``polytag reproduce``: the experiment of a paper, as far as its data are here, with ours next to what it prints."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from polytag.bench.reproduce import Leg, Reproduced
    from polytag.papers import Paper

Names = Annotated[list[str] | None, typer.Option("--datasets", help="Data sets by the names of --list. [default: all but optional ones]")]
Rows = Annotated[list[str] | None, typer.Option("--methods", help="Methods by the names of --list. [default: all but optional ones]")]


def reproduce(
    key: Annotated[str, typer.Argument(help="A paper, such as flem-2022, or a TOML file of your own with a CSV file beside it.")],
    data: Annotated[Path | None, typer.Option(help="Folder that holds folders of features. [default: those of POLYTAG_DATA]")] = None,
    datasets: Names = None,
    methods: Rows = None,
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0",
    jobs: Annotated[int, typer.Option(help="Number of processes; the result does not depend on it.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads of each process; last digits may depend on it.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Folder for records and report. [default: polytag-KEY, or polytag-KEY-short]")] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Only list methods and data sets, what is missing, and how to get it.")] = False,
    short: Annotated[bool, typer.Option("--short", help="Only show in seconds that it works, on an embedded data set.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Run nothing: only write the report of what the folder holds.")] = False,
    switch: Annotated[list[str] | None, typer.Option("--set", help="Depart from the paper's protocol, NAME=VALUE: epochs=5.")] = None,
) -> None:
    """Run a paper's experiment on what is here, and print ours next to its numbers; the same command resumes."""
    from polytag.cli.legs import paper_legs, trial_leg
    from polytag.data.catalogue import data_folders
    from polytag.errors import ParameterError
    from polytag.papers import load_paper

    if data is not None and not data.is_dir():
        raise ParameterError(f"expected a folder that holds folders of features for --data, but there is no folder {data}")
    if short and (datasets or methods):
        raise ParameterError("expected no --datasets and no --methods with --short, which has its own; leave --short out to choose")
    paper = load_paper(key)
    folders = [data] if data is not None else data_folders()
    if show_list:
        list_paper(paper, folders)
        return
    missing: dict[str, str] = {}
    changes = {"seeds": _seeds(seeds), **_protocol(switch or [])}
    if short:
        legs = [trial_leg(paper, changes)]
    else:
        legs, missing = paper_legs(paper, folders, datasets, methods, changes)
    if not legs:
        tell_missing(missing)
        typer.echo("Nothing to run: none of these data sets is on this machine.", err=True)
        raise typer.Exit(1)
    how: dict[str, Any] = {"jobs": jobs, "threads": threads, "device": device}
    folder = out or Path(f"polytag-{paper.key}{'-short' * short}")
    if report:
        legs = [part for part in legs if any((folder / part.name / "records").glob("*.json"))]
        if not legs:
            raise ParameterError(f"expected a folder with records of this paper for --report, but {folder} has none; name it with --out")
    raise typer.Exit(run_legs(paper, legs, missing, folder, run=not report, **how))


def run_legs(paper: "Paper", legs: Sequence["Leg"], missing: dict[str, str], out: Path, *, run: bool = True, **how: Any) -> int:
    """Run every leg into a folder of its own, write their reports and the one that compares with the paper, and print it.

    Args:
        paper: The paper.
        legs: What to run.
        missing: Data sets that are not here, and how to get them.
        out: The folder.
        run: Whether to run what is not there yet; otherwise only the reports are written.
        **how: ``jobs``, ``threads`` and ``device`` of ``run_experiment``.

    Returns:
        Exit code: 0, 1 if a cell failed, 130 after Ctrl-C.
    """
    from polytag.bench.report import save_experiment, write_report
    from polytag.bench.reproduce import Reproduced
    from polytag.bench.runner import plan, run_experiment
    from polytag.bench.store import Store
    from polytag.cli.session import Bar, chosen_device, interrupted, tell_failures, wide_console

    how["device"] = chosen_device(how["device"])
    shown: dict[str, Any] = {"extra": paper.extra_metrics, "digits": paper.digits, "tolerance": paper.tolerance}
    result, code, console = Reproduced(legs, paper.printed, paper.printed_rank, **shown), 0, wide_console()
    for part in legs:
        store, outcomes = Store(out / part.name), []
        try:
            cells, hashes = plan(part.experiment)
            save_experiment(store, part.experiment, hashes)
            typer.echo(f"{part.name}: {len(part.cases)} data sets, {len(part.arms)} methods, {len(cells)} cells")
            if run:
                with Bar(console, len(cells), part.experiment.protocol.monitor) as bar:
                    outcomes = run_experiment(part.experiment, store, watch=bar.advance, cells=cells, **how)
        except KeyboardInterrupt:
            return interrupted(store.folder)
        write_report(store, part.experiment, hashes, remarks=[f"Part of the reproduction of {paper.citation}"])
        result.add(part, store, hashes)
        code = max(code, tell_failures(outcomes, store))
    _show(paper, result, missing, out, console.print)
    return code


def _show(paper: "Paper", result: "Reproduced", missing: dict[str, str], out: Path, draw: Callable[..., None]) -> None:
    from polytag.bench.reproduce_report import Frame, write_reproduction

    ran = [case.name for case in result.cases]
    notes = [*paper.notes, *(f"{name}: {note}" for name in ran if (note := paper.dataset_note(name)) is not None)]
    remarks = {one.name: one.note for one in paper.sets} | {one.name: one.note for one in paper.methods}
    notes += [f"{name}: {remarks[name]}" for name in (*ran, *result.arms) if remarks.get(name)]
    for group in paper.groups.values():
        names = list(dict.fromkeys(case.name for part in result.legs if part.group == group.name for case in part.cases))
        if names:
            notes += [f"{method} is left out of {group.name} ({', '.join(names)}): {why}" for method, why in group.without.items()]
    frame = Frame(
        title=paper.title,
        about=[f"{paper.citation}, {paper.url}", f"data sets: {', '.join(ran)}", f"methods: {', '.join(result.arms)}"],
        notes=notes,
        control=paper.control,
        questions=[(question.title, question.pairs) for question in paper.questions],
        sizes={one.name: one.size for one in paper.sets},
        missing=missing,
    )
    grids, notes = write_reproduction(result, out, frame)
    for grid in grids:
        draw(grid.to_rich())
        draw()
    for note in notes:
        typer.echo(f"note: {note}")
    tell_missing(missing)
    typer.echo(f"Report: {out / 'report.md'}, with table.csv beside it, and records in {', '.join(part.name for part in result.legs)}.")


def tell_missing(missing: dict[str, str]) -> None:
    """Say of each data set that is not here how to get it."""
    for name, how in missing.items():
        typer.echo(f"missing: {name}: {how}")


def list_paper(paper: "Paper", folders: Sequence[Path]) -> None:
    """Print what a reproduction would run, and how to get what is missing."""
    from polytag import registry
    from polytag.bench.grid import Grid
    from polytag.cli.legs import in_words
    from polytag.cli.session import wide_console

    def optional(one: Any) -> str:
        return "only if named" if one.optional else ""

    console = wide_console()
    typer.echo(f"{paper.citation}, {paper.url}; protocol {paper.protocol}")
    classical = registry.names("classical")
    rows = []
    for one in paper.methods:
        selector = "" if one.model.split("(")[0] in classical else one.selector
        apart = (one.closure and f"closure {one.closure}", one.protocol and f"protocol {one.protocol}")
        named = (one.model, selector, one.loss, one.enhance, *apart)
        rows.append([one.name, ", ".join(filter(None, named)), _grid(one.search), optional(one), one.note])
    console.print(Grid("Methods", ["name", "model, selector, loss, enhancement", "searched", "run", "remark"], rows).to_rich())
    rows = []
    for each in paper.sets:
        printed = "yes" if each.name in paper.datasets else "no"
        place = each.place(folders)
        own = in_words({**each.protocol, **each.params})
        line = [each.name, printed, place or "missing", each.group, own, optional(each), "" if place else each.how_to_get(), each.note]
        rows.append(line)
    header = ["name", "in the paper", "here as", "group", "settings", "run", "how to get it", "remark"]
    empty = 4 if not any(row[4] for row in rows) else len(header)
    rows = [[cell for at, cell in enumerate(row) if at != empty] for row in (header, *rows)]
    console.print(Grid("Data sets", rows[0], rows[1:]).to_rich())
    for name, switches in paper.protocols.items():
        typer.echo(f"protocol {name}: {in_words(switches)}")
    for group in paper.groups.values():
        left = "; ".join(f"without {method}: {why}" for method, why in group.without.items())
        typer.echo(f"group {group.name}: {group.title or 'all data sets'}{'; ' + left if left else ''}")


def _grid(search: Any) -> str:
    return "; ".join(f"{name} of {', '.join(map(str, values))}" for name, values in search.items())


def _seeds(text: str) -> list[int]:
    from polytag.cli.compare import seeds

    return seeds(text)


def _protocol(switches: Sequence[str]) -> dict[str, Any]:
    """Read switches of the protocol; those of models belong to the paper's file."""
    from polytag.cli.compare import parse_switches
    from polytag.errors import ParameterError

    found = parse_switches(switches)
    wrong = [part for part, values in found.items() if values and part not in ("protocol", "split", "preparation")]
    if wrong:
        raise ParameterError(f"expected switches of the protocol for --set, but got {', '.join(wrong)}; methods are as in the paper's file")
    return {**found["protocol"], **{part: found[part] for part in ("split", "preparation") if found[part]}}
