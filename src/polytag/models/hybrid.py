"""A hybrid: convolutions for what lies side by side, attention for what lies apart, and labels that look at both and at each other."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.losses import BCE, Loss
from polytag.models.base import MultiLabelModel
from polytag.nn import BatchNorm, EncoderLayer, InputTokens, LabelDecoderLayer, LabelwiseLinear, token_context
from polytag.nn.tokens import Form, Tokens
from polytag.registry import register

_SIDE = 7
"""A picture becomes a map of at most so many tokens a side."""


@register("model", "hybrid")
class HybridCNNAttention(MultiLabelModel):
    """Turns a row into tokens, mixes neighbouring ones by convolution and all of them by attention; then each label looks for itself.

    1. Tokens: patches of a table, ids of a text, or a map of 7 x 7 from four convolutions over a picture.
    2. ``conv_blocks`` times: ``h = h + dropout(B gelu(batchnorm(depthwise(h))))``, the convolution 3 wide, 3 x 3 on a picture's map.
    3. ``layers`` pre-norm encoder layers.
    4. A decoder layer: labels look at the tokens, then at each other; one linear output per label.

    Args:
        d: Number of features.
        q: Number of labels.
        form: How a row becomes tokens, see ``InputTokens``; ``from_data`` chooses by the kind of data, patches for every table.
        vocabulary: Number of ids of texts; ``from_data`` fills it in.
        shape: Channels, height and width of pictures; ``from_data`` fills it in.
        convolution: With step 2.
        attention: With steps 3 and 4; without, the mean of the tokens goes to a linear layer.
        width: Width of tokens and labels.
        patch: Features in a patch.
        conv_blocks: Number of convolution blocks.
        layers: Number of encoder layers.
        heads: Number of attention heads.
        feed_forward: Width between the two maps of the feed-forward steps.
        dropout: Dropout in all blocks and layers.
        max_len: Tokens of a text beyond this number are left out.
        loss: What to minimise; ``None`` is binary cross-entropy.

    Raises:
        ParameterError: A number makes no sense, or neither convolution nor attention is left.

    Cost: O(b (t + q) width (width + feed_forward) + b (t^2 + q t + q^2) width) for t tokens, memory O(b (t + q) (width + feed_forward)).

    Reference: the parts: Gulati et al., "Conformer: convolution-augmented transformer for speech recognition", Interspeech 2020
        (convolution and attention in one network); Liu et al., "Query2Label: a simple transformer way to multi-label classification",
        arXiv 2107.10834, 2021 (labels that look for themselves).

    Differs: the combination is this library's. Labels look at each other after they have looked at the tokens: in a single decoder layer,
        before it, they would all still be the same for every row.

    Example:
        >>> model = HybridCNNAttention(40, 3, width=16).eval()
        >>> model(torch.zeros(2, 40)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "lr": 5e-4, "weight_decay": 1e-2, "batch_size": 256, "epochs": 30, "optimizer": torch.optim.AdamW,
    }  # fmt: skip
    INPUTS: ClassVar[tuple[str, ...]] = ("table", "tokens", "images")

    def __init__(
        self,
        d: int,
        q: int,
        *,
        form: Form = "patches",
        vocabulary: int = 0,
        shape: tuple[int, ...] | None = None,
        convolution: bool = True,
        attention: bool = True,
        width: int = 128,
        patch: int = 16,
        conv_blocks: int = 2,
        layers: int = 2,
        heads: int = 4,
        feed_forward: int = 256,
        dropout: float = 0.1,
        max_len: int = 300,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        if not convolution and not attention:
            raise ParameterError("expected convolution, attention or both, but got neither")
        if min(width, conv_blocks, layers, feed_forward) < 1 or not 0 <= dropout < 1:
            raise ParameterError(
                "expected width, conv_blocks, layers and feed_forward >= 1 and 0 <= dropout < 1, but got "
                f"{width=}, {conv_blocks=}, {layers=}, {feed_forward=}, {dropout=}"
            )
        self.tokens: nn.Module
        if form == "pixels":
            self.tokens, kernel = _PictureTokens(shape, width), (3, 3)
            self.columns = self.tokens.sides[1]
        else:
            self.tokens, kernel = InputTokens(d, width, form=form, vocabulary=vocabulary, max_len=max_len, patch=patch), (1, 3)
            self.columns = 0
        self.mix = nn.ModuleList(_ConvBlock(width, kernel, dropout) for _ in range(conv_blocks if convolution else 0))
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, feed_forward, dropout, pre_norm=True) for _ in range(layers if attention else 0)
        )
        if attention:
            self.queries = nn.Parameter(torch.empty(1, q, width).normal_())
            self.decoder = LabelDecoderLayer(width, heads, feed_forward, dropout, labels="after")
        self.output = LabelwiseLinear(q, width) if attention else nn.Linear(width, q)
        self.loss = BCE() if loss is None else loss

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return how the rows of this table become tokens."""
        chosen = token_context(train)
        return {**chosen, "form": "patches"} if train.kind == "table" else chosen

    def forward(self, x: Tensor) -> Float[Tensor, "b q"]:
        """Return the logits."""
        tokens, mask = self.tokens(x)
        real = None if bool(mask.all()) else mask
        for block in self.mix:
            tokens = block(tokens, real, self.columns or tokens.shape[1])
        if not len(self.encoder):
            return self.output(tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True))  # type: ignore[no-any-return]
        for layer in self.encoder:
            tokens = layer(tokens, real)
        labels = self.decoder(torch.zeros_like(self.queries), self.queries, tokens, real)
        return self.output(labels.transpose(0, 1)).T  # type: ignore[no-any-return]


class _ConvBlock(nn.Module):
    """Mixes neighbouring tokens in each channel, then the channels of each token; adds the result to what was there."""

    def __init__(self, width: int, kernel: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, kernel, padding=(kernel[0] // 2, kernel[1] // 2), groups=width, bias=False)
        self.norm = BatchNorm(width)
        self.pointwise = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Float[Tensor, "b t width"], real: Bool[Tensor, "b t"] | None, columns: int) -> Float[Tensor, "b t width"]:
        """Return the new tokens; those that are not real stay zero, and the statistics of the batch are those of the real ones."""
        b, t, width = tokens.shape
        grid = tokens.transpose(1, 2).reshape(b, width, -1, columns)
        neighbours = self.depthwise(grid).flatten(2).transpose(1, 2)
        change = self._rows(neighbours.reshape(-1, width) if real is None else neighbours[real])
        if real is None:
            return tokens + change.view(b, t, width)
        return tokens + torch.zeros_like(tokens).masked_scatter(real.unsqueeze(2), change.to(tokens.dtype))

    def _rows(self, rows: Float[Tensor, "k width"]) -> Float[Tensor, "k width"]:
        return self.dropout(self.pointwise(functional.gelu(self.norm(rows))))  # type: ignore[no-any-return]


class _PictureTokens(nn.Module):
    """Four convolutions that halve a picture each, then means over a grid: a map of at most 7 x 7 tokens with learned positions.

    Group norm needs no other rows, so that a batch of one picture is nothing special.
    """

    def __init__(self, shape: tuple[int, ...] | None, width: int) -> None:
        super().__init__()
        if shape is None or len(shape) != 3 or min(shape) < 1:
            raise ParameterError(f"expected the shape (channels, height, width) of a picture, but got {shape}; from_data fills it in")
        channels, height, across = shape
        self.sides = (min(_SIDE, -(-height // 16)), min(_SIDE, -(-across // 16)))
        layers: list[nn.Module] = []
        for out in (max(1, width // 4), max(1, width // 2), width, width):
            layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1), nn.GroupNorm(1, out), nn.GELU()]
            channels = out
        self.stem = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(self.sides))
        self.positions = nn.Parameter(0.02 * torch.randn(self.sides[0] * self.sides[1], width))

    def forward(self, x: Float[Tensor, "b channels height width"]) -> Tokens:
        tokens = self.stem(x).flatten(2).transpose(1, 2) + self.positions
        return cast(Tokens, (tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=x.device)))
