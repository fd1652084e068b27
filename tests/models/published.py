"""Reads the published codes' cases: parameters by role, stored draws and dropout masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polytag.models import CLIF, DELA


class Case:
    """One case of the published numbers, as float64 tensors."""

    def __init__(self, folder: Path, name: str) -> None:
        self.about: dict[str, Any] = json.loads((folder / "index.json").read_text())["cases"][name]
        with np.load(folder / self.about["file"]) as file:
            self.arrays = dict(file)
        state = np.random.RandomState(self.about["recipe"]["seed"])
        self.params = {p["name"]: state.uniform(p["low"], p["high"], size=p["shape"]) for p in self.about["recipe"]["parameters"]}
        np.testing.assert_allclose([v.sum() for v in self.params.values()], self.arrays["recipe_check/sum"])

    def __getitem__(self, name: str) -> Tensor:
        return torch.as_tensor(self.arrays[name], dtype=torch.float64)

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def fill(self, roles: dict[str, Tensor]) -> None:
        """Copy every stored parameter into the model's tensor of that role; all roles must be there, and all tensors filled."""
        assert roles.keys() == self.params.keys()
        with torch.no_grad():
            for name, tensor in roles.items():
                tensor.copy_(torch.as_tensor(self.params[name]))

    def drop(self, layers: list[nn.Module], p: float) -> None:
        """Make these dropout layers, in forward order, use the stored masks (ours have the labels before the instances)."""
        stored = [self[f"dropout/{k}"] for k in range(sum(name.startswith("dropout/") for name in self.arrays))]
        masks = [mask.transpose(0, 1) if mask.ndim == 3 else mask for mask in stored]
        assert len(masks) == len(layers)
        for layer, mask in zip(layers, masks, strict=True):
            layer.register_forward_hook(lambda _, inputs, __, mask=mask: inputs[0] * mask.reshape(inputs[0].shape) / (1 - p))


def linears(block: nn.Module, role: str) -> dict[str, Tensor]:
    """Name the linear layers of a block in order."""
    return named(block, f"{role}.", nn.Linear)


def named(block: nn.Module, role: str, kind: type[nn.Module], buffers: bool = False) -> dict[str, Tensor]:
    """Name the weights of all layers of a kind: ``role0.weight``, ``role0.bias``, ..."""
    roles = {}
    for k, layer in enumerate(m for m in block.modules() if isinstance(m, kind)):
        roles |= {f"{role}{k}.weight": layer.weight, f"{role}{k}.bias": layer.bias}
        if buffers:
            roles |= {f"{role}{k}.running_mean": layer.running_mean, f"{role}{k}.running_var": layer.running_var}
    return roles


def layer(module: nn.Module, role: str) -> dict[str, Tensor]:
    """Name weight and bias of one layer."""
    return {f"{role}.weight": module.weight, f"{role}.bias": module.bias}


def clif_roles(model: CLIF) -> dict[str, Tensor]:
    """Name every tensor of CLIF as the published cases do."""
    roles: dict[str, Tensor] = {"label_nodes": model.label_nodes}
    for g, graph_layer in enumerate(model.gin):
        roles[f"gin.{g}.eps"] = graph_layer.eps
        roles |= linears(graph_layer, f"gin.{g}.linear") | named(graph_layer, f"gin.{g}.norm.", nn.BatchNorm1d, buffers=True)
    return (
        roles
        | linears(model.input, "input")
        | layer(model.gate, "label_gate")
        | layer(model.mix, "mix")
        | layer(model.classifier, "classifier")
    )


def dela_roles(model: DELA) -> dict[str, Tensor]:
    """Name every tensor of DELA as the published cases do."""
    roles: dict[str, Tensor] = {"gates": model.gates} | linears(model.encoder, "encoder") | linears(model.decoder, "decoder")
    for name in ("mean", "logvar", "gate_map", "classifier"):
        roles |= layer(getattr(model, name), name)
    return roles
