"""The survey's three first experiments run, on a few rows, and write what they found."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(real_data: Path, out: Path, example: str, *options: str) -> tuple[list[dict[str, str]], str]:
    """Run an example on 16 rows for one epoch with two seeds; return its rows and its tables."""
    words = ["--rows", "16", "--epochs", "1", "--seeds", "2", "--out", str(out), *options]
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"survey_{example}.py"), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLYTAG_DATA": str(real_data)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (table,) = out.glob("*.csv")
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert all(0 <= float(row["macro_auc"]) <= 1 and 0 <= float(row["ranking_loss"]) <= 1 for row in rows)
    return rows, table.with_suffix(".md").read_text(encoding="utf-8")


def runs(*methods: str) -> list[tuple[str, str]]:
    return [(method, seed) for method in methods for seed in "01"]


@pytest.mark.data
def test_networks_over_words_of_bibtex(real_data: Path, tmp_path: Path) -> None:
    methods = ("MLP", "CNN", "XML-CNN")
    rows, tables = run(
        real_data, tmp_path, "cnn_rnn_bibtex", "--lr", "0.01", "--batch-size", "8", "--methods", *methods, "logistic regressions"
    )
    assert [(row["method"], row["seed"]) for row in rows] == [*runs(*methods), ("logistic regressions", "0")]
    assert tables.startswith("# bibtex, published split, 2 seeds, epochs 1, lr 0.01, batch_size 8\n")
    assert "| XML-CNN |" in tables


@pytest.mark.data
def test_label_transformers_of_corel5k(real_data: Path, tmp_path: Path) -> None:
    methods = ("MLP", "LaMP, label graph", "ML-Decoder")
    rows, tables = run(real_data, tmp_path, "label_transformers_corel5k", "--width", "8", "--methods", *methods)
    assert [(row["method"], row["seed"]) for row in rows] == runs(*methods)
    assert "| ML-Decoder |" in tables


@pytest.mark.data
@pytest.mark.parametrize("data", ["mat-corel16k1", "msrc-v2"])
def test_hybrid_of_tables_and_pictures(real_data: Path, tmp_path: Path, data: str) -> None:
    rows, tables = run(real_data, tmp_path, "hybrid_corel16k", "--data", data, "--width", "8")
    table = ("MLP",) if data == "mat-corel16k1" else ()  # which reads no pictures
    assert [(row["method"], row["seed"]) for row in rows] == runs(*table, "conv only", "attention only", "hybrid")
    assert "| attention only |" in tables
