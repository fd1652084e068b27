"""C2AE against its authors' numbers, the textbook formulation and hand oracles."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.published import linears
from tests.reference.c2ae import TextbookC2AE
from torch import Tensor

from polytag.data import Dataset
from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.models import C2AE
from polytag.types import Batch

CLOSE = {"rtol": 1e-8, "atol": 1e-12}


def published(folder: Path, name: str, **switches: Any) -> tuple[C2AE, dict[str, Tensor], dict[str, Tensor]]:
    """Return the model with the published weights, its tensors by role, and the case's arrays."""
    about = json.loads((folder / "index.json").read_text())["cases"][name]
    with np.load(folder / about["file"]) as file:
        arrays = {key: torch.as_tensor(file[key]) for key in file.files}
    dims, state = about["dims"], np.random.RandomState(about.get("recipe", {}).get("seed", 0))
    recipe = about.get("recipe", {}).get("parameters", [])
    stored = {p["name"]: torch.as_tensor(state.uniform(p["low"], p["high"], size=p["shape"])) for p in recipe}
    stored |= {key.removeprefix("param/"): value for key, value in arrays.items() if key.startswith("param/")}
    model = C2AE(dims["d"], dims["q"], hidden=dims["h"], reduction=dims["K"] / dims["q"], **switches).double()
    roles = linears(model.features, "fx.") | linears(model.labels, "fe.") | linears(model.decoder, "fd.")
    roles = {role.replace("..", "."): tensor for role, tensor in roles.items()}
    assert roles.keys() == stored.keys()
    with torch.no_grad():
        for role, tensor in roles.items():
            tensor.copy_(stored[role])
    return model, roles, arrays


@pytest.mark.data
@pytest.mark.parametrize("name", ["c2ae", "c2ae_small"])
def test_equals_the_published_code(golden: Path, name: str) -> None:
    model, roles, case = published(golden, name)
    torch.testing.assert_close(model(case["x"]).sigmoid(), case["proba"], **CLOSE)
    objective = model.objective(Batch(torch.arange(len(case["x"])), case["x"], case["y"]))
    torch.testing.assert_close(objective.logits.sigmoid(), case["proba"], **CLOSE)
    torch.testing.assert_close(objective.parts["embedding"], case["loss/embedding"], **CLOSE)
    torch.testing.assert_close(objective.parts["output"], model.output_weight * case["loss/output"], **CLOSE)
    torch.testing.assert_close(objective.parts["l2"], case["loss/l2"], **CLOSE)
    torch.testing.assert_close(objective.loss, case["loss/total"], **CLOSE)
    objective.loss.backward()
    checked = 0
    for role, tensor in roles.items():
        assert tensor.grad is not None
        if f"grad/{role}" in case:
            torch.testing.assert_close(tensor.grad, case[f"grad/{role}"], **CLOSE)
        if f"gradnorm/{role}" in case:
            torch.testing.assert_close(tensor.grad.norm(), case[f"gradnorm/{role}"], **CLOSE)
        checked += f"grad/{role}" in case or f"gradnorm/{role}" in case
    assert checked == 14


@pytest.mark.data
@pytest.mark.parametrize("name", ["c2ae", "c2ae_small"])
@pytest.mark.parametrize(("which", "compat"), [("missing", None), ("missing_onesided", "authors")])
def test_missing_labels_enter_as_published(golden: Path, name: str, which: str, compat: str | None) -> None:
    model, _, case = published(golden, name, missing=True, compat=compat)
    coded = case[f"{which}/y"]  # 1, -1 and 0 for missing
    y = torch.where(coded == 0, torch.nan, (coded > 0).to(coded.dtype))
    torch.testing.assert_close(model.label_input(y), case[f"{which}/label_input"], **CLOSE)
    places = model._place(model.labels, model.label_input(y))
    torch.testing.assert_close(places, case[f"{which}/E"], **CLOSE)
    torch.testing.assert_close(model.decoder(places).sigmoid(), case[f"{which}/label_branch"], **CLOSE)


