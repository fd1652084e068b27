"""A pretrained language encoder with one output per label."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from polytag.data.pretrained import SHIFT, PretrainedTokenizer, pretrained
from polytag.data.table import Table
from polytag.errors import DataError, MissingExtraError, ParameterError
from polytag.losses import BCE, Loss, log_odds
from polytag.models.base import MultiLabelModel
from polytag.models.schedules import cosine_over
from polytag.nn.label_attention import LabelAttention
from polytag.registry import register
from polytag.types import ArrayLike


@register("model", "text_encoder")
class TextEncoder(MultiLabelModel):
    """Reads texts with a pretrained encoder such as BERT and classifies its summary of the text; the usual start for raw texts.

    The encoder turns the tokens into vectors h_t. With ``head="linear"`` they are pooled, to the first one or to their mean, and a linear
    layer gives the logits; with ``head="attention"`` each label weights the tokens by itself (``LabelAttention``).

    Args:
        d: Tokens a row.
        q: Number of labels.
        encoder: Name of an encoder of the Hugging Face hub or its folder (pretrained); or its configuration, such as
            ``{"model_type": "bert", "hidden_size": 128}`` (untrained, for words as tokens); or a model of transformers, of which a copy is
            taken.
        vocabulary: Number of token numbers; ``from_data`` fills it in.
        max_len: Tokens a row that raw texts are cut to; for a pretrained encoder.
        pooling: What stands for the text: the first token (``"cls"``) or the ``"mean"`` of all.
        head: ``"linear"`` or ``"attention"``.
        frozen: Keep the encoder as it is and train the head only (see ``frozen_features`` for computing its output just once).
        dropout: Dropout before the head.
        lr_ratio: Learning rate of the encoder relative to the head; ``None``: 0.05 for a pretrained one, else 1.
        shift: What was added to the encoder's token numbers; ``None``: 2 for a name or folder, as ``PretrainedTokenizer`` does, else 0.
        prior_bias: Start the outputs at the log-odds of each label in the training rows.
        prior: These log-odds, shape (q,); ``from_data`` fills them in.
        download: Fetch an encoder that is not on this machine.
        loss: Replaces the binary cross-entropy.

    Raises:
        ParameterError: A parameter makes no sense.
        DataError: The tokens are not those of the encoder, or there are more of them than it can read.
        FetchError: The encoder cannot be loaded; the message says how to get it.
        MissingExtraError: transformers is missing; ``pip install 'polytag[text]'``.

    Cost: that of the encoder, O(b layers (t width^2 + t^2 width)) for t tokens in the longest row of the batch; columns of padding only are
        cut off.

    Reference: Devlin, Chang, Lee and Toutanova, "BERT: pre-training of deep bidirectional transformers for language understanding", NAACL
        2019.

    Differs: the paper's classification output is one softmax; here each label has its own sigmoid, and the layer with tanh that the paper
        pools the first token with is left out. The head starts fresh and so learns twenty times as fast as the encoder.

    Example:
        >>> tiny = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        >>> model = TextEncoder(5, 3, encoder=tiny, vocabulary=20).eval()
        >>> model(torch.tensor([[2, 7, 1, 0, 0], [3, 0, 0, 0, 0]])).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "lr": 1e-3,
        "weight_decay": 1e-2,
        "batch_size": 32,
        "epochs": 10,
        "clip_norm": 1.0,
        "optimizer": torch.optim.AdamW,
        "schedule_over": cosine_over(0.1),
    }
    INPUTS: ClassVar[tuple[str, ...]] = ("tokens",)

    def __init__(
        self,
        d: int,
        q: int,
        *,
        encoder: Any = "bert-base-uncased",
        vocabulary: int = 0,
        max_len: int = 256,
        pooling: Literal["cls", "mean"] = "cls",
        head: Literal["linear", "attention"] = "linear",
        frozen: bool = False,
        dropout: float = 0.1,
        lr_ratio: float | None = None,
        shift: int | None = None,
        prior_bias: bool = False,
        prior: ArrayLike | None = None,
        download: bool = False,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        if pooling not in ("cls", "mean") or head not in ("linear", "attention") or not 0 <= dropout < 1 or max_len < 3:
            raise ParameterError(
                "expected pooling 'cls' or 'mean', head 'linear' or 'attention', 0 <= dropout < 1 and max_len >= 3, but got "
                f"{pooling=}, {head=}, {dropout=}, {max_len=}"
            )
        ratio = (0.05 if isinstance(encoder, str) else 1.0) if lr_ratio is None else lr_ratio
        if ratio < 0 or (shift is not None and shift < 0):
            raise ParameterError(f"expected lr_ratio >= 0 and shift >= 0, but got {lr_ratio=}, {shift=}")
        self.pooling, self.lr_ratio, self.frozen = pooling, ratio, frozen
        self.shift = (SHIFT if isinstance(encoder, str) else 0) if shift is None else shift
        self.encoder = _encoder(encoder, d, vocabulary, download)
        self._check_tokens(d, vocabulary)
        self.encoder.requires_grad_(not frozen).train(not frozen)
        width = int(self.encoder.config.hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.output: nn.Module = nn.Linear(width, q) if head == "linear" else LabelAttention(q, width)
        if prior_bias and prior is not None:
            self.output.get_parameter("bias").data.copy_(torch.as_tensor(prior))
        self.loss = BCE() if loss is None else loss

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return the number of token numbers and the log-odds of the labels."""
        return {"vocabulary": train.vocabulary, "prior": log_odds(train)}

    @classmethod
    def tokenizer(cls, params: Mapping[str, Any]) -> PretrainedTokenizer | None:
        """Return the tokenizer of a pretrained encoder; ``None`` for an untrained one, whose tokens are the words of the training rows."""
        encoder = params.get("encoder", "bert-base-uncased")
        if not isinstance(encoder, str):
            return None
        return PretrainedTokenizer(encoder, params.get("max_len", 256), download=params.get("download", False))

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def encode(self, x: Int[Tensor, "b d"]) -> tuple[Float[Tensor, "b t width"], Bool[Tensor, "b t"]]:
        """Return the encoder's vector of each token, up to the end of the longest row, and which tokens are real."""
        x = x.long()
        places = torch.arange(1, x.shape[1] + 1, device=x.device)
        longest = max(int((places * (x != 0)).amax()) if len(x) else 1, 1)
        ids = x[:, :longest]
        real = ids > max(self.shift - 1, 0)
        real = torch.cat([torch.ones_like(real[:, :1]), real[:, 1:]], dim=1)  # attention needs something to look at in an empty row
        ids = torch.where(ids > max(self.shift - 1, 0), ids - self.shift, self.encoder.config.pad_token_id or 0)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.encoder(input_ids=ids, attention_mask=real.long()).last_hidden_state, real

    def features(self, x: Int[Tensor, "b d"]) -> Float[Tensor, "b width"]:
        """Return the pooled vector of each row, which the linear head reads."""
        return self._pooled(*self.encode(x))

    def forward(self, x: Int[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits."""
        tokens, real = self.encode(x)
        if isinstance(self.output, LabelAttention):
            return self.output(self.dropout(tokens), real)  # type: ignore[no-any-return]
        return self.output(self.dropout(self._pooled(tokens, real)))  # type: ignore[no-any-return]

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return head and encoder, each at its learning rate; a frozen encoder is left out."""
        inner = {id(parameter) for parameter in self.encoder.parameters()}
        groups = [{"params": [p for p in self.parameters() if id(p) not in inner], "lr": lr}]
        if not self.frozen:
            groups.append({"params": list(self.encoder.parameters()), "lr": lr * self.lr_ratio})
        return groups

    def _pooled(self, tokens: Float[Tensor, "b t width"], real: Bool[Tensor, "b t"]) -> Float[Tensor, "b width"]:
        if self.pooling == "cls":
            return tokens[:, 0]
        shown = real.unsqueeze(2).to(tokens.dtype)
        return (tokens * shown).sum(dim=1) / shown.sum(dim=1)

    def _check_tokens(self, d: int, vocabulary: int) -> None:
        config = self.encoder.config
        most = getattr(config, "max_position_embeddings", None)
        if most is not None and most > 0 and d > most:
            raise DataError(f"expected at most {most} tokens a row, as many as the encoder has positions for, but got {d}; lower max_len")
        if vocabulary > config.vocab_size + self.shift:
            raise DataError(
                f"expected token numbers below {config.vocab_size + self.shift}, those of the encoder's own tokenizer, but the data have "
                f"{vocabulary}; turn the texts into tokens with PretrainedTokenizer({config.name_or_path!r})"
            )


def _encoder(encoder: Any, d: int, vocabulary: int, download: bool) -> Any:
    """Return the encoder: loaded, built, or copied."""
    if isinstance(encoder, str):
        model = pretrained("AutoModel", encoder, download=download)
    elif isinstance(encoder, Mapping):
        model = _built(dict(encoder), d, vocabulary)
    elif isinstance(encoder, nn.Module) and hasattr(encoder, "config"):
        model = deepcopy(encoder)
    else:
        raise ParameterError(f"expected encoder to be a name, a folder, a configuration with model_type, or a model, but got {encoder!r}")
    if isinstance(getattr(model, "pooler", None), nn.Module):
        model.pooler = None  # not part of the path here: its weights would never learn
    return model


def _built(settings: dict[str, Any], d: int, vocabulary: int) -> Any:
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError:
        raise MissingExtraError("text encoders need transformers: pip install 'polytag[text]'") from None
    if "model_type" not in settings or vocabulary < 2:
        raise ParameterError(
            f"expected a configuration with model_type and a vocabulary of at least 2 (from_data fills it in), but got {settings!r} and "
            f"{vocabulary=}"
        )
    settings = {"vocab_size": vocabulary, "pad_token_id": 0, "max_position_embeddings": max(d + 2, 512), **settings}
    return AutoModel.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))  # type: ignore[no-untyped-call]
