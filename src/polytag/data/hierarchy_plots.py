"""Pictures of hierarchies: a tree or graph of labels, coloured by how well each is predicted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polytag.data.hierarchy_layout import Layout, lay_out
from polytag.data.plots import figure_class
from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.types import Array, ArrayLike

_NAMED = 60
_GREY, _PLAIN, _LINE, _ACROSS = "#c8c8c8", "#dbe6f1", "#9a9a9a", "#c98a6b"
_ROW, _POINT = 0.27, 1 / 72


def plot_hierarchy(
    hierarchy: Hierarchy,
    path: str | Path,
    values: Mapping[str, float] | ArrayLike | None = None,
    counts: Mapping[str, float] | ArrayLike | None = None,
    title: str = "",
    *,
    value_name: str = "F1",
    limits: tuple[float, float] | None = None,
    style: Literal["auto", "nodes", "bands"] = "auto",
) -> Path:
    """Draw a hierarchy from left to right, each label once, at its level; its colour is a value, such as its F1.

    Args:
        hierarchy: Tree or graph. In a graph a label stands below one of its parents; the edges to the others run across.
        path: File to write; the suffix says the format (``.png``, ``.svg``, ``.pdf``).
        values: A number for each label, by name or in their order; NaN (or no entry) is drawn grey. ``None``: no colours.
        counts: Number of rows of each label; it is written behind the name, and decides the size of the node.
        title: Above the picture.
        value_name: What the values are, beside the colour bar.
        limits: Values at the ends of the colour bar; ``None``: 0 and 1 if all values lie between them, else the lowest and the highest.
        style: ``"nodes"``: points with names; ``"bands"``: a column for each level in which each label has a stretch as long as those below
            it together, named where there is room; ``"auto"``: nodes up to 60 labels.

    Returns:
        The path of the file.

    Raises:
        DataError: Values or counts do not fit the labels.
        ParameterError: There is no such style.
        MissingExtraError: matplotlib is not installed.

    Cost: O(q + edges) to draw; a second for 5 000 labels.

    Example:
        >>> import tempfile
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")])
        >>> plot_hierarchy(h, Path(tempfile.mkdtemp()) / "pets.png", values={"animal": 0.9, "cat": 0.7}).name
        'pets.png'
    """
    if style not in ("auto", "nodes", "bands"):
        raise ParameterError(f"expected style to be 'auto', 'nodes' or 'bands', but got {style!r}")
    value, count = _aligned(values, hierarchy, "values"), _aligned(counts, hierarchy, "counts")
    place = lay_out(hierarchy)
    drawn = style if style != "auto" else "nodes" if hierarchy.q <= _NAMED else "bands"
    colours, scale = _colours(value, limits)
    figure, axes = (_draw_nodes if drawn == "nodes" else _draw_bands)(hierarchy, place, colours, count)
    if scale is not None:
        bar = figure.colorbar(scale, ax=axes, fraction=0.03, pad=0.015, aspect=25, shrink=0.6 if hierarchy.q > 15 else 1.0)
        bar.set_label(value_name, fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
    shape = "tree" if hierarchy.is_tree else "graph"
    said = f"{shape} of {hierarchy.q:,} label{'s' * (hierarchy.q != 1)} on {hierarchy.depth} level{'s' * (hierarchy.depth != 1)}"
    undefined = 0 if value is None else int(np.isnan(value).sum())
    said += f"; grey: {value_name} undefined ({undefined})" if undefined else ""
    axes.set_title(f"{_safe(title)}\n{said}" if title else said, fontsize=10, loc="left")
    figure.savefig(path, dpi=130)
    return Path(path)


def short_names(hierarchy: Hierarchy, parent: Array) -> list[str]:
    """Return names without what the parent they are drawn below says already: ``animal/cat`` below ``animal`` is ``cat``."""
    names = []
    for name, above in zip(hierarchy.names, parent):
        start = hierarchy.names[above] if above >= 0 else ""
        rest = (
            name.removeprefix(start).lstrip("/.|>: ") if start and name.startswith(start) and not name[len(start) :][:1].isalnum() else ""
        )
        names.append(rest or name)
    return names


def _aligned(given: Any, hierarchy: Hierarchy, what: str) -> Array | None:
    """Return numbers in the order of the labels, NaN where there are none."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        known = set(hierarchy.names)
        unknown = [name for name in given if name not in known]
        if unknown:
            raise DataError(f"expected {what} for labels of the hierarchy, but got {unknown[:5]}; drop them")
        return np.array([given.get(name, np.nan) for name in hierarchy.names], dtype=np.float64)
    array = np.asarray(given, dtype=np.float64)
    if array.shape != (hierarchy.q,):
        raise DataError(f"expected {what} of shape ({hierarchy.q},), one for each label of the hierarchy, but got {array.shape}")
    return array


def _colours(value: Array | None, limits: tuple[float, float] | None) -> tuple[Any, Any]:
    """Return the colour of each label, or ``None``, and what the colour bar shows."""
    if value is None or np.isnan(value).all():
        return None if value is None else np.full(len(value), _GREY), None
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, to_rgba

    low, high = limits or ((0.0, 1.0) if np.nanmin(value) >= 0 and np.nanmax(value) <= 1 else (np.nanmin(value), np.nanmax(value)))
    scale = ScalarMappable(Normalize(low, high, clip=True), colormaps["RdYlBu"])
    colours = scale.to_rgba(np.nan_to_num(value, nan=low))
    colours[np.isnan(value)] = to_rgba(_GREY)
    return colours, scale


