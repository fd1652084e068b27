"""SPLC: unknown labels that the model is sure of are taken for present, all others for absent."""

import torch
from jaxtyping import Float
from torch import Tensor

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels
from polytag.losses.focal import focal_terms
from polytag.registry import register


@register("loss", "splc")
class SPLC(Loss):
    """Corrects missing labels by the model's own word: an unknown label (NaN) with a probability above ``cut`` is trained as a positive.

    A positive costs the focal loss of ``x - margin``, a negative that of x. Unknown labels are negatives in the first ``start`` epochs,
    in which a model recalls few of them; after that those with ``p > cut`` are positives, anew in each batch. Whoever writes the loop says
    which epoch it is with ``begin_epoch``; the trainer does so.

    Args:
        cut: Probability above which an unknown label is taken for present.
        start: First epoch, counted from 0, in which labels are corrected.
        margin: Taken from the logits of positives, the corrected ones among them.
        gamma: Of the focal factor of positives and negatives; 0, with a margin of 0, makes it cross-entropy.
        trust_negatives: ``False`` treats zeros as unknown, for data in which nobody has noted which labels are absent.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q).

    Reference: Zhang, Cheng, Huang, Wen, Li and Zhang, "Simple and robust loss design for multi-label learning with missing labels", arXiv
        2112.07368, 2021.

    Differs: the mean over cells, where the authors' code sums; corrected labels have the margin of positives, which that code leaves out
        for them.

    Example:
        >>> loss, y = SPLC(margin=0, gamma=0), torch.tensor([[1.0, 0.0, float("nan")]])
        >>> loss.terms(torch.full((1, 3), 2.0), y)
        tensor([[0.1269, 2.1269, 2.1269]])
        >>> loss.begin_epoch(1)
        >>> loss.terms(torch.full((1, 3), 2.0), y)
        tensor([[0.1269, 2.1269, 0.1269]])
    """

    assumes = True
    corrects: Tensor

    def __init__(
        self,
        cut: float = 0.6,
        start: int = 1,
        *,
        margin: float = 1.0,
        gamma: float = 2.0,
        trust_negatives: bool = True,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        if not 0 < cut < 1 or not start >= 0 or not margin >= 0 or not gamma >= 0:
            raise ParameterError(
                f"expected 0 < cut < 1, start >= 0, margin >= 0 and gamma >= 0, but got {cut=}, {start=}, {margin=}, {gamma=}"
            )
        self.cut, self.start, self.margin, self.gamma, self.trust_negatives = cut, start, margin, gamma, trust_negatives
        self.register_buffer("corrects", torch.tensor(start <= 0), persistent=False)

    def begin_epoch(self, epoch: int) -> None:
        """Correct labels from the epoch ``start`` on."""
        self.corrects.fill_(epoch >= self.start)

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell."""
        logits, y, unknown = known_labels(logits, y)
        unsure = unknown if self.trust_negatives else y != 1
        y = y.masked_fill(unsure & (logits.detach().sigmoid() > self.cut) & self.corrects, 1.0)
        return focal_terms(logits - self.margin * y, y, self.gamma)
