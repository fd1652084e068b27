"""RHO-LOSS: train on what is not learnt yet but can be learnt: rows whose loss is far above that of a model that did not see them."""

from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import DataError, ParameterError
from polytag.registry import register
from polytag.selectors.base import saved_array
from polytag.selectors.candidates import KeepsHardest, largest, pool_size, uniform_rows
from polytag.selectors.reference_model import cross_fitted_losses, table_rows
from polytag.types import Array, ArrayLike


@register("selector", "rho_loss")
class RHOLoss(KeepsHardest):
    """Of ``b / ratio`` uniform candidates, keep the b with the largest ``loss_i - irreducible_i``.

    The loss is the mean binary cross-entropy now. The irreducible loss is that of a reference model that has not seen the row, computed
    once: a mislabelled row is hard for both and is not chosen; one already learnt is not chosen either. The difference may be negative.

    Args:
        y: Training labels (n, q).
        batch_size: Rows a batch.
        x: Training features (n, d), for the reference model; not needed with ``irreducible``.
        ratio: Share of the candidates that is kept, above 0 and at most 1 (uniform batches).
        irreducible: Irreducible losses (n,); ``None``: ``cross_fitted_losses(x, y, seed=seed)``, computed when first needed.
        **shared: Those of ``BatchSelector``, but no ``correction``.

    Raises:
        ParameterError: No x that the reference model can read and no ``irreducible``, or an impossible value.
        DataError: ``irreducible`` is not n finite numbers.

    Cost: an extra forward pass of ``b / ratio`` rows a batch, ten batches by default; choosing O(b q / ratio), whatever n is. The reference
        model: at most 100 passes of a small network, once; it is saved with the state. Memory 8 n bytes.

    Reference: Mindermann, Brauner, Razzak, Sharma, Kirsch, Xu, Hoeltgen, Gomez, Morisot, Farquhar, Gal, "Prioritized training on points
        that are learnable, worth learning, and not yet learnt", ICML 2022.

    Differs: Without a hold-out set, two reference models judge each other's halves, as the authors propose. Candidates are independent
        uniform draws for each batch, not slices of a shuffled pass.

    Example:
        >>> import numpy as np, torch
        >>> selector = RHOLoss(np.zeros((10, 1)), batch_size=1, irreducible=np.r_[np.zeros(9), 5.0], seed=0)
        >>> rows = next(iter(selector))
        >>> selector.screen(rows, rows[:, None].float())  # row 9 has the largest loss, but cannot be learnt
        tensor([8])
    """

    settings: ClassVar[tuple[str, ...]] = ("ratio",)

    def __init__(
        self,
        y: ArrayLike | LabelIndex,
        batch_size: int,
        *,
        x: ArrayLike | None = None,
        ratio: float = 0.1,
        irreducible: ArrayLike | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(y, batch_size, x=x, **shared)
        if not 0 < ratio <= 1:
            raise ParameterError(f"expected 0 < ratio <= 1 (1 keeps all candidates), but got ratio={ratio!r}")
        self.ratio = float(ratio)
        self._candidates = pool_size("1 / ratio", 1 / ratio, self.batch_size, self.n)
        self._wanted = 0
        self._irreducible: Array | None = None
        self._x = None
        if irreducible is not None:
            self._irreducible = self._checked(irreducible)
        elif x is None:
            raise ParameterError(
                "the reference model needs the features: pass x=..., or irreducible=, the losses (n,) of a model of your own"
            )
        else:
            table_rows(x, self.n)  # say now, not at the first batch, that x cannot be read
            self._x = x

    @property
    def irreducible(self) -> Float[Array, "n"]:
        """The irreducible losses, shape (n,). Cost: the reference model, the first time."""
        if self._irreducible is None:
            self._irreducible = cross_fitted_losses(self._x, self.targets, seed=self.seed)
        return self._irreducible

    def draw(self, k: int) -> Int[Tensor, "m"]:
        """Draw candidates uniformly. Cost: O(k / ratio)."""
        self._wanted = min(k, self.n)
        self.screening = self._candidates > self._wanted
        return uniform_rows(self.n, self._candidates, self.generator)

    def sift(self, rows: Int[Array, "m"], logits: Float[Tensor, "m q"]) -> Int[Tensor, "k"]:
        """Keep the candidates with the largest reducible losses."""
        reducible = self.instance_losses(rows, logits, lambda: 0.0) - self.irreducible[rows]
        return torch.from_numpy(rows[largest(reducible, self._wanted)])

    def memory(self) -> dict[str, Any]:
        """Return the irreducible losses, if they are known by now."""
        return {} if self._irreducible is None else {"irreducible": torch.from_numpy(self._irreducible.copy())}

    def load_memory(self, memory: dict[str, Any]) -> None:
        """Take over the irreducible losses; if the state holds none, they follow from its seed, or are those that were passed."""
        if "irreducible" in memory:
            self._irreducible = saved_array(memory["irreducible"])
        elif self._x is not None:
            self._irreducible = None

    def _checked(self, losses: ArrayLike) -> Array:
        values = np.array(losses.detach().cpu().numpy() if isinstance(losses, Tensor) else losses, dtype=np.float64)
        if values.shape != (self.n,) or not np.isfinite(values).all():
            raise DataError(f"expected {self.n} finite irreducible losses, but got {values} of shape {values.shape}")
        return values
