"""The training loop. Batch selection *is* the loop, so it stands here in the open; whoever wants another one writes ten lines of it."""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

import torch

from polytag import metrics
from polytag.data.table import Table
from polytag.errors import DivergenceError, ParameterError
from polytag.models.base import MultiLabelModel, Objective, of_one_number
from polytag.nn.optimizers import build_optimizer
from polytag.nn.seeding import seeded
from polytag.selectors.base import BatchSelector
from polytag.training.callbacks import Callback
from polytag.training.clipping import AdaptiveClip
from polytag.training.compiling import compiled_objective
from polytag.training.means import ObjectiveMeans
from polytag.training.predict import autocast, glance, score
from polytag.training.processes import decided_by_writer
from polytag.training.run import Epoch, Run
from polytag.training.schedules import Schedule, set_lr
from polytag.training.state import RunState, fingerprint
from polytag.types import Batch

_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("epochs", "lr", "eval_batch_size"), ("a number > 0", lambda v: v > 0)),
    **dict.fromkeys(("weight_decay", "warmup_epochs"), ("a number >= 0", lambda v: v >= 0)),
    "patience": ("a number > 0 or None", lambda v: v is None or v > 0),
    "clip_norm": ("a number > 0, 'adaptive' or None", lambda v: v in (None, "adaptive") or (not isinstance(v, str) and v > 0)),
    "keep": ("'best' or 'last'", lambda v: v in ("best", "last")),
    "precision": ("'float32', 'bfloat16' or 'float16'", lambda v: v in ("float32", "bfloat16", "float16")),
}


