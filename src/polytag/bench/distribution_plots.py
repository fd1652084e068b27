"""Pictures of label enhancement: recovered label distributions of single rows, and how the losses of model and companion fall."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polytag.bench.plots import file_name, finish
from polytag.bench.rank_plots import short_names
from polytag.bench.results import Results
from polytag.data.plots import figure_class
from polytag.errors import DataError
from polytag.training.plots import curve_style
from polytag.types import Array, ArrayLike

MOST_LABELS = 30
"""Labels drawn of each row: those with the largest degrees."""

_OF_MODEL = ("classification", "distribution")
_OF_ESTIMATOR = ("estimator", "enhancement", "interaction")
_BAND, _TRUE = "#ECECEC", "#000000"


def plot_distributions(
    labels: ArrayLike,
    found: Mapping[str, ArrayLike],
    path: str | Path,
    *,
    rows: Sequence[int],
    truth: ArrayLike | None = None,
    label_names: Sequence[str] = (),
) -> Path:
    """Draw how much each label describes some rows, according to one or more methods: a panel a row, a group of bars a label.

    The names of a row's relevant labels are bold on a grey band. Of more than 30 labels those with the largest
    degrees are drawn, relevant ones first.

    Args:
        labels: Labels 0 and 1, shape (n, q).
        found: Recovered label distributions (n, q) by the name of their method.
        path: File to write; the suffix says the format (``.png``, ``.svg``, ``.pdf``).
        rows: Which rows.
        truth: True label distributions (n, q), where they are known.
        label_names: Names of the labels; numbers by default.

    Returns:
        The path of the file.

    Raises:
        DataError: Shapes differ, there is nothing to draw, or a row does not exist.
        MissingExtraError: matplotlib is not installed.
    """
    Figure = figure_class()
    from matplotlib.patches import Patch

    Y = np.asarray(labels)
    shown = ({} if truth is None else {"truth": truth}) | dict(found)
    degrees = {name: np.asarray(values, dtype=np.float64) for name, values in shown.items()}
    _check(Y, degrees, rows, label_names)
    names = list(label_names) or [f"label {j + 1}" for j in range(Y.shape[1])]
    labels_drawn = min(Y.shape[1], MOST_LABELS)
    columns = 1 if labels_drawn * (1 + len(degrees)) > 30 else min(2, len(rows))
    lines = -(-len(rows) // columns)
    longest = max(map(len, names))
    tilted = labels_drawn > 6 or longest > 9
    width = max(5.2, 0.9 + 0.13 * labels_drawn * (1.6 + len(degrees))) * columns
    figure = Figure(figsize=(min(width, 16.0), (2.2 + (0.3 + 0.055 * min(longest, 22)) * tilted) * lines + 0.8), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    colours = dict(zip(found, (curve_style(1 + number)["color"] for number in range(len(found))))) | (
        {} if truth is None else {"truth": _TRUE}
    )
    for axes, row in zip(panels, rows):
        chosen = _largest(degrees, Y, row, labels_drawn)
        _bars(axes, Y[row, chosen], {name: values[row, chosen] for name, values in degrees.items()}, colours)
        _name_labels(axes, [names[j] for j in chosen], Y[row, chosen], tilted)
        left = f", {labels_drawn} of {Y.shape[1]} labels" if labels_drawn < Y.shape[1] else ""
        axes.set_title(f"row {row}{left}", fontsize=11)
    for axes in panels[len(rows) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("degree", fontsize=11)
    handles = [Patch(color=_BAND, label="relevant label"), *(Patch(color=colours[name], label=name) for name in degrees)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), frameon=False, fontsize=11)
    figure.savefig(path, dpi=150)
    return Path(path)


def plot_parts(results: Results, folder: Path) -> list[Path]:
    """Draw the parts of the training objective over the epochs, a panel a part, a curve a method, one file a data set and model.

    For label enhancement these are the losses of the model f (``classification``, ``distribution``) and, where an estimator g learns
    beside it, g's; other models have parts of their own. Curves are means over folds, of the epochs that all runs reached.

    Args:
        results: The numbers; records without ``parts`` in their history are passed over.
        folder: Where the PNG files go.

    Returns:
        The files.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    Figure = figure_class()
    methods = results.experiment.methods
    named = list(zip(short_names([(method.backbone, method.strategy) for method in methods]), methods))
    files = []
    for dataset in results.datasets:
        for model in dict.fromkeys(method.model for method in methods):
            found = {name: _parts(results, dataset, each.backbone, each.strategy) for name, each in named if each.model == model}
            curves = {name: parts for name, parts in found.items() if parts}
            if curves:
                folder.mkdir(parents=True, exist_ok=True)
                files.append(folder / f"parts-{file_name(dataset)}-{file_name(model)}.png")
                _parts_figure(Figure, curves, f"{model} on {dataset}: parts of the training objective").savefig(files[-1], dpi=150)
    return files


