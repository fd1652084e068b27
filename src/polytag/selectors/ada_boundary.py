"""AdaBoundary: rows near the model's decision boundary come more often."""

import math
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import ParameterError
from polytag.registry import register
from polytag.selectors.base import BatchSelector, choice, saved_array
from polytag.selectors.max_tree import MaxTree
from polytag.selectors.pressure import check_pressure
from polytag.selectors.sampling import Categorical, Proposals, Sampler, successively
from polytag.types import Array, ArrayLike


@register("selector", "ada_boundary")
class AdaBoundary(BatchSelector):
    """Draw rows about which the model is unsure now: p proportional to ``pressure ** (-Q_i / n)``, ``Q_i = ceil(n d_i / max d)``.

    The distance is ``d_i = mean_j |p_ij - 1/2|`` over the labels of row i and as many of the highest predicted ones, plus one; over all
    labels it would be that of the many labels that are plainly absent. It follows each update; the other variants use its signed form
    ``g_i``, in which a wrong prediction (on the wrong side of 1/2) counts as negative.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        variant: ``"near"``: as above; ``"easy"``: ``Q_i = ceil(n (max g - g_i) / (max g - min g))``; ``"hard"``: the same with
            ``g_i - min g``; ``"uniform"``: p proportional to 1 / (number of rows in the histogram bin of ``g_i``), renewed each epoch, so
            that all distances are equally frequent.
        over: ``"relevant"``: the labels named above (of equal predictions at the end all count); ``"all"``: every known label.
        pressure: Largest ratio of two probabilities, at least 1; not used by ``"uniform"``.
        bins: Histogram bins of ``"uniform"``, between the smallest and the largest distance.
        warmup: Plain passes at the start.
        sampler: ``"rejection"``, ``"dense"``, or ``"auto"`` for the faster one; both are exact.
        **shared: Those of ``BatchSelector``.

    Raises:
        ParameterError: ``pressure < 1`` or another impossible value.

    Cost: O(b q) a step and a batch in O(pressure * b) expected, whatever n is: uniform proposals are thinned, and the smallest and the
        largest distance stand in trees of maxima. ``"uniform"``: O(n) once an epoch, a batch O(b log n). Memory 16 n bytes (``"uniform"``
        32 n).

    Reference: Song, Kim, Kim, Lee, "Ada-boundary: accelerating DNN training via adaptive boundary batch selection", Machine Learning 109,
        2020.

    Differs: The paper has one label of several classes and measures the distance by the standard deviation of the softmax; for each binary
        label that is ``|p - 1/2|``. It draws with replacement; here rows do not repeat within a batch. Its pressures, 32 and 2 on two
        sets, have the geometric mean 8. Rows never seen count as the most wanted row known.

    Example:
        >>> import numpy as np, torch
        >>> selector = AdaBoundary(np.ones((3, 1)), batch_size=3, warmup=1, seed=0)
        >>> for rows in selector:
        ...     selector.update(rows, rows[:, None].float())  # row 0 stands on the boundary
        >>> selector.probabilities().round(3)
        array([0.727, 0.182, 0.091])
    """

    settings: ClassVar[tuple[str, ...]] = ("variant", "over", "pressure", "bins", "sampler")

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        variant: Literal["near", "easy", "hard", "uniform"] = "near",
        over: Literal["relevant", "all"] = "relevant",
        pressure: float = 8.0,
        bins: int = 64,
        warmup: float = 10,
        sampler: Sampler = "auto",
        **shared: Any,
    ) -> None:
        super().__init__(y, batch_size, warmup=warmup, **shared)
        choice("variant", variant, ("near", "easy", "hard", "uniform"))
        choice("over", over, ("relevant", "all"))
        choice("sampler", sampler, ("auto", "rejection", "dense"))
        if bins < 1:
            raise ParameterError(f"expected at least one bin, but got bins={bins}")
        self.variant, self.over, self.sampler = variant, over, sampler
        self.pressure, self.bins = check_pressure(pressure), int(bins)
        self.per_epoch = variant == "uniform"
        self._proposals = Proposals(1.0 if self.per_epoch else self.pressure / 2)
        self._largest, self._smallest = MaxTree(np.full(self.n, -np.inf)), MaxTree(np.full(self.n, -np.inf))
        self._fixed = np.ones(self.n) if self.per_epoch else None
        self._table: Categorical | None = None

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Store the distances of a batch. Cost: O(b q), independent of n; one copy of b values from the device of the logits."""
        distances = self._distances(rows, self.finite_logits(rows, logits))
        self._largest.change(rows, distances)
        self._smallest.change(rows, -distances)

    def begin_epoch(self) -> None:
        """Count distances, if that is what rows are drawn by. Cost: O(n) with ``variant="uniform"``, else nothing."""
        if self._fixed is not None and self.epoch >= self.warmup:
            self._fixed, self._table = self._rarities(), None

    def draw(self, k: int) -> Int[Tensor, "k"]:
        """Draw k different rows successively. Cost: O(pressure * k) expected by rejection, O(n) by keys."""
        return successively(
            k,
            self.n,
            self._propose,
            lambda: np.log(self.density()),
            self._proposals,
            self.generator,
            tries=self.pressure,
            sampler=self.sampler,
        )

    def density(self, rows: Int[Array, "b"] | slice = slice(None)) -> Float[Array, "b"]:
        """Return the chance of some rows to be drawn next, up to a common factor."""
        density: Array = np.exp(-math.log(self.pressure) * self._behind(rows)) if self._fixed is None else self._fixed[rows]
        return density

    def memory(self) -> dict[str, Any]:
        """Return the distances, the frozen chances and the running estimate."""
        arrays = {"distances": self._largest.values} | ({} if self._fixed is None else {"fixed": self._fixed})
        plain = {"proposals": [self._proposals.made, self._proposals.accepted]}
        return {name: torch.from_numpy(values.copy()) for name, values in arrays.items()} | plain

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over the distances, the frozen chances and the running estimate."""
        distances = saved_array(memory["distances"])
        self._largest, self._smallest = MaxTree(distances), MaxTree(np.where(distances > -np.inf, -distances, -np.inf))
        if self._fixed is not None:
            self._fixed, self._table = saved_array(memory["fixed"]), None
        self._proposals.made, self._proposals.accepted = memory["proposals"]

    def _distances(self, rows: Array, logits: Tensor) -> Array:
        """Return d or g of a batch, float64, shape (b,). A row without known labels teaches nothing, so it is the least wanted there is."""
        y, counted = self.targets.filled(rows, logits), self.targets.known(rows, logits)
        aside = torch.tanh(logits / 2) / 2
        aside = aside.abs() if self.variant == "near" else aside * (2 * y - 1)
        if self.over == "relevant":
            starts = self.targets.index.row_starts
            sizes = torch.from_numpy(starts[rows + 1] - starts[rows]).long()
            width = min(int(sizes.max()) + 1, logits.shape[1])
            highest = logits.masked_fill(counted == 0, -torch.inf)
            last = highest.topk(width, dim=1).values.gather(1, sizes.clamp(max=width - 1)[:, None].to(logits.device))
            counted = counted * ((y > 0) | (highest >= last))
        totals = counted.sum(dim=1)
        least = -0.5 if self.variant == "easy" else 0.5
        means = torch.where(totals > 0, (aside * counted).sum(dim=1) / totals.clamp(min=1), least)
        return means.to("cpu", torch.float64).numpy()

    def _behind(self, rows: Array | slice) -> Array:
        """Return ``(Q_i - min Q) / n``, by which a row is less wanted than the most wanted one; 0 for rows never seen."""
        distances = self._largest.values[rows]
        high, low = self._largest.max, -self._smallest.max
        start, span = (0.0, high) if self.variant == "near" else (low, high - low)
        if not 0 < span < math.inf:
            return np.zeros(len(distances))
        if self.variant == "easy":
            levels, first = np.ceil(self.n * ((high - distances) / span)), 0.0
        else:
            levels, first = np.ceil(self.n * ((distances - start) / span)), math.ceil(self.n * ((low - start) / span))
        return np.where(distances > -np.inf, (np.minimum(levels, self.n) - first) / self.n, 0.0)

    def _rarities(self) -> Array:
        """Return ``1 / rows in the bin of g_i``; a row never seen counts as one of the rarest bin."""
        distances = self._largest.values
        seen = distances > -np.inf
        span = self._largest.max + self._smallest.max
        if not 0 < span < math.inf:
            return np.ones(self.n)
        places = np.minimum(((distances[seen] + self._smallest.max) / span * self.bins).astype(np.int64), self.bins - 1)
        counts = np.bincount(places, minlength=self.bins)
        rarities = np.full(self.n, 1 / counts[counts > 0].min())
        rarities[seen] = 1 / counts[places]
        return rarities

    def _propose(self, m: int) -> tuple[Array, Array]:
        if self._fixed is None:
            rows = self.generator.integers(self.n, size=m)
            return rows, self.generator.standard_exponential(m) >= math.log(self.pressure) * self._behind(rows)
        if self._table is None:
            self._table = Categorical(self._fixed)
        return self._table.draw(m, self.generator), np.ones(m, dtype=bool)
