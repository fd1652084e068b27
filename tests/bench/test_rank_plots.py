"""Critical-difference diagrams show the ranks and groups that the tests give, and nothing written on them overlaps."""

import sys
from pathlib import Path

import numpy as np
import pytest

from polytag.bench import Experiment, Store, stats, write_report
from polytag.bench.rank_plots import Diagram, plot_all_ranks, plot_ranks, short_names
from polytag.bench.results import Results
from polytag.errors import DataError, MissingExtraError

from .conftest import filled, made_record

LONG = [f"linear+flem(strategy={s}, alpha=0.01), adaptive(pressure={p})" for s in "std" for p in (8, 64)]


def diagram(k: int, blocks: int = 8, names: list[str] | None = None) -> Diagram:
    rng = np.random.default_rng(k)
    values = np.linspace(0, 3, k) + rng.normal(size=(blocks, k))
    return Diagram.of(names or [f"method {j}" for j in range(k)], values, "max")


def test_a_diagram_by_hand():
    """Demšar's C4.5 example: 4 methods on 14 data sets; one group at 5 % (CD 1.25), two at 10 % (1.12)."""
    ranks = [3.143, 2.000, 2.893, 1.964]
    assert stats.indistinct_groups(ranks, stats.critical_difference(4, 14)) == [(3, 1, 2, 0)]
    assert stats.indistinct_groups(ranks, stats.critical_difference(4, 14, 0.1)) == [(3, 1, 2), (2, 0)]
    shown = Diagram.of("abcd", [[4, 2, 3, 1]] * 3 + [[4, 1, 3, 2]] * 3, "min")
    assert shown.ranks.tolist() == [4, 1.5, 3, 1.5]
    assert shown.groups == [(1, 3, 2), (2, 0)]
    assert shown.blocks == 6
    assert shown.p == stats.friedman([[4, 2, 3, 1]] * 3 + [[4, 1, 3, 2]] * 3, "min").f_p


def test_too_little_to_rank():
    with pytest.raises(DataError, match="3 methods"):
        Diagram.of("ab", [[1, 2], [2, 1]], "max")
    with pytest.raises(DataError, match="one name a method"):
        Diagram.of("ab", [[1, 2, 3], [2, 1, 3]], "max")


@pytest.mark.parametrize("k", [3, 4, 12, 25])
@pytest.mark.parametrize("names", [None, LONG])
def test_nothing_written_overlaps(k, names, tmp_path, monkeypatch):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: drawn.append(figure))
    plot_ranks(diagram(k, names=(names * 5)[:k] if names else None), tmp_path / "ranks.png", title="Average ranks, hamming_loss ↓")
    (figure,) = drawn
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    (axes,) = figure.axes
    texts = [text for text in (*axes.texts, axes.title, figure._supxlabel) if text.get_text()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    for i, box in enumerate(boxes):
        assert figure.bbox.x0 - 1 <= box.x0, f"{texts[i].get_text()} leaves the picture"
        assert box.x1 <= figure.bbox.x1 + 1, f"{texts[i].get_text()} leaves the picture"
        for j in range(i):
            assert not box.overlaps(boxes[j]), f"{texts[i].get_text()} covers {texts[j].get_text()}"
    written = [text for text in axes.texts if text.get_gid() == "method"]
    assert len(written) == k
    bars = [line for line in axes.lines if line.get_gid() == "indistinct"]
    tops = {}
    for bar in bars:
        (left, right), height = bar.get_xdata(), bar.get_ydata()[0]
        assert all(right < other[0] or other[1] < left for other in tops.get(height, []))
        tops.setdefault(height, []).append((left, right))
    names_begin = min(text.get_position()[1] for text in written)
    assert all(height < names_begin for height in tops)


def test_bars_join_what_cannot_be_told_apart(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: drawn.append(figure))
    shown = diagram(10)
    plot_ranks(shown, tmp_path / "ranks.png")
    bars = [line for line in drawn[0].axes[0].lines if line.get_gid() == "indistinct"]
    assert len(bars) == len(shown.groups) > 1
    for bar, group in zip(bars, shown.groups):
        left, right = bar.get_xdata()
        inside = [method for method, rank in enumerate(shown.ranks) if left <= rank <= right]
        assert set(group) <= set(inside)


@pytest.fixture
def three_on_three() -> Experiment:
    return Experiment.grid(
        ["yeast", "scene", "meka-yeast", "emotions"],
        ["linear"],
        ["random", "adaptive", "hard"],
        protocol={"folds": 2, "epochs": 3},
        metrics=["macro_auc", "hamming_loss"],
    )


def test_every_report_has_a_diagram_a_metric(three_on_three, tmp_path):
    store = Store(tmp_path)
    report = write_report(store, three_on_three, filled(store, three_on_three))
    pictures = {file.name for file in report.files if file.name.startswith("ranks-")}
    assert pictures == {"ranks-macro_auc.png", "ranks-hamming_loss.png"}
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "## Which methods differ" in text
    assert "![ranks-macro_auc](plots/ranks-macro_auc.png)" in text
    assert (tmp_path / "plots/ranks-macro_auc.png").read_bytes()[:4] == b"\x89PNG"


def test_one_data_set_a_family_and_only_where_all_have_a_value(three_on_three, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("polytag.bench.rank_plots.plot_ranks", lambda diagram, path, *, title: shown.append((diagram, title)) or path)
    records = [made_record(three_on_three, cell) for cell in three_on_three.cells()]
    plot_all_ranks(Results(three_on_three, records), tmp_path)
    assert [(diagram.blocks, title) for diagram, title in shown] == [
        (3, "Average ranks, macro_auc ↑"),
        (3, "Average ranks, hamming_loss ↓"),
    ]  # yeast stands for meka-yeast
    assert shown[0][0].names == ("random", "adaptive", "hard")
    assert shown[0][0].ranks.tolist() == [2, 1, 3]
    partly = [record for record in records if (record.dataset["name"], record.method["selector"]) != ("scene", "hard")]
    plot_all_ranks(Results(three_on_three, partly), tmp_path)
    assert shown[-1][0].blocks == 2
    count = len(shown)
    plot_all_ranks(Results(three_on_three, [record for record in partly if record.dataset["name"] != "emotions"]), tmp_path)
    assert len(shown) == count


def test_two_methods_or_one_data_set_have_none(tmp_path: Path):
    for datasets, selectors in ((["yeast", "scene"], ["random", "hard"]), (["yeast"], ["random", "hard", "adaptive"])):
        experiment = Experiment.grid(datasets, ["linear"], selectors, protocol={"folds": 2})
        assert plot_all_ranks(Results(experiment, [made_record(experiment, cell) for cell in experiment.cells()]), tmp_path) == []


def test_needs_its_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"polytag\[plots\]"):
        plot_ranks(diagram(3), tmp_path / "ranks.png")


def test_names_leave_out_what_all_share():
    assert short_names([("linear, cb", "random"), ("linear, cb", "hard")]) == ["random", "hard"]
    assert short_names([("linear", "random"), ("br", "none"), ("mlknn", "none")]) == ["linear", "br", "mlknn"]
    assert short_names([("linear", "random"), ("linear", "hard"), ("br", "none")]) == ["linear, random", "linear, hard", "br"]
