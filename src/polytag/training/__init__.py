"""The training loop, its checkpoints, and what may watch it."""

from polytag.training.callbacks import Callback, ProgressBar
from polytag.training.predict import predict, score
from polytag.training.run import Epoch, Run
from polytag.training.schedules import cosine, step_decay
from polytag.training.trainer import Trainer

__all__ = ["Callback", "Epoch", "ProgressBar", "Run", "Trainer", "cosine", "predict", "score", "step_decay"]
