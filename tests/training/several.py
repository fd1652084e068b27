"""What the processes of ``test_distributed.py`` do: functions that they can import."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polytag import Batch, Dataset, Table, Trainer
from polytag.errors import ParameterError
from polytag.losses import SPLC
from polytag.models import CLIF, DELA, MLP, Linear
from polytag.selectors import D2ACE, OHEM, AdaC, Adaptive, InfoBatch, Random
from polytag.training import Callback, predict
from polytag.training.distributed import Sharded, shared
from polytag.training.processes import is_writer, place

B = 15
"""Two processes take 7 and 8 rows of it, four take 3, 4, 4 and 4."""


class DoubleTable(Table):
    """Batches in double precision: what then differs between one process and several is more than the order of sums."""

    def __getitem__(self, rows: Any) -> Batch:
        batch = super().__getitem__(rows)
        return batch._replace(x=batch.x.double(), y=batch.y.double())


def make_table(n: int = 61, d: int = 6, q: int = 4, kind: type[Table] = Table) -> Table:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    Y = (X @ rng.normal(size=(d, q)) + rng.normal(size=(n, q)) - 0.8 > 0).astype(np.uint8)
    return kind(Dataset(X, Y))


class QuietDELA(DELA):
    """DELA without its noise, which no two processes share."""

    def _draw_noise(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full_like(self.gates, 0.3), x.new_full((len(x), self.gates.shape[1]), 0.1)


MODELS = {
    "linear": lambda table: Linear.from_data(table),
    "mlp": lambda table: MLP.from_data(table, hidden=[12, 8], dropout=0.0),
    "dropout": lambda table: MLP.from_data(table, hidden=[12, 8], dropout=0.5),
    "clif": lambda table: CLIF.from_data(table, embedding=6, hidden=8),
    "dela": lambda table: QuietDELA.from_data(table, latent=4),
    "splc": lambda table: Linear.from_data(table, loss=SPLC(0.5, trust_negatives=False)),
}
SELECTORS = {"random": Random, "adaptive": Adaptive, "adac": AdaC, "d2ace": D2ACE, "ohem": OHEM, "infobatch": InfoBatch}
RUNS = {
    "linear, random": {},
    "linear, adaptive": {},
    "linear, d2ace": {},
    "linear, ohem": {},
    "linear, infobatch": {},
    "splc, random": {},
    "mlp, adaptive": {},
    "clif, adac": {},
    "dela, adaptive": {},
    "mlp, adaptive, weighted": {"correction": 1.0},
    "mlp, random, tiny batches": {"batch_size": 3},
    "mlp, random, remainder of one": {"batch_size": 60},
}


class Rows(Callback):
    """Keeps the rows of all steps."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def step(self, epoch: int, rows: Any, objective: Any) -> None:
        self.seen.append(rows.tolist())


class Death(Callback):
    """Ends one process at a step, without a word or by a signal."""

    def __init__(self, rank: int, step: int, how: str) -> None:
        self.rank, self.left, self.how = rank, step, how

    def step(self, epoch: int, rows: Any, objective: Any) -> None:
        here = place()
        if here is None or here.rank != self.rank:
            return
        self.left -= 1
        if self.left == 0 and self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.left == 0 and self.how == "exit":
            os._exit(3)


def train(name: str, *watchers: Callback, epochs: int = 3, resume: Path | None = None) -> dict[str, Any]:
    """Train one of ``RUNS``, in as many processes as there are, and return all that must not depend on their number."""
    kind, chooser, *_ = name.split(", ")
    table = make_table(kind=DoubleTable)
    params = {"batch_size": B, "x": table.dataset.X, "seed": 3} | RUNS.get(name, {})
    params |= {} if chooser == "random" else {"warmup": 1}
    model, selector, rows = MODELS[kind](table).double(), SELECTORS[chooser](table.labels, **params), Rows()
    # not Adam: where a gradient is zero but for rounding (a bias before batch norm), Adam walks at full speed into a random direction
    trainer = Trainer(epochs=epochs, lr=0.02, optimizer=torch.optim.SGD, optimizer_params={"momentum": 0.9}, clip_norm=1.0,
                      callbacks=(rows, *watchers))  # fmt: skip
    run = trainer.fit(shared(model), table, selector, valid=table, resume=resume, save_every=1e-9)
    return {
        "rows": rows.seen,
        "weights": {key: tensor.numpy() for key, tensor in model.state_dict().items()},
        "selector": selector.state_dict(),
        "probabilities": selector.probabilities(),
        "losses": [epoch.loss for epoch in run.history],
        "valid": [epoch.valid for epoch in run.history],
    }