def _check(Y: Array, degrees: Mapping[str, Array], rows: Sequence[int], label_names: Sequence[str]) -> None:
    wrong = {name: values.shape for name, values in degrees.items() if values.shape != Y.shape}
    if Y.ndim != 2 or wrong or not degrees:
        raise DataError(f"expected labels (n, q) and distributions of the same shape, but got {Y.shape} and {wrong or 'no distributions'}")
    if not len(rows) or min(rows) < 0 or max(rows) >= len(Y):
        raise DataError(f"expected some rows between 0 and {len(Y) - 1} to draw, but got {list(rows)}")
    if label_names and len(label_names) != Y.shape[1]:
        raise DataError(f"expected {Y.shape[1]} label names, but got {len(label_names)}")


def _largest(degrees: Mapping[str, Array], Y: Array, row: int, count: int) -> Array:
    """Return the labels of a row to draw, in their own order: the relevant ones first, then by their largest degree."""
    size = np.max([values[row] for values in degrees.values()], axis=0) + 2 * (Y[row] == 1)
    return np.sort(np.argsort(-size, kind="stable")[:count])


def _bars(axes: Any, labels: Array, degrees: Mapping[str, Array], colours: Mapping[str, str]) -> None:
    width = 0.8 / len(degrees)
    for place in np.flatnonzero(labels == 1):
        axes.axvspan(place - 0.5, place + 0.5, color=_BAND, linewidth=0, zorder=0)
    for number, (name, values) in enumerate(degrees.items()):
        places = np.arange(len(values)) + (number - (len(degrees) - 1) / 2) * width
        axes.bar(places, values, width=0.92 * width, color=colours[name], zorder=2)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _name_labels(axes: Any, names: Sequence[str], labels: Array, tilted: bool) -> None:
    short = [(name if len(name) <= 22 else name[:21] + "…").replace("$", r"\$") for name in names]
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if tilted else {}
    axes.set_xticks(np.arange(len(names)), short, fontsize=9, **turned)
    axes.tick_params(axis="x", length=0)
    for text, relevant in zip(axes.get_xticklabels(), labels == 1):
        text.set_fontweight("bold" if relevant else "normal")


def _parts(results: Results, dataset: str, backbone: str, strategy: str) -> dict[str, Array]:
    """Return the mean over cells of each part after each epoch that all of them reached and reported it in."""
    histories = [record.history for record in results.cells(dataset, backbone, strategy).values()]
    names = dict.fromkeys(name for history in histories for epoch in history for name in epoch.get("parts") or {})
    epochs = min(map(len, histories), default=0)
    found = {}
    for name in names:
        values = [[(epoch.get("parts") or {}).get(name) for epoch in history[:epochs]] for history in histories]
        found[name] = np.array(values, dtype=float).mean(axis=0)
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def _parts_figure(kind: Any, curves: Mapping[str, Mapping[str, Array]], title: str) -> Any:
    parts = sorted(dict.fromkeys(part for found in curves.values() for part in found), key=_place)
    columns = min(3, len(parts))
    lines = -(-len(parts) // columns)
    figure = kind(figsize=(4.5 * columns, 3.2 * lines + 1.0), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, part in zip(panels, parts):
        for number, (method, found) in enumerate(curves.items()):
            values = found.get(part, np.array([]))
            style = {**curve_style(number), "linewidth": 1.7, "label": method}
            axes.plot(np.arange(1, len(values) + 1), values, marker="o" if len(values) == 1 else None, **style)
        axes.set_title(_titled(part), fontsize=11)
        finish(axes, "epoch", "mean over the steps" + " ↓" * (not part.startswith("weight_")))  # a weight is neither good nor bad
    for axes in panels[len(parts) :]:
        axes.set_visible(False)
    figure.suptitle(title, fontsize=12)
    handles, names = panels[0].get_legend_handles_labels()
    fitting = int(4.5 * columns / (0.8 + 0.09 * max(map(len, names))))
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), max(1, fitting)), frameon=False, fontsize=11,
                  handlelength=3.2)  # fmt: skip
    return figure


def _place(part: str) -> tuple[int, str]:
    known = (*_OF_MODEL, *_OF_ESTIMATOR)
    return (known.index(part) if part in known else len(known), part)


def _titled(part: str) -> str:
    return f"f: {part}" if part in _OF_MODEL else f"g: {part}" if part in _OF_ESTIMATOR else part
