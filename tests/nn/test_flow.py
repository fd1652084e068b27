"""The conditional flow: a true density, its determinant, and the published numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.reference.paca import TextbookFlow, masks

from polytag.nn import ConditionalFlow, flow, labelwise

CLOSE = {"rtol": 1e-8, "atol": 1e-11}


def roles(model: ConditionalFlow) -> dict[str, torch.Tensor]:
    """Name every tensor as the published cases do."""
    layers = {"naf.hidden": model.hidden, "naf.condition": model.condition, "naf.out": model.out, "naf.shared": model.shared}
    for name, found in (("a", model.scale), ("b", model.shift)):
        layers |= {f"affine.{name}.l1": found.first, f"affine.{name}.l2": found.second, f"affine.{name}.l3": found.direct}
    return {f"{role}.{kind}": getattr(layer, kind) for role, layer in layers.items() for kind in ("weight", "bias")}


def disturbed(latent: int, q: int, **sizes: int) -> ConditionalFlow:
    """Return a flow in double precision whose second step is not the identity."""
    torch.manual_seed(latent)
    model = ConditionalFlow(latent, q, **sizes).double()
    with torch.no_grad():
        for parameter in (*model.scale.parameters(), *model.shift.parameters()):
            parameter.add_(torch.randn_like(parameter) / 2)
    return model


@pytest.mark.data
@pytest.mark.parametrize("latent", [1, 2, 5])
def test_equals_the_published_code(golden: Path, latent: int) -> None:
    dims = json.loads((golden / "index.json").read_text())["cases"]["paca_flow"]["dims"]
    with np.load(golden / "paca_flow.npz") as file:
        case = {name: torch.as_tensor(file[name]).double() for name in file.files if name.startswith(f"D{latent}/")}
    model = ConditionalFlow(latent, dims["q"], hidden=dims["hidden"], units=dims["M"]).double()
    with torch.no_grad():
        for role, tensor in roles(model).items():
            tensor.copy_(case.pop(f"D{latent}/param/{role}"))
    assert not [name for name in case if "/param/" in name]
    z = case[f"D{latent}/z"].requires_grad_()
    u, logdet = model.transform(z)
    torch.testing.assert_close(u, case[f"D{latent}/u2"], **CLOSE)
    torch.testing.assert_close(logdet, case[f"D{latent}/logdet1"] + case[f"D{latent}/logdet2"], **CLOSE)
    density = model(z)
    torch.testing.assert_close(density, case[f"D{latent}/log_prob"], **CLOSE)
    torch.testing.assert_close(torch.autograd.grad(density.sum(), z)[0], case[f"D{latent}/grad_z"], **CLOSE)

    textbook = TextbookFlow(model)
    torch.testing.assert_close(textbook.sigmoidal(z)[0], case[f"D{latent}/u1"], **CLOSE)
    first, second = masks(latent, dims["hidden"], model.slots)
    assert torch.equal(first.double(), case[f"D{latent}/mask_hidden"])
    assert torch.equal(second.double(), case[f"D{latent}/mask_out"])


@pytest.mark.parametrize("keep", [0, 2**25])
@pytest.mark.parametrize("sizes", [(1, 3, 256, 16), (3, 1, 256, 16), (5, 4, 12, 4), (20, 6, 30, 8), (40, 3, 16, 4)])
def test_equals_the_textbook_form_with_gradients(sizes: tuple[int, ...], keep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    latent, q, hidden, units = sizes
    monkeypatch.setattr(labelwise, "_CELLS", 2**15)  # several blocks of labels
    monkeypatch.setattr(flow, "_KEPT", keep)
    model = disturbed(latent, q, hidden=hidden, units=units)
    z = (2 * torch.randn(7, latent).double()).requires_grad_()
    fast, slow = model(z), TextbookFlow(model)(z)
    torch.testing.assert_close(fast, slow, **CLOSE)
    upstream = torch.randn_like(fast)
    tensors = [z, *model.parameters()]
    theirs = torch.autograd.grad(slow, tensors, upstream)
    for _ in range(2):  # the second time nothing is kept any more
        for mine, their in zip(torch.autograd.grad(fast, tensors, upstream, retain_graph=True), theirs, strict=True):
            torch.testing.assert_close(mine, their, **CLOSE)


@pytest.mark.parametrize(("latent", "q"), [(1, 2), (4, 3), (11, 2)])
def test_determinant_is_that_of_the_triangular_jacobian(latent: int, q: int) -> None:
    model = disturbed(latent, q, hidden=12, units=4)
    z = torch.randn(1, latent).double()
    _, logdet = model.transform(z)
    jacobian = torch.autograd.functional.jacobian(lambda z: model.transform(z)[0][0], z)[:, :, 0]
    for j in range(q):
        torch.testing.assert_close(torch.linalg.slogdet(jacobian[j]).logabsdet, logdet[0, j])
        assert torch.equal(jacobian[j], jacobian[j].tril())
        assert bool((jacobian[j].diagonal() > 0).all())
    if latent > 1:
        assert bool((jacobian.tril(-1) != 0).any())


def test_density_integrates_to_one() -> None:
    model = disturbed(1, 3, hidden=8, units=4)
    z = torch.linspace(-60, 60, 200_001).double()
    total = torch.trapezoid(model(z[:, None]).exp(), z, dim=0)
    torch.testing.assert_close(total, torch.ones(3).double(), rtol=1e-4, atol=0)


def test_starts_without_scale_and_shift() -> None:
    model = ConditionalFlow(6, 9)
    torch.testing.assert_close(torch.nn.functional.softplus(model.scale()), torch.ones(9, 6), atol=0.01, rtol=0)
    torch.testing.assert_close(model.shift(), torch.zeros(9, 6), atol=0.01, rtol=0)


def test_number_of_parameters() -> None:
    assert sum(p.numel() for p in ConditionalFlow(50, 14).parameters()) == 218_514


def test_wide_flows_see_the_instance_and_the_label() -> None:
    model = ConditionalFlow(300, 3)
    assert model.slots == 3
    torch.manual_seed(0)
    density = model(torch.randn(2, 300))
    assert density.unique().numel() == 6
    z = torch.zeros(1, 300)
    ahead = torch.cat([torch.ones(1, 1), z[:, 1:]], dim=1)
    moved = model.transform(ahead)[0] - model.transform(z)[0]
    assert bool((moved[0, :, 200:] != 0).any()), "late dimensions do not read the first one"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [10.0, 1e2, 1e4])
def test_right_or_at_least_finite_far_out(far: float, dtype: torch.dtype) -> None:
    model = disturbed(4, 3, hidden=12, units=4)
    z = torch.tensor([[far, -far, far, -far], [-far, 0, 0, far]], dtype=torch.float64)
    expected = TextbookFlow(model)(z)
    z = z.to(dtype).requires_grad_()
    density = model.to(dtype)(z)
    (gradient,) = torch.autograd.grad(density.sum(), z)
    assert bool(density.isfinite().all())
    assert bool(gradient.isfinite().all())
    if far < 100 or (far == 100 and dtype == torch.float64):
        torch.testing.assert_close(density.double(), expected, rtol=1e-4 if dtype == torch.float32 else 1e-9, atol=0)


def test_never_holds_a_tensor_of_all_labels_and_units() -> None:
    model, largest = ConditionalFlow(8, 64), 0
    z = torch.randn(128, 8, requires_grad=True)

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        model(z)
    assert largest <= max(128 * 64 * 8, model.out.weight.numel())


@pytest.mark.parametrize("bad", [{"latent": 0}, {"q": 0}, {"hidden": 0}, {"units": 0}])
def test_refuses_senseless_sizes(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ConditionalFlow(**{"latent": 2, "q": 2, **bad})


def test_constant_of_the_normal_distribution() -> None:
    model = disturbed(2, 3, hidden=8, units=4)
    z = torch.randn(4, 2).double()
    u, logdet = model.transform(z)
    torch.testing.assert_close(model(z), torch.distributions.Normal(0.0, 1.0).log_prob(u).sum(2) + logdet)
