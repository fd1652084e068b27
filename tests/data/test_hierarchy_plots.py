"""Pictures of hierarchies: labels stand beside each other and never on each other, and what does not fit is refused."""

from pathlib import Path

import numpy as np
import pytest

from polytag.data.digits import load_digits_scenes
from polytag.data.hierarchy_layout import lay_out
from polytag.data.hierarchy_plots import plot_hierarchy, short_names
from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy


def random_graph(q: int, edges: int, seed: int) -> Hierarchy:
    rng = np.random.default_rng(seed)
    child = rng.integers(1, q, size=edges) if q > 1 else np.zeros(0, dtype=int)
    return Hierarchy(tuple(f"label {k}" for k in range(q)), np.stack([child, rng.integers(0, np.maximum(child, 1))], axis=1))


def picture(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return imread(path)


@pytest.mark.parametrize("seed", range(20))
def test_no_label_stands_on_another(seed: int) -> None:
    q = [1, 2, 7, 60][seed % 4]
    hierarchy = random_graph(q, [0, q, 2 * q][seed % 3], seed)
    place = lay_out(hierarchy)
    np.testing.assert_array_equal(place.level, hierarchy.levels - 1)
    for level in range(hierarchy.depth):
        labels = np.flatnonzero(place.level == level)
        order = labels[np.argsort(place.start[labels])]
        ends = place.start[order] + place.width[order]
        assert (ends[:-1] <= place.start[order][1:]).all()
        assert (np.diff(place.middle[order]) >= 1 - 1e-9).all()
    drawn = np.flatnonzero(place.parent >= 0)
    above = place.parent[drawn]
    assert set(zip(drawn.tolist(), above.tolist())) <= set(map(tuple, hierarchy.edges.tolist()))
    np.testing.assert_array_equal(drawn, np.flatnonzero(hierarchy.levels > 1))
    assert (place.level[above] == place.level[drawn] - 1).all()
    assert (place.start[above] <= place.start[drawn]).all()
    assert (place.start[drawn] + place.width[drawn] <= place.start[above] + place.width[above]).all()


def test_siblings_keep_their_order_and_single_labels_come_last() -> None:
    scenes = load_digits_scenes(30).hierarchy
    assert scenes is not None
    place = lay_out(scenes)
    tops = sorted(np.flatnonzero(place.level == 0), key=lambda k: place.start[k])
    assert [scenes.names[k] for k in tops[-2:]] == ["same parity", "repeated digit"]
    even = [k for k in np.argsort(place.start, kind="stable") if place.parent[k] == scenes.names.index("even digit")]
    assert [scenes.names[k] for k in even] == ["digit 0", "digit 2", "digit 4", "digit 6", "digit 8"]


def test_names_leave_out_what_the_parent_says() -> None:
    names = ("animal", "animal/cat", "animalist", "plant", "animal/cat/tabby")
    hierarchy = Hierarchy(names, np.array([[1, 0], [2, 0], [4, 1]]))
    assert short_names(hierarchy, np.array([-1, 0, 0, -1, 1])) == ["animal", "cat", "animalist", "plant", "tabby"]


@pytest.mark.parametrize("style", ["nodes", "bands"])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_draws_trees_graphs_and_single_labels(style, suffix: str, tmp_path: Path) -> None:
    for k, hierarchy in enumerate([random_graph(1, 0, 0), random_graph(5, 0, 0), random_graph(40, 60, 1)]):
        values = np.linspace(0, 1, hierarchy.q)
        values[0] = np.nan
        path = plot_hierarchy(hierarchy, tmp_path / f"{k}.{suffix}", values, np.arange(hierarchy.q), "costs $5", style=style)
        assert path.stat().st_size > 3000


def test_colours_tell_values_and_grey_tells_that_there_is_none(tmp_path: Path) -> None:
    hierarchy = Hierarchy.from_edges([("a", "b"), ("a", "c")])
    shades = {}
    for name, value in (("low", 0.0), ("high", 1.0), ("none", np.nan)):
        path = plot_hierarchy(hierarchy, tmp_path / f"{name}.png", {"a": value, "b": 0.5, "c": 0.5}, style="bands", limits=(0, 1))
        image = picture(path)
        shades[name] = image[image.shape[0] // 2, image.shape[1] // 5, :3]
    assert shades["low"][0] > shades["low"][2] + 0.3  # red
    assert shades["high"][2] > shades["high"][0] + 0.3  # blue
    assert np.ptp(shades["none"]) < 0.01


def test_four_thousand_labels_make_a_picture_of_usual_size(tmp_path: Path) -> None:
    hierarchy = random_graph(4000, 6000, 3)
    image = picture(plot_hierarchy(hierarchy, tmp_path / "large.png", np.full(4000, np.nan)))
    assert max(image.shape) < 2500


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    hierarchy = Hierarchy.from_edges([("a", "b")])
    with pytest.raises(DataError, match=r"values of shape \(2,\)"):
        plot_hierarchy(hierarchy, tmp_path / "x.png", [0.5])
    with pytest.raises(DataError, match="'z'"):
        plot_hierarchy(hierarchy, tmp_path / "x.png", counts={"z": 3})
    with pytest.raises(ParameterError, match="'circle'"):
        plot_hierarchy(hierarchy, tmp_path / "x.png", style="circle")  # type: ignore[arg-type]


@pytest.mark.parametrize("style", ["nodes", "bands"])
def test_counts_that_are_nowhere(style, tmp_path: Path) -> None:
    assert plot_hierarchy(Hierarchy.from_edges([("a", "b")]), tmp_path / "p.png", counts={}, style=style).stat().st_size > 1000
