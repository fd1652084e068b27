"""Layers and initial weights of the fully connected blocks."""

import math

import pytest
import torch
from torch import nn

from polytag.errors import ParameterError
from polytag.nn import BatchNorm, layer_widths, mlp_block
from polytag.nn.perceptron import Activation


def test_order_of_layers() -> None:
    kinds = [type(layer) for layer in mlp_block([4, 8, 3], batch_norm=True, dropout=0.1)]
    assert kinds == [nn.Linear, BatchNorm, nn.ReLU, nn.Dropout] * 2
    assert [type(layer) for layer in mlp_block([4, 3], activation="leaky_relu")] == [nn.Linear, nn.LeakyReLU]


@pytest.mark.parametrize(
    ("activation", "gain"), [("relu", math.sqrt(2)), ("leaky_relu", math.sqrt(2 / 1.01)), ("sigmoid", 1.0), ("none", 1.0)]
)
def test_initial_weights(activation: Activation, gain: float) -> None:
    torch.manual_seed(0)
    layer = mlp_block([300, 400], activation=activation)[0].requires_grad_(False)
    bound = gain * math.sqrt(3 / 300)
    assert 0.99 * bound < float(layer.weight.abs().max()) <= bound
    assert float(layer.weight.mean()) == pytest.approx(0, abs=0.01 * bound)
    if activation in ("relu", "leaky_relu"):
        assert float(layer.bias.min()) >= 0
        assert 0.09 < float(layer.bias.max()) <= 0.1
    else:
        assert bool((layer.bias == 0).all())


def test_in_place_activations_keep_the_gradient() -> None:
    block = mlp_block([3, 5, 4], activation="leaky_relu", batch_norm=True, dropout=0.0).double()
    assert torch.autograd.gradcheck(block, (torch.randn(6, 3, dtype=torch.float64, requires_grad=True),))


@pytest.mark.parametrize("sizes", [[3], [3, 0], []])
def test_refuses_senseless_sizes(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="widths"):
        mlp_block(sizes)


def test_refuses_senseless_dropout() -> None:
    with pytest.raises(ValueError, match="dropout"):
        mlp_block([3, 4], dropout=1.0)


@pytest.mark.parametrize("given", ["64", [64, 0], 2.5, None, [[3]]])
def test_widths_that_are_none_are_refused(given: object) -> None:
    with pytest.raises(ParameterError, match=r"expected hidden to be widths of layers.*but got"):
        layer_widths("hidden", given)  # type: ignore[arg-type]
