"""Optimisers in their fastest form."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_FUSED = (torch.optim.Adam, torch.optim.AdamW)
_DEVICES = ("cpu", "cuda")
_FORMS = {"foreach", "fused", "capturable", "differentiable"}


def build_optimizer(
    optimizer: Callable[..., torch.optim.Optimizer], parameters: Iterable[Tensor] | Iterable[dict[str, Any]], **params: Any
) -> torch.optim.Optimizer:
    """Return an optimiser whose step is one pass over each parameter, where PyTorch has such a step.

    Args:
        optimizer: Its class, or a function that returns one.
        parameters: Parameters, pairs of a name and a parameter, or groups of either.
        **params: Further arguments. Naming one of PyTorch's forms (``fused``, ``foreach``, ``capturable``, ``differentiable``) leaves the
            choice of form to the caller.

    Returns:
        Adam and AdamW in their fused form if PyTorch has one for these parameters' device and type; any other as it is. The forms differ by
        rounding alone. Other optimisers are left alone: their plain steps take little, and fused SGD would refuse sparse gradients.

    Example:
        >>> layer = torch.nn.Linear(2, 1)
        >>> build_optimizer(torch.optim.Adam, layer.parameters(), lr=0.1).defaults["fused"]
        True
        >>> build_optimizer(torch.optim.Adam, layer.parameters(), lr=0.1, foreach=True).defaults["fused"] is None
        True
    """
    given: list[Any] = list(parameters)
    groups: list[dict[str, Any]] = [dict(group) for group in given] if given and isinstance(given[0], dict) else [{"params": given}]
    for group in groups:
        group["params"] = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
    every: list[Tensor] = [entry[1] if isinstance(entry, tuple) else entry for group in groups for entry in group["params"]]
    if optimizer in _FUSED and _FORMS.isdisjoint(params) and all(p.is_floating_point() and p.device.type in _DEVICES for p in every):
        params["fused"] = True
    return optimizer(groups, **params)
