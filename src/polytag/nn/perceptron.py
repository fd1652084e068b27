"""Stacks of fully connected layers, with the initial weights that the published models use."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from torch import nn

from polytag.errors import ParameterError
from polytag.nn.norm import BatchNorm

Activation = Literal["relu", "leaky_relu", "sigmoid", "none"]
SLOPE = 0.1


def mlp_block(
    sizes: Sequence[int], *, activation: Activation = "relu", batch_norm: bool = False, dropout: float = 0.0, slope: float = SLOPE
) -> nn.Sequential:
    """Stack linear layers, each followed by batch norm (optional), the activation, and dropout (optional).

    Weights start Kaiming-uniform for the activation; biases start uniform in [0, 0.1] before a (leaky) ReLU and at zero otherwise.

    Args:
        sizes: Width of the input, then of every layer; at least two numbers.
        activation: What follows every layer, the last one included.
        batch_norm: Normalise over the rows before the activation.
        dropout: Probability of dropping a unit after the activation.
        slope: Slope of the leaky ReLU below zero.

    Raises:
        ParameterError: Fewer than two sizes, a size below 1, or a dropout outside [0, 1).

    Reference: Hang and Zhang, "Collaborative learning of label semantics and deep label-specific features for multi-label
        classification", TPAMI 2022 (the block of their code).

    Example:
        >>> mlp_block([4, 8, 3])(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ParameterError(f"expected at least two layer widths, each at least 1, but got {list(sizes)}")
    if not 0 <= dropout < 1:
        raise ParameterError(f"expected 0 <= dropout < 1, but got {dropout!r}")
    layers: list[nn.Module] = []
    for width, out in pairwise(sizes):
        layers.append(linear(width, out, activation, slope))
        if batch_norm:
            layers.append(BatchNorm(out))
        layers.append(_activation(activation, slope))
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def layer_widths(name: str, given: int | Sequence[int]) -> list[int]:
    """Return the widths of a model's layers as a list; a single number is a single layer.

    Args:
        name: What the model calls them, for the message.
        given: What the user wrote.

    Raises:
        ParameterError: They are not whole numbers, each at least 1.

    Example:
        >>> layer_widths("hidden", 64), layer_widths("hidden", (64, 32))
        ([64], [64, 32])
    """
    widths = list(given) if isinstance(given, Iterable) else [given]
    if not all(isinstance(width, (int, np.integer)) and width >= 1 for width in widths):
        raise ParameterError(f"expected {name} to be widths of layers, whole numbers >= 1 such as [256, 128], but got {name}={given!r}")
    return [int(width) for width in widths]


def linear(width: int, out: int, activation: Activation, slope: float = SLOPE) -> nn.Linear:
    """Return a linear layer whose initial weights suit the activation behind it (see ``mlp_block``)."""
    layer = nn.Linear(width, out)
    nn.init.kaiming_uniform_(layer.weight, a=slope, nonlinearity="linear" if activation == "none" else activation)
    if activation in ("relu", "leaky_relu"):
        nn.init.uniform_(layer.bias, 0.0, 0.1)
    else:
        nn.init.zeros_(layer.bias)
    return layer


def _activation(name: Activation, slope: float) -> nn.Module:
    """Return the activation; in place, since no layer before it needs its own output for the gradient."""
    if name == "relu":
        return nn.ReLU(inplace=True)
    if name == "leaky_relu":
        return nn.LeakyReLU(slope, inplace=True)
    return nn.Sigmoid() if name == "sigmoid" else nn.Identity()
