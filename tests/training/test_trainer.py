"""The training loop: equal to ten lines by hand, exact when resumed, honest about the best epoch."""

import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from polytag import Dataset, Hierarchy, Table, Trainer
from polytag.errors import DivergenceError, ParameterError, ResumeError, UnknownNameError
from polytag.metrics import h_f1
from polytag.models import CLIF, DELA, MLP, Linear
from polytag.selectors import AdaC, Adaptive, Hard, Random
from polytag.training import Callback, Run, cosine, predict, score, step_decay

SELECTORS = {"random": Random, "hard": Hard, "adaptive": Adaptive, "adac": AdaC}


def make_table(n: int = 90, d: int = 5, q: int = 4, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    Y = (X @ rng.normal(size=(d, q)) + rng.normal(size=(n, q)) - 0.8 > 0).astype(np.uint8)
    return Table(Dataset(X, Y))


def make_selector(name: str, table: Table, seed: int = 0):
    return SELECTORS[name](table.labels, 16, x=table.dataset.X, seed=seed)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("model_class", [MLP, DELA])
def test_equals_a_hand_written_loop_bitwise(name: str, model_class) -> None:
    table = make_table()
    ours = model_class.from_data(table, seed=1)
    run = Trainer(epochs=6, lr=0.01, weight_decay=1e-4, seed=3).fit(ours, table, make_selector(name, table))

    theirs = model_class.from_data(table, seed=1)
    selector = make_selector(name, table)
    optimizer = torch.optim.Adam(theirs.param_groups(0.01), weight_decay=1e-4, fused=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        theirs.train()
        for _ in range(6):
            for rows in selector:
                objective = theirs.objective(table[rows])
                optimizer.zero_grad()
                objective.loss.backward()
                optimizer.step()
                selector.update(rows, objective.logits.detach())
    assert same_weights(ours, theirs)
    assert len(run.history) == 6
    assert run.best_epoch is None


def test_global_random_state_is_untouched_and_irrelevant() -> None:
    table = make_table()
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.default_rng(seed)
        before = torch.get_rng_state()
        model = MLP.from_data(table)
        Trainer(epochs=2).fit(model, table, make_selector("adaptive", table))
        assert torch.equal(torch.get_rng_state(), before)
        results.append(model)
    assert same_weights(*results)


def test_keeps_the_best_epoch_by_deep_copy() -> None:
    table, valid = make_table(), make_table(40, seed=1)

    class Snapshots(Callback):
        weights: list = []  # noqa: RUF012

        def epoch(self, epoch) -> None:
            self.weights.append({k: v.clone() for k, v in model.state_dict().items()})

    model = MLP.from_data(table)
    run = Trainer(epochs=12, lr=0.05, callbacks=(Snapshots(),)).fit(model, table, make_selector("random", table), valid)
    values = [epoch.valid for epoch in run.history]
    assert run.best_epoch == int(np.argmax(values))
    assert run.best_epoch < 11, "choose another seed: the best epoch must not be the last one here"
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, Snapshots.weights[run.best_epoch][name])
    last = MLP.from_data(table)
    Trainer(epochs=12, lr=0.05, keep="last").fit(last, table, make_selector("random", table), valid)
    assert torch.equal(next(iter(last.state_dict().values())), next(iter(Snapshots.weights[-1].values())))


def test_a_metric_that_falls_is_minimised() -> None:
    table, valid = make_table(), make_table(40, seed=1)
    for monitor in ("ranking_loss", "loss", "hamming_loss"):
        run = Trainer(epochs=5, lr=0.05, monitor=monitor).fit(Linear.from_data(table), table, make_selector("random", table), valid)
        values = [epoch.valid for epoch in run.history]
        assert run.best_epoch == int(np.argmin(values))


def test_stops_when_patience_runs_out() -> None:
    table, valid = make_table(), make_table(40, seed=1)
    run = Trainer(epochs=200, lr=0.1, patience=3).fit(MLP.from_data(table), table, make_selector("random", table), valid)
    assert run.stopped_early
    assert len(run.history) == run.best_epoch + 4


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("model_class", [MLP, DELA, CLIF])
def test_resumes_to_the_same_bits(tmp_path: Path, name: str, model_class) -> None:
    table, valid = make_table(), make_table(40, seed=1)
    whole, cut = model_class.from_data(table), model_class.from_data(table)
    trainer = Trainer(epochs=7, lr=0.01, schedule=step_decay(2), warmup_epochs=1.5, clip_norm=1.0)
    expected = trainer.fit(whole, table, make_selector(name, table), valid)
    replace(trainer, epochs=4).fit(cut, table, make_selector(name, table), valid, resume=tmp_path / "run")
    fresh = model_class.from_data(table, seed=99)
    run = trainer.fit(fresh, table, make_selector(name, table), valid, resume=tmp_path / "run")
    assert same_weights(whole, fresh)
    assert [e.loss for e in run.history] == [e.loss for e in expected.history]
    assert [e.valid for e in run.history] == [e.valid for e in expected.history]
    again = model_class.from_data(table, seed=98)
    assert trainer.fit(again, table, make_selector(name, table), valid, resume=tmp_path / "run").history == run.history
    assert same_weights(whole, again)


class Stopped(Exception):
    """Ends a run."""


class Stopwatch(Callback):
    """Lets a second pass with each epoch, until it ends the run."""

    def __init__(self, stop: int | None = None) -> None:
        self.seconds, self.stop = 0.0, stop

    def epoch(self, epoch) -> None:
        self.seconds += 1.0
        if self.seconds == self.stop:
            raise Stopped


def test_a_checkpoint_is_written_as_often_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, path = make_table(), tmp_path / "run"
    whole = MLP.from_data(table)
    Trainer(epochs=9).fit(whole, table, make_selector("adaptive", table))

    def run(stop: int | None) -> tuple[float, MLP]:
        watch, model = Stopwatch(stop), MLP.from_data(table)
        monkeypatch.setattr("polytag.training.trainer.time.monotonic", lambda: watch.seconds)
        Trainer(epochs=9, callbacks=(watch,)).fit(model, table, make_selector("adaptive", table), resume=path, save_every=3.0)
        return watch.seconds, model

    with pytest.raises(Stopped):
        run(3)  # the third second is not over before the fourth epoch
    assert not path.exists()
    with pytest.raises(Stopped):
        run(6)
    seconds, resumed = run(None)
    assert seconds == 9 - 4
    assert same_weights(whole, resumed)


KILLED = """
import sys, time
sys.path.insert(0, {folder!r})
from test_trainer import make_selector, make_table
from pathlib import Path
from polytag import Trainer
from polytag.models import DELA
from polytag.training import Callback

class Slow(Callback):
    def step(self, epoch, rows, objective):
        time.sleep(0.002)
        print("step", flush=True)

table = make_table()
model = DELA.from_data(table)
Trainer(epochs=30, callbacks=(Slow(),)).fit(model, table, make_selector("adaptive", table), resume=Path({path!r}))
"""


def test_survives_being_killed_at_a_random_step(tmp_path: Path) -> None:
    table, path = make_table(), tmp_path / "run"
    code = KILLED.format(folder=str(Path(__file__).parent), path=str(path))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    )
    assert process.stdout is not None
    for _ in range(int(np.random.default_rng(time.time_ns()).integers(8, 120))):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    whole, resumed = DELA.from_data(table), DELA.from_data(table)
    Trainer(epochs=30).fit(whole, table, make_selector("adaptive", table))
    Trainer(epochs=30).fit(resumed, table, make_selector("adaptive", table), resume=path)
    assert same_weights(whole, resumed)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    table = make_table()
    Trainer(epochs=1).fit(Linear.from_data(table), table, make_selector("random", table), resume=tmp_path / "run")
    with pytest.raises(ResumeError, match=r"belongs to another run.*selector"):
        Trainer(epochs=2).fit(Linear.from_data(table), table, make_selector("hard", table), resume=tmp_path / "run")
    with pytest.raises(ResumeError, match=r"belongs to another run.*lr"):
        Trainer(epochs=2, lr=0.5).fit(Linear.from_data(table), table, make_selector("random", table), resume=tmp_path / "run")