@dataclass(frozen=True)
class Trainer:
    """How to train: everything but the model, the data and the selector.

    Args:
        epochs: Number of epochs.
        lr: Learning rate.
        weight_decay: L2 penalty of the optimiser.
        optimizer: Optimiser class; called with the model's parameter groups, ``weight_decay`` and ``optimizer_params``;
            in its fused form where it has one.
        optimizer_params: Further arguments of the optimiser.
        schedule: Factor on the learning rate as a function of the time in epochs since the end of the warm-up; ``None`` keeps it.
        warmup_epochs: Epochs over which the learning rate rises linearly, step by step, to ``lr``.
        clip_norm: Largest norm of the gradient over all parameters; ``"adaptive"`` lets it follow the norms of the last steps
            (``polytag.training.AdaptiveClip``); ``None`` does not clip.
        monitor: Metric that says which epoch is best on the validation rows (any name of ``polytag.metrics``); ``"loss"`` is their mean
            binary cross-entropy.
        patience: Epochs without a better value after which training stops; ``None`` never stops early.
        keep: ``"best"`` leaves the model with the weights of the best validation epoch, ``"last"`` with those of the last one.
        precision: ``"float32"``, ``"bfloat16"`` or (on a GPU) ``"float16"``; the latter two run the forward pass under autocast.
        compile: Compile the objective with ``torch.compile``: slow at the first batches, hardly faster later on the CPUs measured. It
            needs a C++ compiler on the CPU, Triton on a GPU. Results differ from the plain ones by rounding, and those of dropout and
            noise in what is drawn, which the seed decides all the same. Prediction, evaluation and the model's state stay plain.
        measure_train_loss: Record the loss on all training rows after each epoch, in evaluation mode and outside the timer.
        eval_batch_size: Rows at a time in evaluation.
        seed: Seed of dropout and of the model's noise; the random state outside ``fit`` is left as it was.
        callbacks: Watchers.

    Raises:
        ParameterError: A value makes no sense; the message names all that do not.
    """

    epochs: int = 100
    lr: float = 1e-3
    weight_decay: float = 0.0
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam
    optimizer_params: dict[str, Any] = field(default_factory=dict)
    schedule: Schedule | None = None
    warmup_epochs: float = 0.0
    clip_norm: float | Literal["adaptive"] | None = None
    monitor: str = "macro_auc"
    patience: int | None = None
    keep: Literal["best", "last"] = "best"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    measure_train_loss: bool = False
    eval_batch_size: int = 1024
    seed: int = 0
    callbacks: tuple[Callback, ...] = ()

    def __post_init__(self) -> None:
        bad = [
            f"{name}={getattr(self, name)!r} (expected {rule})" for name, (rule, fits) in _RULES.items() if not fits(getattr(self, name))
        ]
        if bad:
            raise ParameterError("Trainer got " + "; ".join(bad))
        if self.monitor != "loss":
            metrics.direction(self.monitor)  # an unknown name fails here, not after the first epoch

    def fit(
        self,
        model: MultiLabelModel,
        train: Table,
        selector: BatchSelector,
        valid: Table | None = None,
        resume: Path | None = None,
        save_every: float = 0.0,
    ) -> Run:
        """Train a model, batch by batch as the selector chooses.

        Args:
            model: Trained in place; holds the kept weights in the end.
            train: Training rows.
            selector: Chooses the rows of each batch and learns from their logits.
            valid: Rows on which the best epoch is chosen; without them the last epoch is kept.
            resume: A checkpoint file. It is written after each epoch; if it exists already, training continues from it.
            save_every: Seconds that pass at least between two writings of the checkpoint: short epochs then cost no more than long ones.
                Epochs since the last writing are trained again, to the same bits.

        Returns:
            The history. Training time and selection time are measured without evaluation.
            What an epoch's objective was made of stands in ``Epoch.parts``.

        Warns:
            UserWarning: The selector's warm-up takes all epochs.

        Raises:
            DivergenceError: The loss became NaN or infinite.
            ResumeError: The checkpoint belongs to another run.
            ParameterError: The model's loss is no single number (``reduction="none"``), or a part of its objective no detached scalar;
                or ``compile`` is asked for where it is not possible.

        Example:
            >>> import numpy as np
            >>> from polytag import Dataset, Table, Trainer
            >>> from polytag.models import Linear
            >>> from polytag.selectors import Random
            >>> rng = np.random.default_rng(0)
            >>> X = rng.normal(size=(64, 3))
            >>> table = Table(Dataset(X, X > 0))
            >>> run = Trainer(epochs=5, lr=0.1).fit(Linear.from_data(table), table, Random(X > 0, 16))
            >>> run.history[-1].loss < run.history[0].loss
            True
        """
        if selector.epoch + self.epochs <= selector.warmup < math.inf:
            warnings.warn(
                f"{type(selector).__name__} will choose no batch: its warm-up of {selector.warmup} epochs is not over after "
                f"epochs={self.epochs}; train longer, or give it a smaller warmup",
                UserWarning,
                stacklevel=2,
            )
        optimizer = build_optimizer(self.optimizer, model.param_groups(self.lr), weight_decay=self.weight_decay, **self.optimizer_params)
        scaler = torch.amp.GradScaler(train.device.type, enabled=self.precision == "float16")
        clip = AdaptiveClip() if self.clip_norm == "adaptive" else None
        state = RunState(model, optimizer, selector, scaler, train.device, fingerprint(self, model, train, selector), clip)
        objective_of = compiled_objective(model) if self.compile else model.objective
        with seeded(self.seed, train.device):
            if resume is not None and resume.exists():
                state.load(resume)
            run, saved = state.run, time.monotonic()
            for callback in self.callbacks:
                callback.begin(self.epochs, len(selector))
            try:
                while len(run.history) < self.epochs and not run.stopped_early:
                    run.history.append(self._evaluated(self._epoch(state, train, objective_of), model, train, valid))
                    self._keep(state)
                    if resume is not None and (save_every <= 0 or decided_by_writer(time.monotonic() - saved >= save_every)):
                        state.save(resume)
                        saved = time.monotonic()
                    for callback in self.callbacks:
                        callback.epoch(run.history[-1])
                state.restore_best()
            finally:
                for callback in self.callbacks:
                    callback.end(run)
        return run

    def _epoch(self, state: RunState, train: Table, objective_of: Callable[[Batch], Objective]) -> Epoch:
        """Run one epoch: select, step, tell the selector."""
        number, selector, model = len(state.run.history), state.selector, state.model
        model.train()
        model.begin_epoch(number)
        means, selecting, start = ObjectiveMeans(train.device), 0.0, time.perf_counter()
        batches = iter(selector)
        for step in count():
            asked = time.perf_counter()
            rows = next(batches, None)
            if rows is None:
                break
            while selector.screening:  # the rows are candidates: show them to the model, and take what the selector makes of them
                rows = selector.screen(rows, glance(model, train[rows].x, self.precision))
            weight = selector.weights(rows)
            selecting += time.perf_counter() - asked
            set_lr(state.optimizer, self.schedule, self.warmup_epochs, number, step / len(selector), 1 / len(selector))
            batch = train[rows]._replace(weight=None if weight is None else weight.to(train.device))
            objective = self._step(state, batch, objective_of)
            told = time.perf_counter()
            selector.update(rows, objective.logits.detach().float())
            selecting += time.perf_counter() - told
            means.add(objective)
            for callback in self.callbacks:
                callback.step(number, rows, objective)
        loss, parts = means.read()
        if not math.isfinite(loss):
            raise DivergenceError(f"the mean training loss of epoch {number} is {loss}; lower lr (now {self.lr}) or set clip_norm")
        return Epoch(number, loss, time.perf_counter() - start, selecting, parts=parts)

    def _step(self, state: RunState, batch: Batch, objective_of: Callable[[Batch], Objective]) -> Objective:
        """Take one optimisation step on a batch."""
        with autocast(state.device, self.precision):
            objective = of_one_number(objective_of(batch))
        state.optimizer.zero_grad()
        state.scaler.scale(objective.loss).backward()
        if self.clip_norm is not None:
            state.scaler.unscale_(state.optimizer)
        if state.clip is not None:
            state.clip(state.model.parameters())
        elif self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(state.model.parameters(), self.clip_norm)  # type: ignore[arg-type]
        state.scaler.step(state.optimizer)
        state.scaler.update()
        return objective

    def _evaluated(self, epoch: Epoch, model: MultiLabelModel, train: Table, valid: Table | None) -> Epoch:
        """Add the validation value and, if asked for, the full training loss."""
        how = {"batch_size": self.eval_batch_size, "precision": self.precision}
        value = None if valid is None else score(model, valid, self.monitor, **how)  # type: ignore[arg-type]
        loss = score(model, train, "loss", **how) if self.measure_train_loss else None  # type: ignore[arg-type]
        return replace(epoch, valid=value, train_loss=loss)

    def _keep(self, state: RunState) -> None:
        """Keep a copy of the best weights; stop when patience has run out."""
        maximise = self.monitor != "loss" and metrics.direction(self.monitor) == "max"
        if state.run.judge(maximise=maximise, patience=self.patience) and self.keep == "best":
            state.copy_best()
