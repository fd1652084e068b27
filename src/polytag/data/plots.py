"""Pictures of data sets."""

from pathlib import Path
from typing import Any

import numpy as np

from polytag.data.dataset import Dataset
from polytag.data.stats import imbalance_ratios, mean_imbalance_ratio, minority_labels
from polytag.errors import MissingExtraError

_MAJORITY, _MINORITY = "#4477aa", "#ee6677"


def plot_label_frequencies(dataset: Dataset, path: str | Path) -> Path:
    """Draw how many rows each label has, commonest first, on a logarithmic scale, the minority labels (IRLbl > MeanIR) in another colour.

    Args:
        dataset: Data set.
        path: File to write; the suffix says the format (``.png``, ``.svg``, ``.pdf``).

    Returns:
        The path of the file.

    Raises:
        MissingExtraError: matplotlib is not installed.

    Cost: O(q) to draw.
    """
    Figure = figure_class()
    from matplotlib.patches import Patch

    counts = dataset.labels.counts
    order = np.argsort(-counts, kind="stable")
    rare = np.isin(order, minority_labels(counts))
    mean_ir = mean_imbalance_ratio(imbalance_ratios(counts))
    named = dataset.q <= 30
    figure = Figure(figsize=(8.0, 4.6 if named else 4.0), layout="constrained")
    axes = figure.subplots()
    axes.bar(np.arange(dataset.q), counts[order], width=0.8 if named else 1.0, color=np.where(rare, _MINORITY, _MAJORITY))
    if counts.any():
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.5)  # a label with a single row stays visible
        axes.axhline(counts.max() / mean_ir, color="0.4", linewidth=0.8, linestyle="--")
    else:
        axes.set_ylim(0, 1)
    axes.margins(x=0.01)
    if named:
        axes.set_xticks(np.arange(dataset.q), [_short(dataset.label_names[j]) for j in order], rotation=45, ha="right", fontsize=8)
    axes.set_xlabel("" if named else "labels, commonest first")
    axes.set_ylabel("rows with the label")
    axes.set_title(
        f"{_short(dataset.name or 'data set')}: n = {dataset.n:,}, d = {dataset.d:,}, q = {dataset.q:,}, MeanIR = {mean_ir:.2f}",
        fontsize=10,
    )
    rows = [
        Patch(color=_MAJORITY, label=f"{int((~rare).sum())} other labels"),
        Patch(color=_MINORITY, label=f"{int(rare.sum())} minority labels (below the dashed line)"),
    ]
    axes.legend(handles=rows, frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    return Path(path)


def _short(name: str) -> str:
    return (name if len(name) <= 24 else name[:23] + "…").replace("$", r"\$")  # a dollar sign would start a formula


def figure_class() -> Any:
    """Return matplotlib's ``Figure``, which draws without a window and without global state.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib; install it with: pip install 'polytag[plots]'") from error
    return Figure