def test_warm_up_and_schedule_set_the_rate() -> None:
    table = make_table(64)
    rates: list[float] = []

    class Rates(Callback):
        def step(self, epoch, rows, objective) -> None:
            rates.append(optimizers[0].param_groups[0]["lr"])

    optimizers = []

    def build(*args, **kwargs):
        optimizers.append(torch.optim.SGD(*args, **kwargs))
        return optimizers[0]

    Trainer(epochs=4, lr=0.8, optimizer=build, warmup_epochs=2, schedule=step_decay(1), callbacks=(Rates(),)).fit(
        Linear.from_data(table), table, make_selector("random", table)
    )
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, *[0.8] * 4, *[0.4] * 4])
    assert cosine(10)(0) == 1
    assert cosine(10, floor=0.1)(30) == pytest.approx(0.1)


def test_gradients_are_clipped() -> None:
    table = make_table()
    model = Linear.from_data(table)
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    Trainer(epochs=1, lr=1.0, optimizer=torch.optim.SGD, clip_norm=1e-3).fit(model, table, Random(table.labels, 90))
    moved = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
    assert 0 < float(moved.norm()) <= 1.001e-3


def test_bfloat16_trains_and_says_so() -> None:
    table, valid = make_table(), make_table(40, seed=1)
    model = MLP.from_data(table)
    seen = []

    class Dtypes(Callback):
        def step(self, epoch, rows, objective) -> None:
            seen.append(objective.logits.dtype)

    run = Trainer(epochs=8, lr=0.01, precision="bfloat16", callbacks=(Dtypes(),)).fit(model, table, make_selector("adaptive", table), valid)
    assert run.history[-1].loss < run.history[0].loss
    assert torch.bfloat16 in seen
    assert predict(model, valid, precision="bfloat16").dtype == torch.float32


