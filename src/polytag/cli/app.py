"""The commands together, and what happens when one of them fails."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from polytag import __version__
from polytag.cli import compare, datasets, demo, features, hierarchy, methods, report, reproduce
from polytag.errors import ParameterError, PolytagError, UnknownNameError

app = typer.Typer(
    name="polytag",
    help="Deep multi-label classification: compare batch selectors and models fairly, on real data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("compare")(compare.compare)
app.command("features")(features.features)
app.command("report")(report.report)
app.command("reproduce")(reproduce.reproduce)
app.command("methods")(methods.methods)
app.command("hierarchy")(hierarchy.hierarchy)
app.add_typer(datasets.app, name="datasets")


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False) -> None:
    """Deep multi-label classification: compare batch selectors and models fairly, on real data."""
    if version:
        typer.echo(f"polytag {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 asked for something impossible, 130 stopped by Ctrl-C.

    Args:
        arguments: Words after the command; those of the process by default.
    """
    try:
        app(args=None if arguments is None else list(arguments), prog_name="polytag")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except PolytagError as error:
        for line in str(error).splitlines():
            typer.echo(f"polytag: {line}", err=True)
        return 2 if isinstance(error, ParameterError | UnknownNameError) else 1
    except BrokenPipeError:  # the reader of a pipe has left
        sys.stderr.close()
        return 1
    return 0
