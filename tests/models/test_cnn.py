"""The convolutional network for tables."""

import pytest
import torch
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.models import CNN
from polytag.types import Batch


def test_number_of_parameters_on_bibtex() -> None:
    spread, blocks = 1837 * 1024, sum(width * out * 3 + 3 * out for width, out in ((16, 64), (64, 128), (128, 128)))
    assert sum(p.numel() for p in CNN(1836, 159).parameters()) == spread + blocks + 513 * 512 + 513 * 159 == 2_303_071


@pytest.mark.parametrize("order", ["soft", "raw"])
def test_cnn_by_hand(order: str) -> None:
    torch.manual_seed(0)
    model, x = CNN(21, 3, order=order, hidden=8), torch.randn(5, 21)
    for block in model.blocks:
        torch.nn.init.uniform_(block.norm.running_mean)
        torch.nn.init.uniform_(block.norm.running_var, 0.5, 2)
    h = x[:, None]
    if order == "soft":
        h = x @ model.spread.weight.T + model.spread.bias
        h = torch.where(h > 0, h, 0.01 * h).view(5, 16, 64)
    for number, block in enumerate(model.blocks):
        h = functional.conv1d(h, block.convolution.weight, block.convolution.bias, padding=1)
        norm = block.norm
        mean, deviation = norm.running_mean[:, None], torch.sqrt(norm.running_var + norm.eps)[:, None]
        h = ((h - mean) / deviation * norm.weight[:, None] + norm.bias[:, None]).relu()
        if number < 2:
            h = torch.stack([h[:, :, start : start + 2].amax(dim=2) for start in range(0, h.shape[2], 2)], dim=2)
    length = h.shape[2]
    h = torch.stack([h[:, :, p * length // 4 : -(-(p + 1) * length // 4)].amax(dim=2) for p in range(4)], dim=2)
    h = (h.flatten(1) @ model.head[0].weight.T + model.head[0].bias).relu()
    torch.testing.assert_close(model.eval()(x), h @ model.output.weight.T + model.output.bias)


@pytest.mark.parametrize("order", ["soft", "raw"])
def test_one_column_and_one_row_will_do(order: str) -> None:
    model = CNN(1, 1, order=order).train()
    objective = model.objective(Batch(torch.arange(1), torch.ones(1, 1), torch.ones(1, 1)))
    objective.loss.backward()
    assert bool(objective.loss.isfinite())


@pytest.mark.parametrize("bad", [{"order": "sorted"}, {"hidden": 0}, {"dropout": 1.0}, {"block_dropout": -0.1}])
def test_refuses_senseless_numbers(bad: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=next(iter(bad))):
        CNN(3, 2, **bad)  # type: ignore[arg-type]
