"""``polytag report``: tables and plots once more, from the records of a folder."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a comparison.")],
    published: Annotated[str | None, typer.Option(help="Show a paper's printed values next to ours, for example adaptive-2024.")] = None,
) -> None:
    """Write and print the report of a comparison, finished or not, without running anything."""
    from polytag.cli.session import show

    show(folder, published)
