"""Which form of an optimiser is taken, and that it takes the same steps."""

import pytest
import torch
from torch import nn

from polytag.nn.optimizers import build_optimizer


def steps(optimizer: torch.optim.Optimizer, layer: nn.Linear) -> torch.Tensor:
    """Return the weights after ten steps."""
    x = torch.linspace(-1, 1, 24, dtype=layer.weight.dtype).reshape(8, 3)
    for _ in range(10):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
    return layer.weight.detach()


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_fused_steps_are_those_of_the_plain_form(optimizer: type[torch.optim.Optimizer], amsgrad: bool) -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(3, 2, dtype=torch.float64), nn.Linear(3, 2, dtype=torch.float64)
    other.load_state_dict(one.state_dict())
    fused = build_optimizer(optimizer, [{"params": list(one.parameters()), "lr": 0.1}], weight_decay=0.01, amsgrad=amsgrad)
    plain = optimizer(other.parameters(), lr=0.1, weight_decay=0.01, amsgrad=amsgrad)  # type: ignore[call-arg]
    assert fused.defaults["fused"]
    assert not plain.defaults["fused"]
    torch.testing.assert_close(steps(fused, one), steps(plain, other), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", [{"fused": False}, {"foreach": True}, {"differentiable": False}])
def test_a_named_form_is_the_callers(form: dict[str, bool]) -> None:
    assert not build_optimizer(torch.optim.Adam, nn.Linear(3, 2).parameters(), **form).defaults["fused"]


def test_whatever_pytorch_takes_for_parameters_is_taken() -> None:
    layer = nn.Linear(3, 2)
    given = [
        layer.parameters(),
        layer.named_parameters(),
        [{"params": layer.parameters()}],
        [{"params": layer.weight}, {"params": layer.bias}],
    ]
    for parameters in given:
        optimizer = build_optimizer(torch.optim.AdamW, parameters)
        assert optimizer.defaults["fused"]
        assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {id(layer.weight), id(layer.bias)}


def test_parameters_without_a_fused_form_get_the_plain_one() -> None:
    waves = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    for groups in ([waves], [{"params": [waves], "lr": 0.1}], [{"params": waves}]):
        optimizer = build_optimizer(torch.optim.Adam, groups)
        assert not optimizer.defaults["fused"]
        waves.grad = torch.ones_like(waves)
        optimizer.step()


def test_functions_and_other_optimisers_are_called_as_they_are() -> None:
    layer = nn.Linear(3, 2)
    assert build_optimizer(torch.optim.SGD, layer.parameters(), lr=0.1).defaults["fused"] is None
    assert isinstance(build_optimizer(lambda groups, lr: torch.optim.SGD(groups, lr=lr), layer.parameters(), lr=0.1), torch.optim.SGD)
