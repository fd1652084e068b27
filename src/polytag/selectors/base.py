"""What every batch selector is: an endless supply of batches, told after each step what the model made of them.

The whole idea, in a plain PyTorch loop::

    for rows in selector:                        # one epoch of row numbers
        logits = model(x[rows])
        loss_of(logits, y[rows]).backward()
        optimizer.step()
        optimizer.zero_grad()
        selector.update(rows, logits.detach())   # the only arrow that points back
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
from polytag.selectors.targets import Targets
from polytag.types import Array, ArrayLike

Order = Literal["shuffled", "sequential"]


class BatchSelector(abc.ABC):
    """Chooses the rows of each batch. A subclass says how ``k`` rows are drawn, and what it learns from the logits.

    An epoch has ``ceil(n / batch_size)`` batches. The first ``warmup`` epochs are plain shuffled passes without replacement, the same for
    every selector with the same seed; after them each batch is drawn by ``draw``, without repeats within a batch, independently across
    batches. Rows are drawn only when they are asked for, so that each batch knows everything that ``update`` has been told. A loader that
    fetches m batches ahead makes the selector act on news that are m batches old (a *lag* of m); iterating directly, or a ``DataLoader``
    with ``num_workers=0``, has lag 0.

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
        on_nonfinite: What to do with a NaN or infinite loss: ``"raise"``, or ``"max"`` to take the largest known loss instead.

    Raises:
        ParameterError: A parameter has a value that makes no sense.
        DataError: y or x does not fit.
    """

    settings: ClassVar[tuple[str, ...]] = ()
    """Attributes that shape the distribution; a saved state is only accepted by a selector in which they are equal."""

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
    ) -> None:
        self.targets = Targets(y)
        self.n = self.targets.index.n
        if self.n < 1 or batch_size < 1:
            raise ParameterError(f"expected at least one row and batch_size >= 1, but got {self.n} rows and batch_size={batch_size}")
        if x is not None and x.shape[0] != self.n:
            raise DataError(f"expected as many rows in x as in y, but got {x.shape[0]} and {self.n}")
        if warmup < 0 or seed < 0:
            raise ParameterError(f"expected warmup >= 0 and seed >= 0, but got warmup={warmup} and seed={seed}")
        choice("warmup_order", warmup_order, ("shuffled", "sequential"))
        choice("last_batch", last_batch, ("full", "remainder"))
        choice("on_nonfinite", on_nonfinite, ("raise", "max"))
        self.batch_size, self.seed, self.warmup = min(int(batch_size), self.n), int(seed), warmup
        self.warmup_order, self.last_batch, self.on_nonfinite = warmup_order, last_batch, on_nonfinite
        self.generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=(1,))))
        self.epoch, self.step = 0, 0
        self._continues = False

    @abc.abstractmethod
    def draw(self, k: int) -> Int[Tensor, "k"]:
        """Draw ``k`` different rows, with ``self.generator`` as the only source of chance; int64, on the CPU."""

    def update(self, rows: Int[Tensor, "b"], logits: Float[Tensor, "b q"]) -> None:  # noqa: B027  (an empty default is meant)
        """Learn from the logits of a batch, after its step; by default nothing."""

    def begin_epoch(self) -> None:  # noqa: B027  (an empty default is meant)
        """Prepare the epoch ``self.epoch``, before its first batch; by default nothing."""

    def probabilities(self) -> Float[Array, "n"]:
        """Return the chance of each row to be the next one drawn, for inspection; by default uniform. Cost: O(n)."""
        return np.full(self.n, 1 / self.n)

    def memory(self) -> dict[str, Any]:
        """Return what a subclass has learnt, as tensors and plain values, for ``state_dict``; by default nothing."""
        return {}

    def load_memory(self, memory: dict[str, Any]) -> None:  # noqa: B027  (an empty default is meant)
        """Take over what ``memory`` returned; by default nothing."""

    @final
    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return math.ceil(self.n / self.batch_size)

    @final
    def __iter__(self) -> Iterator[Int[Tensor, "k"]]:
        """Begin an epoch, or continue the one that a loaded state had interrupted."""
        if self._continues:
            self._continues = False
        elif self.step:
            self.epoch, self.step = self.epoch + 1, 0
        return self._batches()

    def _batches(self) -> Iterator[Int[Tensor, "k"]]:
        if self.step == 0:
            self.begin_epoch()
        full_pass = shuffled_pass(self.n, self.seed, self.epoch, self.warmup_order) if self.epoch < self.warmup else None
        while self.step < len(self):
            start = self.step * self.batch_size
            if full_pass is not None:
                rows = full_pass[start : start + self.batch_size]
            else:
                rows = self.draw(min(self.batch_size, self.n - start) if self.last_batch == "remainder" else self.batch_size)
            self.step += 1
            yield rows
        self.epoch, self.step = self.epoch + 1, 0

    @final
    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides the batches to come: tensors, plain values, the generator's state as nested plain values."""
        return self._identity() | {
            "seed": self.seed,
            "epoch": self.epoch,
            "step": self.step,
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
        self.seed, self.epoch, self.step = int(state["seed"]), int(state["epoch"]), int(state["step"])
        self.generator.bit_generator.state = state["generator"]
        self._continues = self.step > 0

    def instance_losses(self, rows: Array, logits: Float[Tensor, "b q"], worst: Callable[[], float]) -> Float[Array, "b"]:
        """Return the mean binary cross-entropy of each instance, for the ``update`` of a subclass.

        Args:
            rows: Row numbers (``host_rows``).
            logits: Logits of the classification head, given x only.
            worst: The largest loss known so far; stands in for NaN if ``on_nonfinite="max"``.

        Raises:
            DataError: A loss is NaN or infinite, or the logits do not fit.
        """
        losses = self.targets.losses(rows, logits)
        finite = np.isfinite(losses)
        if finite.all():
            return losses
        if self.on_nonfinite == "raise":
            at = int(np.flatnonzero(~finite)[0])
            raise DataError(
                f"the loss of instance {int(rows[at])} is {losses[at]}, so its logits are NaN or infinite; lower the learning rate, "
                'or pass on_nonfinite="max" to treat such instances as the hardest'
            )
        return np.where(finite, losses, max(worst(), losses[finite].max(initial=0.0)))

    def _identity(self) -> dict[str, Any]:
        labels = {"n": self.n, "q": self.targets.index.q, "positives": len(self.targets.index.columns)}
        shared = {name: getattr(self, name) for name in ("batch_size", "last_batch", "warmup_order", *self.settings)}
        warmup = None if math.isinf(self.warmup) else self.warmup
        return {"selector": type(self).__name__, **labels, "warmup": warmup, **shared}


def shuffled_pass(n: int, seed: int, epoch: int, order: Order = "shuffled") -> Int[Tensor, "n"]:
    """Return all rows once, in an order that depends on the seed and the epoch only. Cost: O(n)."""
    if order == "sequential":
        return torch.arange(n)
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    return torch.from_numpy(generator.permutation(n))


def host_rows(rows: Int[Tensor, "b"]) -> Int[Array, "b"]:
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