def test_the_full_training_loss_is_measured_in_evaluation_mode() -> None:
    table = make_table()
    model = MLP.from_data(table)
    run = Trainer(epochs=2, measure_train_loss=True).fit(model, table, make_selector("random", table))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(predict(model, table).double(), table[torch.arange(table.n)].y.double())
    assert run.history[-1].train_loss == pytest.approx(float(expected), rel=1e-6)
    assert run.history[-1].train_loss == pytest.approx(score(model, table, "loss", batch_size=7), rel=1e-6)


def test_prediction_is_in_order_and_leaves_the_mode() -> None:
    table = make_table()
    model = MLP.from_data(table).train()
    logits = predict(model, table, batch_size=7)
    assert model.training
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(logits, model(table[torch.arange(table.n)].x))


@pytest.mark.parametrize("model_class", [MLP, CLIF, DELA])
def test_prediction_in_float64_does_not_depend_on_the_company(model_class) -> None:
    table = make_table()
    model = model_class.from_data(table)
    whole = predict(model, table, precision="float64")
    assert whole.dtype == torch.float64
    alone = torch.cat([predict(model, Table(table.dataset.take([row])), precision="float64") for row in range(20)])
    torch.testing.assert_close(alone, whole[:20], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(predict(model, table).double(), whole, rtol=1e-4, atol=1e-5)
    assert next(model.parameters()).dtype == torch.float32


def test_divergence_is_reported() -> None:
    table = make_table()
    with pytest.raises(DivergenceError, match="lower lr"):
        Trainer(epochs=5, lr=1e30, optimizer=torch.optim.SGD).fit(MLP.from_data(table), table, make_selector("random", table))


def test_all_bad_settings_are_named_at_once() -> None:
    with pytest.raises(ParameterError, match=r"epochs=0.*lr=-1.*keep='first'"):
        Trainer(epochs=0, lr=-1, keep="first")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="macro_auc"):
        Trainer(monitor="macro_auk")


