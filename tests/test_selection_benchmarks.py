"""The benchmarks of selection run, on small sizes; no time is asserted."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", str(FOLDER / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_step_covers_every_strategy_and_the_rivals() -> None:
    from polytag.registry import names

    printed = run("selector_step", "--sizes", "400", "--pressures", "8", "--steps", "4", "--batch", "32", "--q", "5")
    named = [line.split()[2] for line in printed.splitlines()[2:]]
    assert set(names("selector")) | {"numpy", "torch"} <= set(named)


def test_sizes_beyond_the_cap_are_named() -> None:
    arguments = ("--sizes", "400", "--steps", "1", "--batch", "32", "--pressures", "8", "--cells", "100", "--strategies", "random,d2ace")
    assert "d2ace  not measured: keeps" in run("selector_step", *arguments)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory() -> None:
    lines = run("selector_memory", "--sizes", "2e4", "--strategies", "random,hard", "--batch", "64").splitlines()
    kept = {line.split()[1]: float(line.split()[-1]) for line in lines[3:]}
    assert 7 < kept["random"] < kept["hard"] < 60  # bytes a row: an order of the pass; losses, an order and the starts of ties


def test_large_epoch_and_its_folder(tmp_path: Path) -> None:
    arguments = ("--rows", "3000", "--batch", "256", "--model", "linear", "--folder", str(tmp_path))
    for written in (True, False):
        printed = run("large_epoch", *arguments)
        assert ("written in" in printed) is written
        table = [line.split() for line in printed.splitlines()[-2:]]
        assert [line[0] for line in table] == ["random", "adaptive"]
        assert table[0][-2:] == ["1.00", "1.00"]
    assert (tmp_path / "3000x64x20" / "meta.json").exists()
