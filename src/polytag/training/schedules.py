"""Learning-rate schedules: functions from the time, in epochs, to a factor on the learning rate."""

import torch

from polytag.models.schedules import Schedule, cosine, step_decay

__all__ = ["Schedule", "cosine", "set_lr", "step_decay"]


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
