"""Any encoder as one vector a row: for tables, words and pictures; and pictures moved, mirrored and turned in training."""

import importlib
import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import DataError, MissingExtraError, ParameterError
from polytag.models.image_encoder import IMAGENET, ImageEncoder
from polytag.models.mlp import MLP
from polytag.registry import get, keywords, names, unknown

Augment: TypeAlias = Literal["crop_flip", "crop_flip_rotate"]

_SMALL = 64
"""Pixels up to which a ResNet starts with small steps."""


class RowEncoder(nn.Module):
    """Turns each row into one vector.

    Args:
        encoder: ``None``: an ``"mlp"`` for tables, a ``"small_cnn"`` for pictures, the mean of learnt ``"words"`` for tokens. One of these
            names, or ``"resnet18"`` (or another ResNet of torchvision), or a model of this library with ``features``, such as
            ``"image_encoder"`` and ``"text_encoder"``; or a network, of which a copy is taken, that returns (b, k), (b, places, k),
            (b, k, height, width) or an object with ``last_hidden_state``.
        params: Parameters of it: of that model; ``width`` for ``"words"``; ``stem``, ``pretrained`` and ``download`` for a ResNet.
        shape: Shape of a row.
        vocabulary: Number of token numbers; 0 where there are no tokens.
        augment: ``"crop_flip"`` moves each picture by up to 4 pixels in training and mirrors every other one; ``"crop_flip_rotate"`` also
            turns it by up to 15 degrees.

    Raises:
        ParameterError: There is no such encoder or parameter.
        DataError: The encoder cannot read such rows.
        MissingExtraError: torchvision is missing; ``pip install 'polytag[vision]'``.
        FetchError: Weights are not on this machine.
    """

    def __init__(
        self, encoder: Any, params: Mapping[str, Any], shape: tuple[int, ...], vocabulary: int = 0, augment: Augment | None = None
    ) -> None:
        super().__init__()
        if augment not in (None, "crop_flip", "crop_flip_rotate"):
            raise ParameterError(f"expected augment None, 'crop_flip' or 'crop_flip_rotate', but got {augment!r}")
        if augment is not None and len(shape) != 3:
            raise ParameterError(f"expected pictures where augment={augment!r}, but got rows of shape {shape}; leave it out")
        self.augment = augment
        self.network = _network(encoder, dict(params), shape, vocabulary)
        self.width = self._look(shape, vocabulary)

    def forward(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b k"]:
        """Return the vectors."""
        if self.training and self.augment is not None:
            x = augmented(x, degrees=15.0 if self.augment == "crop_flip_rotate" else 0.0)
        found = self.network.features(x) if hasattr(self.network, "features") and callable(self.network.features) else self.network(x)
        found = getattr(found, "last_hidden_state", found)
        return found.flatten(2).mean(dim=2) if found.ndim == 4 else found.mean(dim=1) if found.ndim == 3 else found  # type: ignore[no-any-return]

    def _look(self, shape: tuple[int, ...], vocabulary: int) -> int:
        """Return the width of a vector, by looking at one empty row."""
        was_training = self.training
        self.eval()
        try:
            with torch.no_grad():
                width = self(torch.zeros(1, *shape, dtype=torch.int64 if vocabulary else torch.float32)).shape[1]
        except (RuntimeError, ValueError) as problem:
            raise DataError(f"the encoder cannot read rows of shape {shape}: {problem}; choose another encoder") from problem
        self.train(was_training)
        return int(width)


class Words(nn.Module):
    """The mean of the vectors of a row's words; nothing for a row without words.

    Args:
        vocabulary: Number of token numbers, padding (0) included.
        width: Width of a vector.
    """

    def __init__(self, vocabulary: int, width: int = 256) -> None:
        super().__init__()
        self.vectors = nn.Embedding(vocabulary, width, padding_idx=0)

    def forward(self, x: Int[Tensor, "b t"]) -> Float[Tensor, "b width"]:
        """Return the means."""
        return self.vectors(x).sum(dim=1) / (x != 0).sum(dim=1, keepdim=True).clamp(min=1)  # type: ignore[no-any-return]


def augmented(x: Float[Tensor, "b c height width"], *, pad: int = 4, degrees: float = 0.0) -> Float[Tensor, "b c height width"]:
    """Return each picture moved by up to ``pad`` pixels, mirrored or not, and turned by up to so many degrees; what comes in is black.

    The numbers come from torch's random state, on the device of the pictures.

    Args:
        x: Pictures.
        pad: Most pixels, up or down and to the side: a crop of the picture with an edge of that many pixels.
        degrees: Most degrees.

    Differs: where a picture is moved and turned, this is one step with bilinear pixels, where torchvision cuts to size in between and takes
        the nearest pixel.
    """
    b, _, height, width = x.shape
    down, right = torch.randint(-pad, pad + 1, (2, b), device=x.device).to(x.dtype)
    side = 1 - 2 * torch.randint(0, 2, (b,), device=x.device).to(x.dtype)
    turn = (2 * torch.rand(b, device=x.device, dtype=x.dtype) - 1) * math.radians(degrees)
    cos, sin = turn.cos(), turn.sin()
    from_x = torch.stack([side * cos, -side * sin * (height / width), 2 * right / width], dim=1)
    from_y = torch.stack([sin * (width / height), cos, 2 * down / height], dim=1)
    grid = functional.affine_grid(torch.stack([from_x, from_y], dim=1), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)


def _network(encoder: Any, params: dict[str, Any], shape: tuple[int, ...], vocabulary: int) -> Any:
    """Return the network: built, loaded, or copied."""
    if isinstance(encoder, nn.Module):
        return deepcopy(encoder)
    if encoder is None:
        encoder = "words" if vocabulary else "small_cnn" if len(shape) == 3 else "mlp"
    if encoder == "words":
        _check(encoder, params, {"width"})
        if not vocabulary:
            raise DataError(f"the encoder 'words' reads tokens, but got rows of shape {shape}; choose 'mlp' for tables")
        return Words(vocabulary, **params)
    if isinstance(encoder, str) and encoder.startswith("resnet"):
        _check(encoder, params, {"stem", "pretrained", "download"})
        if len(shape) != 3:
            raise DataError(f"the encoder {encoder!r} reads images, but got rows of shape {shape}; choose another encoder")
        return resnet(encoder, shape, **params)
    able = [n for n in names("model") if callable(getattr(get("model", n), "features", None)) and not get("model", n).NEEDS_HIERARCHY]
    if encoder not in ("mlp", *able):
        known = ["mlp", "words", "resnet18", *able]
        raise ParameterError(unknown("encoder", str(encoder), known) if isinstance(encoder, str) else _expected(encoder, known))
    kind = MLP if encoder == "mlp" else get("model", encoder)
    kind.check_names(params)
    if ("tokens" if vocabulary else "images" if len(shape) == 3 else "table") not in kind.INPUTS:
        raise DataError(f"the encoder {encoder!r} reads {' or '.join(kind.INPUTS)}, but got rows of shape {shape}; choose another encoder")
    own = {name: value for name, value in (("shape", shape), ("vocabulary", vocabulary)) if name in keywords(kind)}
    model = kind(shape[0], 1, **{**own, **params})
    model.output = nn.Identity()  # not part of the path here: its weights would never learn
    return model.hidden if isinstance(model, MLP) else model


def resnet(
    name: str,
    shape: tuple[int, ...],
    *,
    stem: Literal["cifar", "no_pool", "imagenet"] | None = None,
    pretrained: bool = True,
    download: bool = False,
) -> ImageEncoder:
    """Return a ResNet of torchvision without its classifier, as an ``ImageEncoder`` whose ``features`` are its vector of a picture.

    Args:
        name: ``"resnet18"``, ``"resnet34"`` and so on.
        shape: Channels, height and width of the pictures.
        stem: ``"cifar"``: a fresh first convolution of 3 x 3 pixels and step 1, and no pooling behind it, for small pictures;
            ``"no_pool"``: the network's own convolution and no pooling; ``"imagenet"``: as it is. ``None``: ``"cifar"`` up to 64 pixels,
            else ``"no_pool"``.
        pretrained: Start from the weights learnt on ImageNet.
        download: Fetch them if they are not on this machine.

    Raises:
        ParameterError: There is no such stem or network.
        MissingExtraError: torchvision is missing.
        FetchError: The weights are not on this machine.
    """
    stem = stem or ("cifar" if min(shape[1:]) <= _SMALL else "no_pool")
    if stem not in ("cifar", "no_pool", "imagenet"):
        raise ParameterError(f"expected stem 'cifar', 'no_pool' or 'imagenet', but got {stem!r}")
    if pretrained:
        found = ImageEncoder(shape[0], 1, encoder=name, source="torchvision", shape=shape, download=download, dropout=0.0)
    else:
        try:
            network = importlib.import_module("torchvision.models").get_model(name, weights=None)
        except (ImportError, RuntimeError) as problem:  # torchvision raises a RuntimeError beside a torch of another build
            raise MissingExtraError(
                f"{name} needs torchvision, which cannot be imported ({problem}): pip install 'polytag[vision]'"
            ) from problem
        except ValueError as problem:
            raise ParameterError(f"expected the name of a ResNet of torchvision, such as 'resnet18', but got {name!r}") from problem
        network.fc = nn.Identity()
        found = ImageEncoder(shape[0], 1, encoder=network, shape=shape, normalise=IMAGENET, dropout=0.0)
    inner: Any = found.encoder
    if stem != "imagenet":
        inner.maxpool = nn.Identity()
    if stem == "cifar":
        inner.conv1 = nn.Conv2d(inner.conv1.in_channels, inner.conv1.out_channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(inner.conv1.weight, mode="fan_out", nonlinearity="relu")
    found.output = nn.Identity()
    return found


def _check(encoder: str, params: Mapping[str, Any], known: set[str]) -> None:
    for name in params:
        if name not in known:
            raise ParameterError(unknown(f"parameter of the encoder {encoder!r}", name, sorted(known)))


def _expected(encoder: Any, known: list[str]) -> str:
    return f"expected encoder to be a network or one of {', '.join(known)}, but got {encoder!r}"
