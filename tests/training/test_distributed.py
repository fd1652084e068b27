"""Several real processes do what one does: the same rows, the same weights, and a clear end when one of them dies."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))  # the processes find the module by this name

import several

from polytag.errors import DataError, ParameterError
from polytag.models import Linear
from polytag.training import LostProcessError, Sharded, joined, launch, shared
from polytag.training.processes import is_writer, place, wait_for_all

TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    return {"runs": several.all_runs(), "steps": several.all_steps()}


@pytest.fixture(scope="module", params=[2, 4])
def many(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return launch(several.everything, request.param, device="cpu", timeout=120)


def close(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=0, atol=TOLERANCE, err_msg=name)


def same_state(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same_state(value, theirs[key]) for key, value in ours.items())
    return bool(np.array_equal(ours, theirs))


@pytest.mark.parametrize("name", several.RUNS)
def test_runs_equal_that_of_one_process(name: str, one: dict[str, Any], many: list[dict[str, Any]]) -> None:
    expected = one["runs"][name]
    assert len({tuple(rows) for rows in expected["rows"]}) > 3
    for process in many:
        run = process["runs"][name]
        assert run["rows"] == expected["rows"]
        close(run["weights"], expected["weights"])
        np.testing.assert_allclose(run["losses"], expected["losses"], rtol=TOLERANCE)
        np.testing.assert_allclose(run["valid"], expected["valid"], rtol=TOLERANCE)
        np.testing.assert_allclose(run["probabilities"], expected["probabilities"], rtol=1e-3)


@pytest.mark.parametrize("name", several.RUNS)
def test_all_processes_end_with_the_same_bits(name: str, many: list[dict[str, Any]]) -> None:
    first = many[0]["runs"][name]
    for process in many[1:]:
        run = process["runs"][name]
        assert all(same_state(run[part], first[part]) for part in ("weights", "selector", "losses", "valid"))


def test_training_has_moved_the_weights(one: dict[str, Any]) -> None:
    for name in several.RUNS:
        start = several.MODELS[name.split(",")[0]](several.make_table()).state_dict()
        assert any(np.abs(value - start[key].numpy()).max() > 1e-3 for key, value in one["runs"][name]["weights"].items())


@pytest.mark.parametrize("step", range(len(several.STEPS)), ids=lambda step: " ".join(map(str, several.STEPS[step])))
def test_one_step_has_the_loss_logits_and_gradients_of_the_whole_batch(step: int, one: dict[str, Any], many: list[dict[str, Any]]) -> None:
    for process in many:
        close(process["steps"][step], one["steps"][step])


def test_dropout_differs_between_processes_and_leaves_the_generators_alike(many: list[dict[str, Any]]) -> None:
    logits, state = many[0]["noise"]
    assert len({row.tobytes() for row in logits}) == 4  # one row, four times, in slices of two or one
    for process in many[1:]:
        assert np.array_equal(process["noise"][0], logits)
        assert np.array_equal(process["noise"][1], state)


def test_only_the_first_process_writes(many: list[dict[str, Any]]) -> None:
    assert [process["writer"] for process in many] == [True] + [False] * (len(many) - 1)


def test_processes_that_choose_different_rows_are_told_so(many: list[dict[str, Any]]) -> None:
    assert all("chose different rows" in process["quarrel"] for process in many)


def test_a_killed_run_goes_on_in_any_number_of_processes(tmp_path: Path) -> None:
    by_one, by_two, again = tmp_path / "by one", tmp_path / "by two", tmp_path / "by two, again"
    with pytest.raises(LostProcessError, match=r"process 1 of 2 was killed by SIGKILL; .* the same command continues from there"):
        launch(several.start_of_death, 2, by_two, 1, 13, "killed", device="cpu")
    several.start(by_one)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["by one", "by two"]
    shutil.copy(by_two, again)
    expected = several.train("mlp, adaptive", epochs=6)
    runs = [*launch(several.go_on, 2, by_one, by_two, device="cpu")[0], *several.go_on(again)]
    for run, epochs in zip(runs, (3, 2, 2)):
        assert run["rows"] == expected["rows"][5 * epochs :]
        close(run["weights"], expected["weights"])
        assert len(run["losses"]) == 6


def test_a_process_that_dies_ends_the_others(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(LostProcessError, match="process 0 of 2 ended with exit code 3"):
        launch(several.start_of_death, 2, tmp_path / "run", 0, 3, "exit", device="cpu")
    assert time.monotonic() - begun < 90


def test_a_process_that_hangs_is_given_up() -> None:
    begun = time.monotonic()
    with pytest.raises(LostProcessError, match="process 1 of 2 stopped answering"):
        launch(several.hang, 2, 300.0, device="cpu", timeout=5)
    assert time.monotonic() - begun < 90


@pytest.mark.parametrize(
    ("job", "error", "message"),
    [
        (several.not_a_number, DataError, "nan|NaN"),
        (several.mishap, LostProcessError, r"process 0 of 1 failed with ZeroDivisionError\('a mishap'\)"),
    ],
)
def test_errors_come_back_with_their_traceback(job: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        launch(job, 1, device="cpu")
    assert "In process 0:\nTraceback" in "".join(caught.value.__notes__)


def test_half_precision_stays_the_same_in_all_processes(many: list[dict[str, Any]]) -> None:
    assert np.isfinite(many[0]["half"]).all()
    assert many[0]["half"][1] < many[0]["half"][0]
    assert all(process["half"] == many[0]["half"] for process in many)


EXAMPLE = Path(__file__).parents[2] / "examples" / "several_processes.py"


def test_the_example_runs_alone_and_under_torchrun(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 60
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for command in ([sys.executable], torchrun):
        done = subprocess.run([*command, str(EXAMPLE)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        assert "next batch equal: True" in done.stdout
        assert float(done.stdout.strip().rpartition(" ")[2]) < 1e-5  # in single precision


def test_one_process_alone() -> None:
    table = several.make_table()
    model = Linear.from_data(table)
    assert shared(model) is model
    assert place() is None
    assert is_writer()
    wait_for_all()
    with pytest.raises(ParameterError, match="launch"):
        Sharded(model)
    with pytest.raises(ParameterError, match="torchrun"), joined():
        pass
    with pytest.raises(ParameterError, match="processes=0"):
        launch(several.noise, 0)
