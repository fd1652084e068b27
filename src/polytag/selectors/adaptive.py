"""Adaptive: rows that are hard now, and carry rare labels among unlike neighbours, come more often."""

from jaxtyping import Int
from torch import Tensor

from polytag.registry import register
from polytag.selectors.loss_weighted import LossWeighted
from polytag.selectors.sampling import successively
from polytag.types import Array


@register("selector", "adaptive")
class Adaptive(LossWeighted):
    """Draw each batch with p proportional to ``pressure ** (Q_i / n)``, ``Q_i = min(n, ceil(n l_i / max l))``, ``l_i = w_i * mean BCE_i``.

    The parameters are those of ``LossWeighted``; ``pressure=8``, ``warmup=3`` and ``neighbours=5`` by default.

    Cost: a batch is drawn by rejection from uniform proposals, O(pressure * b) expected whatever n is; the largest loss is kept in a tree.
        Small sets (n below about ``2 * pressure * b``) rank all n by random keys instead. Memory O(n).

    Reference: Zhou, Liu, Wang, Tsoumakas, "Adaptive batch selection for deep multi-label classification", arXiv 2403.18192, 2024.

    Differs: Labels without positives are left out of the imbalance measure, Q is clipped to n, and a row never seen counts as the hardest.
        The published script uses neither w nor a distribution that follows each step; ``compat="authors"`` does as it does.

    Example:
        >>> import numpy as np, torch
        >>> x, y = np.arange(6.0)[:, None], np.eye(6)
        >>> selector = Adaptive(y, batch_size=2, x=x, warmup=1, seed=0)
        >>> for rows in selector:
        ...     selector.update(rows, torch.zeros(2, 6))
        >>> selector.probabilities().round(3)
        array([0.167, 0.167, 0.167, 0.167, 0.167, 0.167])
    """

    def draw(self, k: int) -> Int[Tensor, "k"]:
        """Draw k different rows successively. Cost: O(pressure * k) expected by rejection, O(n) by keys."""
        return successively(
            k,
            self.n,
            self._propose,
            lambda: self.log_pressure * self.losses.exponents(),
            self.proposals,
            self.generator,
            tries=self.pressure,
            sampler=self.sampler,
        )

    def _propose(self, m: int) -> tuple[Array, Array]:
        """Return m uniform rows and which of them pass: ``U < pressure ** (e - top)``, as ``-log U > log(pressure) * (top - e)``."""
        rows = self.generator.integers(self.n, size=m)
        return rows, self.generator.standard_exponential(m) >= self.log_pressure * (self.losses.top - self.losses.exponents(rows))
