"""The log counts what was picked, and the run does not notice it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from polytag import Dataset, Table, Trainer
from polytag.errors import DataError
from polytag.models import Linear
from polytag.selectors import Adaptive, Hard, Random
from polytag.training import Epoch
from polytag.training.plots import plot_selection
from polytag.training.selection_log import SelectionLog

Y = np.array([[1, 0], [1, 0], [1, 0], [1, 1]])


def told(log: SelectionLog, epoch: int, batches, logits) -> None:
    for rows, values in zip(batches, logits):
        wide = torch.tensor(values)[:, None].expand(-1, 2)
        log.step(epoch, torch.tensor(rows), SimpleNamespace(logits=wide))
    log.epoch(Epoch(epoch, 0.0, 0.0, 0.0))


def loss_of(row: int, value: float) -> float:
    return float(F.binary_cross_entropy_with_logits(torch.full((2,), value).double(), torch.from_numpy(Y[row]).double()))


def test_counts_by_hand():
    log = SelectionLog(Y, {"ends": np.array([True, False, False, True])})
    assert log.expected == {"rare": 0.25, "ends": 0.5}
    told(log, 0, [[0, 1], [1, 3]], [[0.5, -1.0], [2.0, 0.0]])
    told(log, 1, [[3, 3], [3, 1]], [[1.0, 1.0], [0.0, 0.0]])
    first, second = log.epochs
    assert (first.epoch, first.rare, first.repeats, first.missed, first.never) == (0, 0.25, 0.25, 0.25, 0.25)
    assert first.groups == {"ends": 0.5}
    assert first.effective == pytest.approx(4**2 / (4 * (1 + 4 + 1)))
    assert (second.rare, second.repeats, second.missed, second.never) == (0.75, 0.5, 0.5, 0.25)
    assert second.effective == pytest.approx(4**2 / (4 * (9 + 1)))


def test_losses_by_hand():
    log = SelectionLog(Y)
    told(log, 0, [[0, 1], [1, 3]], [[0.5, -1.0], [2.0, 0.0]])
    told(log, 1, [[3], [3, 1], [2]], [[1.0], [0.0, 0.0], [3.0]])
    a, b, c, d = loss_of(0, 0.5), loss_of(1, 2.0), loss_of(3, 0.0), loss_of(2, 3.0)  # the last known; row 2 comes in the second epoch
    assert log.epochs[0].loss == pytest.approx((a + 2 * b + c) / 4)
    assert log.epochs[0].loss_all == pytest.approx((a + b + c) / 3)
    assert log.epochs[1].loss == pytest.approx((2 * c + b + d) / 4)
    assert log.epochs[1].loss_all == pytest.approx((a + b + c + d) / 4)


def test_a_loss_that_is_no_number_is_passed_over():
    log = SelectionLog(Y)
    told(log, 0, [[0, 1], [0, 1]], [[float("nan"), 1.0], [0.0, float("nan")]])
    assert log.epochs[0].loss == pytest.approx((loss_of(1, 1.0) + loss_of(0, 0.0)) / 2)
    told(log, 1, [[2]], [[float("nan")]])
    assert (log.epochs[1].loss, log.epochs[1].loss_all) == (0.0, log.epochs[0].loss_all)


def table(n=200):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    return Table(Dataset(X, X + rng.normal(size=(n, 3)) > [0, 0, 2.2]))


def run(log, selector, data, epochs=6):
    model = Linear.from_data(data)
    Trainer(epochs=epochs, lr=0.05, callbacks=(log,) if log else ()).fit(model, data, selector)
    return model


def test_the_run_does_not_notice_it():
    data = table()
    models = [run(log, Adaptive(data.labels, 16, imbalance_weight=False, warmup=1), data) for log in (SelectionLog(data.labels), None)]
    assert all(torch.equal(a, b) for a, b in zip(*(m.state_dict().values() for m in models)))


def test_random_and_hard_differ_as_they_should():
    data = table()
    logs = {"random": SelectionLog(data.labels), "hard": SelectionLog(data.labels)}
    run(logs["random"], Random(data.labels, 16), data)
    run(logs["hard"], Hard(data.labels, 16, pressure=64, warmup=1), data)
    for picks in logs["random"].epochs:
        assert (picks.repeats, picks.missed, picks.never, picks.effective) == (0, 0, 0, 1)
        assert picks.rare == pytest.approx(logs["random"].expected["rare"])
        assert picks.loss / picks.loss_all == pytest.approx(1)
    for picks in logs["hard"].epochs[1:]:
        assert picks.loss > 1.1 * picks.loss_all
        assert picks.repeats > 0.2
        assert picks.effective < 0.8


def test_a_second_run_starts_anew():
    data, log = table(), SelectionLog(table().labels)
    for _ in range(2):
        run(log, Random(data.labels, 16), data, epochs=2)
        assert [picks.epoch for picks in log.epochs] == [0, 1]


@pytest.mark.parametrize("mask", [np.ones(3, dtype=bool), np.ones(4)])
def test_a_group_is_a_mask_of_all_rows(mask):
    with pytest.raises(DataError, match="mask of 4 rows for the group 'odd'"):
        SelectionLog(Y, {"odd": mask})


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    data = table(60)
    logs = {f"run {k}": SelectionLog(data.labels) for k in range(10)}
    for k, log in enumerate(logs.values()):
        run(log, Random(data.labels, 16, seed=k), data, epochs=1 + k % 2)
    assert plot_selection(logs, tmp_path / "picks.png").stat().st_size > 20_000
    for empty in ({}, {"new": SelectionLog(Y)}):
        with pytest.raises(DataError, match="at least one epoch"):
            plot_selection(empty, tmp_path / "none.png")
