"""Running cells: each once, the same in any number of processes, and none lost to the failure of another."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from polytag.bench import Experiment, Method, Outcome, Store, run_experiment
from polytag.bench.runner import plan
from polytag.cli import main
from polytag.errors import DivergenceError, ParameterError
from polytag.training import Callback, Epoch

from .conftest import PROTOCOL


def small(tiny: str, **protocol: object) -> Experiment:
    return Experiment.grid([tiny], ["linear"], ["random", "hard", "adaptive", "adac"], protocol={**PROTOCOL, **protocol})


def measured(store: Store) -> dict[str, str]:
    return {record.key: json.dumps([record.metrics, [e["loss"] for e in record.history], record.best_epoch]) for record in store.all()}


def test_the_result_does_not_depend_on_the_number_of_processes(tiny: str, tmp_path: Path) -> None:
    experiment = Experiment.grid([tiny], ["mlp"], ["random", "adac"], protocol={**PROTOCOL, "epochs": 4})
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    before = torch.get_num_threads()
    run_experiment(experiment, one, jobs=1)
    assert torch.get_num_threads() == before
    outcomes = run_experiment(experiment, two, jobs=2)
    assert len(measured(one)) == 4
    assert measured(one) == measured(two)
    assert [outcome.cell for outcome in outcomes] == list(experiment.cells())
    assert {record.environment["threads"] for store in (one, two) for record in store.all()} == {1}


def test_finished_cells_are_kept_and_new_ones_are_added(tiny: str, tmp_path: Path) -> None:
    store, seen = Store(tmp_path), list[Outcome]()
    run_experiment(small(tiny), store, watch=seen.append)
    assert [outcome.kept for outcome in seen] == [False] * 8
    stamps = {path.name: path.stat().st_mtime_ns for path in store.records.iterdir()}
    again = run_experiment(small(tiny, seeds=[0, 1]), store)
    assert [outcome.kept for outcome in again] == [True] * 8 + [False] * 8
    assert all((store.records / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    assert len(list(store.records.iterdir())) == 16


def test_a_damaged_record_is_run_again(tiny: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run_experiment(small(tiny), store)
    before = measured(store)
    victim = sorted(store.records.iterdir())[0]
    victim.write_text("{", encoding="utf-8")
    outcomes = run_experiment(small(tiny), store)
    assert sum(not outcome.kept for outcome in outcomes) == 1
    assert measured(store) == before


def test_a_failing_cell_leaves_its_traceback_and_the_others_alone(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from polytag.bench import runner

    usual = runner.run_cell

    def breaks(dataset: object, method: object, protocol: object, fold: int, seed: int, **rest: object) -> object:
        if method.selector == "hard" and fold == 1:  # type: ignore[attr-defined]
            raise DivergenceError("the loss became nan")
        return usual(dataset, method, protocol, fold, seed, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "run_cell", breaks)
    store = Store(tmp_path)
    outcomes = run_experiment(small(tiny), store)
    failed = [outcome for outcome in outcomes if outcome.record is None]
    assert [(outcome.cell.method.selector, outcome.cell.fold) for outcome in failed] == [("hard", 1)]
    assert failed[0].error == "DivergenceError: the loss became nan"
    report = (store.failures / f"{failed[0].key}.txt").read_text(encoding="utf-8")
    assert "Traceback" in report
    assert "selector='hard'" in report
    monkeypatch.undo()
    assert all(outcome.record for outcome in run_experiment(small(tiny), store))
    assert list(store.failures.iterdir()) == []


class Epochs(Callback):
    """Counts epochs over all trainings; Ctrl-C comes after so many."""

    def __init__(self, stop: int | None = None) -> None:
        self.seen, self.stop = 0, stop

    def epoch(self, epoch: Epoch) -> None:
        self.seen += 1
        if self.seen == self.stop:
            raise KeyboardInterrupt


@pytest.mark.parametrize("search", [{}, {"lr": [0.1, 0.01]}], ids=["one training", "a search"])
def test_a_cell_that_was_stopped_goes_on_where_it_was(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: dict[str, list[float]]
) -> None:
    from polytag.bench import fitting, runner

    monkeypatch.setattr(fitting, "_SAVE_SECONDS", 0.0)
    method = Method(model="mlp", selector="adaptive", search=search)
    experiment = Experiment(datasets=[tiny], methods=[method], protocol={**PROTOCOL, "epochs": 8, "folds": 2})
    whole, cut = Store(tmp_path / "whole"), Store(tmp_path / "cut")
    run_experiment(experiment, whole)
    usual, epochs = runner.run_cell, 8 * max(len(search.get("lr", [])), 1)

    def run(stop: int | None = None, **environment: object) -> int:
        counter = Epochs(stop)
        with monkeypatch.context() as patch:
            patch.setattr(runner, "run_cell", lambda *args, **rest: usual(*args, **rest, callbacks=(counter,)))
            patch.setattr(runner, "environment", lambda device: {"device": device, **environment})
            run_experiment(experiment, cut)
        return counter.seen

    with pytest.raises(KeyboardInterrupt):
        run(stop=epochs - 3)
    with pytest.raises(KeyboardInterrupt):
        run(stop=1, code="another")  # which must not go on from there, and does not disturb it
    assert run() == 3 + epochs  # the second fold as a whole
    assert measured(cut) == measured(whole)
    assert list((cut.folder / "unfinished").iterdir()) == []


def test_a_record_that_another_run_has_just_made_is_taken(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    cells, _ = plan(small(tiny))
    run_experiment(small(tiny), store)
    monkeypatch.setattr("polytag.bench.runner.run_cell", lambda *_, **__: pytest.fail("the cell is run again"))
    read, calls = Store.get, []

    def forgetful(self: Store, key: str) -> object:
        calls.append(key)
        return None if len(calls) <= len(cells) else read(self, key)

    monkeypatch.setattr(Store, "get", forgetful)
    assert all(outcome.kept for outcome in run_experiment(small(tiny), store, cells=cells))


def test_impossible_numbers_of_processes(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="jobs=0"):
        run_experiment(small(tiny), Store(tmp_path), jobs=0)


def command(tiny: str, out: Path, *more: str) -> list[str]:
    words = ["compare", "--dataset", tiny, "--model", "linear", "--folds", "3", "--epochs", "25", "--batch-size", "8", "--out", str(out)]
    return [*words, *more]


def wait_for_records(process: "subprocess.Popen[bytes]", out: Path, count: int) -> None:
    for _ in range(15000):
        if len(list(out.glob("records/*.json"))) >= count:
            return
        assert process.poll() is None, "the run ended before it could be stopped"
        time.sleep(0.02)
    raise AssertionError("no record within five minutes")


def test_kill_loses_the_running_cell_at_most(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-m", "polytag", *command(tiny, out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_records(process, out, 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    store = Store(out)
    kept = measured(store)
    assert 1 <= len(kept) < 12
    assert store.problems() == []
    stamps = {path.name: path.stat().st_mtime_ns for path in store.records.glob("*.json")}

    assert main(["report", str(out)]) == 0
    assert f"{12 - len(kept)} of 12 cells have no record yet" in capsys.readouterr().out

    assert main(command(tiny, out)) == 0
    assert all((store.records / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    whole = tmp_path / "whole"
    assert main(command(tiny, whole)) == 0
    assert measured(store) == measured(Store(whole))
    assert len(measured(store)) == 12


def test_ctrl_c_keeps_what_is_finished(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from polytag.bench import runner

    usual = runner.run_cell

    def interrupted(dataset: object, method: object, protocol: object, fold: int, seed: int, **rest: object) -> object:
        if fold == 1:
            raise KeyboardInterrupt
        return usual(dataset, method, protocol, fold, seed, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "run_cell", interrupted)
    assert main(command(tiny, tmp_path / "out")) == 130
    assert "4 finished cells are kept" in capsys.readouterr().err
    assert len(measured(Store(tmp_path / "out"))) == 4


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a process group")
def test_ctrl_c_stops_all_processes_with_one_message(tiny: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "polytag", *command(tiny, out, "--jobs", "2", "--set", "epochs=200")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_for_records(process, out, 1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"finished cells are kept" in errors
    assert b"Traceback" not in errors
    assert Store(out).problems() == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the worker processes in /proc")
@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_parent(tiny: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [
        sys.executable,
        "-m",
        "polytag",
        *command(tiny, out, "--jobs", "2", "--set", "epochs=100000", "--set", "measure_train_loss=false"),
    ]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    assert within(60, lambda: len(computing(process.pid)) == 2)
    workers = computing(process.pid)
    process.kill()
    process.wait()
    assert within(20, lambda: not [worker for worker in workers if Path(f"/proc/{worker}").exists()])


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def computing(parent: int) -> list[int]:
    """Return the worker processes of a process that run a cell: they ignore Ctrl-C meanwhile."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":\t" in line)
            words = (status.parent / "cmdline").read_text(encoding="utf-8")
        except OSError:
            continue
        ignores = int(fields["SigIgn"], 16) & (1 << (signal.SIGINT - 1))
        if fields.get("PPid") == str(parent) and "LokyProcess" in words and ignores:
            found.append(int(status.parent.name))
    return found
