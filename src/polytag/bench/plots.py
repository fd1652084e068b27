"""Pictures of convergence: how training loss and validation metric move, one curve a strategy, one file a data set and model."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from polytag.bench.results import Results
from polytag.bench.tables import arrowed
from polytag.data.plots import figure_class
from polytag.training.plots import curve_style
from polytag.types import Array

_BANDS = 6
"""More curves than that are drawn without bands, which would hide each other."""


_MANY = 8
"""Of more models than that, only those are drawn whose strategies can be compared."""


def plot_convergence(results: Results, folder: Path) -> list[Path]:
    """Draw the curves of every data set and model; of many models, only of those that were trained with several strategies.

    Left: mean loss on all training rows after each epoch; middle: the same against seconds of training; right: the monitored metric on
    the validation rows. Lines are means over folds, bands one standard deviation. Without measured training losses only the right one.

    Args:
        results: The numbers.
        folder: Where the PNG files go.

    Returns:
        The files.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    Figure = figure_class()
    files = []
    for dataset in results.datasets:
        for backbone in results.backbones if len(results.backbones) <= _MANY else results.compared:
            strategies = [s for s in results.strategies_of(backbone) if results.cells(dataset, backbone, s)]
            if not any(
                np.isfinite(results.histories(dataset, backbone, s, key)).any() for s in strategies for key in ("valid", "train_loss")
            ):
                continue  # nothing is there yet, or the model is not trained step by step
            figure = _figure(Figure, results, dataset, backbone, strategies)
            folder.mkdir(parents=True, exist_ok=True)
            files.append(folder / f"{file_name(dataset)}-{file_name(backbone)}.png")
            figure.savefig(files[-1], dpi=150)
    return files


def file_name(text: str) -> str:
    """Return a text that any file system takes as a name.

    Example:
        >>> file_name("data/my set.arff")
        'my_set.arff'
    """
    return re.sub(r"[^\w.-]+", "_", text.rsplit("/", 1)[-1]).strip("_")


def _figure(kind: Any, results: Results, dataset: str, backbone: str, strategies: list[str]) -> Any:
    measured = bool(np.isfinite(results.histories(dataset, backbone, strategies[0], "train_loss")).any())
    figure = kind(figsize=(13.5, 4.4) if measured else (6.4, 4.6), layout="constrained")
    axes = list(figure.subplots(1, 3 if measured else 1, squeeze=False)[0])
    for number, strategy in enumerate(results.strategies):
        if strategy not in strategies:
            continue
        style = {**curve_style(number), "linewidth": 1.7, "label": strategy}
        if measured:
            loss = results.histories(dataset, backbone, strategy, "train_loss")
            seconds = np.nanmean(np.cumsum(results.histories(dataset, backbone, strategy, "seconds"), axis=1), axis=0)
            _curve(axes[0], np.arange(1, loss.shape[1] + 1), loss, style, len(strategies) <= _BANDS)
            _curve(axes[1], seconds, loss, style, len(strategies) <= _BANDS)
        valid = results.histories(dataset, backbone, strategy, "valid")
        _curve(axes[-1], np.arange(1, valid.shape[1] + 1), valid, style, len(strategies) <= _BANDS)
    monitor = results.experiment.protocol.monitor
    shown = monitor if monitor == "loss" else arrowed(monitor)
    if measured:
        finish(axes[0], "epoch", "loss on all training rows ↓")
        finish(axes[1], "seconds of training", "loss on all training rows ↓")
    finish(axes[-1], "epoch", f"validation {shown}")
    folds = max(len(results.cells(dataset, backbone, strategy)) for strategy in strategies)
    bands = ", band ± 1 standard deviation" if len(strategies) <= _BANDS else ""
    figure.suptitle(f"{backbone} on {dataset}: mean over {folds} fold{'s' * (folds != 1)}{bands}", fontsize=12)
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5), frameon=False, fontsize=11, handlelength=3.2)
    return figure


def _curve(axis: Any, x: Array, values: Array, style: dict[str, Any], band: bool) -> None:
    """Draw the mean, and a band if wanted; epochs that not all runs reached are left out, because their mean would jump."""
    whole = np.isfinite(values).all(axis=0)
    if not whole.any():
        axis.plot([], [], **style)
        return
    mean, deviation = values[:, whole].mean(axis=0), values[:, whole].std(axis=0)
    axis.plot(x[whole], mean, marker="o" if whole.sum() == 1 else None, **style)
    if band:
        axis.fill_between(x[whole], mean - deviation, mean + deviation, color=style["color"], alpha=0.12, linewidth=0)


def finish(axis: Any, x: str, y: str) -> None:
    """Give an axis its names and the look of all plots here."""
    if x == "epoch":
        axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel(x, fontsize=11)
    axis.set_ylabel(y, fontsize=11)
    axis.tick_params(labelsize=10)
    axis.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
