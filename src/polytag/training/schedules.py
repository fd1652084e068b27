"""Learning-rate schedules: functions from the time, in epochs, to a factor on the learning rate."""

import math
from collections.abc import Callable
from typing import TypeAlias

import torch

Schedule: TypeAlias = Callable[[float], float]


def step_decay(every: float, factor: float = 0.5) -> Schedule:
    """Return a schedule that multiplies by ``factor`` after each ``every`` epochs.

    Example:
        >>> [step_decay(10)(t) for t in (0, 9.9, 10, 25)]
        [1.0, 1.0, 0.5, 0.25]
    """
    return lambda time: float(factor ** math.floor(time / every))


def cosine(epochs: float, floor: float = 0.0) -> Schedule:
    """Return a schedule that falls from 1 to ``floor`` along half a cosine over ``epochs``.

    Example:
        >>> round(cosine(10)(5), 3)
        0.5
    """
    return lambda time: floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(time / epochs, 1.0)))


def set_lr(optimizer: torch.optim.Optimizer, schedule: Schedule | None, warmup: float, epoch: int, done: float, step: float) -> None:
    """Set the learning rate of the coming step: a linear rise during the warm-up, then the schedule.

    Args:
        optimizer: Its groups are changed; each remembers its full rate under ``full_lr``.
        schedule: Factor after the warm-up; ``None`` is 1.
        warmup: Length of the warm-up in epochs; its last step has the full rate.
        epoch: Number of the epoch.
        done: Share of the epoch that is done.
        step: Share of the epoch that the coming step makes up.
    """
    if warmup == 0 and schedule is None:
        return
    after = epoch + done + step
    factor = after / warmup if after <= warmup else 1.0 if schedule is None else schedule(max(epoch + done - warmup, 0.0))
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("full_lr", group["lr"]) * factor
