"""``polytag demo``: a comparison on the embedded data set, without a download."""

import os
from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for records and report.")] = Path("polytag-demo"),
    short: Annotated[bool, typer.Option("--short", help="Only show that everything works: fewer folds and epochs.")] = False,
    jobs: Annotated[int | None, typer.Option(help="Number of processes. [default: one a core, four at most]")] = None,
) -> None:
    """Compare Random, Hard, Adaptive and AdaC with CLIF on the embedded data set digits-scenes, in under two minutes on two cores."""
    from polytag.bench.spec import Experiment
    from polytag.cli.session import run_and_report

    experiment = Experiment.grid(
        ["digits-scenes"],
        ["clif"],
        ["random", "hard", "adaptive", "adac"],
        protocol={"folds": 2 if short else 5, "epochs": 5 if short else 10},
    )
    typer.echo("digits-scenes: several handwritten digits on one canvas; labels say which digits are there, and more. Model: CLIF.")
    raise typer.Exit(run_and_report(experiment, out, jobs=jobs or min(os.cpu_count() or 1, 4), device="cpu"))
