"""Binary cross-entropy: every label is a yes-or-no question of its own."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels
from polytag.registry import register
from polytag.types import Array


@register("loss", "bce")
class BCE(Loss):
    """Binary cross-entropy of each cell, ``softplus(x) - x y``, the loss from which most multi-label networks start.

    With ``pos_weight`` w: ``w y softplus(-x) + (1 - y) softplus(x)``. With label smoothing a, y is replaced by ``y (1 - a) + a (1 - y)``.
    Cells with unknown labels (NaN) cost nothing and have no gradient.

    Args:
        pos_weight: How much a positive weighs: one number, or one a label.
        label_smoothing: Share a of the certainty that is taken from each label; 0 takes none.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A weight is not positive, or the smoothing lies outside [0, 0.5].

    Cost: O(b q).

    Example:
        >>> loss = BCE(pos_weight=2.0)
        >>> loss.terms(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, float("nan")]]))
        tensor([[1.3863, 0.6931, 0.0000]])
    """

    pos_weight: Tensor | None

    def __init__(
        self,
        pos_weight: float | Sequence[float] | Array | Tensor | None = None,
        label_smoothing: float = 0.0,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        weight = None if pos_weight is None else torch.as_tensor(pos_weight, dtype=torch.float32)
        if weight is not None and not bool((weight > 0).all()):
            raise ParameterError(f"expected every pos_weight > 0, but got {pos_weight!r}")
        if not 0 <= label_smoothing <= 0.5:
            raise ParameterError(f"expected 0 <= label_smoothing <= 0.5, but got {label_smoothing!r}")
        # Not part of a model's weights: a model saved with weights on its positives loads without them.
        self.register_buffer("pos_weight", weight, persistent=False)
        self.label_smoothing = label_smoothing

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell; 0 where the label is unknown."""
        logits, y, unknown = known_labels(logits, y)
        if self.label_smoothing:
            y = y + self.label_smoothing * (1 - 2 * y)
        weight = None if self.pos_weight is None else self.pos_weight.to(logits)
        return functional.binary_cross_entropy_with_logits(logits, y, pos_weight=weight, reduction="none").masked_fill(unknown, 0.0)
