"""Means of what the steps of an epoch report, without waiting for the device at each of them."""

import torch
from torch import Tensor

from polytag.errors import ParameterError
from polytag.models.base import Objective


class ObjectiveMeans:
    """Sums up losses and their named parts where they are computed; they leave the device once, in ``read``.

    Args:
        device: Where the sums lie.

    Cost: one addition a step for the loss, and one for each part.
    """

    def __init__(self, device: torch.device) -> None:
        self._zero = torch.zeros((), device=device)
        self._loss, self._steps = self._zero, 0
        self._parts: dict[str, tuple[Tensor, int]] = {}

    def add(self, objective: Objective) -> None:
        """Add what one step reports.

        Raises:
            ParameterError: A part that was not there before is no scalar tensor, or still holds on to its gradient.
        """
        self._loss, self._steps = self._loss + objective.loss.detach(), self._steps + 1
        for name, value in objective.parts.items():
            total, steps = self._parts.get(name) or (_checked(name, value, self._zero), 0)
            self._parts[name] = total + value.detach(), steps + 1

    def read(self) -> tuple[float, dict[str, float]]:
        """Return the mean loss, and the mean of each part over the steps that reported it."""
        loss, *parts = torch.stack([self._loss, *(total for total, _ in self._parts.values())]).tolist()
        return loss / max(self._steps, 1), {name: part / steps for (name, (_, steps)), part in zip(self._parts.items(), parts)}


def _checked(name: str, value: Tensor, zero: Tensor) -> Tensor:
    """Return the zero to which a part is added, if it can be."""
    if isinstance(value, Tensor) and value.ndim == 0 and not value.requires_grad:
        return zero
    raise ParameterError(
        f"expected detached scalar tensors in Objective.parts, but the model returned {value!r} for {name!r}; detach it, as in "
        "parts={name: value.detach()}, since a part is only for watching"
    )
