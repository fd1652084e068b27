"""Batch norm with one row."""

import torch
from torch import nn

from polytag.nn import BatchNorm


def test_one_row_uses_the_running_statistics_and_leaves_them() -> None:
    layer = BatchNorm(3)
    layer(torch.randn(8, 3) + 2)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x = torch.randn(1, 3)
    trained = layer(x)
    torch.testing.assert_close(trained, layer.eval()(x))
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_several_rows_as_in_pytorch() -> None:
    x, ours, theirs = torch.randn(8, 3), BatchNorm(3), nn.BatchNorm1d(3)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)
