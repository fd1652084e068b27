"""Recurrent networks over words, with a reading of its own for every label: BiGRU-LWAN and BiLSTM-LWAN."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.losses import BCE, Loss
from polytag.models.base import MultiLabelModel
from polytag.nn import InputTokens, LabelwiseLinear, by_length, label_blocks, token_context
from polytag.nn.tokens import Form
from polytag.registry import register
from polytag.types import ArrayLike


@register("model", "rnn")
class RNN(MultiLabelModel):
    """Reads a row word by word in both directions; every label then chooses for itself which words to listen to.

    A recurrent network turns the words into states ``h_t`` (both directions side by side). Label j weighs them,
    ``a_tj = softmax_t(u_j h_t)``, and reads its own summary of the row: ``logit_j = w_j sum_t a_tj h_t + c_j``. With ``readout="pool"`` all
    labels read the same summary: the largest and the mean value of each state.

    Args:
        d: Number of features.
        q: Number of labels.
        form: How a row becomes words, see ``InputTokens``; ``from_data`` chooses: the ids of a text, the active features of a binary or
            sparse table, patches of any other table.
        vocabulary: Number of ids of texts; ``from_data`` fills it in.
        cell: ``"gru"`` or ``"lstm"``.
        readout: ``"label_attention"`` or ``"pool"``.
        width: Width of a word vector.
        embeddings: Word vectors to start from, shape (ids, width); they set the width. A table of d active features has d + 1 ids, the
            first for the empty row.
        states: Width of a state, half for each direction.
        dropout: Probability of dropping a value of a word vector, and of a state, in training.
        patch: Features in a patch.
        max_len: Words of a row beyond this number are left out.
        loss: What to minimise; ``None`` is binary cross-entropy.

    Raises:
        ParameterError: A number makes no sense.

    Cost: O(b t (states (width + states) + q states)) for t words, one after the other; memory O(b t (q + states)): the (b, q, states)
        summaries are never built, since ``w_j sum_t a_tj h_t = sum_t a_tj (w_j h_t)``.

    Reference: label attention: Mullenbach, Wiegreffe, Duke, Sun and Eisenstein, "Explainable prediction of medical codes from clinical
        text", NAACL 2018; with recurrent networks and these settings in the LibMultiLabel package. Cells: Cho et al., "Learning phrase
        representations using RNN encoder-decoder for statistical machine translation", EMNLP 2014; Hochreiter and Schmidhuber, "Long
        short-term memory", Neural Computation 1997.

    Differs: padding gets no attention; in the package each padded place takes part with weight e^0. Without vectors to start from, words
        have 128 values.

    Example:
        >>> model = RNN(4, 3, form="active").eval()
        >>> model(torch.eye(4)).shape
        torch.Size([4, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"lr": 3e-4, "weight_decay": 0.0, "batch_size": 16, "epochs": 50, "patience": 10}
    INPUTS: ClassVar[tuple[str, ...]] = ("table", "tokens")

    def __init__(
        self,
        d: int,
        q: int,
        *,
        form: Form = "patches",
        vocabulary: int = 0,
        cell: Literal["gru", "lstm"] = "gru",
        readout: Literal["label_attention", "pool"] = "label_attention",
        width: int = 128,
        embeddings: ArrayLike | None = None,
        states: int = 512,
        dropout: float = 0.4,
        patch: int = 16,
        max_len: int = 500,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        if cell not in ("gru", "lstm") or readout not in ("label_attention", "pool"):
            raise ParameterError(f"expected cell 'gru' or 'lstm' and readout 'label_attention' or 'pool', but got {cell=} and {readout=}")
        if states < 2 or states % 2:
            raise ParameterError(f"expected an even number of states, half for each direction, but got {states=}")
        width = width if embeddings is None else np.shape(embeddings)[1]
        self.tokens = InputTokens(
            d,
            width,
            form=form,
            vocabulary=vocabulary,
            max_len=max_len,
            patch=patch,
            positions=form == "patches",
            dropout=dropout,
            embeddings=embeddings,
        )
        kind = nn.GRU if cell == "gru" else nn.LSTM
        self.onwards, self.backwards = (kind(width, states // 2, batch_first=True) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.attention = nn.Linear(states, q, bias=False) if readout == "label_attention" else None
        self.output = nn.Linear(2 * states, q) if self.attention is None else LabelwiseLinear(q, states)
        self.loss = BCE() if loss is None else loss

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return how the rows of this table become words."""
        chosen = token_context(train)
        return {"form": chosen["form"], "vocabulary": chosen["vocabulary"]}

    def forward(self, x: Tensor) -> Float[Tensor, "b q"]:
        """Return the logits."""
        return by_length(self._logits, *self.tokens(x))

    def _logits(self, words: Float[Tensor, "b t width"], real: Bool[Tensor, "b t"]) -> Float[Tensor, "b q"]:
        states = self.dropout(self._read(words, real))
        return self._pool(states, real) if self.attention is None else self._attend(states, real)

    def _read(self, words: Float[Tensor, "b t width"], real: Bool[Tensor, "b t"]) -> Float[Tensor, "b t states"]:
        """Return the states at each word.

        Each row is turned round by itself for the way back, so that padding is always read last and reaches no word. On a CPU that is
        twice as fast as packed sequences, and on a GPU it needs no lengths on the other side.
        """
        lengths, places = real.sum(dim=1, keepdim=True), torch.arange(real.shape[1], device=real.device)
        turned = torch.where(real, lengths - 1 - places, places).unsqueeze(2)
        # On a CPU the recurrent networks stay in single precision: not every processor has them in bfloat16.
        device, half = words.device.type, words.device.type != "cpu" and torch.is_autocast_enabled(words.device.type)
        with torch.autocast(device, enabled=half):
            words = words if half else words.to(next(self.onwards.parameters()).dtype)
            ahead, _ = self.onwards(words)
            back, _ = self.backwards(words.gather(1, turned.expand_as(words)))
        return torch.cat([ahead, back.gather(1, turned.expand_as(back))], dim=2)

    def _attend(self, states: Float[Tensor, "b t states"], real: Bool[Tensor, "b t"]) -> Float[Tensor, "b q"]:
        """Return ``sum_t softmax_t(u_j h_t) (w_j h_t) + c_j``: one matrix product gives both factors."""
        attention, output = self.attention.weight, self.output  # type: ignore[union-attr]
        logits = []
        for columns in label_blocks(len(attention), 2 * real.numel()):
            both = functional.linear(states, torch.cat([attention[columns], output.weight[columns]]))
            seen, said = both.chunk(2, dim=2)
            weights = seen.masked_fill(~real.unsqueeze(2), -torch.inf).softmax(dim=1)
            logits.append((weights * said).sum(dim=1))
        return torch.cat(logits, dim=1) + output.bias

    def _pool(self, states: Float[Tensor, "b t states"], real: Bool[Tensor, "b t"]) -> Float[Tensor, "b q"]:
        outside = ~real.unsqueeze(2)
        largest = states.masked_fill(outside, -torch.inf).amax(dim=1)
        mean = states.masked_fill(outside, 0.0).sum(dim=1) / real.sum(dim=1, keepdim=True)
        return self.output(torch.cat([largest, mean.to(largest.dtype)], dim=1))  # type: ignore[no-any-return]
