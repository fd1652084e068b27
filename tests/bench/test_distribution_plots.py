"""Pictures of label enhancement: the bars are the degrees, the curves the parts, and nothing written on them overlaps."""

import sys
from itertools import pairwise

import numpy as np
import pytest

from polytag.bench import Experiment, Method, Store, write_report
from polytag.bench.distribution_plots import MOST_LABELS, _parts_figure, plot_distributions, plot_parts
from polytag.bench.results import Results
from polytag.data import make_label_distribution
from polytag.data.plots import figure_class
from polytag.errors import DataError, MissingExtraError

from .conftest import filled, made_record


@pytest.fixture
def figures(monkeypatch):
    """Return the list of figures that were to be saved."""
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: drawn.append(figure))
    return drawn


def tick_boxes(figure):
    """Yield the boxes of the labels below each panel, after drawing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in figure.axes:
        if axes.get_visible():
            yield [text for text in axes.get_xticklabels() if text.get_text()], canvas.get_renderer()


def heights(axes):
    """Return the heights of the bars, one list a method."""
    return [[bar.get_height() for bar in container] for container in axes.containers]


def test_bars_are_the_degrees(figures, tmp_path):
    data, truth = make_label_distribution(10, 5, 4)
    found = {"half": (truth + 0.25) / 2, "even": np.full(truth.shape, 0.25)}
    assert plot_distributions(data.Y, found, tmp_path / "x.png", rows=[7, 2, 3], truth=truth) == tmp_path / "x.png"
    (figure,) = figures
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["row 7", "row 2", "row 3"]
    for axes, row in zip(panels, (7, 2, 3)):
        np.testing.assert_allclose(heights(axes), [truth[row], found["half"][row], found["even"][row]])
        bold = [text.get_fontweight() == "bold" for text in axes.get_xticklabels()]
        assert bold == (data.Y[row] == 1).tolist()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["relevant label", "truth", "half", "even"]


@pytest.mark.parametrize("q", [2, 6, 9, 80])
@pytest.mark.parametrize("long", [False, True])
def test_labels_do_not_overlap(q, long, figures, tmp_path):
    data, truth = make_label_distribution(6, 5, q)
    names = [f"a name for ${j} that is too long for a picture" for j in range(q)] if long else ()
    plot_distributions(data.Y, {f"method {m}": truth for m in range(4)}, tmp_path / "x.png", rows=[0, 1], label_names=names)
    for texts, renderer in tick_boxes(figures[0]):
        assert len(texts) == min(q, MOST_LABELS)
        if texts[0].get_rotation() == 0:
            boxes = [text.get_window_extent(renderer) for text in texts]
            assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))
        else:  # at 45 degrees a line of text is as wide as 1.4 times its height
            places = [text.get_transform().transform(text.get_position())[0] for text in texts]
            assert min(np.diff(places)) > 1.4 * texts[0].get_fontsize() * figures[0].dpi / 72


def test_of_many_labels_the_relevant_and_the_largest(figures, tmp_path):
    found = np.full((1, 50), 0.001)
    found[0, [4, 33]] = [0.5, 0.452]
    labels = np.zeros((1, 50), dtype=int)
    labels[0, 49] = 1
    plot_distributions(labels, {"g": found}, tmp_path / "x.png", rows=[0])
    (axes,) = figures[0].axes
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert len(names) == 30
    assert {"label 5", "label 34", "label 50"} <= set(names)
    assert axes.get_title() == "row 0, 30 of 50 labels"


def test_a_picture_is_written(tmp_path):
    data, truth = make_label_distribution(4)
    file = plot_distributions(data.Y, {"g": truth}, tmp_path / "x.png", rows=[0])
    assert file.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": [4]}, "between 0 and 3"),
        ({"rows": []}, "some rows"),
        ({"found": {}}, "no distributions"),
        ({"found": {"g": np.zeros((4, 2))}}, r"\(4, 3\) and .*'g': \(4, 2\)"),
        ({"truth": np.zeros((3, 3))}, "truth"),
        ({"label_names": ["a"]}, "3 label names"),
    ],
)
def test_what_cannot_be_drawn(changes, message, tmp_path):
    data, truth = make_label_distribution(4)
    with pytest.raises(DataError, match=message):
        plot_distributions(**{"labels": data.Y, "found": {"g": truth}, "path": tmp_path / "x.png", "rows": [0], **changes})


@pytest.fixture
def enhanced():
    methods = [Method(model="linear", enhance="flem"), Method(model="linear"), Method(model="mlp")]
    return Experiment(datasets=["yeast"], methods=methods, protocol={"folds": 2, "epochs": 3})


def with_parts(experiment, lengths=(3, 2)):
    """Return records whose enhanced ones have parts in their history; the runs of a method differ in length."""
    records = []
    for cell in experiment.cells():
        record = made_record(experiment, cell)
        if cell.method.enhance is not None:
            parts = [{"classification": 1.0 + cell.fold + e, "enhancement": 5.0 * e, "distribution": None} for e in range(3)]
            history = [{**epoch, "parts": parts[e]} for e, epoch in enumerate(record.history[: lengths[cell.fold]])]
            record = made_record(experiment, cell, history=history)
        records.append(record)
    return records


def test_curves_are_the_means_of_the_parts(enhanced, figures, tmp_path):
    (file,) = plot_parts(Results(enhanced, with_parts(enhanced)), tmp_path)
    assert file == tmp_path / "parts-yeast-linear.png"
    first, second = figures[0].axes
    assert (first.get_title(), second.get_title()) == ("f: classification", "g: enhancement")
    (curve,) = first.lines
    np.testing.assert_allclose(curve.get_xydata(), [[1, 1.5], [2, 2.5]])  # the third epoch is not reached by all
    np.testing.assert_allclose(second.lines[0].get_ydata(), [0, 5])


def test_records_without_parts_are_passed_over(enhanced, tmp_path):
    records = [made_record(enhanced, cell) for cell in enhanced.cells()]
    assert all("parts" not in epoch for record in records for epoch in record.history)
    assert plot_parts(Results(enhanced, records), tmp_path) == []
    assert plot_parts(Results(enhanced, []), tmp_path) == []


def test_the_report_shows_them(enhanced, tmp_path):
    store = Store(tmp_path)
    hashes = filled(store, enhanced)
    for cell, record in zip(enhanced.cells(), with_parts(enhanced)):
        store.put(made_record(enhanced, cell, hashes["yeast"], history=record.history))
    report = write_report(store, enhanced, hashes)
    assert tmp_path / "plots/parts-yeast-linear.png" in report.files
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "## Parts of the objective" in text
    assert "![parts-yeast-linear](plots/parts-yeast-linear.png)" in text


def test_need_their_extra(enhanced, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    data, truth = make_label_distribution(4)
    with pytest.raises(MissingExtraError, match=r"polytag\[plots\]"):
        plot_distributions(data.Y, {"g": truth}, tmp_path / "x.png", rows=[0])
    with pytest.raises(MissingExtraError, match=r"polytag\[plots\]"):
        plot_parts(Results(enhanced, []), tmp_path)


def test_only_losses_say_which_way_is_better() -> None:
    figure = _parts_figure(figure_class(), {"hcal": {"loss_level_1": np.ones(3), "weight_level_1": np.ones(3)}}, "hcal")
    labels = {axes.get_title(): axes.get_ylabel() for axes in figure.axes}
    assert labels["loss_level_1"] == "mean over the steps ↓"
    assert labels["weight_level_1"] == "mean over the steps"
