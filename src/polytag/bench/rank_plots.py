"""Critical-difference diagrams: which methods differ over several data sets, and which cannot be told apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from polytag.bench import stats
from polytag.bench.method import NO_SELECTOR
from polytag.bench.plots import file_name
from polytag.bench.results import Results, direction
from polytag.bench.tables import arrowed
from polytag.data.plots import figure_class
from polytag.errors import DataError
from polytag.types import Array, ArrayLike

_INCH_A_LINE = 0.3
_MARGINS = 1.35
"""Inches for title, axis and the line below, besides the lines of names and bars."""


@dataclass(frozen=True)
class Diagram:
    """What a critical-difference diagram shows.

    Attributes:
        names: Methods.
        ranks: Average rank of each, 1 is best.
        difference: The critical difference: closer average ranks cannot be told apart.
        groups: Largest sets of methods within it, as numbers of methods, best rank first.
        p: p-value of the Friedman test in the form of Iman and Davenport.
        blocks: Number of data sets.
    """

    names: tuple[str, ...]
    ranks: Array
    difference: float
    groups: list[tuple[int, ...]]
    p: float
    blocks: int

    @classmethod
    def of(cls, names: Sequence[str], values: ArrayLike, better: Literal["max", "min"], *, alpha: float = 0.05) -> Self:
        """Work out ranks, Friedman test and Nemenyi's critical difference.

        Args:
            names: Methods.
            values: A number for each data set and method, shape (N, k).
            better: Whether large or small is good.
            alpha: Level of Nemenyi's test.

        Raises:
            DataError: Fewer than three methods or two data sets, a NaN, or not one name a method.

        Example:
            >>> shown = Diagram.of("abc", [[3, 2, 1], [3, 1, 2], [9, 5, 4], [8, 6, 5], [7, 4, 3]], "max")
            >>> shown.ranks.tolist(), round(shown.difference, 3), shown.groups
            ([1.0, 2.2, 2.8], 1.482, [(0, 1), (1, 2)])
        """
        test = stats.friedman(values, better)
        blocks, k = np.shape(values)
        if len(names) != k:
            raise DataError(f"expected one name a method, but got {len(names)} names and {k} columns of values")
        difference = stats.critical_difference(k, blocks, alpha)
        return cls(tuple(names), test.ranks, difference, stats.indistinct_groups(test.ranks.tolist(), difference), test.f_p, blocks)


def plot_ranks(diagram: Diagram, path: str | Path, *, title: str = "") -> Path:
    """Draw a critical-difference diagram: methods by average rank, best at the left; a bar joins methods that do not differ.

    Args:
        diagram: What to show.
        path: File to write; the suffix says the format (``.png``, ``.svg``, ``.pdf``).
        title: What was ranked.

    Returns:
        The path of the file.

    Raises:
        MissingExtraError: matplotlib is not installed.

    Reference: Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006.
    """
    Figure = figure_class()
    k = len(diagram.names)
    levels = _levels(diagram)
    bars = 1 + max(levels, default=-1)
    lines = 0.55 * bars + 0.6 + (k + 1) // 2
    longest = max(map(len, diagram.names))
    figure = Figure(figsize=(max(8.0, 5.2 + 0.18 * longest), _MARGINS + _INCH_A_LINE * lines), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(1 - 0.04 * (k - 1), k + 0.04 * (k - 1))
    axes.set_ylim(lines + 0.3, -2.0)
    axes.set_axis_off()
    _draw_axis(axes, k)
    _draw_difference(axes, diagram)
    for group, level in zip(diagram.groups, levels):
        ends = diagram.ranks[list(group)]
        axes.plot([ends.min() - 0.012 * k, ends.max() + 0.012 * k], [0.5 + 0.55 * level] * 2, color="#D55E00", linewidth=4.0,
                  solid_capstyle="round", gid="indistinct")  # fmt: skip
    _draw_names(axes, diagram, first=0.9 + 0.55 * bars)
    axes.set_title(title, fontsize=12)
    figure.supxlabel(_verdict(diagram), fontsize=10, color="0.25")
    figure.savefig(path, dpi=150)
    return Path(path)


def plot_all_ranks(results: Results, folder: Path) -> list[Path]:
    """Draw a diagram for every metric, over all methods of an experiment and its independent data sets (one a family).

    Args:
        results: The numbers.
        folder: Where the PNG files go.

    Returns:
        The files; none with fewer than three methods, or for a metric that fewer than two data sets have of all methods.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    methods = [(method.backbone, method.strategy) for method in results.experiment.methods]
    files = []
    for metric in results.ranked:
        table = np.array([[results.mean(name, *method, metric) for method in methods] for name in results.blocks().names])
        whole = table[~np.isnan(table).any(axis=1)]
        if len(methods) < 3 or len(whole) < 2:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"ranks-{file_name(metric)}.png"
        files.append(
            plot_ranks(Diagram.of(short_names(methods), whole, direction(metric)), path, title=f"Average ranks, {arrowed(metric)}")
        )
    return files


