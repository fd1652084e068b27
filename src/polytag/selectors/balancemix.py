"""BalanceMix: batches of rows whose labels the model is least sure of, to be mixed with random rows."""

from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.registry import register
from polytag.selectors.base import saved_array
from polytag.selectors.per_epoch import PerEpoch
from polytag.types import Array, ArrayLike

_BLOCK = 2**18
_FLOOR = 1e-3


@register("selector", "balancemix")
class BalanceMix(PerEpoch):
    """Draw minority batches: p proportional to ``1 / Score_i``, the mean confidence of the model in the labels that row i has and has not.

    ``P_k`` is the mean probability predicted for label k on its positives, ``A_k`` the mean of one minus it on its negatives; ``Score_i``
    is the mean over k of ``P_k`` where ``y_ik = 1`` and of ``A_k`` where ``y_ik = 0``. Rare labels are predicted with less confidence, so
    rows that have them come more often. P and A are renewed when an epoch begins.

    The published method pairs each row of a *random* batch with one of a minority batch: ``mixing.paired`` and ``mixing.mix`` do that. On
    its own, this selector is the sampler of the pair.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        warmup: Plain passes at the start; one is enough for each label to be seen.
        **shared: Those of ``BatchSelector``.

    Cost: O(b q) a step; O(n + positives) once an epoch; a batch O(b log n). Memory 16 n + O(q) bytes: per label, sums over the predictions
        that the selector was told about during the last epoch.

    Reference: Song, Kim, Lee, "Toward robustness in multi-label classification: a data augmentation strategy against imbalance and noise",
        AAAI 2024, arXiv 2312.07087.

    Differs: P and A are means over the predictions of the last epoch as they came, not over one per row; they are the same when each row
        came once, as in the random batches of ``paired``. A label not seen in an epoch keeps its values; one never seen has the lowest
        ones known. Unknown labels do not count. Scores below 0.001 are lifted to it. Refinement of single labels is not part of this.

    Example:
        >>> import numpy as np, torch
        >>> selector = BalanceMix(np.eye(3)[[0, 0, 1]], batch_size=3, warmup=1, seed=0)
        >>> for rows in selector:
        ...     selector.update(rows, torch.tensor([[2.0, -2.0, -2.0]] * 3))  # label 1 is never predicted
        >>> selector.begin_epoch()
        >>> selector.probabilities().round(3)
        array([0.229, 0.229, 0.541])
    """

    settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, y: ArrayLike | LabelIndex, batch_size: int, *, warmup: float = 1, **shared: Any) -> None:
        super().__init__(y, batch_size, warmup=warmup, **shared)
        self._confidence = np.full((2, self.targets.index.q), np.nan)
        self._sums, self._counts = np.zeros_like(self._confidence), np.zeros_like(self._confidence)
        self._summed = 0

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Add up the confidence in what is true, label by label. Cost: O(b q), one copy of 4 q values."""
        logits = self.finite_logits(rows, logits)
        positive = self.targets.filled(rows, logits)
        negative = self.targets.known(rows, logits) - positive
        true = torch.sigmoid(logits * (2 * positive - 1))
        parts = torch.stack([(true * positive).sum(0), (true * negative).sum(0), positive.sum(0), negative.sum(0)])
        values = parts.to("cpu", torch.float64).numpy()
        self._renew()
        self._sums += values[:2]
        self._counts += values[2:]

    def mixture(self) -> list[tuple[float, Float[Array, "n"]]]:
        """Return the distribution of the epoch. Cost: O(n + positives)."""
        self._renew()
        return [(1.0, 1 / self._scores())]

    def memory(self) -> dict[str, Any]:
        """Return confidences, running sums and the distribution."""
        arrays = {"confidence": self._confidence, "sums": self._sums, "counts": self._counts}
        return super().memory() | {name: torch.from_numpy(values.copy()) for name, values in arrays.items()} | {"summed": self._summed}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over confidences, running sums and the distribution."""
        super().load_memory(memory)
        self._confidence, self._sums, self._counts = (saved_array(memory[name]) for name in ("confidence", "sums", "counts"))
        self._summed = int(memory["summed"])

    def _renew(self) -> None:
        """Make confidences of the sums of an epoch that is over, and begin new sums."""
        if self._summed == self.epoch:
            return
        seen = self._counts > 0
        self._confidence[seen] = self._sums[seen] / self._counts[seen]
        self._sums[:], self._counts[:], self._summed = 0, 0, self.epoch

    def _scores(self) -> Array:
        """Return the score of each row: the sum of all A, corrected where a label is positive or unknown, by the number of known ones."""
        index, unknown = self.targets.index, self.targets.unknown
        seen = np.isfinite(self._confidence)
        if not seen.any():
            return np.ones(self.n)
        present, absent = np.where(seen, self._confidence, self._confidence[seen].min())
        sums = _row_sums(index, present - absent) + absent.sum()
        if unknown is None:
            return np.asarray(np.maximum(sums / index.q, _FLOOR))
        known = index.q - unknown.sizes
        scores: Array = np.maximum((sums - _row_sums(unknown, absent)) / np.maximum(known, 1), _FLOOR)
        scores[known == 0] = scores[known > 0].max(initial=_FLOOR)
        return scores


def _row_sums(index: LabelIndex, values: Array) -> Array:
    """Return for each row the sum of the values of its labels, block by block to save memory."""
    sums = np.empty(index.n)
    for start in range(0, index.n, _BLOCK):
        starts = index.row_starts[start : start + _BLOCK + 1]
        rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        sums[start : start + _BLOCK] = np.bincount(rows, weights=values[index.columns[starts[0] : starts[-1]]], minlength=len(starts) - 1)
    return sums
