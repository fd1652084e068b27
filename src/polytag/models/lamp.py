"""LaMP: labels send each other messages along a graph, after each has read the instance."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from polytag.data.stats import conditional_cooccurrence
from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.losses import BCE, Loss
from polytag.models.base import Objective, Preset
from polytag.models.schedules import unchanging
from polytag.models.settings import LABEL_TRANSFORMERS
from polytag.models.token_model import TokenModel
from polytag.nn import AddNorm, Attention, EncoderLayer, FeedForward, InputTokens
from polytag.nn.tokens import Form
from polytag.registry import register
from polytag.types import Array, Batch


@register("model", "lamp")
class LaMP(TokenModel):
    """Starts each label at its embedding; then labels read the instance and pass messages to their neighbours, several times.

    The tokens of the instance pass layers in which they look at each other. In each decoder layer a label looks at the tokens, thinks,
    looks at its neighbours in the label graph, and thinks again; each step is ``u = LN(u + step(u))``. The readout is tied to the
    embeddings: ``logit_j = u_j . embedding_j``. Readouts after the earlier steps can be trained too.

    Args:
        d: Number of features.
        q: Number of labels.
        form: How rows are read, see ``InputTokens``; ``from_data`` chooses it.
        vocabulary: Number of token ids; for rows of ids.
        shape: Channels, height and width; for pictures.
        max_len: Most tokens of a row.
        patch: Features in a token, or sides of a square of pixels.
        graph: Which labels hear each other: ``"prior"``: those that occur together in the training rows; ``"none"``: no graph is given, all
            hear all; ``"inveye"``: none does.
        pairs: Which labels occur together, shape (q, q), for ``"prior"``; ``from_data`` looks it up. ``None``: no two.
        encoder: ``"graph"``: tokens that look at each other; ``"mlp"``: one linear map of a table row, as the only token.
        width: Width of tokens and labels.
        encoder_layers: Layers of the encoder ``"graph"``.
        decoder_layers: Layers of the decoder.
        heads: Number of attention heads; divides the width.
        hidden: Width of the feed-forward steps; ``None``: twice the width.
        dropout: Dropout in the layers.
        attention_dropout: Dropout on the attention weights; on a CPU it costs the memory of all pairs.
        intermediate: Weight of the loss of each earlier readout, one behind every look; 0: only the last one counts.
        loss: Replaces the binary cross-entropy.

    Raises:
        ParameterError: A number makes no sense, the pairs have another shape, or the encoder ``"mlp"`` is to read something else than a
            table.

    Cost: O(layers b (q + t) width (width + hidden) + layers b width (q t + q^2 + t^2)) for t tokens, without q^2 for ``"inveye"``; memory
        O(layers b (q + t) (width + hidden) + q^2).

    Reference: Lanchantin, Sekhon and Qi, "Neural message passing for multi-label classification", ECML-PKDD 2019.

    Differs: the encoder's tokens do see each other; the authors' code computes that and then goes on with what it had before. Embeddings
        start uniform within 1 / sqrt(width), so that the first logits are small. With ``"inveye"`` a label hears itself alone, whatever
        it asks, so the maps of queries and keys are left out.

    Example:
        >>> model = LaMP(4, 3, width=16, graph="none").eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = LABEL_TRANSFORMERS
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            {"width": 512, "attention_dropout": 0.2},
            {
                "lr": 2e-4,
                "weight_decay": 0.0,
                "batch_size": 32,
                "optimizer": torch.optim.Adam,
                "optimizer_params": {"betas": (0.9, 0.98)},
                "schedule_over": unchanging,
            },
        )
    }

    pairs: Tensor | None

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
        graph: Literal["none", "inveye", "prior"] = "prior",
        pairs: Array | Tensor | None = None,
        encoder: Literal["graph", "mlp"] = "graph",
        width: int = 256,
        encoder_layers: int = 2,
        decoder_layers: int = 2,
        heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.2,
        attention_dropout: float = 0.0,
        intermediate: float = 0.0,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        hidden = 2 * width if hidden is None else hidden
        if min(encoder_layers, intermediate) < 0 or min(decoder_layers, hidden) < 1 or not 0 <= dropout < 1:
            raise ParameterError(
                "expected encoder_layers and intermediate >= 0, decoder_layers and hidden >= 1 and 0 <= dropout < 1, but got "
                f"{encoder_layers=}, {intermediate=}, {decoder_layers=}, {hidden=}, {dropout=}"
            )
        if graph not in ("none", "inveye", "prior") or encoder not in ("graph", "mlp") or (encoder == "mlp" and form in ("ids", "pixels")):
            raise ParameterError(
                "expected graph 'none', 'inveye' or 'prior', and encoder 'graph' or, for the rows of a table, 'mlp', but got "
                f"{graph=}, {encoder=}, {form=}"
            )
        self.tokens: nn.Module
        if encoder == "mlp":
            self.tokens, encoder_layers = _OneToken(d, width), 0
        else:
            self.tokens = InputTokens(d, width, form=form, vocabulary=vocabulary, max_len=max_len, patch=patch, shape=shape)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, dropout, attention_dropout=attention_dropout) for _ in range(encoder_layers)
        )
        bound = 1 / math.sqrt(width)
        self.labels = nn.Parameter(torch.empty(q, width).uniform_(-bound, bound))
        self.register_buffer("pairs", _neighbours(pairs, q) if graph == "prior" else None)
        self.decoder = nn.ModuleList(
            _Round(width, heads, hidden, dropout, attention_dropout, messages=graph != "inveye") for _ in range(decoder_layers)
        )
        self.intermediate = intermediate
        self.loss = BCE() if loss is None else loss

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return how the rows are read, and which labels occur together in them."""
        return {**super().context(train), "pairs": conditional_cooccurrence(train.labels) > 0}

    def forward(self, x: Tensor) -> Float[Tensor, "b q"]:
        """Return the logits."""
        return self._readout(self._states(x)[-1])

    def objective(self, batch: Batch) -> Objective:
        """Return the loss of the last readout, plus that of the earlier ones if they have a weight."""
        states = self._states(batch.x)
        logits = self._readout(states[-1])
        final = self.loss(logits, batch.y, batch.weight)
        if self.intermediate == 0:
            return Objective(final, logits)
        early = torch.stack([self.loss(self._readout(state), batch.y, batch.weight) for state in states[:-1]]).sum()
        return Objective(final + self.intermediate * early, logits, {"classification": final.detach(), "intermediate": early.detach()})

    def _states(self, x: Tensor) -> list[Float[Tensor, "b q width"]]:
        """Return the labels' states behind every look, two a layer."""
        tokens, real = self.tokens(x)
        for layer in self.encoder:
            tokens = layer(tokens, real)
        state, states = self.labels.unsqueeze(0), []
        for layer in self.decoder:
            read, state = layer(state, tokens, real, self.pairs)
            states += [read, state]
        return states

    def _readout(self, states: Float[Tensor, "b q width"]) -> Float[Tensor, "b q"]:
        return (states * self.labels).sum(dim=2)


