"""C-Tran: inputs and labels in one transformer, trained to complete label sets of which a part is known."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from polytag.errors import DataError, ParameterError
from polytag.losses import BCE, Loss
from polytag.models.base import Objective, Preset
from polytag.models.schedules import unchanging
from polytag.models.settings import LABEL_TRANSFORMERS
from polytag.models.token_model import TokenModel
from polytag.nn import EncoderLayer, InputTokens, LabelwiseLinear
from polytag.nn.tokens import Form
from polytag.registry import register
from polytag.types import Batch


@register("model", "ctran")
class CTran(TokenModel):
    """Puts the tokens of an instance and one token per label into one sequence and lets all of them look at each other.

    The token of label j is ``L_j + S_state``, where the state says that the label is known to be absent, known to be present, or unknown
    (``S = 0``). Behind a layer norm and a stack of post-norm encoder layers, a linear classifier of its own reads each label token.

    In training each instance is shown k of its labels, k uniform in 0 ... floor(known q) and the labels chosen uniformly; the loss counts
    the others. So the network learns how labels hang together, and can also complete label sets (``complete``). Prediction knows no label.

    Args:
        d: Number of features.
        q: Number of labels.
        form: How rows are read, see ``InputTokens``; ``from_data`` chooses it.
        vocabulary: Number of token ids; for rows of ids.
        shape: Channels, height and width; for pictures.
        max_len: Most tokens of a row.
        patch: Features in a token, or sides of a square of pixels.
        width: Width of a token.
        layers: Number of encoder layers.
        heads: Number of attention heads; divides the width.
        hidden: Width of the feed-forward steps; ``None``: the width.
        dropout: Dropout in the layers.
        attention_dropout: Dropout on the attention weights; on a CPU it costs the memory of all pairs of tokens.
        known: Largest share of the labels that an instance is shown in training; 0 shows none.
        loss: Replaces the binary cross-entropy.

    Raises:
        ParameterError: A number makes no sense.

    Cost: O(layers b (q + t) width (width + q + t)) for t tokens, memory O(layers b (q + t) width). A step costs a third more than its
        own forward and backward pass: the logits of the objective must not have seen labels, so they take a forward pass of their own,
        without gradients.

    Reference: Lanchantin, Wang, Ordonez and Qi, "General multi-label image classification with transformers", CVPR 2021.

    Differs: the state "unknown" is the zero vector that the authors declare; in their code it is overwritten by a random one. The mean over
        the cells that count is minimised; preset ``paper`` takes their sum. Their learning rate falls when the validation loss stalls, here
        it follows a fixed schedule.

    Example:
        >>> model = CTran(4, 3, width=16).eval()
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
                "loss": lambda d, q: BCE(reduction="sum"),
            },
            {"lr": 1e-5, "weight_decay": 0.0, "batch_size": 16, "epochs": 100, "optimizer": torch.optim.Adam, "schedule_over": unchanging},
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
        layers: int = 3,
        heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.2,
        attention_dropout: float = 0.0,
        known: float = 0.75,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        if layers < 1 or not 0 <= dropout < 1 or not 0 <= known < 1 or (hidden is not None and hidden < 1):
            raise ParameterError(
                f"expected layers and hidden >= 1, 0 <= dropout < 1, 0 <= known < 1, but got {layers=}, {hidden=}, {dropout=}, {known=}"
            )
        self.tokens = InputTokens(d, width, form=form, vocabulary=vocabulary, max_len=max_len, patch=patch, shape=shape)
        bound = 1 / math.sqrt(width)
        self.labels = nn.Parameter(torch.empty(q, width).uniform_(-bound, bound))
        self.states = nn.Parameter(torch.empty(2, width).uniform_(-bound, bound))
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads, hidden or width, dropout, attention_dropout=attention_dropout) for _ in range(layers)
        )
        self.output = LabelwiseLinear(q, width)
        self.most = int(known * q)
        self.loss = BCE() if loss is None else loss

    def forward(self, x: Tensor) -> Float[Tensor, "b q"]:
        """Return the logits of all labels, none of which is known."""
        return self._logits(*self.tokens(x))

    def complete(self, x: Tensor, known: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the logits of all labels given those that are known already.

        Args:
            x: The instances.
            known: Their labels: 0, 1, or NaN where unknown; shape (b, q).

        Raises:
            DataError: ``known`` has another shape or other values.

        Example:
            >>> model = CTran(4, 3, width=16).eval()
            >>> nothing, x = torch.full((1, 3), torch.nan), torch.zeros(1, 4)
            >>> torch.equal(model.complete(x, nothing), model(x))
            True
        """
        wrong = known[~((known == 0) | (known == 1) | known.isnan())]
        if known.shape != (len(x), len(self.labels)) or len(wrong):
            raise DataError(
                f"expected known labels 0, 1 or NaN of shape {(len(x), len(self.labels))}, but got shape {tuple(known.shape)} and, among "
                f"the values, {wrong[:3].tolist()}"
            )
        return self._logits(*self.tokens(x), known)

    def objective(self, batch: Batch) -> Objective:
        """Return the loss over the labels that were not shown; the logits are those of prediction, where none is."""
        tokens, real = self.tokens(batch.x)
        shown = self._draw_noise(batch.y)
        if shown is None:
            logits = self._logits(tokens, real)
            return Objective(self.loss(logits, batch.y, batch.weight), logits)
        guessed = self._logits(tokens, real, batch.y.masked_fill(~shown, torch.nan))
        loss = self.loss(guessed, batch.y.masked_fill(shown, torch.nan), batch.weight)
        with torch.no_grad():
            logits = self._logits(tokens, real)
        return Objective(loss, logits)

    def _draw_noise(self, y: Float[Tensor, "b q"]) -> Bool[Tensor, "b q"] | None:
        """Draw which labels each instance is shown (those that are unknown will not be); ``None``: none, as in evaluation mode."""
        if not self.training or self.most == 0:
            return None
        count = torch.randint(self.most + 1, (len(y), 1), device=y.device)
        return torch.rand(y.shape, device=y.device).argsort(dim=1) < count

    def _logits(
        self, tokens: Float[Tensor, "b t width"], real: Bool[Tensor, "b t"], known: Float[Tensor, "b q"] | None = None
    ) -> Float[Tensor, "b q"]:
        b, q = len(tokens), len(self.labels)
        labels = self.labels.expand(b, -1, -1)
        if known is not None:
            absent, present = (known == 0).unsqueeze(2), (known == 1).unsqueeze(2)
            labels = labels + absent * self.states[0] + present * self.states[1]
        sequence = self.norm(torch.cat([tokens, labels], dim=1))
        real = torch.cat([real, real.new_ones(b, q)], dim=1)
        for layer in self.layers:
            sequence = layer(sequence, real)
        logits: Tensor = self.output(sequence[:, -q:].transpose(0, 1))
        return logits.T
