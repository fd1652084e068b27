"""``polytag compare`` with several processes a cell: the same numbers, one record, and a clear end."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polytag.cli import main

WORDS = ["compare", "--dataset", "digits-scenes", "--model", "mlp", "--selector", "random,adaptive(warmup=0)", "--folds", "2",
         "--epochs", "1", "--set", "model.dropout=0", "--set", "keep=last", "--device", "cpu"]  # fmt: skip


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, timeout=900, env=environment)


def records(folder: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (folder / "records").iterdir()}


def test_several_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    assert main([*WORDS, "--out", str(tmp_path / "one")]) == 0
    two = [*WORDS, "--out", str(tmp_path / "two")]
    done = run("polytag", *two, "--processes", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report.md, with") == 1
    expected, found = records(tmp_path / "one"), records(tmp_path / "two")
    assert expected.keys() == found.keys()
    assert len(found) == 4
    for key, record in found.items():
        assert record["environment"]["processes"] == 2
        assert record["history"][0]["loss"] == pytest.approx(expected[key]["history"][0]["loss"], rel=1e-5)
        assert record["metrics"]["macro_auc"] == pytest.approx(expected[key]["metrics"]["macro_auc"], abs=1e-3)

    next((tmp_path / "two" / "records").iterdir()).unlink()
    done = run("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "polytag", *two, "--launcher", "torchrun")
    assert done.returncode == 0, done.stderr
    assert "3 cells kept" in done.stdout
    assert records(tmp_path / "two").keys() == expected.keys()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--launcher", "torchrun"], "torchrun --standalone --nproc-per-node 2 -m polytag compare"),
        (["--launcher", "torchrun", "--processes", "4"], "--nproc-per-node 4"),
        (["--launcher", "slurm"], "'slurm'"),
        (["--processes", "2", "--jobs", "2"], "--jobs 1"),
        (["--processes", "0"], "processes=0"),
    ],
)
def test_wrong_words_are_said(words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "--out", str(tmp_path / "out"), *words]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
