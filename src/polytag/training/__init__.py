"""The training loop, its checkpoints, and what may watch it."""

from polytag.training.callbacks import Callback, ProgressBar
from polytag.training.distributed import Sharded, shared
from polytag.training.predict import predict, score
from polytag.training.processes import LostProcessError, joined, launch
from polytag.training.run import Epoch, Run
from polytag.training.schedules import cosine, step_decay
from polytag.training.trainer import Trainer

__all__ = [
    "Callback",
    "Epoch",
    "LostProcessError",
    "ProgressBar",
    "Run",
    "Sharded",
    "Trainer",
    "cosine",
    "joined",
    "launch",
    "predict",
    "score",
    "shared",
    "step_decay",
]
