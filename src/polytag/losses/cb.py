"""Class-balanced loss: rare labels weigh more, by the effective number of their positives."""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels
from polytag.losses.counts import Counts, count_tensor, positives
from polytag.losses.focal import check_focal, focal_terms
from polytag.losses.rebalancing import effective_weight
from polytag.registry import register

if TYPE_CHECKING:
    from polytag.data.table import Table

MODES = ("by_class", "average_w", "average_n", "min_n")


@register("loss", "cb")
class CB(Loss):
    """Focal loss in which a rare label weighs more: by one over its effective number of positives, ``w_j = (1 - beta) / (1 - beta^n_j)``.

    Modes: ``"by_class"`` weighs the columns by w_j. The others give all cells of an instance one weight, made from the labels that it has:
    ``"average_w"`` the mean of their w, ``"average_n"`` the w of their mean count, ``"min_n"`` the w of the rarest; an instance without
    labels weighs 1.

    Args:
        class_counts: Positives of each label in the training rows, n_j; ``CB.from_data(table)`` counts them.
        beta: The nearer to 1, the more the weights differ; 0 weighs all labels alike.
        mode: See above.
        normalize: Scale the weights w_j so that their mean over the labels is 1.
        gamma: Of the focal factor; 0 for binary cross-entropy.
        alpha: Of the focal factor.
        scale: Multiplies the loss.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q).

    Reference: Cui, Jia, Lin, Song and Belongie, "Class-balanced loss based on effective number of samples", CVPR 2019; for many labels
        Huang, Giledereli, Koksal, Ozgur and Ozkirimli, "Balancing methods for multi-label text classification with long-tailed class
        distribution", EMNLP 2021.

    Differs: labels without positives count as having one, and rows without labels weigh 1 (division by zero otherwise). The code of the
        text study is ``normalize=False, alpha=0.5`` with ``scale`` 10 (Reuters) or 5 (PubMed).

    Example:
        >>> CB([50, 20, 10, 5]).terms(torch.zeros(1, 4), torch.zeros(1, 4))
        tensor([[0.1138, 0.1289, 0.1739, 0.2765]])
    """

    class_counts: Tensor

    def __init__(
        self,
        class_counts: Counts,
        *,
        beta: float = 0.9,
        mode: str = "by_class",
        normalize: bool = True,
        gamma: float = 2.0,
        alpha: float | None = None,
        scale: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        if mode not in MODES:
            raise ParameterError(f"expected a mode among {', '.join(MODES)}, but got {mode!r}")
        if not 0 <= beta < 1 or not scale > 0:
            raise ParameterError(f"expected 0 <= beta < 1 and scale > 0, but got {beta=}, {scale=}")
        self.register_buffer("class_counts", count_tensor("class_counts", class_counts), persistent=False)
        self.beta, self.mode, self.normalize, self.scale = beta, mode, normalize, scale
        self.gamma, self.alpha = check_focal(gamma, alpha)

    @classmethod
    def context(cls, train: "Table") -> dict[str, Any]:
        """Return the class counts of the training rows."""
        return {"class_counts": positives(train)}

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell; 0 where the label is unknown."""
        logits, y, unknown = known_labels(logits, y)
        terms = focal_terms(logits, y, self.gamma, self.alpha)
        return (self.scale * self._weight(y) * terms).masked_fill(unknown, 0.0)

    def _weight(self, y: Float[Tensor, "b q"]) -> Float[Tensor, "... q"]:
        """Return the weights of the columns (q,), or of the instances (b, 1)."""
        counts = self.class_counts.clamp(min=1).to(y.dtype)
        by_class = effective_weight(counts, self.beta)
        norm = 1 / by_class.mean() if self.normalize else torch.ones_like(by_class.mean())
        if self.mode == "by_class":
            return by_class * norm
        size = y.sum(dim=1, keepdim=True)
        some = size > 0
        if self.mode == "average_w":
            weight = (y * by_class).sum(dim=1, keepdim=True) / size.clamp(min=1)
        elif self.mode == "average_n":
            weight = effective_weight((y * counts).sum(dim=1, keepdim=True) / size.clamp(min=1), self.beta)
        else:
            weight = effective_weight(counts.where(y == 1, torch.inf).amin(dim=1, keepdim=True), self.beta)
        return (weight * norm).where(some, torch.ones_like(weight))
