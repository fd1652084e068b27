"""Watchers of a training run. They see what happens and change nothing: behaviour belongs in arguments."""

from typing import TYPE_CHECKING, Any

from polytag.training.run import Epoch, Run

if TYPE_CHECKING:
    from torch import Tensor

    from polytag.models.base import Objective


class Callback:
    """Override any of these; all do nothing by default."""

    def begin(self, epochs: int, steps: int) -> None:
        """Training starts: ``epochs`` at most, ``steps`` batches in each."""

    def step(self, epoch: int, rows: "Tensor", objective: "Objective") -> None:
        """A step has been taken on these rows."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is over and its line of the history is written."""

    def end(self, run: Run) -> None:
        """Training is over."""


class ProgressBar(Callback):
    """A bar in the terminal: epochs done, loss, validation value.

    Args:
        label: What stands in front of the bar.
    """

    def __init__(self, label: str = "training") -> None:
        self.label = label
        self._bar: Any = None

    def begin(self, epochs: int, steps: int) -> None:
        """Open the bar."""
        from rich.progress import Progress

        self._bar = Progress()
        self._bar.start()
        self._task = self._bar.add_task(self.label, total=epochs)

    def epoch(self, epoch: Epoch) -> None:
        """Advance the bar by one epoch."""
        valid = "" if epoch.valid is None else f"  valid {epoch.valid:.4f}"
        self._bar.update(self._task, completed=epoch.epoch + 1, description=f"{self.label}  loss {epoch.loss:.4f}{valid}")

    def end(self, run: Run) -> None:
        """Close the bar."""
        self._bar.stop()
