"""The comparison of transformers over labels runs, on a few rows, and writes what it found."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "survey_label_transformers_corel5k.py"


@pytest.mark.data
def test_few_rows_of_corel5k(real_data: Path, tmp_path: Path) -> None:
    small = ["--rows", "16", "--epochs", "1", "--seeds", "2", "--width", "8", "--out", str(tmp_path)]
    command = [sys.executable, "-W", "error", str(EXAMPLE), *small, "--methods", "MLP", "LaMP, label graph", "ML-Decoder"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLYTAG_DATA": str(real_data)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "corel5k.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"]) for row in rows] == [(m, s) for m in ("MLP", "LaMP, label graph", "ML-Decoder") for s in "01"]
    assert all(0 <= float(row["macro_auc"]) <= 1 and 0 <= float(row["ranking_loss"]) <= 1 for row in rows)
    assert "| ML-Decoder |" in (tmp_path / "corel5k.md").read_text(encoding="utf-8")
