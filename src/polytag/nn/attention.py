"""Attention between tokens and labels, and the layers that are built of it."""

import math
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import ParameterError


class Attention(nn.Module):
    """Each query looks at all memory vectors and takes a weighted mean of them: ``softmax(Q K^T / sqrt(k)) V`` in several heads.

    Queries that all rows share come as a batch of one; they are projected once and then shown to each row without a copy. PyTorch's fused
    attention never holds the (b, heads, m, t) weights, except on a CPU where ``dropout`` asks for them.

    Args:
        width: Width of queries, memory and result.
        heads: Number of heads; divides the width.
        dropout: Probability of dropping an attention weight in training.

    Raises:
        ParameterError: The heads do not divide the width.

    Cost: O(b (m + t) width^2 + b m t width), memory O(b (m + t) width).

    Reference: Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Differs: keys have no bias, since it would add the same number to all weights of a query, which the softmax takes away again. Weights
        start as in ``torch.nn.MultiheadAttention``.

    Example:
        >>> Attention(8, 2)(torch.zeros(1, 5, 8), torch.zeros(3, 4, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or width < 1 or width % heads:
            raise ParameterError(f"expected a width that is a multiple of the number of heads, but got {width=} and {heads=}")
        if not 0 <= dropout < 1:
            raise ParameterError(f"expected 0 <= dropout < 1, but got {dropout!r}")
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        for layer in (self.query, self.key, self.value):
            bound = math.sqrt(1.5 / width)
            nn.init.uniform_(layer.weight, -bound, bound)
        for biased in (self.query, self.value, self.out):
            nn.init.zeros_(biased.bias)

    def forward(
        self,
        queries: Float[Tensor, "b m width"],
        memory: Float[Tensor, "b t width"],
        values: Float[Tensor, "b t width"] | None = None,
        *,
        real: Bool[Tensor, "b t"] | None = None,
        pairs: Bool[Tensor, "m t"] | None = None,
    ) -> Float[Tensor, "b m width"]:
        """Return what each query found.

        Args:
            queries: Who looks; a batch of one is shared by all rows.
            memory: What is looked at.
            values: What is taken from there; ``None``: the memory itself.
            real: Which memory vectors exist, at least one a row; ``None``: all.
            pairs: Which query may look at which memory vector, at least one each; ``None``: at all. Not together with ``real``.
        """
        b = max(len(queries), len(memory))
        query = self._split(self.query(queries)).expand(b, -1, -1, -1)
        key = self._split(self.key(memory))
        value = self._split(self.value(memory if values is None else values))
        mask = pairs[None, None] if pairs is not None else None if real is None else real[:, None, None]
        dropout = self.dropout if self.training else 0.0
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return self.out(found.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, vectors: Float[Tensor, "b m width"]) -> Float[Tensor, "b heads m k"]:
        return vectors.view(*vectors.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two linear maps with a ReLU and dropout between them, applied to each vector by itself.

    Args:
        width: Width of a vector.
        hidden: Width between the maps.
        dropout: Probability of dropping a hidden unit in training.

    Cost: O(width hidden) a vector.

    Example:
        >>> FeedForward(8, 16)(torch.zeros(3, 5, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width))


class AddNorm(nn.Module):
    """Adds a change to vectors, with dropout on the change, and normalises each sum to mean 0 and variance 1: ``LayerNorm(x + change)``.

    Args:
        width: Width of a vector.
        dropout: Probability of dropping a value of the change in training.

    Example:
        >>> AddNorm(2)(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 1.0]]))
        tensor([[0., 0.]], grad_fn=<NativeLayerNormBackward0>)
    """

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(width)

    def forward(self, vectors: Float[Tensor, "b m width"], change: Float[Tensor, "b m width"]) -> Float[Tensor, "b m width"]:
        """Return the normalised sums; vectors of a batch of one are shared by all rows."""
        return self.norm(vectors + self.dropout(change))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Lets tokens look at each other, then thinks about each by itself; both steps add to what was there.

    Post-norm: ``x = LN(x + attention(x))``, then ``x = LN(x + feed_forward(x))``. Pre-norm: ``x = x + attention(LN(x))``, then
    ``x = x + feed_forward(LN(x))``.

    Args:
        width: Width of a token.
        heads: Number of attention heads.
        hidden: Width of the feed-forward step.
        dropout: Dropout on both changes and within the feed-forward step.
        attention_dropout: Dropout on the attention weights.
        pre_norm: Normalise before each step instead of after it.

    Cost: O(b t width (width + hidden + t)), memory O(b t (width + hidden)).

    Example:
        >>> EncoderLayer(8, 2, 16)(torch.zeros(3, 5, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(
        self, width: int, heads: int, hidden: int, dropout: float = 0.0, *, attention_dropout: float = 0.0, pre_norm: bool = False
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = Attention(width, heads, attention_dropout)
        self.feed_forward = FeedForward(width, hidden, dropout)
        self.attended, self.thought = AddNorm(width, dropout), AddNorm(width, dropout)

    def forward(self, tokens: Float[Tensor, "b t width"], real: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t width"]:
        """Return the new tokens; those that are not ``real`` are looked at by nobody."""
        if self.pre_norm:
            normed = self.attended.norm(tokens)
            tokens = tokens + self.attended.dropout(self.attention(normed, normed, real=real))
            return tokens + self.thought.dropout(self.feed_forward(self.thought.norm(tokens)))  # type: ignore[no-any-return]
        tokens = self.attended(tokens, self.attention(tokens, tokens, real=real))
        return self.thought(tokens, self.feed_forward(tokens))  # type: ignore[no-any-return]


class LabelDecoderLayer(nn.Module):
    """Lets each label look for itself in the tokens of an instance and, optionally, labels look at each other; post-norm.

    Each label has a query, the same for all instances, which says what it looks for, and a state, which holds what it has found. Where
    they look, ``query + state`` is used; what they take from each other are states.

    Args:
        width: Width of labels and tokens.
        heads: Number of attention heads.
        hidden: Width of the feed-forward step.
        dropout: Dropout on all changes and within the feed-forward step.
        attention_dropout: Dropout on the attention weights.
        labels: When labels look at each other: ``"before"`` they look at the tokens (the paper's order; in a first layer, whose states are
            all equal, there would be nothing to see), ``"after"`` it (for a decoder of one layer), or ``"never"``.

    Raises:
        ParameterError: ``labels`` is something else.

    Cost: O(b q width (width + hidden + t) + b t width^2), plus O(b q^2 width) where labels look at each other; memory
        O(b q (width + hidden) + b t width).

    Reference: Liu et al., "Query2Label: a simple transformer way to multi-label classification", arXiv 2107.10834, 2021.

    Example:
        >>> layer = LabelDecoderLayer(8, 2, 16, labels="after")
        >>> layer(torch.zeros(1, 5, 8), torch.zeros(1, 5, 8), torch.zeros(3, 4, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float = 0.0,
        *,
        attention_dropout: float = 0.0,
        labels: Literal["before", "after", "never"] = "before",
    ) -> None:
        super().__init__()
        if labels not in ("before", "after", "never"):
            raise ParameterError(f"expected labels to look at each other 'before', 'after' or 'never', but got {labels!r}")
        self.labels = labels
        if labels != "never":
            self.among, self.agreed = Attention(width, heads, attention_dropout), AddNorm(width, dropout)
        self.across, self.found = Attention(width, heads, attention_dropout), AddNorm(width, dropout)
        self.feed_forward, self.thought = FeedForward(width, hidden, dropout), AddNorm(width, dropout)

    def forward(
        self,
        states: Float[Tensor, "b q width"],
        queries: Float[Tensor, "1 q width"],
        tokens: Float[Tensor, "b t width"],
        real: Bool[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b q width"]:
        """Return the new states; states of a batch of one (the start) are shared by all instances."""
        if self.labels == "before":
            states = self._agree(states, queries)
        states = self.found(states, self.across(states + queries, tokens, real=real))
        if self.labels == "after":
            states = self._agree(states, queries)
        return self.thought(states, self.feed_forward(states))  # type: ignore[no-any-return]

    def _agree(self, states: Float[Tensor, "b q width"], queries: Float[Tensor, "1 q width"]) -> Float[Tensor, "b q width"]:
        looking = states + queries
        return self.agreed(states, self.among(looking, looking, states))  # type: ignore[no-any-return]
