"""What the survey's experiments share: train networks on one split with several seeds, judge them by every metric, write a table."""

import argparse
import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polytag import metrics, registry
from polytag.classical import BR
from polytag.data import Dataset, Table
from polytag.data.prepare import PreparedSplit
from polytag.selectors import Random
from polytag.training import Trainer, predict

SHOWN = ("macro_f1", "micro_f1", "macro_auc", "lrap", "ranking_loss", "hamming_loss", "one_error", "subset_accuracy")
TRAINING = ("epochs", "lr", "batch_size")
Row = dict[str, Any]


def arguments(doc: str | None, seeds: int, out: str) -> argparse.ArgumentParser:
    """Return a parser of what all three experiments are asked."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--epochs", type=int, help="of the networks; by default each one's own")
    parser.add_argument("--lr", type=float, help="learning rate of the networks; by default each one's own")
    parser.add_argument("--batch-size", type=int, help="of the networks; by default each one's own")
    parser.add_argument("--rows", type=int, help="use at most so many rows of each part")
    parser.add_argument("--out", type=Path, default=Path(out))
    return parser


def network(parts: PreparedSplit, name: str, seed: int, given: Mapping[str, Any], params: Mapping[str, Any]) -> Row:
    """Train a network as its defaults and ``given`` say, keep its best epoch on the validation rows, and judge it on the test rows."""
    train, valid, test = (Table(part) for part in parts[:3])
    cls = registry.get("model", name)
    how = {**cls.training_defaults(epochs=given.get("epochs")), **given}
    selector = Random(train.targets, how.pop("batch_size"), seed=seed)
    model = cls.from_data(train, seed=seed, **params)
    trainer = Trainer(**how, seed=seed)
    run = trainer.fit(model, train, selector, valid)
    proba = predict(model, test, batch_size=256).double().sigmoid().numpy()
    seconds = float(np.mean([epoch.seconds for epoch in run.history]))
    count = sum(p.numel() for p in model.parameters())
    return {"parameters": count, "epochs": len(run.history), "seconds_per_epoch": seconds, **judge(parts, proba)}


def logistic(parts: PreparedSplit) -> Row:
    """Fit a logistic regression for each label, on the validation rows too, since it chooses nothing on them."""
    fitted = Dataset.join([parts.train, parts.valid])
    start = time.perf_counter()
    proba = BR().fit(fitted.X, fitted.Y).predict_proba(parts.test.X)
    count = (fitted.d + 1) * fitted.q
    return {"parameters": count, "epochs": 1, "seconds_per_epoch": time.perf_counter() - start, **judge(parts, proba)}


def judge(parts: PreparedSplit, proba: np.ndarray) -> dict[str, float]:
    """Return every metric on the test rows; labels are cut at 0.5."""
    return metrics.evaluate(parts.test.Y, proba, threshold=0.5, train_labels=parts.train.Y)


class Report(NamedTuple):
    """Where the table goes, and what it is called."""

    out: Path
    name: str
    title: str


def experiment(
    parts: PreparedSplit, methods: Mapping[str, tuple[str, Mapping[str, Any]]], options: argparse.Namespace, report: Report
) -> None:
    """Run each method, a registered model and its parameters under a title, with each seed; ``"br"`` draws no lots and runs once.

    The report is written after each run, so that whoever stops has what was finished.
    """
    rows = []
    given = {name: value for name in TRAINING if (value := getattr(options, name)) is not None}
    report = report._replace(title=", ".join([report.title, *(f"{name} {value:g}" for name, value in given.items())]))
    for title, (name, params) in methods.items():
        for seed in range(1 if name == "br" else options.seeds):
            found = logistic(parts) if name == "br" else network(parts, name, seed, given, params)
            rows.append({"method": title, "seed": seed, **found})
            shown = ", ".join(f"{metric} {found[metric]:.4f}" for metric in SHOWN[:3])
            print(f"{title}, seed {seed}: {shown}; {found['seconds_per_epoch']:.1f} s an epoch", flush=True)
            write(rows, report)
    print((report.out / f"{report.name}.md").read_text(encoding="utf-8"))


def some_rows(parts: PreparedSplit, rows: int | None) -> PreparedSplit:
    """Return the split with at most so many rows in each part, for a quick look."""
    return parts if rows is None else parts._replace(**{name: first(getattr(parts, name), rows) for name in ("train", "valid", "test")})


def first(data: Dataset, rows: int) -> Dataset:
    """Return the first rows of a data set."""
    return data.take(range(min(rows, data.n)))


def write(rows: list[Row], report: Report) -> None:
    """Write every number of every run as CSV, and means and deviations over the seeds as Markdown."""
    out, name, title = report
    out.mkdir(parents=True, exist_ok=True)
    columns = list(rows[0])
    with (out / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    lines = [f"# {title}", ""]
    for chosen in (("parameters", "epochs", "seconds_per_epoch", *SHOWN), [c for c in columns[5:] if c not in SHOWN]):
        lines += ["| method | " + " | ".join(chosen) + " |", "|---" * (len(chosen) + 1) + "|"]
        for method in dict.fromkeys(row["method"] for row in rows):
            runs = [[float(row[column]) for column in chosen] for row in rows if row["method"] == method]
            means, deviations = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=len(runs) > 1)
            cells = [_cell(*pair, len(runs)) for pair in zip(means, deviations, strict=True)]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        lines.append("")
    (out / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")


def _cell(mean: float, deviation: float, runs: int) -> str:
    if mean >= 1000 or (deviation == 0 and mean == round(mean) and mean >= 1):
        return f"{mean:.0f}"
    return f"{mean:.4f}" if runs == 1 else f"{mean:.4f} ± {deviation:.4f}"
