"""Gradient clipping by what the gradients of the last steps were like."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

STEPS = 5
"""Norms that are remembered."""
SLACK = 5.0
"""How many times the largest remembered norm a gradient may reach."""
GROWTH = 2.0
"""How many times the largest remembered norm the next one is remembered as, at most."""
LARGEST = 1.0
"""No norm is remembered as larger than this."""


class AdaptiveClip:
    """Clips gradients at a bound that follows their norms; ``Trainer(clip_norm="adaptive")`` does it after each backward pass.

    At each step, with g the L2 norm over the gradients of all parameters and H the last five remembered norms, H = {infinity} at first:
    ``bound = 5 max(H)``; gradients are multiplied by ``min(1, bound / (g + 1e-6))``; then ``min(g, 2 max(H), 1)`` enters H. So five steps
    are free, and from the sixth on the bound lies between 0 and 5.

    Attributes:
        history: H, the newest last; zeros stand for norms that are still to come; ``None`` before the first step.

    Cost: two passes over the gradients a step; nothing leaves the device.

    Reference: what the published code of FLEM does (Zhao, An, Xu and Geng, "Fusion label enhancement for multi-label learning",
        IJCAI 2022), of which the paper says nothing.

    Differs: a norm that is 0 or not finite is not remembered. After five zeros no gradient would pass ever again, and after a step that
        half-precision training skips there is no norm to remember.

    Example:
        >>> weight = nn.Parameter(torch.zeros(2))
        >>> clip = AdaptiveClip()
        >>> for step in range(6):
        ...     weight.grad = torch.tensor([30.0, 40.0])
        ...     bound = clip([weight])
        >>> float(bound), weight.grad.round(decimals=3).tolist()
        (5.0, [3.0, 4.0])
    """

    def __init__(self) -> None:
        self.history: Tensor | None = None

    @torch.no_grad()
    def __call__(self, parameters: Iterable[nn.Parameter]) -> Tensor:
        """Clip the gradients in place, remember their norm, and return the bound that held."""
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in grads]))
        history = torch.cat([norm.new_zeros(STEPS - 1), norm.new_full((1,), torch.inf)]) if self.history is None else self.history.to(norm)
        largest = history.max()
        bound = SLACK * largest
        scale = (bound / (norm + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(scale)
        newest = torch.minimum(norm, GROWTH * largest).clamp(max=LARGEST)
        self.history = torch.where(norm.isfinite() & (norm > 0), torch.cat([history[1:], newest[None]]), history)
        return bound

    def state_dict(self) -> dict[str, Any]:
        """Return what decides the bounds to come."""
        return {"history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.history = state["history"]
