"""Pictures of training: what selectors pick over time."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polytag.data.plots import figure_class
from polytag.errors import DataError
from polytag.training.selection_log import Picks, SelectionLog

COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#B8A700")
"""Okabe and Ito's colours, which people with any colour vision tell apart, the yellow darkened; lines differ in dashes as well."""
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.2)))

_PANELS: tuple[tuple[str, Callable[[Picks], float]], ...] = (
    ("share of picks with a rare label", lambda picks: picks.rare),
    ("loss of the picked rows / of all rows", lambda picks: picks.loss / picks.loss_all if picks.loss_all > 0 else np.nan),
    ("share of picks that repeat a row", lambda picks: picks.repeats),
    ("share of rows missed in the epoch", lambda picks: picks.missed),
    ("share of rows never picked yet", lambda picks: picks.never),
    ("effective sample size / n", lambda picks: picks.effective),
)


def curve_style(number: int) -> dict[str, Any]:
    """Return colour and dashes of the curve of that number: 24 different ones, alike in all plots."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}


def plot_selection(logs: Mapping[str, SelectionLog], path: str | Path) -> Path:
    """Draw what one or more selectors picked over time, six panels with one curve a selector.

    The grey line says what a uniform choice would pick: the share of the rows with a rare label, the loss of the average row.

    Args:
        logs: The log of each run, by the name that the curve gets; on the same training rows.
        path: File to write; the suffix says the format (``.png``, ``.svg``, ``.pdf``).

    Returns:
        The path of the file.

    Raises:
        DataError: There is no log, or one without epochs.
        MissingExtraError: matplotlib is not installed.
    """
    Figure = figure_class()
    empty = [name for name, log in logs.items() if not log.epochs]
    if empty or not logs:
        raise DataError(
            f"expected logs with at least one epoch, but {', '.join(empty) or 'all of them'} have none; pass them to Trainer first"
        )
    figure = Figure(figsize=(12.5, 7.4), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for axes, (title, value), level in zip(panels, _PANELS, (next(iter(logs.values())).expected["rare"], 1.0, None, None, None, None)):
        for number, (name, log) in enumerate(logs.items()):
            epochs, values = [picks.epoch + 1 for picks in log.epochs], [value(picks) for picks in log.epochs]
            style = curve_style(number)
            axes.plot(epochs, values, label=name, linewidth=1.7, marker="o" if len(epochs) == 1 else None, **style)
        if level is not None:
            axes.axhline(level, color="0.6", linewidth=1.0, zorder=0)
        else:  # a share
            axes.set_ylim(-0.03, 1.03)
        axes.set_title(title, fontsize=11)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[3:]:
        axes.set_xlabel("epoch")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), frameon=False, fontsize=10, handlelength=3.2)
    figure.savefig(path, dpi=130)
    return Path(path)
