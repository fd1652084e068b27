"""Times the hierarchy on cellcycle_GO against the dense form in which C-HMCNN was published, and on 100 000 labels.

The dense form expands scores to (b, q, q): once in single precision, once in double precision behind a network in single precision, as the
authors' code has it. Both share the network's weights with ours; losses are compared before, repeats are interleaved. "constraint": MCLoss
and its gradient for given logits; "coherent": coherent logits for given ones; "step": forward, backward and Adam with the authors' network
and settings; "predict": coherent logits of a batch of rows. Memory is that of one call in a process of its own, after one on a tiny
hierarchy, what the call keeps (the dense form's relation of labels, the optimiser's moments) included. ``--adam`` splits a step into its
parts and compares forms of Adam; ``--labels`` builds, closes and constrains a random graph of many labels.
"""

import argparse
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from model_step import fastest, memory_of
from scipy import sparse

from polytag import load_dataset
from polytag.data import Table
from polytag.hierarchy import Hierarchy
from polytag.losses import BCE
from polytag.models import CHMCNN
from polytag.models.chmcnn import through
from polytag.testing.models import Subject, batch_of

DENSE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "tests" / "reference" / "chmcnn.py")))
FORMS = {"polytag": None, "dense float32": torch.float32, "dense float64": torch.float64}
PARTS = ("constraint", "coherent", "step", "predict")


