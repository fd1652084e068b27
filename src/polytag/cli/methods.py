"""``polytag methods``: what can be asked for by name."""

import typer


def methods() -> None:
    """List models, batch selectors, losses, label enhancements and metrics with one line each."""
    from rich.console import Console
    from rich.table import Table

    from polytag import metrics, registry

    console = Console()
    for kind in ("model", "classical", "selector", "loss", "enhancer", "metric"):
        table = Table(
            title={"loss": "losses", "classical": "classical models", "enhancer": "label enhancements"}.get(kind, f"{kind}s"),
            title_justify="left",
            box=None,
            show_header=False,
            padding=(0, 2),
        )
        for name in registry.names(kind):
            about = (registry.get(kind, name).__doc__ or "").strip().splitlines()
            arrow = {"max": "↑", "min": "↓"}[metrics.direction(name)] if kind == "metric" else ""
            table.add_row(f"{name} {arrow}".strip(), about[0].replace("``", "") if about else "")
        if table.row_count:
            console.print(table)
            typer.echo()
