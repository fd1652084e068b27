"""Assume negative: labels that nobody asked about are taken for absent."""

from jaxtyping import Float
from torch import Tensor

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels, negative_log
from polytag.registry import register


@register("loss", "assume_negative")
class AssumeNegative(Loss):
    """Binary cross-entropy that takes every unknown label (NaN) for a negative: right mostly, since most labels are absent.

    AN costs ``-log p`` for a positive, ``-log(1 - p)`` for a negative, known or assumed. AN-LS smooths the labels: y is replaced by
    ``y (1 - a) + a (1 - y)``. WAN divides the loss of each assumed negative by q - 1, so that with a single known positive the two sides
    weigh the same.

    Args:
        label_smoothing: Share a of the certainty that is taken from each label; 0.1 in the paper's AN-LS.
        weak: Divide the loss of assumed negatives by q - 1 (WAN).
        eps: Added to probabilities before the logarithm; 1e-5 in the code of the paper.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q).

    Reference: Cole, Mac Aodha, Lorieul, Perona, Morris and Jojic, "Multi-label learning from single positive labels", CVPR 2021.

    Differs: exact logarithms, where the paper's code adds 1e-5 to the probabilities. A label known to be negative weighs 1 in WAN too; the
        paper has no such labels.

    Example:
        >>> AssumeNegative(weak=True).terms(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, float("nan")]]))
        tensor([[0.6931, 0.6931, 0.3466]])
    """

    assumes = True

    def __init__(self, label_smoothing: float = 0.0, *, weak: bool = False, eps: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if not 0 <= label_smoothing <= 0.5 or not eps >= 0:
            raise ParameterError(f"expected 0 <= label_smoothing <= 0.5 and eps >= 0, but got {label_smoothing=}, {eps=}")
        self.label_smoothing, self.weak, self.eps = label_smoothing, weak, eps

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell."""
        logits, y, unknown = known_labels(logits, y)
        soft = y + self.label_smoothing * (1 - 2 * y)
        terms = soft * negative_log(logits, self.eps) + (1 - soft) * negative_log(-logits, self.eps)
        return terms.where(~unknown, terms / max(y.shape[1] - 1, 1)) if self.weak else terms
