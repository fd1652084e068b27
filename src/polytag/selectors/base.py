"""What every batch selector is: an endless supply of batches, told after each step what the model made of them.

The whole idea, in a plain PyTorch loop::

    for rows in selector:                                  # one epoch of row numbers
        logits = model(x[rows])
        loss_of(logits, y[rows]).backward()
        optimizer.step()
        optimizer.zero_grad()
        selector.update(rows, logits.detach())             # the only arrow that points back

Two more lines serve the selectors that choose among candidates, and those that weigh the loss::

    for rows in selector:
        while selector.screening:                          # rows are candidates: show them to the model first
            with torch.no_grad():
                rows = selector.screen(rows, model(x[rows]))
        weight = selector.weights(rows)                    # how much each row counts; None: all the same
        ...
"""

import abc
import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import DataError, ParameterError, ResumeError
from polytag.selectors.correction import importance_weights
from polytag.selectors.lag import Lag
from polytag.selectors.targets import Targets
from polytag.types import Array, ArrayLike

Order = Literal["shuffled", "sequential"]


class BatchSelector(abc.ABC):
    """Chooses the rows of each batch. A subclass says how ``k`` rows are drawn, and what it learns from the logits.

    An epoch has ``ceil(n / batch_size)`` batches. The first ``warmup`` epochs are plain shuffled passes without replacement, the same for
    every selector with the same seed; after them each batch is drawn by ``draw``, without repeats within a batch, independently across
    batches. Rows are drawn only when they are asked for, so that each batch knows everything that ``update`` has been told.

    A loader that fetches m batches ahead makes the selector act on news that are m batches old, a *lag* of m; iterating directly, or a
    ``DataLoader`` with ``num_workers=0``, has lag 0. ``lag_seen`` is the largest lag so far, and one beyond ``lag`` is warned about, unless
    the distribution is fixed while an epoch runs (``per_epoch``).

    ``iter(selector)`` begins a new epoch, also when the one before was left by ``break``; right after ``load_state_dict`` it continues the
    interrupted epoch instead. One iterator at a time.

    Args:
        y: Training labels (n, q): NumPy, SciPy sparse, torch, or their index.
        batch_size: Rows a batch; with ``batch_size >= n`` each batch is a permutation of all n.
        x: Training features, for selectors that look at neighbours.
        seed: Seed of the selector's own generators; the global random state is neither read nor changed.
        warmup: Number of plain passes at the start.
        warmup_order: ``"sequential"`` makes these passes run through the rows in order.
        last_batch: ``"full"``: every batch that is drawn has ``batch_size`` rows; ``"remainder"``: the last one completes n.
        on_nonfinite: What to do with NaN or infinite logits: ``"raise"``, or ``"max"`` to treat their rows as the hardest.
        correction: Power in [0, 1] of the importance weights ``1 / (n p_i)`` that ``weights`` returns: 0 leaves the batches as they are, as
            all papers do; 1 undoes their bias.
        lag: Batches that the reader's loader is known to fetch ahead; no warning up to there.

    Attributes:
        screening: The rows just drawn are candidates, to be passed to ``screen`` with their logits.
        size: Rows of the epoch that runs; n, except for selectors that leave rows out.

    Raises:
        ParameterError: A parameter has a value that makes no sense.
        DataError: y or x does not fit.
    """

    settings: ClassVar[tuple[str, ...]] = ()
    """Attributes that shape the distribution; a saved state is only accepted by a selector in which they are equal."""

    replacement: ClassVar[bool] = False
    """A row may stand in a batch more than once."""

    shrinks: ClassVar[bool] = False
    """An epoch may leave rows out."""

    per_epoch: bool = False
    """The distribution is fixed while an epoch runs."""

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        x: ArrayLike | None = None,
        seed: int = 0,
        warmup: float = 0,
        warmup_order: Order = "shuffled",
        last_batch: Literal["full", "remainder"] = "full",
        on_nonfinite: Literal["raise", "max"] = "raise",
        correction: float = 0.0,
        lag: int = 0,
    ) -> None:
        self.targets = Targets(y)
        self.n = self.targets.index.n
        if self.n < 1 or batch_size < 1:
            raise ParameterError(f"expected at least one row and batch_size >= 1, but got {self.n} rows and batch_size={batch_size}")
        if x is not None and x.shape[0] != self.n:
            raise DataError(f"expected as many rows in x as in y, but got {x.shape[0]} and {self.n}")
        _check_numbers(warmup, seed, lag, correction)
        choice("warmup_order", warmup_order, ("shuffled", "sequential"))
        choice("last_batch", last_batch, ("full", "remainder"))
        choice("on_nonfinite", on_nonfinite, ("raise", "max"))
        self.batch_size, self.seed, self.warmup = min(int(batch_size), self.n), int(seed), warmup
        self.warmup_order, self.last_batch, self.on_nonfinite = warmup_order, last_batch, on_nonfinite
        self.generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=(1,))))
        self.epoch, self.step, self.size, self.correction = 0, 0, self.n, float(correction)
        self.screening, self._continues, self._lag = False, False, Lag(int(lag))

    @abc.abstractmethod
    def draw(self, k: int) -> Int[Tensor, "k"]:
        """Draw ``k`` different rows, with ``self.generator`` as the only source of chance; int64, on the CPU.

        A selector that chooses among candidates returns these, and sets ``self.screening``.
        """

    def observe(self, rows: Int[Array, "b"], logits: Float[Tensor, "b q"]) -> None:  # noqa: B027  (an empty default is meant)
        """Learn from the logits of a batch, after its step; by default nothing. Rows and shape have been checked."""

    def sift(self, rows: Int[Array, "m"], logits: Float[Tensor, "m q"]) -> Int[Tensor, "k"]:
        """Return which of the candidates make the batch; or further candidates, with ``self.screening`` set again."""
        raise NotImplementedError(f"{type(self).__name__} does not look at candidates")

    def begin_epoch(self) -> None:  # noqa: B027  (an empty default is meant)
        """Prepare the epoch ``self.epoch``, before its first batch; by default nothing."""

    def density(self, rows: Int[Array, "b"] | slice = slice(None)) -> Float[Array, "b"]:
        """Return the chance of some rows to be the next one drawn, up to a factor common to all rows; by default uniform."""
        return np.ones(len(range(*rows.indices(self.n))) if isinstance(rows, slice) else len(rows))

    def row_weights(self, rows: Int[Array, "b"]) -> Float[Tensor, "b ..."] | None:
        """Return how much each row (b,) or cell (b, q) of the batch just drawn counts in the loss; by default ``None``: all the same."""
        return None

    def memory(self) -> dict[str, Any]:
        """Return what a subclass has learnt, as tensors and plain values, for ``state_dict``; by default nothing."""
        return {}

    def load_memory(self, memory: dict[str, Any]) -> None:  # noqa: B027  (an empty default is meant)
        """Take over what ``memory`` returned; by default nothing."""

    @final
    def __len__(self) -> int:
        """Return the number of batches of the epoch."""
        return math.ceil(self.size / self.batch_size)

    @final
    def __iter__(self) -> Iterator[Int[Tensor, "k"]]:
        """Begin an epoch, or continue the one that a loaded state had interrupted."""
        if self.step and not self._continues:
            self._next_epoch()
        return self._batches()

    @final
    def update(self, rows: Int[Tensor, "b"], logits: Float[Tensor, "b q"]) -> None:
        """Tell the selector what the model made of a batch, after its step.

        Args:
            rows: Row numbers of the batch.
            logits: Logits of the classification head before the step, given x only; they are neither kept nor changed.

        Raises:
            DataError: Rows are out of range, shapes do not fit, or logits that matter are NaN or infinite.
        """
        self._lag.told()
        self.observe(*self.targets.checked(host_rows(rows), logits))

    @final
    def screen(self, rows: Int[Tensor, "m"], logits: Float[Tensor, "m q"]) -> Int[Tensor, "k"]:
        """Show the selector what the model makes of the candidates; it answers with the rows of the batch.

        To be repeated while ``screening`` is set: the answer may consist of further candidates.

        Args:
            rows: The candidates, as they came.
            logits: Their logits, computed without gradient, in evaluation mode.

        Raises:
            ParameterError: No candidates were handed out. DataError: as for ``update``.
        """
        at, logits = self.targets.checked(host_rows(rows), logits)
        if not self.screening:
            raise ParameterError("screen() was called, but the rows are no candidates; call it only while selector.screening is True")
        self.screening = False
        return self.sift(at, logits)

    @final
    def weights(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b ..."] | None:
        """Return how much each row (b,) or cell (b, q) of the batch just drawn counts in the loss; ``None``: all the same.

        The product of the selector's own weights and, if ``correction > 0``, ``importance_weights(rows, power=correction)``. To be asked
        for before ``update``; goes into ``Batch.weight``.
        """
        at = host_rows(rows)
        own = None if self._plain else self.row_weights(at)
        if self._plain or not self.correction:
            return own
        corrected = self.importance_weights(at, power=self.correction)
        return corrected if own is None else own * corrected.view(-1, *[1] * (own.ndim - 1))

    @final
    def probabilities(self) -> Float[Array, "n"]:
        """Return the chance of each row to be the next one drawn, for inspection; of candidates, where these are drawn. Cost: O(n)."""
        density = self.density()
        proba: Array = density / density.sum()
        return proba

    def importance_weights(
        self, rows: Int[Tensor, "b"] | Int[Array, "b"], *, power: float = 1.0, normalise: bool = True, ordered: bool = False
    ) -> Float[Tensor, "b"]:
        """Return ``1 / (n p_i)`` of the rows just drawn (1 in a plain pass), float32: with them a batch speaks for all rows equally.

        Args:
            rows: Row numbers in the order in which they were drawn.
            power: In [0, 1]; less than 1 trades bias for variance.
            normalise: Divide by their mean over the batch: bounded scale, a bias of order 1 / b, and no need for the sum over all n.
            ordered: Heed that rows are drawn without replacement; with ``normalise=False`` the weighted mean of any quantity over the
                batch is then unbiased for batches of any size (``polytag.selectors.correction``).

        Cost: O(b) with ``normalise`` and without ``ordered``, else O(n).
        """
        at = host_rows(rows)
        if self._plain:
            return torch.ones(len(at))
        chances = self.density(at) if normalise and not ordered else self.probabilities()[at]
        return torch.from_numpy(importance_weights(chances, self.n, power, normalise, ordered)).float()

    @final
    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides the batches to come: tensors, plain values, the generator's state as nested plain values."""
        return self._identity() | {
            "seed": self.seed,
            "epoch": self.epoch,
            "step": self.step,
            "size": self.size,
            "generator": self.generator.bit_generator.state,
            **self.memory(),
        }

    @final
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where a saved selector was, within its epoch too.

        Args:
            state: What ``state_dict`` of a selector of the same class, data and parameters returned.

        Raises:
            ResumeError: The state belongs to another selector.
        """
        expected = self._identity()
        wrong = [f"{k}={state.get(k)!r} instead of {v!r}" for k, v in expected.items() if state.get(k) != v]
        if wrong:
            raise ResumeError(f"the state belongs to another selector: {', '.join(wrong)}; build the selector as it was when it was saved")
        self.load_memory(state)
        self.seed, self.epoch, self.step, self.size = (int(state[name]) for name in ("seed", "epoch", "step", "size"))
        self.generator.bit_generator.state = state["generator"]
        if self.step == len(self):  # some loaders count batches and never ask for the end
            self._next_epoch()
        self._continues, self.screening = self.step > 0, False

    def instance_losses(self, rows: Array, logits: Float[Tensor, "b q"], worst: Callable[[], float]) -> Float[Array, "b"]:
        """Return the mean binary cross-entropy of each instance, for ``observe`` and ``sift`` of a subclass.

        Raises:
            DataError: A loss is NaN or infinite, and ``on_nonfinite="raise"``; else it counts as ``worst()`` or the largest of the batch.
        """
        return self.targets.finite_losses(rows, logits, None if self.on_nonfinite == "raise" else worst)

    def finite_logits(self, rows: Array, logits: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the logits if they are finite, for subclasses that need more of them than a loss.

        Raises:
            DataError: A logit is NaN or infinite, and ``on_nonfinite="raise"``; otherwise its row gets logits that are as wrong as can be.
        """
        return self.targets.finite_logits(rows, logits, refuse=self.on_nonfinite == "raise")

    @property
    def lag_seen(self) -> int:
        """The largest number of batches that had been drawn, but not told about, when one more was drawn."""
        return self._lag.seen

    @property
    def _plain(self) -> bool:
        """Whether the epoch is a plain pass."""
        return self.epoch < self.warmup

    def _batches(self) -> Iterator[Int[Tensor, "k"]]:
        self._continues = False  # at the first batch, not by iter(), which some loaders call twice
        self._lag.restart()
        if self.step == 0:
            self.size = self.n
            self.begin_epoch()
        full_pass = shuffled_pass(self.n, self.seed, self.epoch, self.warmup_order) if self._plain else None
        while self.step < len(self):
            start = self.step * self.batch_size
            self.screening = False
            if full_pass is not None:
                rows = full_pass[start : start + self.batch_size]
            else:
                self._lag.measure(type(self).__name__, harmless=self.per_epoch, learns=type(self).observe is not BatchSelector.observe)
                rows = self.draw(min(self.batch_size, self.size - start) if self.last_batch == "remainder" else self.batch_size)
            self.step += 1
            self._lag.drawn()
            yield rows
        self._next_epoch()

    def _next_epoch(self) -> None:
        self.epoch, self.step = self.epoch + 1, 0

    def _identity(self) -> dict[str, Any]:
        labels = {"n": self.n, "q": self.targets.index.q, "positives": len(self.targets.index.columns)}
        values = {name: getattr(self, name) for name in ("batch_size", "last_batch", "warmup_order", *self.settings)}
        shared = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}  # as JSON has it
        warmup = None if math.isinf(self.warmup) else self.warmup
        return {"selector": type(self).__name__, **labels, "warmup": warmup, **shared}


