"""EPR: learns from positives alone, by how many labels an instance has on average."""

from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels, negative_log
from polytag.losses.counts import expected_positives
from polytag.registry import register

if TYPE_CHECKING:
    from polytag.data.table import Table


@register("loss", "epr")
class EPR(Loss):
    """Expected positive regularisation: known labels are fitted, and a batch should have the expected number of positives in the mean.

    ``-log p`` for each known positive, ``-log(1 - p)`` for each known negative, nothing for an unknown label; to each cell is added
    ``((mean_b sum_j p_bj - k) / q)^2``, which keeps the network from answering yes to everything.

    Args:
        k: Expected number of positives an instance. ``EPR.from_data(table)`` estimates it from the training labels: too low where only
            positives are known.
        eps: Added to probabilities before the logarithm; 1e-5 in the code of the paper.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q).

    Reference: Cole, Mac Aodha, Lorieul, Perona, Morris and Jojic, "Multi-label learning from single positive labels", CVPR 2021.

    Differs: exact logarithms, where the paper's code adds 1e-5 to the probabilities; known negatives are used; the paper takes the true k
        of each set (VOC 1.5, COCO 2.9, NUS-WIDE 1.9, CUB 31.4). The penalty belongs to the batch; weights of instances multiply it by
        their mean.

    Example:
        >>> EPR(k=1.5).terms(torch.zeros(1, 3), torch.tensor([[1.0, float("nan"), float("nan")]]))
        tensor([[0.6931, 0.0000, 0.0000]])
    """

    assumes = True

    def __init__(self, k: float, *, eps: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if not k >= 0 or not eps >= 0:
            raise ParameterError(f"expected k >= 0 and eps >= 0, but got {k=}, {eps=}")
        self.k, self.eps = float(k), eps

    @classmethod
    def context(cls, train: "Table") -> dict[str, Any]:
        """Return the mean number of positives of the training rows."""
        return {"k": expected_positives(train)}

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell; each holds the penalty of the batch."""
        logits, y, unknown = known_labels(logits, y)
        known = y * negative_log(logits, self.eps) + (1 - y) * negative_log(-logits, self.eps)
        return known.masked_fill(unknown, 0.0) + cardinality_penalty(logits.sigmoid(), self.k)


def cardinality_penalty(proba: Float[Tensor, "b q"], k: float) -> Float[Tensor, ""]:
    """Return ``((mean_b sum_j p_bj - k) / q)^2``.

    Example:
        >>> float(cardinality_penalty(torch.full((2, 4), 0.5), k=1.0))
        0.0625
    """
    return ((proba.sum(dim=1).mean() - k) / proba.shape[1]).square()
