"""HOT-VAE: labels as the nodes of a graph that ask a few latent vectors of the instance, and each other, whether they apply."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from polytag.errors import DataError, ParameterError
from polytag.losses import BCE, Loss, instance_mean
from polytag.losses.pairwise import pairwise_exponential
from polytag.models.base import MultiLabelModel, Objective
from polytag.nn import LabelwiseLinear, clamp_logvar, gaussian_kl, mlp_block, reparameterise
from polytag.nn.attention import FeedForward
from polytag.registry import register
from polytag.types import ArrayLike, Batch

_LOGVAR = 8.0
_STEEPNESS = 5.0
"""Of the ranking term, by which it is also divided."""

_NODES = 2**23
"""Values of label nodes that go through the decoder at once, which keeps some sixty such tensors for the gradient: about 2 GB."""


@register("model", "hotvae")
class HOTVAE(MultiLabelModel):
    """Lets every label ask what the instance is about, then ask the other labels, and does so twice before it decides.

    One encoder turns x into J Gaussian latent vectors, another turns y into J. Draws of them are two sets of memory tokens, to each of
    which a token of x is added. The same decoder reads both: each label is a node that starts as a learned vector u and changes as

    1. ``u += attention(u, tokens)``, ``u += network(u)``: the labels ask the tokens;
    2. ``u += attention(u, all u)``, ``u += network'(u)``: the labels ask each other,

    with layer norm before each step, ``rounds`` times; a linear classifier for each label reads its node. The loss is the binary
    cross-entropy from x's tokens and from y's, plus ``beta * sum_j KL(q(z_j | y) || q(z_j | x))``. Prediction uses x's tokens, at the
    means.

    Args:
        d: Number of features.
        q: Number of labels.
        latents: Number J of latent vectors.
        latent: Width of each.
        width: Width of tokens and nodes.
        rounds: How often the labels ask.
        heads: Heads of the attention; divides ``width``.
        dropout: Dropout in encoders and decoder.
        beta: Weight of the KL terms; 1.1 as in MPVAE makes all latent vectors collapse to the prior.
        x_weight: Weight of the cross-entropy from x.
        y_weight: Weight of the cross-entropy from y.
        rank_coeff: Weight of MPVAE's ranking term on the probabilities of both branches.
        x_token: Whether x itself is one more token.
        label_encoder_sees_x: Whether the label encoder reads ``[x, y]``.
        label_mask: Which label (row) may ask which (column), (q, q) of true or false; each may ask itself. ``None``: all may.
        loss: Replaces the binary cross-entropy of both branches.

    Raises:
        ParameterError: A number makes no sense.
        DataError: The mask is not (q, q).

    Cost: a step O(b (d h + h^2) + b q width (width + q)) with h = 256 to 512, memory O(b q width) without the (q, q) weights of the
        attention (blocks of rows, computed again for the gradient, where even that is large). Keys and values of the tokens are computed
        once for all labels and multiplied into the projections of queries and results, so that asking J + 1 tokens costs
        O(q width heads J) an instance instead of O(q width^2). Prediction runs one branch only.

    Reference: Zhao, Kong, Bai, Fink and Gomes, "HOT-VAE: learning high-order label correlation for multi-label classification via
        attention-based variational autoencoders", AAAI 2021.

    Differs: a re-implementation from the published description, as no code was published: sizes, pre-norm layers, the token of x, beta
        and the training are this library's. Log variances are clamped to [-8, 8]. An unknown label enters the label encoder as 0.5.

    Example:
        >>> model = HOTVAE(4, 3, width=8, latents=2).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "lr": 5e-4, "weight_decay": 1e-5, "batch_size": 128, "epochs": 200, "patience": 20, "clip_norm": 5.0,
    }  # fmt: skip

    label_mask: Tensor | None

    def __init__(
        self,
        d: int,
        q: int,
        *,
        latents: int = 8,
        latent: int = 32,
        width: int = 128,
        rounds: int = 2,
        heads: int = 4,
        dropout: float = 0.2,
        beta: float = 0.1,
        x_weight: float = 1.0,
        y_weight: float = 1.0,
        rank_coeff: float = 0.0,
        x_token: bool = True,
        label_encoder_sees_x: bool = False,
        label_mask: ArrayLike | None = None,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        if min(latents, latent, width, rounds, heads) < 1 or width % heads or min(beta, x_weight, y_weight, rank_coeff) < 0:
            raise ParameterError(
                "expected latents, latent, width, rounds and heads >= 1, heads that divide width, and weights >= 0, but got "
                f"{latents=}, {latent=}, {width=}, {rounds=}, {heads=}, {beta=}, {x_weight=}, {y_weight=}, {rank_coeff=}"
            )
        self.latents, self.beta, self.x_weight, self.y_weight, self.rank_coeff = latents, beta, x_weight, y_weight, rank_coeff
        self.sees_x = label_encoder_sees_x
        self.feature_encoder = mlp_block([d, 256, 512, 256], dropout=dropout)
        self.feature_head = nn.Linear(256, 2 * latents * latent)
        self.label_encoder = mlp_block([q + d if label_encoder_sees_x else q, 512, 256], dropout=dropout)
        self.label_head = nn.Linear(256, 2 * latents * latent)
        self.token = nn.Linear(latent, width)
        self.position = nn.Parameter(0.02 * torch.randn(latents, width))
        self.x_token = nn.Linear(d, width) if x_token else None
        self.label_nodes = nn.Parameter(0.02 * torch.randn(q, width))
        self.rounds = nn.ModuleList(_Round(width, heads, dropout) for _ in range(rounds))
        self.classifier = LabelwiseLinear(q, width)
        nn.init.zeros_(self.classifier.bias)
        self.register_buffer("label_mask", None if label_mask is None else _graph(label_mask, q))
        self.loss = BCE() if loss is None else loss

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits, from the means of the latent vectors of x."""
        mean, _ = self._gaussians(self.feature_head(self.feature_encoder(x)))
        return self._decode(x, [mean])[0]

    def objective(self, batch: Batch) -> Objective:
        """Return the cross-entropies of both branches plus the weighted KL and ranking terms; the logits are those of x's branch."""
        x, y = batch.x, batch.y
        known = torch.nan_to_num(y, nan=0.5).to(x)
        mean, logvar = self._gaussians(self.feature_head(self.feature_encoder(x)))
        seen = torch.cat([known, x], dim=1) if self.sees_x else known
        label_mean, label_logvar = self._gaussians(self.label_head(self.label_encoder(seen)))
        noise, label_noise = self._draw_noise(x)
        with torch.autocast(x.device.type, enabled=False):
            kl = instance_mean(gaussian_kl(label_mean, label_logvar, mean, logvar).sum(dim=1), batch.weight)
            z, label_z = reparameterise(mean, logvar, noise), reparameterise(label_mean, label_logvar, label_noise)
        logits, label_logits = self._decode(x, [z, label_z])
        classification, reconstruction = (self.loss.per_instance(scores, y, batch.weight) for scores in (logits, label_logits))
        loss = self.x_weight * classification + self.y_weight * reconstruction + self.beta * kl
        parts = {"classification": classification, "reconstruction": reconstruction, "kl": kl}
        if self.rank_coeff:
            with torch.autocast(x.device.type, enabled=False):
                scores = torch.stack([logits, label_logits]).to(self.label_nodes.dtype).sigmoid()
                ranking = pairwise_exponential(scores, y, _STEEPNESS).sum(dim=0) / _STEEPNESS
                parts["ranking"] = instance_mean(ranking, batch.weight)
            loss = loss + self.rank_coeff * parts["ranking"]
        return Objective(loss, logits, {name: part.detach() for name, part in parts.items()})

    def _draw_noise(self, x: Tensor) -> Float[Tensor, "2 b j k"]:
        """Draw the noise of the latent vectors of x and of y; in evaluation mode there is none."""
        size = (2, len(x), self.latents, self.token.in_features)
        dtype = self.label_nodes.dtype
        if not self.training:
            return torch.zeros(size, dtype=dtype, device=x.device)
        return torch.randn(size, dtype=dtype, device=x.device)

    def _gaussians(self, head: Float[Tensor, "b 2jk"]) -> tuple[Float[Tensor, "b j k"], Float[Tensor, "b j k"]]:
        """Return means and log variances of the latent vectors."""
        both = head.to(self.label_nodes.dtype).view(len(head), self.latents, -1)
        mean, logvar = both.chunk(2, dim=2)
        return mean, clamp_logvar(logvar, _LOGVAR)

    def _decode(self, x: Float[Tensor, "b d"], latents: list[Tensor]) -> list[Float[Tensor, "b q"]]:
        """Return the logits from each set of latent vectors; all sets go through the decoder together."""
        tokens = self.token(torch.cat(latents)) + self.position
        if self.x_token is not None:
            tokens = torch.cat([tokens, self.x_token(x)[:, None].repeat(len(latents), 1, 1)], dim=1)
        rows = max(1, _NODES // self.label_nodes.numel())
        blocks = [tokens[start : start + rows] for start in range(0, len(tokens), rows)]
        again = len(blocks) > 1 and torch.is_grad_enabled()
        logits = [checkpoint(self._ask, block, use_reentrant=False) if again else self._ask(block) for block in blocks]
        return list(torch.cat(logits).view(len(latents), len(x), -1))

    def _ask(self, tokens: Float[Tensor, "b t width"]) -> Float[Tensor, "b q"]:
        """Return the logits of all labels from memory tokens."""
        nodes = self.label_nodes[None]  # the same for all rows until the first answer
        for one in self.rounds:
            nodes = one(nodes, tokens, self.label_mask)
        return self.classifier(nodes.transpose(0, 1)).T  # type: ignore[no-any-return]


class _Round(nn.Module):
    """One round of the decoder: the labels ask the tokens, then each other."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.ask_tokens, self.ask_labels = (nn.MultiheadAttention(width, heads, batch_first=True) for _ in range(2))
        self.after_tokens, self.after_labels = (FeedForward(width, 2 * width, dropout) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Tensor, tokens: Tensor, mask: Tensor | None) -> Float[Tensor, "b q width"]:
        """Return the changed nodes; nodes of a batch of one are those of all rows."""
        nodes = nodes + self.dropout(_attend_to_few(self.ask_tokens, self.norms[0](nodes), tokens))
        nodes = nodes + self.dropout(self.after_tokens(self.norms[1](nodes)))
        nodes = nodes + self.dropout(_attend_to_all(self.ask_labels, self.norms[2](nodes), mask))
        return nodes + self.dropout(self.after_labels(self.norms[3](nodes)))  # type: ignore[no-any-return]


def _attend_to_few(
    layer: nn.MultiheadAttention, queries: Float[Tensor, "b q width"], tokens: Float[Tensor, "b t width"]
) -> Float[Tensor, "b q width"]:
    """Return what ``layer(queries, tokens, tokens)`` does, cheaper where queries are many and tokens few.

    ``(u Wq' + c) k`` is ``u (Wq' k) + c k``: with Wq multiplied into the keys, and the output layer into the values, no query and no
    result is projected by itself.
    """
    width, heads, size = layer.embed_dim, layer.num_heads, layer.head_dim
    projected = functional.linear(tokens, layer.in_proj_weight[width:], layer.in_proj_bias[width:])
    keys, values = projected.view(*tokens.shape[:2], 2, heads, size).unbind(dim=2)
    keys = keys / math.sqrt(size)
    asked = torch.einsum("bthk,hkw->bhtw", keys, layer.in_proj_weight[:width].view(heads, size, width)).flatten(1, 2)
    shift = torch.einsum("bthk,hk->bht", keys, layer.in_proj_bias[:width].view(heads, size)).flatten(1, 2)
    weights = queries @ asked.transpose(1, 2) + shift[:, None]
    weights = weights.view(*weights.shape[:2], heads, -1).softmax(dim=3).flatten(2)
    answers = torch.einsum("bthk,whk->bhtw", values, layer.out_proj.weight.view(width, heads, size)).flatten(1, 2)
    return weights @ answers + layer.out_proj.bias


def _attend_to_all(layer: nn.MultiheadAttention, nodes: Float[Tensor, "b q width"], mask: Tensor | None) -> Float[Tensor, "b q width"]:
    """Return what ``layer(nodes, nodes, nodes)`` does, with a mask that is true where a node may look."""
    projected = functional.linear(nodes, layer.in_proj_weight, layer.in_proj_bias).view(*nodes.shape[:2], 3, layer.num_heads, -1)
    query, key, value = projected.permute(2, 0, 3, 1, 4)
    found = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return layer.out_proj(found.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _graph(mask: ArrayLike, q: int) -> Bool[Tensor, "q q"]:
    """Return the mask as a tensor in which each label may look at itself."""
    graph = torch.as_tensor(mask)
    if graph.shape != (q, q):
        raise DataError(f"expected a label_mask of shape ({q}, {q}), one row and one column a label, but got {tuple(graph.shape)}")
    return graph.bool() | torch.eye(q, dtype=torch.bool)
