"""ML-Decoder: a few fixed queries read the instance, and each answers for a group of labels."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.losses import ASL, BCE, Loss
from polytag.models.base import Preset
from polytag.models.schedules import one_cycle_over
from polytag.models.settings import LABEL_TRANSFORMERS
from polytag.models.token_model import TokenModel
from polytag.nn import AddNorm, Attention, FeedForward, InputTokens
from polytag.nn.tokens import Form
from polytag.registry import register


@register("model", "ml_decoder")
class MLDecoder(TokenModel):
    """Reads the tokens of an instance with at most ``groups`` queries, each of which answers for a group of labels; fast for many labels.

    With the tokens ``m = relu(W x + c)`` and K random queries t that stay as they were drawn: ``t = LN(t + drop(t))``,
    ``t = LN(t + drop(attention(t, m)))``, ``t = LN(t + drop(feed_forward(t)))``; query k then gives the logits of its labels,
    ``t_k W_k + b``. Labels do not look at each other.

    Args:
        d: Number of features.
        q: Number of labels.
        form: How rows are read, see ``InputTokens``; ``from_data`` chooses it.
        vocabulary: Number of token ids; for rows of ids.
        shape: Channels, height and width; for pictures.
        max_len: Most tokens of a row.
        patch: Features in a token, or sides of a square of pixels.
        width: Width of tokens and queries.
        heads: Number of attention heads; divides the width.
        hidden: Width of the feed-forward step; ``None``: four times the width.
        dropout: Dropout in the layer.
        attention_dropout: Dropout on the attention weights; on a CPU it costs the memory of all pairs.
        groups: Most queries. With fewer than labels, each answers for ``g = ceil(q / groups)`` labels in a row.
        train_queries: Learn the queries too.
        loss: Replaces the binary cross-entropy.

    Raises:
        ParameterError: A number makes no sense.

    Cost: O(b (t + K) width^2 + b K width (hidden + t) + b q width) for t tokens and K queries: linear in the number of labels, with a small
        factor once K has reached ``groups``. Memory O(b (t + K) (width + hidden)).

    Reference: Ridnik, Sharir, Ben-Cohen, Ben-Baruch and Noy, "ML-Decoder: scalable and versatile classification head", WACV 2023.

    Differs: groups are counted in integers, where the authors' rounding fails beyond 1000 queries, and queries that would get no label are
        left out: K = ceil(q / g). No moving average of the weights.

    Example:
        >>> model = MLDecoder(4, 5, width=16, groups=2).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 5])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = LABEL_TRANSFORMERS
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {
                "width": 768,
                "heads": 8,
                "hidden": 2048,
                "dropout": 0.1,
                "attention_dropout": 0.1,
                "loss": lambda d, q: ASL(gamma_neg=4.0, gamma_pos=0.0, margin=0.05, detach_focal_weight=True, reduction="sum"),
            },
            {
                "lr": 1e-4,
                "weight_decay": 1e-4,
                "batch_size": 56,
                "epochs": 40,
                "optimizer": torch.optim.Adam,
                "schedule_over": one_cycle_over(0.2),
            },
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
        heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.2,
        attention_dropout: float = 0.0,
        groups: int = 100,
        train_queries: bool = False,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        hidden = 4 * width if hidden is None else hidden
        if hidden < 1 or groups < 1 or not 0 <= dropout < 1:
            raise ParameterError(f"expected hidden >= 1, groups >= 1 and 0 <= dropout < 1, but got {hidden=}, {groups=}, {dropout=}")
        each = math.ceil(q / min(groups, q))
        count = math.ceil(q / each)
        self.tokens = InputTokens(d, width, form=form, vocabulary=vocabulary, max_len=max_len, patch=patch, shape=shape)
        self.input = nn.Linear(width, width)
        queries = torch.randn(count, width)
        self.queries: Tensor
        if train_queries:
            self.queries = nn.Parameter(queries)
        else:
            self.register_buffer("queries", queries)
        self.begun = AddNorm(width, dropout)
        self.across, self.found = Attention(width, heads, attention_dropout), AddNorm(width, dropout)
        self.feed_forward, self.thought = FeedForward(width, hidden, dropout), AddNorm(width, dropout)
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(count, width, each)))
        self.bias = nn.Parameter(torch.zeros(q))
        self.loss = BCE() if loss is None else loss

    def forward(self, x: Tensor) -> Float[Tensor, "b q"]:
        """Return the logits."""
        tokens, real = self.tokens(x)
        tokens = functional.relu(self.input(tokens))
        states = self.queries.unsqueeze(0)
        if self.training:  # dropout is another one for each instance; without it, all read with the same queries
            states = states.expand(len(x), -1, -1)
        states = self.begun(states, states)
        states = self.found(states, self.across(states, tokens, real=real))
        states = self.thought(states, self.feed_forward(states))
        logits = torch.einsum("bkw,kwg->bkg", states, self.weight).flatten(1)
        return logits[:, : len(self.bias)] + self.bias

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return two groups, since biases and the scales of norms do not decay."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        return [
            {"params": [p for p in parameters if p.ndim > 1], "lr": lr},
            {"params": [p for p in parameters if p.ndim == 1], "lr": lr, "weight_decay": 0.0},
        ]
