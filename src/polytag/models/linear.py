"""The linear classifier: one logistic regression per label, trained together."""

from collections.abc import Mapping
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from polytag.losses import BCE, Loss
from polytag.models.base import MultiLabelModel
from polytag.registry import register


@register("model", "linear")
class Linear(MultiLabelModel):
    """One linear score per label: ``logits = x W.T + b``. The baseline that every deep model should beat.

    Args:
        d: Number of features.
        q: Number of labels.
        loss: What to minimise; ``None`` is binary cross-entropy.

    Cost: O(b d q) a step.

    Reference: logistic regression for each label (binary relevance).

    Example:
        >>> Linear(4, 3)(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "weight_decay": 1e-4, "batch_size": 128, "epochs": 100}

    def __init__(self, d: int, q: int, *, loss: Loss | None = None) -> None:
        super().__init__()
        self.output = nn.Linear(d, q)
        self.loss = BCE() if loss is None else loss

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits."""
        return self.output(x)  # type: ignore[no-any-return]
