"""The training loop, its checkpoints, and what may watch it."""

from polytag.training.callbacks import Callback, ProgressBar
from polytag.training.clipping import AdaptiveClip
from polytag.training.distributed import Sharded, shared
from polytag.training.plots import plot_selection
from polytag.training.predict import decide, predict, score
from polytag.training.processes import LostProcessError, joined, launch
from polytag.training.run import Epoch, Run
from polytag.training.schedules import cosine, step_decay
from polytag.training.selection_log import Picks, SelectionLog
from polytag.training.trainer import Trainer

__all__ = [
    "AdaptiveClip",
    "Callback",
    "Epoch",
    "LostProcessError",
    "Picks",
    "ProgressBar",
    "Run",
    "SelectionLog",
    "Sharded",
    "Trainer",
    "cosine",
    "decide",
    "joined",
    "launch",
    "plot_selection",
    "predict",
    "score",
    "shared",
    "step_decay",
]
