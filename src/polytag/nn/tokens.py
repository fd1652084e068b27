"""Turns whatever a row holds (features, words, pixels) into a sequence of vectors, for networks that read sequences."""

import math
from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from polytag.data.table import Table
from polytag.errors import DataError, ParameterError
from polytag.nn.norm import BatchNorm
from polytag.types import ArrayLike

Form = Literal["ids", "active", "patches", "features", "pixels"]
Tokens = tuple[Float[Tensor, "b t width"], Bool[Tensor, "b t"]]

_SPARSE = 0.1
"""A table with at most this share of non-zero cells is read as a list of its active features."""

_LOTS, _LOT = 8, 16
"""``by_length`` makes at most so many lots of at least so many rows: smaller ones would slow down the matrix products."""

_FARTHEST = 5.0
"""Standard deviations from its mean beyond which a feature is cut: the few values of a rare feature would drown all others."""

_LOOKED_AT = 10_000
"""Rows that ``token_context`` looks at, evenly spread."""


class InputTokens(nn.Module):
    """Turns each row into a sequence of token vectors, and says which tokens are real and which only fill up the batch.

    The real tokens of a row are always its first ones; the vectors behind them are zero, and the longest row of the batch sets the length.
    A row with nothing in it (a text without words, a table row of zeros read as active features) gives one "empty" token, whose vector is
    learned.

    Features of a table that enter as numbers (patches, features) are first brought to mean 0 and variance 1 by batch statistics, running
    ones in prediction: the small differences between values of one sign would vanish in the layer norms that follow.

    Args:
        d: Number of features of a table.
        width: Width of a token.
        form: ``"ids"``: each row holds token numbers, padded with 0 on the right. ``"active"``: the non-zero features of a table
            (``ActiveTokens``). ``"patches"``: pieces of neighbouring features (``PatchTokens``). ``"features"``: every feature
            (``FeatureTokens``). ``"pixels"``: square pieces of a picture (``PixelTokens``).
        vocabulary: Number of ids, padding included; for ``"ids"`` only.
        max_len: Tokens of a row beyond this number are left out; for ``"ids"`` and ``"active"``.
        patch: Features in a patch, or the sides of a square of pixels.
        shape: Channels, height and width of a picture; for ``"pixels"`` only.
        positions: Add a learned vector for each position; ``None``: where the position says something that the token does not (ids,
            patches, pixels).
        dropout: Probability of dropping a value of a token in training.
        embeddings: Vectors of the ids to start from, shape (ids, width), padding included; for ``"ids"`` and ``"active"``.

    Raises:
        ParameterError: A number makes no sense, or what the form needs is absent.

    Cost: O(b d + b t width) for t tokens; patches and pixels O(b d width).

    Example:
        >>> tokens, real = InputTokens(5, 8, form="active")(torch.tensor([[0.0, 1, 0, 1, 1], [0, 0, 0, 0, 0]]))
        >>> tokens.shape, real.tolist()
        (torch.Size([2, 3, 8]), [[True, True, True], [True, False, False]])
    """

    def __init__(
        self,
        d: int,
        width: int,
        *,
        form: Form,
        vocabulary: int = 0,
        max_len: int = 300,
        patch: int = 16,
        shape: tuple[int, ...] | None = None,
        positions: bool | None = None,
        dropout: float = 0.0,
        embeddings: ArrayLike | None = None,
    ) -> None:
        super().__init__()
        if min(d, width, max_len, patch) < 1 or not 0 <= dropout < 1:
            raise ParameterError(
                f"expected d, width, max_len and patch >= 1 and 0 <= dropout < 1, but got {d=}, {width=}, {max_len=}, {patch=}, {dropout=}"
            )
        if embeddings is not None and form not in ("ids", "active"):
            raise ParameterError(f"expected no embeddings for form {form!r}, which has no ids, but got {np.shape(embeddings)}")
        self.read: nn.Module
        if form == "ids":
            self.read, longest = IdTokens(vocabulary, width, max_len, embeddings), max_len
        elif form == "active":
            self.read, longest = ActiveTokens(d, width, max_len, embeddings), min(d, max_len)
        elif form == "patches":
            self.read, longest = PatchTokens(d, width, patch), -(-d // patch)
        elif form == "features":
            self.read, longest = FeatureTokens(d, width), d
        elif form == "pixels":
            self.read = PixelTokens(shape, width, patch)
            longest = self.read.count
        else:
            raise ParameterError(f"expected form 'ids', 'active', 'patches', 'features' or 'pixels', but got {form!r}")
        self.norm = BatchNorm(d, affine=False) if form in ("patches", "features") else None
        placed = form in ("ids", "patches", "pixels") if positions is None else positions
        self.positions = nn.Parameter(_uniform(longest, width)) if placed else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tokens:
        """Return the tokens, shape (b, t, width), zero behind a row's end, and which are real, shape (b, t)."""
        if self.norm is not None:
            x = self.norm(x).clamp(-_FARTHEST, _FARTHEST)
        tokens, real = self.read(x)
        if self.positions is not None:
            tokens = tokens + self.positions[: tokens.shape[1]]
        return self.dropout(tokens) * real.unsqueeze(2), real

    def __call__(self, x: Tensor) -> Tokens:
        """Typed door to ``forward``."""
        return cast(Tokens, super().__call__(x))


class IdTokens(nn.Module):
    """Looks up the vector of each id; id 0 behind the last other id is padding, and a row of padding only keeps one as its empty token.

    Args:
        vocabulary: Number of ids, 0 included.
        width: Width of a token.
        max_len: Ids of a row beyond this number are left out.
        embeddings: Vectors to start from, shape (vocabulary, width).

    Raises:
        ParameterError: There are no ids, or the embeddings have another shape.
    """

    def __init__(self, vocabulary: int, width: int, max_len: int, embeddings: ArrayLike | None = None) -> None:
        super().__init__()
        if vocabulary < 2:
            raise ParameterError(f"expected a vocabulary of at least 2 ids, padding included, but got {vocabulary}; from_data fills it in")
        self.max_len = max_len
        self.vectors = nn.Embedding(vocabulary, width, _weight=_vectors(vocabulary, width, embeddings))

    def forward(self, x: Int[Tensor, "b t"]) -> Tokens:
        """Return the vectors of the ids and which are real."""
        ids = x[:, : self.max_len].long()
        places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        lengths = (places * (ids != 0)).amax(dim=1).clamp(min=1)
        real = _first(lengths)
        return self.vectors(ids[:, : real.shape[1]]), real


class ActiveTokens(nn.Module):
    """Reads a table row as the list of its non-zero features, in ascending order: each has a learned vector, multiplied by its value.

    With features of 0 and 1, such as words that occur or not, the values change nothing.

    Args:
        d: Number of features.
        width: Width of a token.
        max_len: Active features of a row beyond this number are left out.
        embeddings: Vectors to start from, shape (d + 1, width); the first is that of the empty token.

    Raises:
        ParameterError: The embeddings have another shape.

    Example:
        >>> ids, real = ActiveTokens(5, 8).ids(torch.tensor([[0.0, 1, 0, 1, 1], [0, 0, 0, 0, 0]]))
        >>> ids.tolist()
        [[2, 4, 5], [0, 0, 0]]
    """

    def __init__(self, d: int, width: int, max_len: int = 300, embeddings: ArrayLike | None = None) -> None:
        super().__init__()
        self.max_len = max_len
        self.vectors = nn.Embedding(d + 1, width, _weight=_vectors(d + 1, width, embeddings))

    def ids(self, x: Float[Tensor, "b d"]) -> tuple[Int[Tensor, "b t"], Bool[Tensor, "b t"]]:
        """Return the numbers of the active features, counted from 1 and padded with 0, and which are real."""
        row, column = x.nonzero(as_tuple=True)
        counts = torch.bincount(row, minlength=len(x))
        place = torch.arange(len(row), device=x.device) - (counts.cumsum(0) - counts)[row]
        kept = place < self.max_len
        real = _first(counts.clamp(1, self.max_len))
        ids = torch.zeros(real.shape, dtype=torch.long, device=x.device)
        ids[row[kept], place[kept]] = column[kept] + 1
        return ids, real

    def forward(self, x: Float[Tensor, "b d"]) -> Tokens:
        """Return the vectors of the active features, times their values, and which are real."""
        ids, real = self.ids(x)
        values = x.gather(1, (ids - 1).clamp(min=0)).masked_fill(ids == 0, 1.0)
        vectors = self.vectors(ids)
        return vectors * values.to(vectors.dtype).unsqueeze(2), real


class PatchTokens(nn.Module):
    """Cuts a row into pieces of neighbouring features, the last one filled up with zeros; one linear map turns each piece into a token.

    Args:
        d: Number of features.
        width: Width of a token.
        patch: Features in a piece.

    Example:
        >>> PatchTokens(20, 8)(torch.zeros(3, 20))[0].shape
        torch.Size([3, 2, 8])
    """

    def __init__(self, d: int, width: int, patch: int = 16) -> None:
        super().__init__()
        self.patch, self.missing = patch, -d % patch
        self.map = nn.Linear(patch, width)

    def forward(self, x: Float[Tensor, "b d"]) -> Tokens:
        """Return the tokens; all are real."""
        tokens = self.map(functional.pad(x, (0, self.missing)).reshape(len(x), -1, self.patch))
        return tokens, _all_real(tokens)


class FeatureTokens(nn.Module):
    """Makes each feature a token: its value times a vector of its own, plus another one. For tables of up to some hundred features.

    Args:
        d: Number of features.
        width: Width of a token.

    Reference: Gorishniy et al., "Revisiting deep learning models for tabular data", NeurIPS 2021.

    Example:
        >>> FeatureTokens(20, 8)(torch.zeros(3, 20))[0].shape
        torch.Size([3, 20, 8])
    """

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(_uniform(d, width))
        self.bias = nn.Parameter(_uniform(d, width))

    def forward(self, x: Float[Tensor, "b d"]) -> Tokens:
        """Return the tokens; all are real."""
        tokens = x.unsqueeze(2) * self.weight + self.bias
        return tokens, _all_real(tokens)


class PixelTokens(nn.Module):
    """Cuts a picture into squares, filled up with black at the right and the bottom; one linear map turns each square into a token.

    Args:
        shape: Channels, height and width of a picture.
        width: Width of a token.
        patch: Side of a square.

    Raises:
        ParameterError: The shape is no picture's.

    Example:
        >>> PixelTokens((3, 20, 40), 8)(torch.zeros(2, 3, 20, 40))[0].shape
        torch.Size([2, 6, 8])
    """

    def __init__(self, shape: tuple[int, ...] | None, width: int, patch: int = 16) -> None:
        super().__init__()
        if shape is None or len(shape) != 3 or min(shape) < 1:
            raise ParameterError(f"expected the shape (channels, height, width) of a picture, but got {shape}; from_data fills it in")
        channels, height, across = shape
        self.missing = (0, -across % patch, 0, -height % patch)
        self.count = -(-height // patch) * -(-across // patch)
        self.map = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, x: Float[Tensor, "b channels height width"]) -> Tokens:
        """Return the tokens, line by line; all are real."""
        tokens = self.map(functional.pad(x, self.missing)).flatten(2).transpose(1, 2)
        return tokens, _all_real(tokens)


def token_context(train: Table) -> dict[str, Any]:
    """Return the ``form``, ``vocabulary`` and ``shape`` with which ``InputTokens`` should read a table, chosen by what it holds.

    Token ids stay ids, pictures become squares of pixels. A table of 0 and 1, or one that is nearly all zeros (at most a tenth of its
    cells are not), becomes the list of its active features; any other table becomes patches.

    Args:
        train: The training rows.

    Raises:
        DataError: The rows hold something else, such as raw text.

    Cost: O(d): looks at no more than 10 000 rows, evenly spread.

    Example:
        >>> from polytag.data import Dataset
        >>> token_context(Table(Dataset(np.eye(3), np.eye(3))))["form"]
        'active'
    """
    forms: dict[str, Form] = {"tokens": "ids", "images": "pixels"}
    if train.kind == "table":
        form: Form = "active" if _is_list_of_features(train.dataset.X) else "patches"
    elif train.kind in forms:
        form = forms[train.kind]
    else:
        raise DataError(f"expected rows of kind 'table', 'tokens' or 'images', but got {train.kind!r}; turn texts into token ids first")
    return {"form": form, "vocabulary": train.vocabulary, "shape": train.shape}


def by_length(
    network: Callable[[Float[Tensor, "b t width"], Bool[Tensor, "b t"]], Float[Tensor, "b k"]],
    tokens: Float[Tensor, "b t width"],
    real: Bool[Tensor, "b t"],
) -> Float[Tensor, "b k"]:
    """Apply a network that reads sequences to rows of similar length at a time, each lot cut to its longest row; the order stays.

    On a CPU this saves most of the work that padding costs; elsewhere all rows go at once.

    Args:
        network: Turns tokens, and which are real, into one row of numbers each, in which padding makes no difference.
        tokens: As from ``InputTokens``.
        real: Which tokens are real.
    """
    lots = min(_LOTS, len(real) // _LOT) if real.device.type == "cpu" else 1
    if lots < 2 or bool(real.all()):
        return network(tokens, real)
    lengths = real.sum(dim=1)
    order = lengths.argsort()
    results = []
    for rows in order.chunk(lots):
        longest = int(lengths[rows].max())
        results.append(network(tokens[rows, :longest], real[rows, :longest]))
    return torch.cat(results)[order.argsort()]


def _is_list_of_features(features: Any) -> bool:
    """Say whether the features are all 0 or 1, or nearly all 0."""
    n, d = features.shape
    if n == 0:
        return False
    rows = np.unique(np.linspace(0, n - 1, min(n, _LOOKED_AT)).astype(np.int64))
    looked = features[rows]
    values = looked.data if hasattr(looked, "indptr") else np.asarray(looked)
    return bool(((values == 0) | (values == 1)).all()) or np.count_nonzero(values) <= _SPARSE * len(rows) * d


def _first(lengths: Int[Tensor, "b"]) -> Bool[Tensor, "b t"]:
    """Return True for the first so many places of each row."""
    longest = int(lengths.max()) if len(lengths) else 1
    return torch.arange(longest, device=lengths.device) < lengths.unsqueeze(1)


def _all_real(tokens: Tensor) -> Bool[Tensor, "b t"]:
    return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)


def _uniform(count: int, width: int) -> Float[Tensor, "count width"]:
    bound = 1 / math.sqrt(width)
    return torch.empty(count, width).uniform_(-bound, bound)


def _vectors(count: int, width: int, given: ArrayLike | None) -> Float[Tensor, "count width"]:
    """Return the vectors to start from: those given, or small random ones."""
    if given is None:
        return _uniform(count, width)
    vectors = torch.as_tensor(given, dtype=torch.float32).clone()
    if vectors.shape != (count, width):
        raise ParameterError(f"expected embeddings of shape ({count}, {width}), one for each id, but got {tuple(vectors.shape)}")
    return vectors
