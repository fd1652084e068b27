"""The settings that the authors of CLIF and DELA chose for each data set, as presets named after the data set.

A model's defaults are one setting for all data; whoever compares with the published numbers of one set takes its preset.
"""

from collections.abc import Mapping
from typing import Any

import torch

from polytag.models.base import Preset
from polytag.models.schedules import cosine_over, step_decay

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
    "corel5k": Preset({"beta": 1e-4}, {"epochs": 50, "lr": 3e-3, "schedule": step_decay(4)}),
    "rcv1subset1": Preset({"beta": 1e-3, "dropout": 0.7}, {"epochs": 50, "lr": 3e-3, "warmup_epochs": 2, "schedule": step_decay(3)}),
    "corel16k001": Preset({"beta": 1e-3, "dropout": 0.1}, {"epochs": 50, "lr": 1e-3, "schedule": step_decay(4)}),
    "delicious": Preset({"beta": 1.0}, {"epochs": 200, "lr": 1e-4}),
    "iaprtc12": Preset({"beta": 1e-1, "latent": 128}, {"epochs": 50, "lr": 3e-3, "schedule": step_decay(8)}),
    "espgame": Preset({"beta": 1.0, "lr_ratio": 10.0}, {"epochs": 50, "lr": 3e-3, "schedule": step_decay(4)}),
    "mirflickr": Preset({"beta": 1e-2}, {"epochs": 50, "lr": 3e-3}),
    "tmc2007": Preset({"beta": 1e-3, "latent": 64, "lr_ratio": 0.1}, {"epochs": 30, "lr": 3e-3, "schedule": step_decay(1)}),
    "mediamill": Preset({"beta": 1e-2, "latent": 256, "dropout": 0.1}, {"epochs": 250, "lr": 3e-4, "warmup_epochs": 40}),
    "bookmarks": Preset({"beta": 1e-2}, {"epochs": 30, "lr": 1e-3, "schedule": step_decay(2)}),
}
"""Weight of the KL term, latent width, dropout; epochs, learning rate and its decay."""
