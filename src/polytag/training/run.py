"""What a training run leaves behind."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """One line of the history.

    Attributes:
        epoch: Number of the epoch, from 0.
        loss: Mean training objective over the batches of the epoch (of the rows that were selected: never compare it between selectors).
        seconds: Time of the training steps, selection included; evaluation is not in it.
        select_seconds: Time spent choosing batches and in ``selector.update``.
        valid: Value of the monitored metric on the validation rows; ``None`` without validation.
        train_loss: Mean binary cross-entropy over all training rows in evaluation mode; ``None`` unless asked for.
        parts: Mean of each named part of the objective (``Objective.parts``) over the batches of the epoch that reported it.
    """

    epoch: int
    loss: float
    seconds: float
    select_seconds: float
    valid: float | None = None
    train_loss: float | None = None
    parts: dict[str, float] = field(default_factory=dict)


@dataclass
class Run:
    """The history of a training run.

    Attributes:
        history: One ``Epoch`` for each finished epoch.
        best_epoch: The epoch with the best validation value, whose weights the model holds if the best were to be kept; ``None`` without
            validation, when the model holds the last ones.
        stopped_early: Whether patience ran out before the last epoch.
    """

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int | None = None
    stopped_early: bool = False

    def judge(self, *, maximise: bool, patience: int | None) -> bool:
        """Say whether the last epoch is the best so far, and note it; note too when ``patience`` epochs have brought nothing better."""
        last = len(self.history) - 1
        value = self.history[last].valid
        if value is None:
            return False
        best = None if self.best_epoch is None else self.history[self.best_epoch].valid
        if value == value and (best is None or (value > best if maximise else value < best)):
            self.best_epoch = last
            return True
        self.stopped_early = patience is not None and last - (-1 if self.best_epoch is None else self.best_epoch) >= patience
        return False

    @property
    def seconds(self) -> float:
        """Seconds of training, without evaluation."""
        return sum(epoch.seconds for epoch in self.history)

    @property
    def select_seconds(self) -> float:
        """Seconds of training that went into selection and its bookkeeping."""
        return sum(epoch.select_seconds for epoch in self.history)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Run":
        """Rebuild a run from ``to_dict``, of this version or of one that knew fewer fields."""
        return cls(**{**values, "history": [Epoch(**epoch) for epoch in values["history"]]})
