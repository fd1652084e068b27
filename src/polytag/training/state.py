"""Everything that changes while a run goes on, so that it can be saved and continued."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polytag.data.table import Table
from polytag.errors import ResumeError
from polytag.models.base import MultiLabelModel
from polytag.selectors.base import BatchSelector
from polytag.training import checkpoint
from polytag.training.clipping import AdaptiveClip
from polytag.training.run import Run


@dataclass
class RunState:
    """A run in progress.

    Args:
        model: Its weights now.
        optimizer: Its moments now.
        selector: Its scores and random state now.
        scaler: Loss scaling of half-precision training.
        device: Where the model lives.
        fingerprint: JSON values that say which run this is; a checkpoint with others is refused.
        clip: What it remembers of the gradients so far; ``None`` where the run does not clip by it.
    """

    model: MultiLabelModel
    optimizer: torch.optim.Optimizer
    selector: BatchSelector
    scaler: Any
    device: torch.device
    fingerprint: dict[str, Any]
    clip: AdaptiveClip | None = None
    run: Run = field(default_factory=Run)
    best: dict[str, Tensor] = field(default_factory=dict)

    def copy_best(self) -> None:
        """Remember the weights as they are now: copies, since ``state_dict`` returns tensors that go on training."""
        self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def restore_best(self) -> None:
        """Give the model the weights that ``copy_best`` remembered, if it ever did."""
        if self.best:
            self.model.load_state_dict(self.best)

    def save(self, path: Path) -> None:
        """Write the run to a checkpoint file, in one piece."""
        checkpoint.save(
            path,
            {
                "fingerprint": self.fingerprint,
                "run": self.run.to_dict(),
                "model": dict(self.model.state_dict()),
                "best": self.best,
                "optimizer": checkpoint.optimizer_state(self.optimizer),
                "selector": self.selector.state_dict(),
                "scaler": self.scaler.state_dict(),
                "clip": None if self.clip is None else self.clip.state_dict(),
                "random": checkpoint.random_state(self.device),
            },
        )

    def load(self, path: Path) -> None:
        """Continue from a checkpoint file.

        Raises:
            ResumeError: The checkpoint is damaged or belongs to another run; the message names what differs.
        """
        state = checkpoint.load(path)
        differing = [f"{key}: {theirs!r} there, {self.fingerprint.get(key)!r} here"
                     for key, theirs in state["fingerprint"].items() if theirs != self.fingerprint.get(key)]  # fmt: skip
        if differing:
            raise ResumeError(f"the checkpoint {path} belongs to another run ({'; '.join(differing)}); delete it or name another file")
        self.run = Run.from_dict(state["run"])
        self.model.load_state_dict(state["model"])
        self.best = {name: tensor.to(self.device) for name, tensor in state["best"].items()}
        checkpoint.load_optimizer_state(self.optimizer, state["optimizer"])
        self.selector.load_state_dict(state["selector"])
        self.scaler.load_state_dict(state["scaler"])
        if self.clip is not None:
            self.clip.load_state_dict(state["clip"])
        checkpoint.load_random_state(self.device, state["random"])


def fingerprint(trainer: Any, model: MultiLabelModel, train: Table, selector: BatchSelector) -> dict[str, Any]:
    """Say which run a checkpoint belongs to. More epochs may be asked for later; all that shapes the training must stay."""
    settings = {f.name: getattr(trainer, f.name) for f in fields(trainer) if f.name not in ("epochs", "callbacks", "eval_batch_size")}
    if not settings["compile"]:
        del settings["compile"]  # so that checkpoints from before there was the choice are continued
    for name in ("optimizer", "schedule", "optimizer_params"):
        settings[name] = getattr(settings[name], "__qualname__", repr(settings[name]))
    return {"trainer": settings, "model": type(model).__name__, "selector": type(selector).__name__, "sizes": [train.n, train.d, train.q]}
