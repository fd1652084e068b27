"""PACA against the published numbers, the textbook formulation and hand oracles."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.published import Case, layer, linears
from tests.nn.test_flow import roles as flow_roles
from tests.reference.paca import TextbookPACA

from polytag.data import Dataset, Table
from polytag.models import PACA
from polytag.types import Batch

CLOSE = {"rtol": 1e-8, "atol": 1e-11}


def paca_roles(model: PACA) -> dict[str, torch.Tensor]:
    """Name every tensor of PACA as the published cases do."""
    roles: dict[str, torch.Tensor] = {}
    for name in ("encoder", "label_encoder", "label_decoder", "instance_map", "decoder"):
        roles |= linears(getattr(model, name), name)
    for name in ("mean", "logvar", "label_mean", "label_logvar", "label_out"):
        roles |= layer(getattr(model, name), name)
    for name in ("positive", "negative"):
        roles |= {f"{name}.{role}": tensor for role, tensor in flow_roles(getattr(model, name)).items()}
    return roles


@pytest.mark.data
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("name", ["paca", "paca_adabatch"])
def test_equals_the_published_code(golden: Path, name: str, binary: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(golden, name)
    d, q, latent = (case.about["dims"][letter] for letter in ("d", "q", "D"))
    preset = "adabatch" if name == "paca_adabatch" else None
    params = {**PACA.preset_params(preset, d, q), "binary": binary} | ({} if preset else {"dropout": 0.0})
    model = PACA(d, q, **params).double()
    assert (model.latent, model.alpha, model.gamma) == (latent, case.about["hyper"]["alpha"], case.about["hyper"]["gamma"])
    roles = paca_roles(model)
    case.fill(roles)
    x, y = case["x"], case["y"]
    batch = Batch(torch.arange(len(x)), x, y)
    torch.testing.assert_close(model.eval()(x), case["eval/logits"], **CLOSE)
    torch.testing.assert_close(model(x).sigmoid(), case["eval/proba"], **CLOSE)
    torch.testing.assert_close(model.positive(case["eval/z"]), case["eval/logp_positive"], **CLOSE)
    torch.testing.assert_close(model.negative(case["eval/z"]), case["eval/logp_negative"], **CLOSE)
    if not binary:
        torch.testing.assert_close(model.objective(batch).loss, case["eval/loss_total"], **CLOSE)

    monkeypatch.setattr(model, "_draw_noise", lambda x: (case["eps_x"], case["eps_y"]))
    if preset:
        drop_as_published(case, model)
    objective = model.train().objective(batch)
    parts, ending = objective.parts, "_binary" if binary else ""
    torch.testing.assert_close(objective.logits, case["train/logits"], **CLOSE)
    torch.testing.assert_close(parts["reconstruction"], case[f"loss/recon{ending}"], **CLOSE)
    torch.testing.assert_close(parts["kl"], case["loss/kl"], **CLOSE)
    torch.testing.assert_close(parts["kl"] + parts["labels"], case["loss/reg"], **CLOSE)
    torch.testing.assert_close(parts["classification"], case["loss/cls"], **CLOSE)
    torch.testing.assert_close(objective.loss, case[f"loss/total{ending}"], **CLOSE)
    if binary:
        return
    objective.loss.backward()
    checked = 0
    for role, tensor in roles.items():
        for key, value in ((f"grad/{role}", tensor.grad), (f"gradnorm/{role}", tensor.grad.norm())):
            if key in case:
                torch.testing.assert_close(value, case[key], **CLOSE)
                checked += 1
    assert checked == 9


def drop_as_published(case: Case, model: PACA) -> None:
    """Let the dropout layers use the stored masks, which differ in how much they drop."""
    found = [[m for m in part.modules() if isinstance(m, torch.nn.Dropout)] for part in
             (model.encoder, model.label_encoder, model.label_decoder, model.instance_map, model.decoder)]  # fmt: skip
    layers = [dropout for part in found for dropout in part]
    assert [dropout.p for dropout in layers] == [0.1] * 5 + [0.2] * 7
    for k, dropout in enumerate(layers):
        mask = case[f"dropout/{k}"] / (1 - dropout.p)
        dropout.register_forward_hook(lambda _, inputs, __, mask=mask: inputs[0] * mask)
    assert f"dropout/{len(layers)}" not in case


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("b", "d", "q"), [(1, 1, 1), (7, 9, 4)])
def test_equals_the_textbook_form(b: int, d: int, q: int, binary: bool) -> None:
    torch.manual_seed(1)
    model = PACA(d, q, dropout=0.0, binary=binary).double()
    textbook = TextbookPACA(model)
    batch = Batch(torch.arange(b), torch.rand(b, d).double().round(decimals=0 if binary else 3), torch.randint(2, (b, q)).double())
    noise = model._draw_noise(batch.x)
    model._draw_noise = lambda x: noise  # type: ignore[method-assign]
    fast, slow = model.objective(batch), textbook.objective(batch, *noise)
    torch.testing.assert_close(fast.loss, slow.loss)
    torch.testing.assert_close(fast.logits, slow.logits)
    torch.testing.assert_close(model.eval()(batch.x), textbook.predict(batch.x))
    fast_grads = torch.autograd.grad(fast.loss, list(model.parameters()))
    slow_grads = torch.autograd.grad(slow.loss, list(model.parameters()))
    for mine, theirs in zip(fast_grads, slow_grads, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("latent", "parameters"), [(None, 1_489_299), (52, 1_430_441)])
def test_number_of_parameters(latent: int | None, parameters: int) -> None:
    assert sum(p.numel() for p in PACA(103, 14, latent=latent).parameters()) == parameters


def test_latent_width_by_default_and_in_the_presets() -> None:
    assert [PACA(d, 2).latent for d in (1, 7, 103)] == [1, 4, 50]
    for preset in ("adabatch", "d2ace"):
        assert PACA.preset_params(preset, 103, 2)["latent"] == 52
        assert PACA.preset_params(preset, 103, 2)["decoder_dropout"] == 0.2
    assert PACA.training_defaults("adabatch")["weight_decay"] == 1e-4


def test_published_width_on_wide_data_still_tells_instances_and_labels_apart() -> None:
    torch.manual_seed(0)
    params = PACA.preset_params("d2ace", 600, 3)
    logits = PACA(600, 3, **params).eval()(torch.rand(4, 600))
    assert bool((logits.std(dim=0) > 0).all())
    assert bool((logits.std(dim=1) > 0).all())


@pytest.mark.parametrize(("x", "binary"), [([[0, 1], [1, 1]], True), ([[0, 0.5], [1, 1]], False), ([[0, 2], [1, 1]], False)])
def test_training_rows_say_whether_features_are_binary(x: list[list[float]], binary: bool) -> None:
    model = PACA.from_data(Table(Dataset(np.array(x), np.array([[0, 1], [1, 0]]))))
    assert model.binary is binary
    assert model.config == {"binary": binary}


def test_unknown_labels_are_no_labels() -> None:
    model = PACA(4, 3).eval()
    x, y = torch.rand(2, 4), torch.tensor([[1.0, torch.nan, 0.0], [torch.nan, torch.nan, torch.nan]])
    parts = model.objective(Batch(torch.arange(2), x, y)).parts
    mean = model.label_mean(model.label_encoder(y.nan_to_num(0.5)))
    decoded = model.label_out(model.label_decoder(mean))[0, [0, 2]]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(decoded, y[0, [0, 2]], reduction="sum") / 2
    torch.testing.assert_close(parts["labels"], expected.detach())


@pytest.mark.parametrize("logvar", [-50.0, 50.0])
def test_finite_when_the_variance_runs_away(logvar: float) -> None:
    model = PACA(3, 4)
    torch.nn.init.constant_(model.logvar.bias, logvar)
    torch.nn.init.constant_(model.label_logvar.bias, -logvar)
    objective = model.objective(Batch(torch.arange(2), torch.zeros(2, 3), torch.ones(2, 4)))
    objective.loss.backward()
    assert objective.loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("bad", [{"latent": 0}, {"alpha": -1.0}, {"gamma": -1.0}])
def test_refuses_senseless_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        PACA(3, 2, **bad)
