"""The illustration says what it shows: chasers of losses pick the wrong labels, seekers of doubt the boundary, Random neither."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from polytag import Table
from polytag.training.selection_log import SelectionLog

SCRIPT = Path(__file__).parents[1] / "examples" / "why_each_strategy_picks.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_rows_are_what_their_kinds_say(example):
    data, groups = example.toy(800)
    np.testing.assert_array_equal(sum(mask.astype(int) for mask in groups.values()), 1)
    right = (data.X[:, :3] > 0) == data.Y[:, :3]
    assert right[~groups["noisy"]].all()
    assert ((~right[groups["noisy"]]).sum(axis=1) == 1).all()
    np.testing.assert_array_equal(data.Y[:, 3], groups["rare"])
    assert abs(data.X[groups["boundary"], :3]).max() <= 0.25 < 1 <= abs(data.X[~groups["boundary"], :3]).min()


def test_strategies_pick_what_they_should(example):
    data, groups = example.toy(800)
    table = Table(data)
    late = {}
    for name in ("random", "hard"):
        log = SelectionLog(table.labels, groups)
        example.trained(name, table, 10, log)
        late[name] = {kind: values[example.WARMUP :].mean() for kind, values in example.ratios(log).items()}
    assert late["random"] == pytest.approx(dict.fromkeys(groups, 1.0))
    assert late["hard"]["noisy"] > 1.4 > 0.8 > late["hard"]["easy"]


def test_the_script_prints_a_table_and_draws(example, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picks.png"
    arguments = ["--rows", "200", "--epochs", "6", "--strategies", "random,hard,adac", "--plot", str(picture)]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    example.main()
    printed = capsys.readouterr().out
    assert "random                  1.00 → 1.00     1.00 → 1.00" in printed
    for name in ("hard", "adac", "loss", "doubt"):
        assert f"\n{name}" in printed
    assert picture.stat().st_size > 10_000
