"""XML-CNN: slides windows of several widths over the words and keeps the strongest response in each part of the text."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.losses import BCE, Loss
from polytag.models.base import MultiLabelModel
from polytag.nn import InputTokens, by_length, token_context
from polytag.nn.tokens import Form
from polytag.registry import register
from polytag.types import ArrayLike


@register("model", "xmlcnn")
class XMLCNN(MultiLabelModel):
    """Reads a row as a sequence of words, looks at 2, 4 and 8 words at a time, and keeps the strongest responses.

    Word vectors, then for each window width w a convolution with F filters; the sequence is cut into P equal parts and the maximum of each
    filter in each part goes through a ReLU and a bottleneck layer to one output per label:
    ``logits = A relu(B relu(max_parts(conv_w(words))))``.

    Args:
        d: Number of features.
        q: Number of labels.
        form: How a row becomes words, see ``InputTokens``; ``from_data`` chooses: the ids of a text, the active features of a binary or
            sparse table, patches of any other table.
        vocabulary: Number of ids of texts; ``from_data`` fills it in.
        width: Width of a word vector.
        embeddings: Word vectors to start from, shape (ids, width); they set the width. A table of d active features has d + 1 ids, the
            first for the empty row.
        windows: Widths of the windows.
        filters: Filters for each width.
        parts: Parts of the sequence that are pooled by themselves.
        bottleneck: Width of the bottleneck layer, ``features``.
        dropout: Probability of dropping a value of a word vector in training.
        hidden_dropout: The same for the bottleneck.
        patch: Features in a patch.
        max_len: Words of a row beyond this number are left out.
        loss: What to minimise; ``None`` is binary cross-entropy.

    Raises:
        ParameterError: A number makes no sense.

    Cost: O(b t width F (sum of windows)) for t words, memory O(b t F).

    Reference: Liu, Chang, Wu and Yang, "Deep learning for extreme multi-label text classification", SIGIR 2017; settings of the
        LibMultiLabel package.

    Differs: windows that begin behind the end of a row do not take part, and the parts divide each row's own length, so that padding
        changes nothing; in the original, padding competes with words. Without vectors to start from, words have 128 values.

    Example:
        >>> model = XMLCNN(4, 3, form="active").eval()
        >>> model(torch.eye(4)).shape
        torch.Size([4, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"lr": 5e-4, "weight_decay": 0.0, "batch_size": 64, "epochs": 50, "patience": 5}
    INPUTS: ClassVar[tuple[str, ...]] = ("table", "tokens")

    def __init__(
        self,
        d: int,
        q: int,
        *,
        form: Form = "patches",
        vocabulary: int = 0,
        width: int = 128,
        embeddings: ArrayLike | None = None,
        windows: Sequence[int] = (2, 4, 8),
        filters: int = 128,
        parts: int = 2,
        bottleneck: int = 512,
        dropout: float = 0.2,
        hidden_dropout: float = 0.5,
        patch: int = 16,
        max_len: int = 500,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        if not windows or min(*windows, filters, parts, bottleneck) < 1 or not 0 <= hidden_dropout < 1:
            raise ParameterError(
                "expected windows, filters, parts and bottleneck >= 1 and 0 <= hidden_dropout < 1, but got "
                f"{windows=}, {filters=}, {parts=}, {bottleneck=}, {hidden_dropout=}"
            )
        width = width if embeddings is None else np.shape(embeddings)[1]
        self.parts = parts
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
        self.convolutions = nn.ModuleList(nn.Conv1d(width, filters, window) for window in windows)
        self.bottleneck = nn.Linear(len(windows) * filters * parts, bottleneck)
        self.dropout = nn.Dropout(hidden_dropout)
        self.output = nn.Linear(bottleneck, q)
        self.loss = BCE() if loss is None else loss

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return how the rows of this table become words."""
        chosen = token_context(train)
        return {"form": chosen["form"], "vocabulary": chosen["vocabulary"]}

    def features(self, x: Tensor) -> Float[Tensor, "b bottleneck"]:
        """Return the bottleneck layer: a row of fixed width for every text, which other methods can use as its features."""
        return functional.relu(self.bottleneck(functional.relu(by_length(self._strongest, *self.tokens(x)))))

    def forward(self, x: Tensor) -> Float[Tensor, "b q"]:
        """Return the logits."""
        return self.output(self.dropout(self.features(x)))  # type: ignore[no-any-return]

    def _strongest(self, tokens: Float[Tensor, "b t width"], real: Bool[Tensor, "b t"]) -> Float[Tensor, "b k"]:
        """Return the strongest response of each filter in each part of a row."""
        longest = max(convolution.kernel_size[0] for convolution in self._convolutions())
        words = functional.pad(tokens, (0, 0, 0, longest - 1)).transpose(1, 2)
        stretches = self._stretches(real)
        pooled = []
        for convolution in self._convolutions():
            responses = convolution(words)[:, :, : real.shape[1]]
            pooled += [responses.masked_fill(~inside.unsqueeze(1), -torch.inf).amax(dim=2) for inside in stretches]
        return torch.cat(pooled, dim=1)

    def _stretches(self, real: Bool[Tensor, "b t"]) -> list[Bool[Tensor, "b t"]]:
        """Return which places lie in each part of a row; neighbouring parts share a place where the length is no multiple of their number.

        Part p of P covers the places from ``floor(p l / P)`` up to ``ceil((p + 1) l / P)``, so none is empty.
        """
        lengths, places = real.sum(dim=1, keepdim=True), torch.arange(real.shape[1], device=real.device)
        return [(places >= part * lengths // self.parts) & (places < -(-(part + 1) * lengths // self.parts)) for part in range(self.parts)]

    def _convolutions(self) -> list[nn.Conv1d]:
        return list(self.convolutions)  # type: ignore[arg-type]
