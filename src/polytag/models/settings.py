"""The settings that the authors of CLIF and DELA chose for each data set, as presets named after the data set.

A model's defaults are one setting for all data; whoever compares with the published numbers of one set takes its preset.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from polytag.models.base import Preset


def halved(every: float) -> Callable[[float], float]:
    """Return a schedule for ``Trainer`` that halves the learning rate after each ``every`` epochs.

    Example:
        >>> [halved(4)(time) for time in (0, 3.9, 4, 9)]
        [1.0, 1.0, 0.5, 0.25]
    """
    return lambda time: float(0.5 ** (time // every))


def staircase(factor: float, times: int) -> Callable[[int], Callable[[float], float]]:
    """Return, for ``schedule_over``, a function from the number of epochs to a schedule that multiplies by ``factor`` ``times`` times.

    Example:
        >>> schedule = staircase(0.8, 4)(200)
        >>> [round(schedule(time), 3) for time in (0, 49, 50, 199)]
        [1.0, 1.0, 0.8, 0.512]
    """
    return lambda epochs: lambda time: float(factor ** (time // (epochs / times)))


def exponential(factor: float) -> Callable[[float], float]:
    """Return a schedule for ``Trainer`` that multiplies the learning rate by ``factor`` after every epoch.

    Example:
        >>> [exponential(0.5)(time) for time in (0, 0.9, 1, 3)]
        [1.0, 1.0, 0.5, 0.125]
    """
    return lambda time: float(factor ** (time // 1))


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


LABEL_TRANSFORMERS: Mapping[str, Any] = {
    "lr": 3e-4,
    "weight_decay": 1e-2,
    "batch_size": 64,
    "epochs": 50,
    "optimizer": torch.optim.AdamW,
    "schedule_over": cosine_over(0.05),
}
"""How the transformers over labels are trained on tables and tokens; their papers' settings, for pictures, are presets."""


def _clif(embedding: int, weight: float, input_layers: int, pre_sigmoid_bias: float) -> Preset:
    return Preset({"embedding": embedding, "weight": weight, "input_layers": input_layers, "pre_sigmoid_bias": pre_sigmoid_bias})


CLIF_BY_DATA: Mapping[str, Preset] = {
    "cal500": _clif(64, 1e-4, 1, 0.4),
    "image": _clif(64, 0.0, 1, 0.4),
    "scene": _clif(128, 1e-3, 1, 0.4),
    "yeast": _clif(256, 1e-3, 1, 0.4),
    "corel5k": _clif(256, 1e-4, 1, 0.3),
    "rcv1subset1": _clif(256, 1e-1, 1, 0.1),
    "corel16k001": _clif(256, 0.0, 1, 0.2),
    "iaprtc12": _clif(64, 1.0, 1, 0.2),
    "espgame": _clif(128, 1e-5, 1, 0.2),
    "mirflickr": _clif(256, 1e-2, 2, 0.3),
    "tmc2007": _clif(256, 1.0, 2, 0.3),
    "mediamill": _clif(256, 1e-4, 2, 0.3),
    "bookmarks": _clif(128, 1e-2, 1, 0.2),
    "delicious": _clif(256, 1e-1, 1, 0.4),
}
"""Embedding width, weight of the embedding term, input layers and decision threshold."""

DELA_BY_DATA: Mapping[str, Preset] = {
    "corel5k": Preset({"beta": 1e-4}, {"epochs": 50, "lr": 3e-3, "schedule": halved(4)}),
    "rcv1subset1": Preset({"beta": 1e-3, "dropout": 0.7}, {"epochs": 50, "lr": 3e-3, "warmup_epochs": 2, "schedule": halved(3)}),
    "corel16k001": Preset({"beta": 1e-3, "dropout": 0.1}, {"epochs": 50, "lr": 1e-3, "schedule": halved(4)}),
    "delicious": Preset({"beta": 1.0}, {"epochs": 200, "lr": 1e-4}),
    "iaprtc12": Preset({"beta": 1e-1, "latent": 128}, {"epochs": 50, "lr": 3e-3, "schedule": halved(8)}),
    "espgame": Preset({"beta": 1.0, "lr_ratio": 10.0}, {"epochs": 50, "lr": 3e-3, "schedule": halved(4)}),
    "mirflickr": Preset({"beta": 1e-2}, {"epochs": 50, "lr": 3e-3}),
    "tmc2007": Preset({"beta": 1e-3, "latent": 64, "lr_ratio": 0.1}, {"epochs": 30, "lr": 3e-3, "schedule": halved(1)}),
    "mediamill": Preset({"beta": 1e-2, "latent": 256, "dropout": 0.1}, {"epochs": 250, "lr": 3e-4, "warmup_epochs": 40}),
    "bookmarks": Preset({"beta": 1e-2}, {"epochs": 30, "lr": 1e-3, "schedule": halved(2)}),
}
"""Weight of the KL term, latent width, dropout; epochs, learning rate and its decay."""