def all_runs() -> dict[str, dict[str, Any]]:
    return {name: train(name) for name in RUNS}


def objective(kind: str, b: int, weighted: str, training: bool = True) -> dict[str, Any]:
    """Return loss, logits, parts, gradients and buffers of one step on rows 0 .. b-1."""
    table = make_table(kind=DoubleTable)
    rng = torch.Generator().manual_seed(1)
    weight = {"": None, "rows": torch.rand(b, generator=rng), "cells": torch.rand(b, table.q, generator=rng)}[weighted]
    model = MODELS[kind](table).double().train(training)
    batch: Batch = table[torch.arange(b)]._replace(weight=weight)
    found = shared(model).objective(batch)
    found.loss.backward()
    return {
        "loss": np.array(found.loss.item()),
        "logits": found.logits.detach().numpy(),
        **{f"part {name}": value.numpy() for name, value in found.parts.items()},
        **{f"gradient {name}": tensor.grad.numpy() for name, tensor in model.named_parameters()},
        **{f"buffer {name}": tensor.numpy() for name, tensor in model.named_buffers()},
    }


STEPS = [
    (kind, b, weighted, training)
    for kind in ("linear", "mlp", "clif", "dela")
    for b, weighted, training in ((B, "", True), (16, "rows", True), (B, "cells", True), (3, "rows", True), (1, "", True), (B, "", False))
]


def all_steps() -> list[dict[str, Any]]:
    return [objective(*step) for step in STEPS]


def noise() -> list[Any]:
    """Return what dropout does to one row that stands in each slice, and the state of the generator afterwards."""
    table = make_table()
    model = Sharded(MODELS["dropout"](table)).train()
    torch.manual_seed(0)
    batch = table[torch.zeros(4, dtype=torch.long)]
    logits = model.objective(batch).logits.detach()
    return [logits.numpy(), torch.get_rng_state().numpy()]


def half() -> list[float]:
    """Train in half precision, and predict with a copy in double precision."""
    table = make_table()
    model = Sharded(MODELS["mlp"](table))
    run = Trainer(epochs=2, precision="bfloat16").fit(model, table, Adaptive(table.labels, B, x=table.dataset.X))
    return [*(epoch.loss for epoch in run.history), float(predict(model, table, precision="float64").sum())]


def mishap() -> None:
    raise ZeroDivisionError("a mishap")


def quarrel() -> str:
    """Give each process a selector of its own, and return what it is told."""
    here = place()
    assert here is not None
    table = make_table()
    try:
        Trainer(epochs=1).fit(Sharded(Linear.from_data(table)), table, Random(table.labels, B, seed=here.rank))
    except ParameterError as error:
        return str(error)
    return ""


def not_a_number() -> None:
    table = make_table()
    with torch.no_grad():
        model = Linear.from_data(table)
        next(model.parameters()).fill_(torch.nan)
    Trainer(epochs=1).fit(Sharded(model), table, Adaptive(table.labels, B, x=table.dataset.X))


def start(path: Path) -> dict[str, Any]:
    return train("mlp, adaptive", epochs=3, resume=path)


def start_of_death(path: Path, rank: int, step: int, how: str) -> dict[str, Any]:
    return train("mlp, adaptive", Death(rank, step, how), epochs=6, resume=path)


def go_on(*paths: Path) -> list[dict[str, Any]]:
    return [train("mlp, adaptive", epochs=6, resume=path) for path in paths]


def hang(seconds: float) -> None:
    """Let process 1 stop answering."""
    here = place()
    assert here is not None
    if here.rank == 1:
        time.sleep(seconds)
    objective("linear", B, "")


def everything() -> dict[str, Any]:
    alone = {"noise": noise(), "writer": is_writer(), "quarrel": quarrel(), "half": half()}
    return {"runs": all_runs(), "steps": all_steps(), **alone}
