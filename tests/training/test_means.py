"""What an epoch's objective was made of: means of its parts, and no cost where there are none."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from polytag import Table, Trainer
from polytag.enhance.base import Companion, Enhancer, Guidance
from polytag.errors import ParameterError
from polytag.models import DELA, Linear
from polytag.models.base import Objective
from polytag.models.enhanced import Enhanced
from polytag.registry import get, names
from polytag.selectors import Adaptive, Random
from polytag.testing.models import Subject
from polytag.training import Callback, Epoch, Run, checkpoint
from polytag.training.means import ObjectiveMeans


class Steps(Callback):
    """Keeps loss and parts of each step."""

    def __init__(self) -> None:
        self.seen: list[list[dict[str, float]]] = []

    def step(self, epoch, rows, objective) -> None:
        if len(self.seen) == epoch:
            self.seen.append([])
        self.seen[epoch].append({"loss": float(objective.loss.detach())} | {name: float(part) for name, part in objective.parts.items()})


def test_each_epoch_tells_the_means_of_all_parts(table: Table) -> None:
    steps = Steps()
    run = Trainer(epochs=3, callbacks=(steps,)).fit(DELA.from_data(table), table, Adaptive(table.labels, 16, x=table.dataset.X))
    for epoch, seen in zip(run.history, steps.seen, strict=True):
        assert len(seen) == 6
        assert epoch.parts.keys() == seen[0].keys() - {"loss"}
        assert len(epoch.parts) > 1
        for name, mean in (epoch.parts | {"loss": epoch.loss}).items():
            assert mean == pytest.approx(sum(step[name] for step in seen) / 6, rel=1e-5)


class Noise(Companion):
    """Learns one number, whatever the labels."""

    def __init__(self, q: int) -> None:
        super().__init__()
        self.scores = torch.nn.Parameter(torch.zeros(q))

    def forward(self, batch, features, logits):
        loss = (self.scores - 1).square().mean()
        return Guidance(self.distributions(batch, features).detach(), loss, {"scores": loss.detach()})

    def distributions(self, batch, features):
        return self.scores.softmax(0).expand(len(batch.rows), -1)


class Pointless(Enhancer):
    def fit_transform(self, X, Y, *, seed=0):
        return np.full(np.shape(Y), 1 / np.shape(Y)[1])

    def companion(self, train, width, *, seed=0):
        return Noise(train.q)


def test_an_enhanced_model_tells_the_parts_of_both(table: Table) -> None:
    model = Enhanced.around(Linear.from_data(table), Pointless(beta=0.25), table)
    run = Trainer(epochs=4, lr=0.1).fit(model, table, Random(table.labels, 16))
    for epoch in run.history:
        assert epoch.parts.keys() == {"classification", "distribution", "scores"}
        parts = epoch.parts
        assert epoch.loss == pytest.approx(0.75 * parts["classification"] + 0.25 * parts["distribution"] + parts["scores"], rel=1e-5)
    assert run.history[-1].parts["scores"] < run.history[0].parts["scores"] / 2


def test_a_part_that_comes_and_goes_counts_where_it_came() -> None:
    means = ObjectiveMeans(torch.device("cpu"))
    zero = torch.zeros(1, 1)
    for step in range(4):
        parts = {"odd": torch.tensor(step, dtype=torch.float64)} if step % 2 else {}
        means.add(Objective(torch.tensor(2.0 * step), zero, parts | {"all": torch.tensor(1.0, dtype=torch.bfloat16)}))
    assert means.read() == (3.0, {"all": 1.0, "odd": 2.0})
    assert ObjectiveMeans(torch.device("cpu")).read() == (0.0, {})


@pytest.mark.parametrize("part", [torch.ones((), requires_grad=True) * 2, torch.ones(3), 0.5], ids=["grad", "vector", "float"])
def test_parts_that_are_no_detached_scalars_are_refused(table: Table, part) -> None:
    class Careless(Linear):
        def objective(self, batch):
            own = super().objective(batch)
            return Objective(own.loss, own.logits, {"half": part})

    with pytest.raises(ParameterError, match=r"expected detached scalar tensors in Objective.parts.*'half'; detach it"):
        Trainer(epochs=1).fit(Careless.from_data(table), table, Random(table.labels, 16))


@pytest.mark.parametrize("name", [name for name in names("model") if "table" in get("model", name).INPUTS])
def test_every_model_names_parts_that_can_be_recorded(name: str) -> None:
    table = Subject(get("model", name)).shown(np.random.default_rng(0).normal(size=(32, 5)), np.tile([[1, 0, 0], [0, 1, 1]], (16, 1)))
    run = Trainer(epochs=1).fit(get("model", name).from_data(table), table, Random(table.labels, 16))
    assert all(isinstance(mean, float) for mean in run.history[0].parts.values())


def test_histories_without_parts_still_load(table: Table, tmp_path: Path) -> None:
    run = Trainer(epochs=2).fit(DELA.from_data(table), table, Random(table.labels, 16))
    assert Run.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    old = run.to_dict()
    for epoch in old["history"]:
        del epoch["parts"]
    assert Run.from_dict(old).history[0] == Epoch(**(run.to_dict()["history"][0] | {"parts": {}}))


def test_checkpoints_of_before_still_load(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "run"
    Trainer(epochs=2).fit(DELA.from_data(table), table, Random(table.labels, 16), resume=path)
    state = checkpoint.load(path)
    del state["clip"]
    for epoch in state["run"]["history"]:
        del epoch["parts"]
    checkpoint.save(path, state)
    run = Trainer(epochs=3).fit(DELA.from_data(table), table, Random(table.labels, 16), resume=path)
    assert [bool(epoch.parts) for epoch in run.history] == [False, False, True]
