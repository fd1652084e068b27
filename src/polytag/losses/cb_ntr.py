"""CB-NTR: class-balanced weights on the negative-tolerant focal loss."""

from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels
from polytag.losses.counts import Counts, count_tensor, known_rows, positives
from polytag.losses.db import tolerant_terms
from polytag.losses.focal import check_focal
from polytag.losses.rebalancing import effective_weight, prior_logit
from polytag.registry import register

if TYPE_CHECKING:
    from polytag.data.table import Table


@register("loss", "cb_ntr")
class CBNTR(Loss):
    """Focal loss for long-tailed labels: rare labels weigh more, and negatives that are already low are no longer pushed down.

    ``w_j`` of the class-balanced loss times the negative-tolerant part of the distribution-balanced loss, ``z = x + kappa logit(n_j / n)``:
    the focal loss of ``z`` for a positive, that of ``neg_scale z`` divided by ``neg_scale`` for a negative.

    Args:
        class_counts: Positives of each label in the training rows, n_j; ``CBNTR.from_data(table)`` counts them.
        n_train: Number of training rows (in which the label is known: one number, or one a label).
        beta: Of the effective number of positives.
        normalize: Scale the weights w_j so that their mean over the labels is 1.
        kappa: How far the logits are shifted.
        neg_scale: Steepness of the negatives.
        gamma: Of the focal factor.
        scale: Multiplies the loss.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q).

    Reference: Huang, Giledereli, Koksal, Ozgur and Ozkirimli, "Balancing methods for multi-label text classification with long-tailed class
        distribution", EMNLP 2021.

    Differs: the weights have mean 1, which makes the study's factors needless; its code is ``normalize=False`` with ``scale`` 5 (0.5 for
        both sides of the focal loss, times 10).

    Example:
        >>> CBNTR([50, 20, 10, 5], 100).terms(torch.zeros(1, 4), torch.zeros(1, 4))
        tensor([[0.0569, 0.0505, 0.0586, 0.0810]])
    """

    class_counts: Tensor
    n_train: Tensor

    def __init__(
        self,
        class_counts: Counts,
        n_train: Counts,
        *,
        beta: float = 0.9,
        normalize: bool = True,
        kappa: float = 0.05,
        neg_scale: float = 2.0,
        gamma: float = 2.0,
        scale: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        if not 0 <= beta < 1 or not neg_scale > 0 or not scale > 0:
            raise ParameterError(f"expected 0 <= beta < 1, neg_scale > 0 and scale > 0, but got {beta=}, {neg_scale=}, {scale=}")
        self.register_buffer("class_counts", count_tensor("class_counts", class_counts), persistent=False)
        self.register_buffer("n_train", count_tensor("n_train", n_train), persistent=False)
        self.beta, self.normalize, self.kappa, self.neg_scale, self.scale = beta, normalize, kappa, neg_scale, scale
        self.gamma, _ = check_focal(gamma, None)

    @classmethod
    def context(cls, train: "Table") -> dict[str, Any]:
        """Return the class counts of the training rows and their number."""
        return {"class_counts": positives(train), "n_train": known_rows(train)}

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell; 0 where the label is unknown."""
        logits, y, unknown = known_labels(logits, y)
        shift = self.kappa * prior_logit(self.class_counts, self.n_train, logits.dtype)
        weight = effective_weight(self.class_counts.to(logits.dtype), self.beta)
        if self.normalize:
            weight = weight / weight.mean()
        sides = y + (1 - y) / self.neg_scale
        return (self.scale * weight * sides * tolerant_terms(logits + shift, y, self.neg_scale, self.gamma)).masked_fill(unknown, 0.0)