@pytest.mark.data
@pytest.mark.parametrize("name", ["c2ae", "c2ae_small"])
def test_three_steps_of_the_published_optimiser(golden: Path, name: str) -> None:
    model, roles, case = published(golden, name)
    batch, mean, move = Batch(torch.arange(len(case["x"])), case["x"], case["y"]), {}, {}
    for step in (1, 2, 3):
        model.zero_grad()
        model.objective(batch).loss.backward()
        with torch.no_grad():
            for role, tensor in roles.items():
                assert tensor.grad is not None
                square = tensor.grad.square()
                mean[role] = square.sqrt() if role not in mean else (0.9 * mean[role].square() + 0.1 * square).sqrt()
                move[role] = 0.99 * move.get(role, 0.0) - 1e-4 * 0.98 ** (step - 1) * (tensor.grad / mean[role]).nan_to_num()
                tensor += move[role]
        for role in ("fx.2.bias", "fe.1.bias", "fd.1.bias"):
            torch.testing.assert_close(roles[role].detach(), case[f"steps/{step}/{role}"], rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("b", "d", "q"), [(1, 3, 2), (7, 5, 6), (4, 2, 1)])
def test_equals_the_textbook_form(b: int, d: int, q: int, weighted: bool) -> None:
    torch.manual_seed(b)
    model = C2AE(d, q, hidden=12).double()
    y = torch.randint(2, (b, q)).double()
    y[0] = 1
    weight = torch.rand(b).double() if weighted else None
    batch = Batch(torch.arange(b), torch.randn(b, d).double(), y, weight)
    fast, slow = model.objective(batch), TextbookC2AE(model).objective(batch)
    torch.testing.assert_close(fast.loss, slow.loss, **CLOSE)
    torch.testing.assert_close(fast.logits.sigmoid(), TextbookC2AE(model).predict(batch.x), **CLOSE)
    grads = [torch.autograd.grad(one.loss, list(model.parameters()), allow_unused=True) for one in (fast, slow)]
    for mine, theirs in zip(*grads):
        torch.testing.assert_close(mine, theirs, **CLOSE)


def test_the_oracle_of_the_embedding() -> None:
    model = C2AE(2, 2)
    places, of_labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.5, 0.0], [0.0, 1.0]])
    assert float(model._embedding(places, of_labels, None)) == pytest.approx(0.53125)


def test_the_decoder_learns_from_labels_only_and_a_row_of_weight_zero_has_no_say() -> None:
    torch.manual_seed(0)
    x, y = torch.rand(6, 4), torch.randint(2, (6, 5)).float()
    pairs_only = C2AE(4, 5, hidden=8, l2=0.0, orthogonality=0.0)
    pairs_only._embedding = lambda *_: torch.zeros(())  # type: ignore[method-assign]
    pairs_only.objective(Batch(torch.arange(6), x, y)).loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in pairs_only.features.parameters())
    assert all(p.grad is not None and p.grad.any() for p in [*pairs_only.labels.parameters(), *pairs_only.decoder.parameters()])

    model = C2AE(4, 5, hidden=8)
    weight = torch.tensor([0.0, 1, 1, 1, 1, 1])
    losses = [model.objective(Batch(torch.arange(6), x, labels, weight)).loss for labels in (y, torch.cat([1 - y[:1], y[1:]]))]
    assert torch.equal(*losses)


def test_sizes_and_context() -> None:
    assert sum(p.numel() for p in C2AE(103, 14).parameters()) == 348_196
    assert C2AE(3, 1).decoder[0].in_features == 1
    X, Y = np.random.default_rng(0).random((5, 3)), np.eye(5, 4)
    assert not C2AE.from_data(Table(Dataset(X, Y))).missing
    Y[0, 1] = np.nan
    assert C2AE.from_data(Table(Dataset(X, Y))).missing
    with pytest.raises(ParameterError, match="reduction"):
        C2AE(3, 4, reduction=0)


def test_many_labels_need_no_table_of_pairs() -> None:
    model = C2AE(8, 1000, hidden=16, reduction=0.05)
    objective = model.objective(Batch(torch.arange(64), torch.rand(64, 8), (torch.rand(64, 1000) < 0.02).float()))
    objective.loss.backward()
    assert bool(objective.loss.isfinite())
