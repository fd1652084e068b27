"""PR: known positives should have higher probabilities than all other labels."""

from jaxtyping import Float
from torch import Tensor

from polytag.errors import ParameterError
from polytag.losses.base import Loss, at_least_float32
from polytag.losses.pairwise import violations
from polytag.registry import register


@register("loss", "pr")
class PR(Loss):
    """Pairwise ranking for positive labels only: each known positive p should have a higher probability than every other label.

    ``1/q sum_{p in Y} sum_{n not in Y} max(0, margin - (p_p - p_n))`` on probabilities, where every label that is not a known positive,
    unknown (NaN) or negative, is an n.

    Args:
        margin: By how much it should be higher.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: The margin is not positive.

    Cost: O(b q log q) time, O(b q) memory: the other labels are sorted, no pairs are made.

    Reference: a baseline of Cole, Mac Aodha, Lorieul, Perona, Morris and Jojic, "Multi-label learning from single positive labels", CVPR
        2021.

    Example:
        >>> PR().terms(torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, float("nan")]]))
        tensor([0.6667])
    """

    assumes = True

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if not margin > 0:
            raise ParameterError(f"expected margin > 0, but got {margin!r}")
        self.margin = margin

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b"]:
        """Return the loss of each instance."""
        _, excess = violations(at_least_float32(logits).sigmoid(), y == 1, y != 1, self.margin)
        return excess.sum(dim=1) / y.shape[1]
