"""What a selector picks over time: a watcher that counts, for curves and for curiosity."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from polytag.data.labels import LabelIndex
from polytag.data.stats import minority_labels
from polytag.errors import DataError
from polytag.selectors.targets import Targets
from polytag.training.callbacks import Callback
from polytag.types import Array, ArrayLike

if TYPE_CHECKING:
    from torch import Tensor

    from polytag.models.base import Objective
    from polytag.training.run import Epoch


@dataclass(frozen=True)
class Picks:
    """What was picked in one epoch; a pick is a row in a batch.

    Attributes:
        epoch: Number of the epoch, from 0.
        rare: Share of the picks with a rare label.
        loss: Mean loss of the picked rows, each as it was last known when the epoch began.
        loss_all: Mean loss of all rows, as they were last known when the epoch began.
        repeats: Share of the picks whose row had come before in the epoch.
        missed: Share of all rows that did not come in the epoch.
        never: Share of all rows that have not come since training began.
        effective: Effective sample size over n: ``(sum c_i)^2 / (n sum c_i^2)`` with c_i the picks of row i; 1 for a plain pass.
        groups: Share of the picks in each group of rows that the log was given.
    """

    epoch: int
    rare: float
    loss: float
    loss_all: float
    repeats: float
    missed: float
    never: float
    effective: float
    groups: dict[str, float] = field(default_factory=dict)


class SelectionLog(Callback):
    """Counts what is picked: rare labels, hard rows, repeats, rows left out; one ``Picks`` an epoch.

    A label is rare if its imbalance ratio exceeds the mean ratio (IRLbl > MeanIR). Losses are mean binary cross-entropies of single rows.
    Picked rows and all rows are compared by what was known of them when the epoch began, so that ``loss / loss_all`` is 1 for a plain pass
    and near 1 for any choice that does not look at losses, however fast the model learns. A row never seen before counts with its loss in
    this epoch; one that was not seen in it either, or had a loss that is no number, is left out.

    The log changes nothing in the run, and is not part of a checkpoint: after a resumed start it tells of the epochs from there on.

    Args:
        y: Training labels, or their index.
        groups: Masks (n,) of rows whose share of the picks is of interest, by name.

    Attributes:
        epochs: One ``Picks`` for each epoch of the last run.
        expected: Shares of ``rare`` and of each group among all rows, by name: what a uniform selector picks on average.

    Raises:
        DataError: A group is no mask of n rows.

    Cost: O(b q) a step, with one copy of b values from the device; O(n) an epoch for each group; memory 18 n bytes and the groups.

    Example:
        >>> from polytag import Dataset, Table, Trainer
        >>> from polytag.models import Linear
        >>> from polytag.selectors import Random
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(64, 3))
        >>> table = Table(Dataset(X, X > [0, 0, 1.5]))
        >>> log = SelectionLog(table.labels)
        >>> _ = Trainer(epochs=2, callbacks=(log,)).fit(Linear.from_data(table), table, Random(table.labels, 16))
        >>> log.epochs[-1].repeats, log.epochs[-1].effective, log.epochs[-1].rare == log.expected["rare"]
        (0.0, 1.0, True)
    """

    def __init__(self, y: ArrayLike | LabelIndex, groups: Mapping[str, Array] | None = None) -> None:
        self._targets = Targets(y)
        index = self._targets.index
        self._n = index.n
        self._groups = {name: np.asarray(mask) for name, mask in (groups or {}).items()}
        for name, mask in self._groups.items():
            if mask.shape != (self._n,) or mask.dtype != bool:
                raise DataError(f"expected a mask of {self._n} rows for the group {name!r}, but got {mask.dtype} of shape {mask.shape}")
        self._rare = np.zeros(self._n, dtype=bool)
        for label in minority_labels(index.counts):
            self._rare[index.rows_of(int(label))] = True
        self.expected = {"rare": float(self._rare.mean()), **{name: float(mask.mean()) for name, mask in self._groups.items()}}
        self.epochs: list[Picks] = []
        self._losses: Array
        self._before: Array
        self._counts: Array
        self._ever: Array
        self._reset()

    def begin(self, epochs: int, steps: int) -> None:
        """Forget the run before."""
        self.epochs = []
        self._reset()

    def step(self, epoch: int, rows: "Tensor", objective: "Objective") -> None:
        """Count the rows of a batch and take their losses."""
        at = rows.detach().cpu().numpy()
        losses = self._targets.losses(at, objective.logits.detach().float())
        self._losses[at] = np.where(np.isfinite(losses), losses, self._losses[at])
        np.add.at(self._counts, at, 1)

    def epoch(self, epoch: "Epoch") -> None:
        """Write the line of an epoch."""
        counts, total = self._counts, max(int(self._counts.sum()), 1)
        self._ever |= counts > 0
        distinct = np.count_nonzero(counts)
        share = {name: float(counts[mask].sum() / total) for name, mask in {"": self._rare, **self._groups}.items()}
        known = np.where(np.isnan(self._before), self._losses, self._before)
        told = ~np.isnan(known)
        picks = Picks(
            epoch=epoch.epoch,
            rare=share.pop(""),
            loss=float(np.dot(counts[told], known[told]) / max(counts[told].sum(), 1)),
            loss_all=float(known[told].mean()) if told.any() else 0.0,
            repeats=float(1 - distinct / total),
            missed=float(1 - distinct / self._n),
            never=float(1 - np.count_nonzero(self._ever) / self._n),
            effective=float(total**2 / (self._n * max(np.dot(counts, counts), 1))),
            groups=share,
        )
        self.epochs.append(picks)
        self._before = self._losses.copy()
        self._counts[:] = 0

    def _reset(self) -> None:
        self._losses = np.full(self._n, np.nan, dtype=np.float32)
        self._before = self._losses.copy()
        self._counts, self._ever = np.zeros(self._n, dtype=np.int64), np.zeros(self._n, dtype=bool)
