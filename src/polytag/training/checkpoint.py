"""A training run on disk: one safetensors file with JSON in its header, no pickle, replaced in one piece.

Weights, best weights, optimiser, selector and random states lie in it as tensors, everything else as JSON; a run that continues from it
ends with the same bits as one that was never interrupted.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from polytag.errors import ResumeError
from polytag.training.processes import is_writer, wait_for_all

_BRANCH = "/"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a nested dict of tensors, arrays and plain values; a reader sees the old file or the new one, never half of it.

    Of several processes (``polytag.training.processes``) the first one writes, and the others wait for it: all must call.

    Args:
        path: The file.
        state: Nested dicts with string keys.

    Cost: one copy of all tensors to the CPU and to disk.
    """
    if is_writer():
        _write(path, state)
    wait_for_all()


def _write(path: Path, state: dict[str, Any]) -> None:
    tensors: dict[str, Tensor] = {}
    plain = _plain(state, "", tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata={"state": json.dumps(plain)})
        with open(temporary, "rb") as file:  # noqa: PTH123  (a descriptor is needed for fsync)
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    finally:
        Path(temporary).unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Read what ``save`` wrote.

    Raises:
        ResumeError: The file is damaged, or is not a checkpoint.
        FileNotFoundError: There is no such file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            plain = json.loads((file.metadata() or {})["state"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ResumeError(f"expected a checkpoint in {path}, but it cannot be read ({error}); delete it to start anew") from error
    state: dict[str, Any] = _nested(plain, "", tensors)
    return state


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state of an optimiser with string keys only."""
    state = optimizer.state_dict()
    return {"state": {str(k): v for k, v in state["state"].items()}, "groups": state["param_groups"]}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore what ``optimizer_state`` returned."""
    optimizer.load_state_dict({"state": {int(k): v for k, v in state["state"].items()}, "param_groups": state["groups"]})


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return torch's random state on the CPU and on the device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def load_random_state(device: torch.device, states: dict[str, Tensor]) -> None:
    """Restore what ``random_state`` returned."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def _plain(value: Any, key: str, tensors: dict[str, Tensor]) -> Any:
    """Return JSON for a value, moving its tensors to ``tensors`` and leaving their key and kind in their place."""
    if isinstance(value, Tensor):
        tensors[key] = value.detach().cpu().clone().contiguous()
        return {"__tensor__": "torch"}
    if isinstance(value, np.ndarray):
        tensors[key] = torch.from_numpy(np.array(value))
        return {"__tensor__": "numpy"}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(k): _plain(v, f"{key}{_BRANCH}{k}", tensors) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, f"{key}{_BRANCH}{i}", tensors) for i, v in enumerate(value)]
    return value


def _nested(plain: Any, key: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(plain, dict):
        kind = plain.get("__tensor__")
        if kind is not None:
            return tensors[key].numpy() if kind == "numpy" else tensors[key]
        return {k: _nested(v, f"{key}{_BRANCH}{k}", tensors) for k, v in plain.items()}
    if isinstance(plain, list):
        return [_nested(v, f"{key}{_BRANCH}{i}", tensors) for i, v in enumerate(plain)]
    return plain