class _Round(nn.Module):
    """One layer of the decoder: read the tokens, think, hear the neighbours, think."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, attention_dropout: float, *, messages: bool) -> None:
        super().__init__()
        self.across, self.found = Attention(width, heads, attention_dropout), AddNorm(width, dropout)
        self.first, self.thought = FeedForward(width, hidden, dropout), AddNorm(width, dropout)
        self.among: nn.Module = Attention(width, heads, attention_dropout) if messages else _own(width)
        self.heard, self.messages = AddNorm(width, dropout), messages
        self.second, self.agreed = FeedForward(width, hidden, dropout), AddNorm(width, dropout)

    def forward(
        self,
        labels: Float[Tensor, "b q width"],
        tokens: Float[Tensor, "b t width"],
        real: Bool[Tensor, "b t"] | None,
        pairs: Bool[Tensor, "q q"] | None,
    ) -> tuple[Float[Tensor, "b q width"], Float[Tensor, "b q width"]]:
        """Return the states behind the tokens and behind the neighbours."""
        labels = self.found(labels, self.across(labels, tokens, real=real))
        read = self.thought(labels, self.first(labels))
        heard = self.among(read, read, pairs=pairs) if self.messages else self.among(read)
        labels = self.heard(read, heard)
        return read, self.agreed(labels, self.second(labels))


class _OneToken(nn.Module):
    """A linear map of a row as its only token."""

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(d, width)

    def forward(self, x: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b 1 width"], None]:
        return self.map(x).unsqueeze(1), None


def _own(width: int) -> nn.Module:
    """Return attention of each label to itself alone: its weight is 1, so two linear maps are left."""
    attention = Attention(width, 1)
    return nn.Sequential(attention.value, attention.out)


def _neighbours(pairs: Array | Tensor | None, q: int) -> Bool[Tensor, "q q"]:
    """Return who hears whom: labels that occur together, and each itself."""
    found = torch.zeros(q, q, dtype=torch.bool) if pairs is None else torch.as_tensor(cast(Any, pairs)).bool()
    if found.shape != (q, q):
        raise ParameterError(f"expected pairs of shape {(q, q)}, but got {tuple(found.shape)}")
    return found | torch.eye(q, dtype=torch.bool)
