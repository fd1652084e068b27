"""DELA against its authors' numbers, the textbook formulation and hand oracles."""

import math
from pathlib import Path

import pytest
import torch
from tests.models.published import Case, dela_roles
from tests.reference.dela import TextbookDELA

from polytag.models import DELA
from polytag.types import Batch

CLOSE = {"rtol": 1e-8, "atol": 1e-12}


@pytest.mark.data
@pytest.mark.parametrize("name", ["dela", "dela_adabatch"])
def test_equals_the_published_code(golden: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(golden, name)
    d, q = case.about["dims"]["d"], case.about["dims"]["q"]
    params = DELA.preset_params("adabatch" if name == "dela_adabatch" else None, d, q)
    model = DELA(d, q, **{**params, "latent": case.about["dims"]["D"], "beta": case.about["hyper"]["beta"]}).double()
    if name == "dela_adabatch":
        assert (params["latent"], params["beta"], model.off_noise) == (4, 1e-4, None)
    roles = dela_roles(model)
    case.fill(roles)
    torch.testing.assert_close(model.eval()(case["x"]), case["eval/logits"], **CLOSE)
    torch.testing.assert_close(model(case["x"]).sigmoid(), case["eval/proba"], **CLOSE)

    monkeypatch.setattr(model, "_draw_noise", lambda x: (case["uniform"], case["eps"]))
    case.drop([m for part in (model.encoder, model.decoder) for m in part.modules() if isinstance(m, torch.nn.Dropout)], 0.2)
    objective = model.train().objective(Batch(torch.arange(6), case["x"], case["y"]))
    torch.testing.assert_close(model._gate(case["uniform"]), case["train/gate"], **CLOSE)
    torch.testing.assert_close(objective.logits, case["train/logits"], **CLOSE)
    torch.testing.assert_close(objective.parts["classification"], case["loss/cls"], **CLOSE)
    torch.testing.assert_close(objective.parts["kl"], case["loss/kl"], **CLOSE)
    torch.testing.assert_close(objective.loss, case["loss/total"], **CLOSE)
    objective.loss.backward()
    checked = 0
    for role, tensor in roles.items():
        if f"grad/{role}" in case:
            torch.testing.assert_close(tensor.grad, case[f"grad/{role}"], **CLOSE)
            checked += 1
        if f"gradnorm/{role}" in case:
            torch.testing.assert_close(tensor.grad.norm(), case[f"gradnorm/{role}"], **CLOSE)
            checked += 1
    assert checked == 7


@pytest.mark.parametrize("off_noise", [0.5, None])
@pytest.mark.parametrize(("b", "d", "q"), [(1, 3, 1), (7, 5, 4)])
def test_equals_the_textbook_form(b: int, d: int, q: int, off_noise: float | None) -> None:
    torch.manual_seed(1)
    model = DELA(d, q, latent=6, off_noise=off_noise, beta=0.3).double()
    textbook = TextbookDELA(model)
    batch = Batch(torch.arange(b), torch.randn(b, d).double(), torch.randint(2, (b, q)).double())
    u, eps = model._draw_noise(batch.x)
    model._draw_noise = lambda x: (u, eps)  # type: ignore[method-assign]
    fast, slow = model.objective(batch), textbook.objective(batch, u, eps)
    torch.testing.assert_close(fast.loss, slow.loss)
    torch.testing.assert_close(fast.logits, slow.logits)
    torch.testing.assert_close(model.eval()(batch.x), textbook.predict(batch.x))
    fast_grads = torch.autograd.grad(fast.loss, list(model.parameters()))
    slow_grads = torch.autograd.grad(slow.loss, list(model.parameters()))
    for mine, theirs in zip(fast_grads, slow_grads, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_number_of_parameters() -> None:
    assert sum(p.numel() for p in DELA(103, 14).parameters()) == 496_676


def test_kl_oracle() -> None:
    from polytag.models.dela import _divergence

    kl = _divergence(torch.zeros(3, 7).double(), torch.zeros(3, 7).double(), torch.full((4, 7), 0.5).double())
    assert float(kl) == pytest.approx(7 * 0.5 * (-2 * math.log(0.5 + 1e-6) - 1 + 0.25), rel=1e-12)
    assert float(kl) == pytest.approx(7 * 0.31814, rel=1e-4)


@pytest.mark.parametrize("logvar", [-50.0, 50.0])
def test_finite_when_the_variance_runs_away(logvar: float) -> None:
    model = DELA(3, 4)
    torch.nn.init.constant_(model.logvar.bias, logvar)
    objective = model.objective(Batch(torch.arange(2), torch.zeros(2, 3), torch.ones(2, 4)))
    objective.loss.backward()
    assert objective.loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_gates_have_their_own_learning_rate() -> None:
    model = DELA(3, 4, lr_ratio=10.0)
    rest, gates = model.param_groups(0.1)
    assert (rest["lr"], gates["lr"]) == (0.1, 1.0)
    assert {id(p) for p in gates["params"]} == {id(model.gates), id(model.gate_map.weight), id(model.gate_map.bias)}
    assert len(rest["params"]) + 3 == len(list(model.parameters()))


def test_open_gates_disturb_and_prediction_does_not() -> None:
    model, x = DELA(5, 3), torch.randn(4, 5)
    batch = Batch(torch.arange(4), x, torch.zeros(4, 3))
    assert not torch.equal(model.objective(batch).logits, model.objective(batch).logits)
    torch.testing.assert_close(model.train()(x), model.eval()(x))


def test_never_builds_the_large_tensor() -> None:
    model, largest = DELA(300, 20, latent=4), 0
    batch = Batch(torch.arange(8), torch.zeros(8, 300), torch.zeros(8, 20))

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        model.objective(batch)
    widest = max(p.numel() for p in model.parameters())
    assert largest <= max(8 * 20 * 512, widest) < 8 * 20 * 304 * 3


@pytest.mark.parametrize("bad", [{"latent": 0}, {"temperature": 0.0}, {"beta": -1.0}, {"off_noise": 1.5}])
def test_refuses_senseless_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        DELA(3, 2, **bad)
