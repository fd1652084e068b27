"""Learning-rate schedules: functions from the time, in epochs, to a factor on the learning rate.

Those that depend on the number of epochs are functions from that number to a schedule, for ``schedule_over`` in a model's ``DEFAULTS``.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

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


def staircase(factor: float, times: int) -> Callable[[int], Callable[[float], float]]:
    """Return, for ``schedule_over``, a function from the number of epochs to a schedule that multiplies by ``factor`` ``times`` times.

    Example:
        >>> schedule = staircase(0.8, 4)(200)
        >>> [round(schedule(time), 3) for time in (0, 49, 50, 199)]
        [1.0, 1.0, 0.8, 0.512]
    """
    return lambda epochs: step_decay(epochs / times, factor)


def exponential(factor: float) -> Callable[[float], float]:
    """Return a schedule for ``Trainer`` that multiplies the learning rate by ``factor`` after every epoch.

    Example:
        >>> [exponential(0.5)(time) for time in (0, 0.9, 1, 3)]
        [1.0, 1.0, 0.5, 0.125]
    """
    return step_decay(1, factor)


def cosine_over(rise: float = 0.05) -> Callable[[float], Callable[[float], float]]:
    """Return, for ``schedule_over``, a function from the number of epochs to a schedule that rises from a hundredth to 1 along a line, over
    the share ``rise`` of the epochs, and then falls to 0 along half a cosine.

    Example:
        >>> schedule = cosine_over(0.1)(100)
        >>> [round(schedule(time), 3) for time in (0, 5, 10, 55, 100)]
        [0.01, 0.505, 1.0, 0.5, 0.0]
    """
    return lambda epochs: (
        lambda time: (
            0.01 + 0.99 * time / (rise * epochs) if time < rise * epochs else _half_cosine(1.0, 0.0, (time / epochs - rise) / (1 - rise))
        )
    )


def one_cycle_over(rise: float = 0.2) -> Callable[[float], Callable[[float], float]]:
    """Return, for ``schedule_over``, a function from the number of epochs to the schedule of ``torch.optim.lr_scheduler.OneCycleLR``: from
    1/25 to 1 over the share ``rise`` of the epochs, then down to 1/250 000, both along half a cosine.

    Example:
        >>> schedule = one_cycle_over(0.2)(10)
        >>> [round(schedule(time), 3) for time in (0, 1, 2, 6, 10)]
        [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    return lambda epochs: (
        lambda time: (
            _half_cosine(0.04, 1.0, time / (rise * epochs))
            if time < rise * epochs
            else _half_cosine(1.0, 4e-6, (time / epochs - rise) / (1 - rise))
        )
    )


def unchanging(epochs: float) -> None:
    """Say, as ``schedule_over`` of a preset, that the learning rate stays as it is, however many epochs there are."""


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