def short_names(methods: Sequence[tuple[str, str]]) -> list[str]:
    """Return names of methods (model and selector) for pictures: what all of them share is left out.

    Example:
        >>> short_names([("linear", "random"), ("linear+flem", "random"), ("mlknn", "none")])
        ['linear', 'linear+flem', 'mlknn']
        >>> short_names([("linear", "random"), ("linear", "hard")])
        ['random', 'hard']
    """
    backbones = {backbone for backbone, _ in methods}
    strategies = {strategy for _, strategy in methods} - {NO_SELECTOR}
    if len(backbones) == 1 and len(strategies) > 1:
        return [strategy for _, strategy in methods]
    alone = len(strategies) < 2
    return [backbone if alone or strategy == NO_SELECTOR else f"{backbone}, {strategy}" for backbone, strategy in methods]


def _levels(diagram: Diagram) -> list[int]:
    """Return for each bar how far down it is drawn, so that no two touch."""
    ends: list[float] = []
    levels = []
    for group in diagram.groups:  # from left to right
        ranks = diagram.ranks[list(group)]
        level = next((number for number, end in enumerate(ends) if end + 0.05 * len(diagram.names) < ranks.min()), len(ends))
        ends[level : level + 1] = [float(ranks.max())]
        levels.append(level)
    return levels


def _draw_axis(axes: Any, k: int) -> None:
    axes.plot([1, k], [0, 0], color="black", linewidth=1.2)
    step = max(1, round(k / 12))
    for rank in range(1, k + 1):
        named = (rank - 1) % step == 0
        axes.plot([rank, rank], [0, -0.28 if named else -0.16], color="black", linewidth=1.0)
        if named:
            axes.text(rank, -0.36, str(rank), ha="center", va="bottom", fontsize=10)


def _draw_difference(axes: Any, diagram: Diagram) -> None:
    """Draw the critical difference as a ruler above the axis; one that is longer than the axis has no right end."""
    k = len(diagram.names)
    end = min(1 + diagram.difference, float(k))
    whole = end == 1 + diagram.difference
    axes.plot([1, end], [-1.12, -1.12], color="black", linewidth=1.4)
    for place in (1, end) if whole else (1,):
        axes.plot([place, place], [-1.26, -0.98], color="black", linewidth=1.4)
    longer = "" if whole else ", longer than the axis"
    axes.text(1, -1.34, f"critical difference {diagram.difference:.2f}{longer}", ha="left", va="bottom", fontsize=10)


def _draw_names(axes: Any, diagram: Diagram, first: float) -> None:
    """Write the better half of the methods at the left, the others at the right, each joined to its place on the axis."""
    k = len(diagram.names)
    order = [int(method) for method in np.argsort(diagram.ranks, kind="stable")]
    half = (k + 1) // 2
    for place, method in enumerate(order):
        left = place < half
        line = first + (place if left else k - 1 - place)
        rank, edge = float(diagram.ranks[method]), 1 - 0.03 * (k - 1) if left else k + 0.03 * (k - 1)
        axes.plot([rank, rank, edge], [0, line, line], color="0.35", linewidth=0.9, solid_joinstyle="miter")
        name, number = diagram.names[method].replace("$", r"\$"), f"{rank:.2f}"
        text = f"{name}  {number}" if left else f"{number}  {name}"
        axes.text(edge, line, f" {text} ", ha="right" if left else "left", va="center", fontsize=11, gid="method")


def _verdict(diagram: Diagram) -> str:
    p = f"p = {diagram.p:.2g}" if diagram.p >= 1e-4 else "p < 0.0001"
    if diagram.p >= 0.05:
        return f"Friedman test over {diagram.blocks} data sets: {p}, no difference can be claimed"
    return f"Friedman test over {diagram.blocks} data sets: {p}; a bar joins methods that Nemenyi's test cannot tell apart at 5 %"
