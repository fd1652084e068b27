"""``polytag hierarchy``: what a hierarchy of labels looks like, and whether the rows obey it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from polytag.data.dataset import Dataset
    from polytag.hierarchy import Hierarchy

_TEXTS = {
    "shape": "shape",
    "labels": "labels",
    "edges": "edges (label, parent)",
    "levels": "levels",
    "labels_per_level": "labels on each level",
    "tops": "labels without a parent",
    "leaves": "labels without a child",
    "several_parents": "labels with several parents",
    "most_parents": "most parents of a label",
    "parts": "parts that are not connected",
    "single_labels": "of these, single labels",
    "rows": "rows",
    "mean_labels_declared": "labels a row, as declared",
    "mean_labels_closed": "labels a row, with all ancestors",
    "ancestors_added": "ancestors that closing adds, over all rows",
    "rows_violating": "rows with a label without its parent, as declared",
    "labels_without_rows": "labels without a row",
}


def hierarchy(
    source: Annotated[str, typer.Argument(metavar="NAME_OR_PATH", help="A data set by name or file, or the file of a hierarchy.")],
    plot: Annotated[Path | None, typer.Option(help="Draw the tree or graph into this PNG, SVG or PDF file.")] = None,
    output: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
    closed: Annotated[
        bool, typer.Option("--closed", help="Count in the plot the rows of a label together with those of all below it.")
    ] = False,
    given: Annotated[
        str | None,
        typer.Option("--hierarchy", help="Where the data have none: its file, or the separator of label names that are paths, such as /."),
    ] = None,
    label_columns: Annotated[str | None, typer.Option(help="Columns of the labels of a table, separated by commas.")] = None,
) -> None:
    """Describe a hierarchy of labels: levels, leaves, parts, and the rows that have a label without its parent.

    Files of hierarchies are tables of a label and its parent, lists of edges, and OBO.
    """
    from polytag.data.hierarchy_report import describe_hierarchy, read_declared
    from polytag.errors import ParameterError

    if output not in ("text", "json"):
        raise ParameterError(f"expected --format text or json, but got {output!r}")
    known, dataset = read_declared(source, given, None if label_columns is None else label_columns.split(","))
    found = describe_hierarchy(known, dataset)
    if output == "json":
        typer.echo(json.dumps({"name": source, **found}, indent=1))
    else:
        _show(source, found)
    if plot is not None:
        _draw(source, known, dataset, plot, closed)
        typer.echo(f"plot: {plot}", err=output == "json")


def _show(source: str, found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "", show_header=False, box=None, title=source, title_justify="left")
    table.columns[1].overflow = "fold"
    for name, value in found.items():
        if isinstance(value, list):
            text = ", ".join(f"{count:,}" for count in value)
        else:
            text = f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        table.add_row(_TEXTS[name], text)
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)


def _draw(source: str, known: "Hierarchy", dataset: "Dataset | None", path: Path, closed: bool) -> None:
    from dataclasses import replace

    from polytag.data.hierarchy_plots import plot_hierarchy

    counts = None
    if dataset is not None:
        counts = (replace(dataset, Y=known.close(dataset.Y)) if closed else dataset).labels.counts
    plot_hierarchy(known, path, counts=counts, title=Path(source).name)
