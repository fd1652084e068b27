"""Training with a compiled objective ends where plain training does."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from polytag import Table, Trainer
from polytag.errors import ParameterError, ResumeError
from polytag.models import DELA, MLP, MultiLabelModel
from polytag.selectors import Adaptive, Random
from polytag.training import checkpoint, compiling

pytestmark = pytest.mark.filterwarnings("ignore")  # of the compiler, none of ours

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))),
    reason="torch.compile needs a C++ compiler on the CPU: install g++, or set CXX",
)
# Without batch norm, before which Adam moves a bias by nothing but rounding.
MAKERS = {"mlp": lambda table: MLP.from_data(table, hidden=(8,), batch_norm=False), "dela": lambda table: DELA.from_data(table, latent=4)}


@pytest.fixture
def plainly_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let compiled code draw the random numbers that plain code draws."""
    monkeypatch.setattr("torch._inductor.config.fallback_random", True)


@needs_compiler
@pytest.mark.parametrize("name", ["mlp", pytest.param("dela", marks=pytest.mark.slow)])
@pytest.mark.usefixtures("plainly_drawn")
def test_compiled_training_equals_plain_training(name: str, table: Table, valid: Table) -> None:
    runs, models = [], []
    for compile_it in (False, True):
        model: MultiLabelModel = MAKERS[name](table)
        selector = Adaptive(table.labels, 30, x=table.dataset.X, seed=0)  # three batches of the same size an epoch: compiled once
        runs.append(Trainer(epochs=3, lr=0.01, compile=compile_it).fit(model, table, selector, valid))
        models.append(model)
    plain, compiled = runs
    assert [epoch.loss for epoch in compiled.history] == pytest.approx([epoch.loss for epoch in plain.history], rel=1e-4)
    assert [epoch.valid for epoch in compiled.history] == pytest.approx([epoch.valid for epoch in plain.history], abs=0.02)
    assert models[0].state_dict().keys() == models[1].state_dict().keys()
    for ours, theirs in zip(models[1].state_dict().values(), models[0].state_dict().values()):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def eagerly(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Let what is compiled be traced but not translated, which needs no compiler; return what was compiled, as it grows."""
    seen: list[object] = []
    whole = torch.compile

    def traced(function, **settings):
        seen.append(function)
        return whole(function, backend="eager", **settings)

    monkeypatch.setattr(torch, "compile", traced)
    return seen


def test_batches_of_every_size_equal_plain_ones_to_the_bit(monkeypatch: pytest.MonkeyPatch, table: Table) -> None:
    seen = eagerly(monkeypatch)
    models = []
    for compile_it in (False, True):
        models.append(MLP.from_data(table, hidden=(8,)))
        Trainer(epochs=2, lr=0.01, compile=compile_it).fit(models[-1], table, Random(table.labels, 16, seed=0))
    assert seen == [models[1].objective]
    for ours, theirs in zip(models[1].state_dict().values(), models[0].state_dict().values()):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_run_is_continued_as_it_was_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, table: Table) -> None:
    eagerly(monkeypatch)
    path = tmp_path / "run"

    def train(**settings) -> MLP:
        model = MLP.from_data(table, hidden=(8,))
        Trainer(**settings).fit(model, table, Random(table.labels, 30, seed=0), resume=path)
        return model

    train(epochs=1)
    assert "compile" not in checkpoint.load(path)["fingerprint"]["trainer"]  # as in checkpoints from before there was the choice
    with pytest.raises(ResumeError, match="'compile': True"):
        train(epochs=2, compile=True)
    path.unlink()
    train(epochs=1, compile=True)
    continued = train(epochs=3, compile=True)
    path.unlink()
    whole = train(epochs=3, compile=True)
    for ours, theirs in zip(continued.state_dict().values(), whole.state_dict().values()):
        assert torch.equal(ours, theirs)


def test_where_nothing_can_be_compiled_it_is_said(monkeypatch: pytest.MonkeyPatch, table: Table) -> None:
    def without_compiler(function, **settings):
        from torch._dynamo.exc import TorchDynamoException

        def fails(batch):
            raise TorchDynamoException("\nInvalidCxxCompiler: No working C++ compiler found\nmore")

        return fails

    def not_on_this_python(function, **settings):
        raise RuntimeError("torch.compile is not supported on Python 4")

    for broken, reason in ((without_compiler, "No working C"), (not_on_this_python, "not supported on Python 4")):
        monkeypatch.setattr(torch, "compile", broken)
        with pytest.raises(ParameterError, match=rf"works for MLP, but it failed \(.*{reason}.*\); install .* or train with compile=False"):
            Trainer(epochs=1, compile=True).fit(MLP.from_data(table), table, Random(table.labels, 30, seed=0))


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch, table: Table) -> None:
    model = MLP.from_data(table)
    monkeypatch.setattr(compiling, "Sharded", MLP)
    with pytest.raises(ParameterError, match="several processes"):
        compiling.compiled_objective(model)
