"""Distribution-balanced loss: rebalanced weights, and a loss that pushes easy negatives less."""

from typing import TYPE_CHECKING, Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels
from polytag.losses.counts import Counts, count_tensor, known_rows, positives
from polytag.losses.focal import check_focal, focal_terms
from polytag.losses.rebalancing import prior_logit, rebalanced_weight
from polytag.registry import register

if TYPE_CHECKING:
    from polytag.data.table import Table


class _Form(NamedTuple):
    """What sets the three published forms apart.

    Attributes:
        scale: Multiplies the loss.
        shift_over_scale: Whether the shift of the logits is divided by ``neg_scale``.
        weigh_alone: Whether the loss of negatives is divided by ``neg_scale`` where there is no other weight.
    """

    scale: float
    shift_over_scale: bool
    weigh_alone: bool


FORMS = {"paper": _Form(1.0, False, True), "authors": _Form(2.0, True, True), "textstudy": _Form(0.5, False, False)}


@register("loss", "db")
class DistributionBalanced(Loss):
    """Focal loss for long-tailed labels: cells weigh as in R-FL, and negatives that are already low are no longer pushed down.

    The logits are shifted by the prior of the label, ``z = x + kappa logit(n_j / n)``, in training only. A positive costs the focal loss of
    ``z``, a negative that of ``neg_scale z``, divided by ``neg_scale``: steep near the threshold, flat below it. Cells are weighted as in
    ``RebalancedFocal``. Without those weights it is NTR-FL, with ``gamma=0`` it is DB-0FL.

    Args:
        class_counts: Positives of each label in the training rows, n_j; ``DistributionBalanced.from_data(table)`` counts them.
        n_train: Number of training rows (in which the label is known: one number, or one a label).
        form: ``"paper"``; ``"authors"``, their code: twice the loss, the shift divided by ``neg_scale``; ``"textstudy"``, the code of Huang
            et al. 2021: half the loss, and negatives are not divided by ``neg_scale`` if ``rebalance`` is off.
        rebalance: Weigh the cells; ``False`` gives NTR-FL.
        kappa: How far the logits are shifted.
        neg_scale: Steepness of the negatives (lambda of the paper): 5 for VOC, 2 for COCO and texts.
        lift: Least weight of a cell.
        steepness: Of the sigmoid in the weight.
        centre: Of that sigmoid: 0.3 for VOC, 0.2 for COCO; in the text study 0.9 for Reuters, 0.05 for PubMed.
        gamma: Of the focal factor; 0 gives DB-0FL.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q).

    Reference: Wu, Huang, Liu, Wang and Lin, "Distribution-balanced loss for multi-label classification in long-tailed datasets", ECCV 2020.

    Differs: its paper also draws rows by class; that is the selector ``class_aware``. Nothing is shifted in place. Frequencies
        stay half a row away from 0 and 1, so that labels without positives have a finite shift. Labels more frequent than one half are
        shifted the other way, as the formula says.

    Example:
        >>> loss = DistributionBalanced([50, 20, 10, 5], 100)
        >>> loss.terms(torch.zeros(1, 4), torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
        tensor([[0.1905, 0.0202, 0.0134, 0.0090]])
    """

    class_counts: Tensor
    n_train: Tensor

    def __init__(
        self,
        class_counts: Counts,
        n_train: Counts,
        *,
        form: str = "paper",
        rebalance: bool = True,
        kappa: float = 0.05,
        neg_scale: float = 5.0,
        lift: float = 0.1,
        steepness: float = 10.0,
        centre: float = 0.3,
        gamma: float = 2.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        if form not in FORMS:
            raise ParameterError(f"expected a form among {', '.join(FORMS)}, but got {form!r}")
        if not neg_scale > 0:
            raise ParameterError(f"expected neg_scale > 0, but got {neg_scale!r}")
        self.register_buffer("class_counts", count_tensor("class_counts", class_counts), persistent=False)
        self.register_buffer("n_train", count_tensor("n_train", n_train), persistent=False)
        self.form, self.rebalance, self.kappa, self.neg_scale = FORMS[form], rebalance, kappa, neg_scale
        self.lift, self.steepness, self.centre = lift, steepness, centre
        self.gamma, _ = check_focal(gamma, None)

    @classmethod
    def context(cls, train: "Table") -> dict[str, Any]:
        """Return the class counts of the training rows and their number."""
        return {"class_counts": positives(train), "n_train": known_rows(train)}

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell; 0 where the label is unknown."""
        logits, y, unknown = known_labels(logits, y)
        kappa = self.kappa / self.neg_scale if self.form.shift_over_scale else self.kappa
        shift = kappa * prior_logit(self.class_counts, self.n_train, logits.dtype)
        terms = tolerant_terms(logits + shift, y, self.neg_scale, self.gamma)
        if self.rebalance or self.form.weigh_alone:
            terms = terms * (y + (1 - y) / self.neg_scale)
        if self.rebalance:
            terms = terms * rebalanced_weight(y, self.class_counts, self.lift, self.steepness, self.centre)
        return (self.form.scale * terms).masked_fill(unknown, 0.0)


def tolerant_terms(shifted: Float[Tensor, "b q"], y: Float[Tensor, "b q"], neg_scale: float, gamma: float) -> Float[Tensor, "b q"]:
    """Return the focal loss of each cell, negatives ``neg_scale`` times steeper; to be divided by it again."""
    return focal_terms(shifted * (y + (1 - y) * neg_scale), y, gamma)
