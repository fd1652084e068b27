"""``polytag datasets``: what the catalogue holds, what a set looks like, and how to get it."""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="List, describe and fetch data sets.", no_args_is_help=True)


@app.command("list")
def list_sets() -> None:
    """List the catalogue with the size of every set and whether it is on this machine."""
    from rich.console import Console
    from rich.table import Table

    from polytag.data import catalogue

    console = Console()
    table = Table(title="Data sets", title_justify="left")
    for name, justify in (("name", "left"), ("domain", "left"), ("n", "right"), ("d", "right"), ("q", "right"), ("card", "right"),
                          ("MeanIR", "right"), ("family", "left"), ("here", "left")):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for entry in catalogue.entries():
        expected = entry.expected
        sizes = (f"{expected.n:,}", f"{expected.d:,}", f"{expected.q:,}", _rounded(expected.cardinality), _rounded(expected.mean_ir))
        here = "embedded" if not entry.files else "-" if catalogue.missing(entry) else "yes"
        table.add_row(entry.name, entry.domain, *sizes, entry.family, here)
    (console if console.is_terminal else Console(width=140)).print(table)


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="A name of `polytag datasets list`, a file, or a folder of features.")],
    plot: Annotated[Path | None, typer.Option(help="Draw how frequent the labels are into this PNG file.")] = None,
) -> None:
    """Describe a data set: where it is from, and the measures of its labels, computed from the data."""
    from rich.console import Console
    from rich.table import Table

    from polytag.data import catalogue
    from polytag.data.stats import describe

    dataset = catalogue.load_dataset(name)
    table = Table("", "", show_header=False, box=None, title=name, title_justify="left")
    table.columns[1].overflow = "fold"
    if not Path(name).exists():
        entry = catalogue.entry(name)
        for field in ("title", "summary", "domain", "family", "licence", "citation", "source", "note"):
            if getattr(entry, field):
                table.add_row(field, str(getattr(entry, field)))
    for measure, value in describe(dataset).items():
        table.add_row(measure, _rounded(value))
    if dataset.hierarchy is not None:
        known = dataset.hierarchy
        shape = "tree" if known.is_tree else "graph"
        table.add_row("hierarchy", f"{shape} on {known.depth} levels, {len(known.edges):,} edges; see `polytag hierarchy {name}`")
    Console().print(table)
    if plot is not None:
        from polytag.data.plots import plot_label_frequencies

        plot_label_frequencies(dataset, plot)
        typer.echo(f"plot: {plot}")


@app.command()
def fetch(names: Annotated[list[str], typer.Argument(help="Names of `polytag datasets list`.")]) -> None:
    """Download data sets, check them, and say where they are."""
    from polytag.data import catalogue

    for name in names:
        for part, path in catalogue.fetch(name).items():
            typer.echo(f"{catalogue.entry(name).name} {part}: {path}")


def _rounded(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