def test_time_is_split_and_runs_round_trip() -> None:
    table = make_table()
    run = Trainer(epochs=2).fit(Linear.from_data(table), table, make_selector("adaptive", table))
    assert 0 < run.select_seconds < run.seconds
    assert Run.from_dict(run.to_dict()) == run


class Choosy(Adaptive):
    """Shows twice as many candidates as it takes, keeps those the model is least sure of, and weighs the loss."""

    def draw(self, k):
        self.screening = True
        return super().draw(2 * k)

    def sift(self, rows, logits):
        order = logits.abs().mean(dim=1).argsort()
        return torch.from_numpy(rows)[order[: self.batch_size].cpu()]

    def row_weights(self, rows):
        return torch.from_numpy(1 + rows % 3).float()


@pytest.mark.parametrize("model_class", [MLP, DELA])
def test_candidates_and_weights_equal_a_hand_written_loop_bitwise(model_class) -> None:
    table = make_table()
    ours, theirs = model_class.from_data(table, seed=1), model_class.from_data(table, seed=1)
    Trainer(epochs=5, lr=0.01, seed=3).fit(ours, table, Choosy(table.labels, 16, x=table.dataset.X, seed=0))

    selector, optimizer = Choosy(table.labels, 16, x=table.dataset.X, seed=0), torch.optim.Adam(theirs.param_groups(0.01), fused=True)
    screened = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for _ in range(5):
            for drawn in selector:
                rows = drawn
                while selector.screening:
                    with torch.no_grad():
                        rows = selector.screen(rows, theirs.eval()(table[rows].x))
                    screened += 1
                objective = theirs.train().objective(table[rows]._replace(weight=selector.weights(rows)))
                optimizer.zero_grad()
                objective.loss.backward()
                optimizer.step()
                selector.update(rows, objective.logits.detach())
    assert same_weights(ours, theirs)
    assert screened == 2 * len(selector)


def test_weights_of_rows_act_like_repeated_rows() -> None:
    table = make_table()
    weights = torch.tensor([1.0, 2.0, 3.0])
    twice = torch.tensor([0, 1, 1, 2, 2, 2])
    for model_class in (Linear, MLP):
        model = model_class.from_data(table, seed=1).double().eval()
        batch, repeated = table[torch.tensor([0, 1, 2])], table[twice]
        weighted = model.objective(batch._replace(x=batch.x.double(), weight=weights)).loss
        torch.testing.assert_close(weighted / 2, model.objective(repeated._replace(x=repeated.x.double())).loss)


def test_metrics_of_a_hierarchy_are_measured_under_that_of_the_table() -> None:
    plain = make_table().dataset
    hierarchy = Hierarchy(plain.label_names, [(1, 0), (2, 0), (3, 2)])
    table = Table(replace(plain, Y=hierarchy.close(plain.Y), hierarchy=hierarchy))
    model = Linear.from_data(table)
    proba = predict(model, table).double().sigmoid().numpy()
    assert score(model, table, "h_f1") == h_f1(table.dataset.Y, proba > 0.5, hierarchy=hierarchy)
    Trainer(epochs=1, monitor="h_f1").fit(model, table, make_selector("random", table), table)
    with pytest.raises(ParameterError, match="hierarchy"):
        score(model, Table(plain), "h_f1")


def test_a_warm_up_that_is_never_over_is_warned_about() -> None:
    table = make_table()
    selector = Hard(table.labels, 16, warmup=3)
    with pytest.warns(UserWarning, match="Hard will choose no batch: its warm-up of 3 epochs is not over after epochs=2"):
        Trainer(epochs=2, lr=0.01).fit(MLP.from_data(table), table, selector)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Trainer(epochs=2, lr=0.01).fit(MLP.from_data(table), table, selector)  # two passes are behind it already
        Trainer(epochs=2, lr=0.01).fit(MLP.from_data(table), table, make_selector("random", table))
