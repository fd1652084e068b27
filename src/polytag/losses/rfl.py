"""Rebalanced focal loss: undoes the bias that labels which come together bring into re-sampling."""

from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from polytag.losses.base import Loss, known_labels
from polytag.losses.counts import Counts, count_tensor, positives
from polytag.losses.focal import check_focal, focal_terms
from polytag.losses.rebalancing import rebalanced_weight
from polytag.registry import register

if TYPE_CHECKING:
    from polytag.data.table import Table


@register("loss", "rfl")
class RebalancedFocal(Loss):
    """Focal loss weighted, cell by cell, by how much of the row's chance of being drawn is due to the label: R-FL.

    Drawing rows by their rare labels brings in the frequent labels that come with them. The weight
    ``lift + sigmoid(steepness (r_ij - centre))`` with ``r_ij = (1 / n_j) / sum_{l in Y_i} (1 / n_l)`` takes that back: a frequent label
    beside a rare one weighs little.

    Args:
        class_counts: Positives of each label in the training rows, n_j; ``RebalancedFocal.from_data(table)`` counts them.
        lift: Least weight (alpha of the paper).
        steepness: Of the sigmoid (beta of the paper).
        centre: Where the weight is half-way (mu of the paper): 0.3 for VOC, 0.2 for COCO; in the text study 0.9 for Reuters, 0.05 for
            PubMed.
        gamma: Of the focal factor; 0 gives R-BCE, the weight on binary cross-entropy.
        alpha: Of the focal factor.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q).

    Reference: Wu, Huang, Liu, Wang and Lin, "Distribution-balanced loss for multi-label classification in long-tailed datasets", ECCV 2020.

    Differs: labels without positives count as having one; rows without labels weigh ``lift + 1``, the limit of the formula.

    Example:
        >>> RebalancedFocal([30, 10]).terms(torch.zeros(1, 2), torch.tensor([[1.0, 1.0]]))
        tensor([[0.0828, 0.1887]])
    """

    class_counts: Tensor

    def __init__(
        self,
        class_counts: Counts,
        *,
        lift: float = 0.1,
        steepness: float = 10.0,
        centre: float = 0.3,
        gamma: float = 2.0,
        alpha: float | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("class_counts", count_tensor("class_counts", class_counts), persistent=False)
        self.lift, self.steepness, self.centre = lift, steepness, centre
        self.gamma, self.alpha = check_focal(gamma, alpha)

    @classmethod
    def context(cls, train: "Table") -> dict[str, Any]:
        """Return the class counts of the training rows."""
        return {"class_counts": positives(train)}

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell; 0 where the label is unknown."""
        logits, y, unknown = known_labels(logits, y)
        weight = rebalanced_weight(y, self.class_counts, self.lift, self.steepness, self.centre)
        return (weight * focal_terms(logits, y, self.gamma, self.alpha)).masked_fill(unknown, 0.0)