def _draw_nodes(hierarchy: Hierarchy, place: Layout, colours: Any, count: Array | None) -> tuple[Any, Any]:
    """Draw a point for each label with its name at its right, and curves between them."""
    Figure = figure_class()
    names = [_safe(name if len(name) <= 30 else name[:29] + "…") for name in short_names(hierarchy, place.parent)]
    if count is not None:
        names = [f"{name}  ({int(rows):,})" if np.isfinite(rows) else name for name, rows in zip(names, count)]
    widest = [max(len(names[k]) for k in np.flatnonzero(place.level == level)) for level in range(hierarchy.depth)]
    room = np.array([0.3 + 0.07 * letters for letters in widest])
    left = np.concatenate([[0.0], np.cumsum(room + 0.35)])
    rows = int(place.width[place.parent < 0].sum())
    width = max(5.0, left[-1] + 1.2)
    figure = Figure(figsize=(width, max(2.0, 0.8 + _ROW * rows)), layout="constrained")
    axes = figure.subplots()
    x, y = left[place.level], place.middle
    _draw_curves(axes, hierarchy, place, x, y, room)
    area = np.full(hierarchy.q, 60.0) if count is None else 24 + 120 * np.sqrt(np.nan_to_num(count) / np.nanmax([*count, 1]))
    axes.scatter(x, y, s=area, c=_PLAIN if colours is None else colours, edgecolors="0.35", linewidths=0.7, zorder=3)
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}  # so that no line runs through a name
    for k, name in enumerate(names):
        place_at = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5}
        axes.annotate(name, (x[k], y[k]), bbox=behind, zorder=2, **place_at)
    axes.set_xlim(-0.2, width - 1.2)  # so that a unit is about an inch, as the room for names assumes
    axes.set_ylim(rows + 0.1, -0.1)
    axes.set_axis_off()
    return figure, axes


def _draw_curves(axes: Any, hierarchy: Hierarchy, place: Layout, x: Array, y: Array, room: Array) -> None:
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path as Curve

    within: list[Curve] = []
    across: list[Curve] = []
    for child, parent in hierarchy.edges:
        start = min(x[parent] + room[place.level[parent]] - 0.05, x[child] - 0.2) if place.parent[child] == parent else x[parent]
        half = (start + x[child]) / 2
        corners = [(x[parent], y[parent]), (start, y[parent]), (half, y[parent]), (half, y[child]), (x[child], y[child])]
        codes = [Curve.MOVETO, Curve.LINETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
        (within if place.parent[child] == parent else across).append(Curve(corners, codes))
    for curves, colour, style in ((within, _LINE, "-"), (across, _ACROSS, (0, (3, 2)))):
        axes.add_collection(PathCollection(curves, facecolors="none", edgecolors=colour, linewidths=0.9, linestyles=[style], zorder=1))


def _draw_bands(hierarchy: Hierarchy, place: Layout, colours: Any, count: Array | None) -> tuple[Any, Any]:
    """Draw a column for each level, each label a box as high as all below it; names where they fit."""
    Figure = figure_class()
    from matplotlib.collections import PolyCollection

    rows = int(place.width[place.parent < 0].sum())
    height = float(np.clip(rows * 0.045, 6.0, 13.0))
    band = min(2.2, 14.0 / hierarchy.depth)
    figure = Figure(figsize=(max(5.0, band * hierarchy.depth + 1.4), height + 0.9), layout="constrained")
    axes = figure.subplots()
    low, high = place.start.astype(float), (place.start + place.width).astype(float)
    left, right = place.level + 0.0, place.level + 0.97
    corners = np.stack([np.stack([left, right, right, left], axis=1), np.stack([low, low, high, high], axis=1)], axis=2)
    boxes = PolyCollection(list(corners), facecolors=_PLAIN if colours is None else colours)
    boxes.set_edgecolor("white")
    boxes.set_linewidth(0.6 if rows <= 700 else 0.1)
    axes.add_collection(boxes)
    inch = height * 0.93 / rows
    for k, name in enumerate(short_names(hierarchy, place.parent)):
        tall = place.width[k] * inch
        size = float(np.clip(tall / _POINT * 0.72, 5.5, 9.0))
        letters = int(band * 0.93 / (size * _POINT * 0.56))
        if tall < 7.0 * _POINT or letters < 2:
            continue
        rows_here = f" ({int(count[k]):,})" if count is not None and np.isfinite(count[k]) else ""
        text = name + rows_here if len(name) + len(rows_here) <= letters else name if len(name) <= letters else name[: letters - 1] + "…"
        dark = colours is not None and len(np.shape(colours)) == 2 and np.dot(colours[k][:3], (0.3, 0.59, 0.11)) < 0.5
        axes.text(left[k] + 0.03, (low[k] + high[k]) / 2, _safe(text), va="center", fontsize=size, color="white" if dark else "0.1")
    sizes, shown = np.bincount(place.level), np.arange(0, hierarchy.depth, -(-hierarchy.depth // 20))
    axes.set_xticks(shown + 0.485, [f"level {k + 1}\n{sizes[k]:,}" for k in shown], fontsize=8)
    axes.xaxis.set_ticks_position("top")
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.set_xlim(0, hierarchy.depth)
    axes.set_ylim(rows, 0)
    axes.spines[:].set_visible(False)
    return figure, axes


def _safe(name: str) -> str:
    return name.replace("$", r"\$")  # a dollar sign would start a formula
