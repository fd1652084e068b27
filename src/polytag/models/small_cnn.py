"""A small convolutional network for pictures, trained from scratch."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.losses import BCE, Loss
from polytag.models.base import MultiLabelModel
from polytag.nn import BatchNorm, layer_widths
from polytag.registry import register


@register("model", "small_cnn")
class SmallCNN(MultiLabelModel):
    """A few convolutions, each followed by pooling, and one output per label; a start for pictures that needs no download.

    Each block is a 3 x 3 convolution, batch norm, ReLU and 2 x 2 max pooling. What is left is averaged over ``grid`` x ``grid`` regions,
    by default over the whole picture, and a linear layer gives the logits.

    Args:
        d: Number of channels.
        q: Number of labels.
        widths: Channels of the blocks, or of a single one.
        grid: Regions along each side; more than 1 lets the labels depend on where something is seen.
        dropout: Dropout before the output.
        loss: Replaces the binary cross-entropy.

    Raises:
        ParameterError: A number makes no sense.

    Cost: O(b height width (9 d widths[0] + ...)) a step.

    Reference: Lin, Chen and Yan, "Network in network", ICLR 2014 (averaging over the picture in place of hidden layers).

    Differs: the blocks are this library's choice.

    Example:
        >>> model = SmallCNN(3, 5).eval()
        >>> model(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 5])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "weight_decay": 1e-4, "batch_size": 64, "epochs": 100, "patience": 15}
    INPUTS: ClassVar[tuple[str, ...]] = ("images",)

    def __init__(
        self,
        d: int,
        q: int,
        *,
        widths: int | Sequence[int] = (32, 64, 128, 256),
        grid: int = 1,
        dropout: float = 0.2,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        widths = layer_widths("widths", widths)
        if not widths or min(grid, d) < 1 or not 0 <= dropout < 1:
            raise ParameterError(
                f"expected at least one block, grid and d >= 1 and 0 <= dropout < 1, but got {widths=}, {grid=}, {d=}, {dropout=}"
            )
        self.grid = grid
        self.blocks = nn.ModuleList(ConvBlock(before, after) for before, after in zip([d, *widths], widths))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(widths[-1] * grid * grid, q)
        self.loss = BCE() if loss is None else loss

    def features(self, x: Float[Tensor, "b d height width"]) -> Float[Tensor, "b k"]:
        """Return the averages over the regions, which the output reads."""
        for block in self.blocks:
            x = block(x)
        return functional.adaptive_avg_pool2d(x, self.grid).flatten(1)

    def forward(self, x: Float[Tensor, "b d height width"]) -> Float[Tensor, "b q"]:
        """Return the logits."""
        return cast(Tensor, self.output(self.dropout(self.features(x))))


class ConvBlock(nn.Module):
    """3 x 3 convolution, batch norm over rows and places, ReLU, and 2 x 2 max pooling, which rounds odd sizes up.

    Args:
        before: Channels that come in.
        after: Channels that go out.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.norm = BatchNorm(after)
        nn.init.kaiming_normal_(self.convolution.weight, nonlinearity="relu")

    def forward(self, x: Float[Tensor, "b before height width"]) -> Float[Tensor, "b after _ _"]:
        """Return the pooled map."""
        found = self.convolution(x).movedim(1, 3)
        normed = self.norm(found.flatten(0, 2)).view(found.shape).movedim(3, 1)
        return functional.max_pool2d(torch.relu(normed), 2, ceil_mode=True)