def main() -> None:
    """Print the tables, or measure the memory of one case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="cellcycle-go")
    parser.add_argument("--hidden", type=int, default=1000, help="width of the network")
    parser.add_argument("--b", type=int, default=4, help="batch size")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--adam", action="store_true", help="split a step into its parts")
    parser.add_argument("--labels", type=int, default=0, help="measure a random graph of so many labels instead")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.device = "cpu"
    if options.case:
        part, form = options.case.split(":")
        model, batch = ready(options)
        tiny = Subject(CHMCNN).toy()  # what torch loads and keeps at its first call is nobody's
        calls(CHMCNN.from_data(tiny, hidden=4, dropout=0.0), batch_of(tiny), form)[part]()
        print(memory_of(lambda: calls(model, batch, form)[part](), options.device) / 1e6)
    elif options.labels:
        many(options.labels)
    elif options.adam:
        adam(options)
    else:
        table(options)


def ready(options: argparse.Namespace) -> tuple[CHMCNN, Any]:
    """Return the model, without dropout, and a batch of the set."""
    data = load_dataset(options.set, offline=True).take(np.arange(options.b))
    rows = Table(replace(data, X=np.nan_to_num(data.X)))
    return CHMCNN.from_data(rows, hidden=options.hidden, dropout=0.0), batch_of(rows)


def calls(model: CHMCNN, batch: Any, form: str) -> dict[str, Callable[[], Any]]:
    """Return what is measured, in one form, with the model's weights; each call of "constraint" returns its loss."""
    textbook = None if form == "polytag" else DENSE.TextbookCHMCNN(model, FORMS[form])
    objective = model.objective if textbook is None else textbook.objective
    optimizer = torch.optim.Adam(model.param_groups(1e-4), weight_decay=1e-5)
    logits = model.network(batch.x).detach()

    def constraint() -> float:
        leaf = logits.clone().requires_grad_()
        if textbook is None:
            loss = BCE()(through(model.constraint, leaf, batch.y)[1], batch.y)
        else:
            loss = DENSE.dense_mcloss(leaf.sigmoid().to(textbook.R), batch.y.to(textbook.R), textbook.R)[0].mean()
        loss.backward()
        return float(loss.detach())

    def step() -> None:
        loss = objective(batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    @torch.inference_mode()
    def coherent() -> None:
        model.constraint(logits) if textbook is None else DENSE.dense_maximum(logits.sigmoid().to(textbook.R), textbook.R).logit()

    @torch.inference_mode()
    def predict() -> None:
        (model if textbook is None else textbook.predict)(batch.x)

    return {"constraint": constraint, "coherent": coherent, "step": step, "predict": predict}


def table(options: argparse.Namespace) -> None:
    """Print times and memory of every part in every form, with the ratios of both dense forms to ours."""
    model, batch = ready(options)
    forms = {form: calls(model, batch, form) for form in FORMS}
    losses = {form: found["constraint"]() for form, found in forms.items()}
    times = fastest({f"{part}:{form}": forms[form][part] for part in PARTS for form in FORMS}, options)
    print(f"{options.set}, b={options.b}, hidden={options.hidden}, {torch.get_num_threads()} thread(s), fastest of {options.repeats}")
    print("losses: " + ", ".join(f"{form} {loss:.7f}" for form, loss in losses.items()) + "\n")
    header = ["", *(f"{form} {unit}{'' if form == 'polytag' else ' (times)'}" for unit in ("ms", "MB") for form in FORMS)]
    print("\n".join("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header))))
    for part in PARTS:
        ms = [times[f"{part}:{form}"] for form in FORMS]
        mb = [memory(options, part, form) for form in FORMS]
        cells = [f"{value:.1f}" + ("" if value is row[0] else f" ({value / row[0]:.1f})") for row in (ms, mb) for value in row]
        print(f"| {part} | " + " | ".join(cells) + " |", flush=True)


def memory(options: argparse.Namespace, part: str, form: str) -> float:
    """Return the megabytes of the first call, measured in a new process."""
    command = [sys.executable, __file__, "--set", options.set, "--hidden", str(options.hidden), "--b", str(options.b)]
    done = subprocess.run([*command, "--case", f"{part}:{form}"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.splitlines()[-1])


def adam(options: argparse.Namespace) -> None:
    """Print how long each part of a step takes, and Adam in its three forms."""
    model, batch = ready(options)
    logits = model.network(batch.x)
    _, supplied = through(model.constraint, logits, batch.y)
    forms = {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
    optimizers = {name: torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-5, **how) for name, how in forms.items()}
    runs = {
        "network forward": lambda: model.network(batch.x),
        "constraint": lambda: through(model.constraint, logits, batch.y),
        "loss": lambda: model.loss(supplied, batch.y),
        "all forward": lambda: model.objective(batch),
        "forward and backward": lambda: model.objective(batch).loss.backward(),
        **{f"Adam, {name}": optimizer.step for name, optimizer in optimizers.items()},
    }
    model.objective(batch).loss.backward()
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{options.set}, b={options.b}, {size} parameters, {torch.get_num_threads()} thread(s), fastest of {options.repeats}\n")
    for name, ms in fastest(runs, options).items():
        print(f"{name:24} {ms:8.2f} ms")


def many(q: int) -> None:
    """Print time and memory of building a random graph of q labels, closing 1000 rows of 5 labels and constraining 16 rows."""
    rng = np.random.default_rng(0)
    children = np.arange(1, q)
    first, second = (rng.integers(children // spread, children // spread + 1 + children // 100) % children for spread in (4, 8))
    some = rng.random(q - 1) < 0.4
    edges = np.concatenate([np.stack([children, first], axis=1), np.stack([children[some], second[some]], axis=1)])
    names = tuple(map(str, range(q)))
    rows = sparse.csr_array((np.ones(5000, dtype=np.uint8), rng.integers(0, q, 5000), np.arange(0, 5001, 5)), shape=(1000, q))
    rows.sum_duplicates()
    scores = torch.from_numpy(rng.normal(size=(16, q)).astype(np.float32))
    found: dict[str, Any] = {}

    def build() -> None:
        found["hierarchy"] = Hierarchy(names, edges)
        found["constraint"] = found["hierarchy"].make_constraint()

    runs: dict[str, Callable[[], Any]] = {
        "build": build,
        "close 1000 rows": lambda: found.update(closed=found["hierarchy"].close(rows)),
        "constrain 16 rows": lambda: found["constraint"](scores),
    }
    for name, run in runs.items():
        start = time.perf_counter()
        mb = memory_of(run, "cpu") / 1e6
        print(f"{name:20} {time.perf_counter() - start:7.2f} s {mb:8.1f} MB", flush=True)
    print(found["hierarchy"], f"{found['closed'].sum() / 1000:.1f} labels a row after closing")


if __name__ == "__main__":
    main()