def _check_numbers(warmup: float, seed: int, lag: int, correction: float) -> None:
    if warmup < 0 or seed < 0 or lag < 0 or not 0 <= correction <= 1:
        raise ParameterError(
            "expected warmup, seed, lag >= 0 and 0 <= correction <= 1, but got "
            f"warmup={warmup}, seed={seed}, lag={lag}, correction={correction}"
        )


def shuffled_pass(n: int, seed: int, epoch: int, order: Order = "shuffled") -> Int[Tensor, "n"]:
    """Return all rows once, in an order that depends on the seed and the epoch only. Cost: O(n)."""
    if order == "sequential":
        return torch.arange(n)
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    return torch.from_numpy(generator.permutation(n))


def host_rows(rows: Int[Tensor, "b"] | Int[Array, "b"]) -> Int[Array, "b"]:
    """Return row numbers as a NumPy array on the host."""
    return rows.detach().cpu().numpy() if isinstance(rows, Tensor) else np.asarray(rows, dtype=np.int64)


def saved_array(value: Tensor | Array) -> Array:
    """Return an array of its own from what a saved state holds."""
    return value.cpu().numpy().copy() if isinstance(value, Tensor) else np.array(value)


def choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse a value that is not among the allowed ones.

    Raises:
        ParameterError: It is not.
    """
    if value not in allowed:
        raise ParameterError(f"expected {name} to be one of {', '.join(map(repr, allowed))}, but got {value!r}")
