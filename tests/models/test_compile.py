"""Compiled models compute what plain ones compute: logits, loss and gradients."""

import os
import shutil
from typing import Any

import numpy as np
import pytest
import torch

from polytag import registry
from polytag.data import Dataset, Table
from polytag.hierarchy import Hierarchy
from polytag.models import CHMCNN, DELA, MLP, MultiLabelModel
from polytag.types import Batch

pytestmark = pytest.mark.filterwarnings("ignore")  # of the compiler, none of ours

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))),
    reason="torch.compile needs a C++ compiler on the CPU: install g++, or set CXX",
)

HIERARCHY = Hierarchy.from_edges([("a", "b"), ("b", "c"), ("a", "c")])
MAKERS = {
    "mlp": lambda: MLP(5, 3, hidden=[8], dropout=0.0),
    "dela": lambda: DELA(5, 3, latent=4),
    "chmcnn": lambda: CHMCNN(5, 3, hierarchy=HIERARCHY, hidden=8),
}
SMALL: dict[str, dict[str, Any]] = {
    "clif": {"hidden": 8},
    "mlp": {"hidden": (8,)},
    "tabm": {"k": 2, "hidden": 8},
    "c2ae": {"hidden": 8},
}
TABULAR = [name for name in registry.names("model") if "table" in registry.get("model", name).INPUTS]
QUICK = ("bpmll", "c2ae", "chmcnn", "clif", "dela", "linear", "mlp")


@needs_compiler
@pytest.mark.parametrize("name", MAKERS)
def test_compiled_equals_plain(name: str) -> None:
    torch.manual_seed(0)
    model: MultiLabelModel = MAKERS[name]().eval()  # no random numbers
    y = torch.from_numpy(HIERARCHY.close(torch.randint(2, (6, 3)).numpy())).float()
    batch = Batch(torch.arange(6), torch.randn(6, 5), y)
    torch._dynamo.reset()
    plain, compiled = model.objective(batch), torch.compile(model.objective)(batch)
    torch.testing.assert_close(compiled.loss, plain.loss)
    torch.testing.assert_close(compiled.logits, plain.logits)
    parameters = list(model.parameters())
    ours, theirs = (torch.autograd.grad(found.loss, parameters, allow_unused=True) for found in (compiled, plain))
    torch.testing.assert_close(ours, theirs)


def tree_table() -> Table:
    """Return 12 rows of 5 features and 4 labels under a tree, closed under it."""
    rng = np.random.default_rng(0)
    tree = Hierarchy.from_edges([("b", "a"), ("c", "a"), ("d", "b")])
    Y = tree.close((rng.random((12, 4)) < 0.4).astype(np.uint8))
    return Table(Dataset(rng.normal(size=(12, 5)), Y, label_names=tree.names, hierarchy=tree))


def taken_step(name: str, backend: str | None) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """Return the state of a new model after one step in training mode, compiled or not, and its loss and logits."""
    table = tree_table()
    model = registry.get("model", name).from_data(table, **SMALL.get(name, {})).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    objective = model.objective if backend is None else torch.compile(model.objective, backend=backend)
    torch.manual_seed(0)  # the same noise
    found = objective(table[torch.arange(12)])
    found.loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    return model.state_dict(), found.loss.detach(), found.logits.detach()


def compare(name: str, backend: str) -> None:
    torch._dynamo.reset()
    (plain, loss, logits), (compiled, its_loss, its_logits) = taken_step(name, None), taken_step(name, backend)
    torch.testing.assert_close(its_loss, loss)
    torch.testing.assert_close(its_logits, logits)
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in TABULAR])
def test_a_traced_training_step_equals_a_plain_one(name: str) -> None:
    compare(name, "aot_eager")  # everything but the translation to machine code, which takes longest


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", TABULAR)
def test_a_compiled_training_step_equals_a_plain_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("torch._inductor.config.fallback_random", True)
    compare(name, "inductor")
