"""Query2Label: every label asks the instance for evidence of itself."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polytag.errors import ParameterError
from polytag.losses import ASL, BCE, Loss
from polytag.models.base import Preset
from polytag.models.schedules import one_cycle_over
from polytag.models.settings import LABEL_TRANSFORMERS
from polytag.models.token_model import TokenModel
from polytag.nn import Attention, EncoderLayer, FeedForward, InputTokens, LabelDecoderLayer, LabelwiseLinear
from polytag.nn.tokens import Form
from polytag.registry import register


@register("model", "query2label")
class Query2Label(TokenModel):
    """Gives each label a learned query, which looks for evidence of the label among the tokens of an instance.

    The tokens pass an encoder layer. Then, in each decoder layer, labels look at each other (self-attention), at the tokens
    (cross-attention, with ``query_j + state_j``), and think about what they found (feed-forward); the states start at zero. A linear
    classifier of its own reads the last state of each label.

    Args:
        d: Number of features.
        q: Number of labels.
        form: How rows are read, see ``InputTokens``; ``from_data`` chooses it.
        vocabulary: Number of token ids; for rows of ids.
        shape: Channels, height and width; for pictures.
        max_len: Most tokens of a row.
        patch: Features in a token, or sides of a square of pixels.
        width: Width of tokens, queries and states.
        encoder_layers: Layers in which tokens look at each other.
        decoder_layers: Layers in which labels look at tokens.
        heads: Number of attention heads; divides the width.
        hidden: Width of the feed-forward steps; ``None``: four times the width.
        dropout: Dropout in the layers.
        attention_dropout: Dropout on the attention weights; on a CPU it costs the memory of all pairs.
        label_self_attention: Let labels look at each other; without, each label decides alone.
        loss: Replaces the binary cross-entropy.

    Raises:
        ParameterError: A number makes no sense.

    Cost: O(b (t + q) width (width + hidden) + b width (t^2 + q t + q^2)) for t tokens, without q^2 where labels do not look at each
        other; memory O(b (t + q) (width + hidden)).

    Reference: Liu, Zhang, Yang, Su and Zhu, "Query2Label: a simple transformer way to multi-label classification", arXiv 2107.10834, 2021.

    Differs: in the first decoder layer labels do not look at each other: all states are still zero there, so they would see nothing (and in
        a decoder of a single layer they do so after they looked at the tokens). The authors' code removes the self-attention from all
        layers; ``label_self_attention=False``, and the preset ``paper``, do that. Positions are learned and belong to the tokens, instead
        of sines that are added to the keys of each layer. No moving average of the weights.

    Example:
        >>> model = Query2Label(4, 3, width=16).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = LABEL_TRANSFORMERS
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {
                "width": 2048,
                "dropout": 0.1,
                "attention_dropout": 0.1,
                "label_self_attention": False,
                "loss": lambda d, q: ASL(gamma_neg=2.0, gamma_pos=0.0, margin=0.0),
            },
            {"lr": 1e-4, "epochs": 80, "schedule_over": one_cycle_over(0.2)},
        )
    }

    def __init__(
        self,
        d: int,
        q: int,
        *,
        form: Form = "patches",
        vocabulary: int = 0,
        shape: tuple[int, ...] | None = None,
        max_len: int = 300,
        patch: int = 16,
        width: int = 256,
        encoder_layers: int = 1,
        decoder_layers: int = 2,
        heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.2,
        attention_dropout: float = 0.0,
        label_self_attention: bool = True,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        hidden = 4 * width if hidden is None else hidden
        if encoder_layers < 0 or decoder_layers < 1 or hidden < 1 or not 0 <= dropout < 1:
            raise ParameterError(
                "expected encoder_layers >= 0, decoder_layers >= 1, hidden >= 1 and 0 <= dropout < 1, but got "
                f"{encoder_layers=}, {decoder_layers=}, {hidden=}, {dropout=}"
            )
        self.tokens = InputTokens(d, width, form=form, vocabulary=vocabulary, max_len=max_len, patch=patch, shape=shape)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, dropout, attention_dropout=attention_dropout) for _ in range(encoder_layers)
        )
        self.queries = nn.Parameter(torch.randn(q, width))
        self.decoder = nn.ModuleList()
        for number in range(decoder_layers):
            labels = _when(number, decoder_layers) if label_self_attention else "never"
            self.decoder.append(LabelDecoderLayer(width, heads, hidden, dropout, attention_dropout=attention_dropout, labels=labels))
        self.output = LabelwiseLinear(q, width)
        self.loss = BCE() if loss is None else loss
        self._start()

    def forward(self, x: Tensor) -> Float[Tensor, "b q"]:
        """Return the logits."""
        tokens, real = self.tokens(x)
        for layer in self.encoder:
            tokens = layer(tokens, real)
        queries = self.queries.unsqueeze(0)
        states = torch.zeros_like(queries)
        for layer in self.decoder:
            states = layer(states, queries, tokens, real)
        logits: Tensor = self.output(states.transpose(0, 1))
        return logits.T

    def _start(self) -> None:
        """Start the weights of the layers Xavier-uniform, as the authors do."""
        for part in self.modules():
            if isinstance(part, Attention):
                nn.init.xavier_uniform_(part.out.weight)
            elif isinstance(part, FeedForward):
                nn.init.xavier_uniform_(part[0].get_parameter("weight"))
                nn.init.xavier_uniform_(part[3].get_parameter("weight"))


def _when(number: int, layers: int) -> Literal["before", "after", "never"]:
    """Say when labels look at each other in a layer: as soon as they have seen the tokens, and before they look at these again."""
    if layers == 1:
        return "after"
    return "before" if number > 0 else "never"
