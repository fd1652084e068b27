"""A pretrained picture encoder with one output per label."""

import importlib
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.data.pretrained import pretrained, weight_file
from polytag.data.table import Table
from polytag.errors import DataError, FetchError, MissingExtraError, ParameterError
from polytag.losses import BCE, Loss
from polytag.models.base import MultiLabelModel
from polytag.models.schedules import cosine_over
from polytag.nn.label_attention import LabelAttention
from polytag.registry import register

IMAGENET: tuple[tuple[float, ...], tuple[float, ...]] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of the channels of ImageNet's pictures, which most pretrained encoders expect to be taken out."""

Source = Literal["timm", "transformers", "torchvision"]


@register("model", "image_encoder")
class ImageEncoder(MultiLabelModel):
    """Reads pictures with a pretrained encoder such as a ResNet or a ViT and classifies its summary of them.

    The encoder turns a picture into vectors h_t of its places. With ``head="linear"`` they are pooled, to their mean or to the first one
    (of a ViT), and a linear layer gives the logits; with ``head="attention"`` each label weights the places by itself
    (``LabelAttention``).

    Args:
        d: Number of channels.
        q: Number of labels.
        encoder: A name in the library's list (pretrained; for torchvision also with the weights' name, ``"resnet50.IMAGENET1K_V1"``), or a
            folder for transformers; or a configuration of transformers, such as
            ``{"model_type": "resnet", "hidden_sizes": [16, 32], "depths": [1, 1]}`` (untrained); or a network, of which a copy is taken,
            that returns (b, k), (b, places, k), (b, k, height, width), or an object with ``last_hidden_state``.
        source: The library that knows the name: ``"timm"``, ``"transformers"`` or ``"torchvision"``.
        shape: Channels, height and width of the pictures; ``from_data`` fills it in.
        pooling: ``"mean"`` over the places, or the first one (``"cls"``).
        head: ``"linear"`` or ``"attention"`` (torchvision's networks show one place only).
        frozen: Keep the encoder as it is and train the head only (see ``frozen_features`` for computing its output just once).
        dropout: Dropout before the head.
        lr_ratio: Learning rate of the encoder relative to the head; ``None``: 0.1 for a pretrained one, else 1.
        resize: Height and width that pictures are brought to; ``None``: those that the encoder insists on, else as they are.
        normalise: Mean and standard deviation of the channels, which are taken out; ``None``: those of the pretrained encoder.
        download: Fetch an encoder that is not on this machine.
        loss: Replaces the binary cross-entropy.

    Raises:
        ParameterError: A parameter makes no sense.
        DataError: The encoder cannot read pictures of this shape.
        FetchError: The encoder cannot be loaded.
        MissingExtraError: The library is missing; ``pip install 'polytag[vision]'`` (or ``polytag[text]`` for transformers).

    Cost: that of the encoder.

    Reference: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016; Dosovitskiy et al., "An image is worth
        16x16 words: transformers for image recognition at scale", ICLR 2021.

    Differs: one sigmoid per label in place of a softmax; a ViT's places are averaged by default, not its first token taken.

    Example:
        >>> tiny = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
        >>> model = ImageEncoder(3, 5, encoder=tiny, shape=(3, 32, 32)).eval()
        >>> model(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 5])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "lr": 1e-3,
        "weight_decay": 1e-2,
        "batch_size": 32,
        "epochs": 20,
        "clip_norm": 1.0,
        "optimizer": torch.optim.AdamW,
        "schedule_over": cosine_over(0.1),
    }
    INPUTS: ClassVar[tuple[str, ...]] = ("images",)

    def __init__(
        self,
        d: int,
        q: int,
        *,
        encoder: Any = "resnet50",
        source: Source = "timm",
        shape: tuple[int, ...] | None = None,
        pooling: Literal["mean", "cls"] = "mean",
        head: Literal["linear", "attention"] = "linear",
        frozen: bool = False,
        dropout: float = 0.1,
        lr_ratio: float | None = None,
        resize: tuple[int, int] | None = None,
        normalise: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
        download: bool = False,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        if pooling not in ("cls", "mean") or head not in ("linear", "attention") or source not in _SOURCES or not 0 <= dropout < 1:
            raise ParameterError(
                f"expected pooling 'mean' or 'cls', head 'linear' or 'attention', source in {sorted(_SOURCES)} and 0 <= dropout < 1, but "
                f"got {pooling=}, {head=}, {source=}, {dropout=}"
            )
        if shape is None or len(shape) != 3 or shape[0] != d:
            raise ParameterError(f"expected shape=(channels, height, width) with {d} channels, but got {shape!r}; from_data fills it in")
        ratio = (0.1 if isinstance(encoder, str) else 1.0) if lr_ratio is None else lr_ratio
        if ratio < 0:
            raise ParameterError(f"expected lr_ratio >= 0, but got {lr_ratio=}")
        self.pooling, self.lr_ratio, self.frozen = pooling, ratio, frozen
        found = _encoder(encoder, source, shape, download)
        self.encoder, self.resize = found.network, resize or found.size
        self.encoder.requires_grad_(not frozen)
        mean, deviation = normalise or found.normalise or ((0.0,), (1.0,))
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(-1, 1, 1), persistent=False)
        width = self._width(shape)
        self.dropout = nn.Dropout(dropout)
        self.output: nn.Module = nn.Linear(width, q) if head == "linear" else LabelAttention(q, width)
        self.loss = BCE() if loss is None else loss

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return the shape of a picture."""
        return {"shape": train.shape}

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def encode(self, x: Float[Tensor, "b d height width"]) -> Float[Tensor, "b t k"]:
        """Return the encoder's vector of each place."""
        if self.resize is not None and tuple(x.shape[2:]) != tuple(self.resize):
            x = functional.interpolate(x, self.resize, mode="bilinear", antialias=True)
        mean, deviation = cast(Tensor, self.mean), cast(Tensor, self.deviation)
        x = (x - mean.to(x.dtype)) / deviation.to(x.dtype)  # a single channel becomes as many as the encoder wants
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            found = self.encoder(x)
            found = getattr(found, "last_hidden_state", found)
            return found.flatten(2).transpose(1, 2) if found.ndim == 4 else found[:, None] if found.ndim == 2 else found  # type: ignore[no-any-return]

    def features(self, x: Float[Tensor, "b d height width"]) -> Float[Tensor, "b k"]:
        """Return the pooled vector of each picture, which the linear head reads."""
        places = self.encode(x)
        return places[:, 0] if self.pooling == "cls" else places.mean(dim=1)

    def forward(self, x: Float[Tensor, "b d height width"]) -> Float[Tensor, "b q"]:
        """Return the logits."""
        if isinstance(self.output, LabelAttention):
            places = self.encode(x)
            return cast(Tensor, self.output(self.dropout(places), torch.ones_like(places[..., 0], dtype=torch.bool)))
        return cast(Tensor, self.output(self.dropout(self.features(x))))

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return head and encoder, each at its learning rate; a frozen encoder is left out."""
        inner = {id(parameter) for parameter in self.encoder.parameters()}
        groups = [{"params": [p for p in self.parameters() if id(p) not in inner], "lr": lr}]
        if not self.frozen:
            groups.append({"params": list(self.encoder.parameters()), "lr": lr * self.lr_ratio})
        return groups

    def _width(self, shape: tuple[int, ...]) -> int:
        """Return the width of a feature vector, by looking at one empty picture."""
        self.encoder.eval()
        try:
            with torch.no_grad():
                width = self.encode(torch.zeros(1, *shape)).shape[2]
        except (RuntimeError, ValueError) as problem:
            raise DataError(f"the encoder cannot read pictures of shape {shape}: {problem}; choose resize=(height, width)") from problem
        self.encoder.train(not self.frozen)
        return int(width)


class _Found(NamedTuple):
    """An encoder, the size of pictures that it insists on, and what it wants to be taken out of them."""

    network: Any
    size: tuple[int, int] | None = None
    normalise: Any = None


def _encoder(encoder: Any, source: str, shape: tuple[int, ...], download: bool) -> _Found:
    """Return the encoder: loaded, built, or copied."""
    if isinstance(encoder, str):
        return _SOURCES[source](encoder, download)
    if isinstance(encoder, Mapping):
        return _built(dict(encoder), shape)
    if isinstance(encoder, nn.Module):
        return _Found(deepcopy(encoder))
    raise ParameterError(f"expected encoder to be a name, a configuration with model_type, or a network, but got {encoder!r}")


def _built(settings: dict[str, Any], shape: tuple[int, ...]) -> _Found:
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError:
        raise MissingExtraError("building an encoder needs transformers: pip install 'polytag[text]'") from None
    if "model_type" not in settings:
        raise ParameterError(f"expected a configuration with model_type, but got {settings!r}")
    settings = {"num_channels": shape[0], "image_size": shape[1:], **settings}
    return _of_transformers(AutoModel.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings)))  # type: ignore[no-untyped-call]


def _of_transformers(model: Any, normalise: Any = None) -> _Found:
    if isinstance(getattr(model, "pooler", None), nn.Module) and sum(p.numel() for p in model.pooler.parameters()):
        model.pooler = None  # not part of the path here: its weights would never learn
    size = getattr(model.config, "image_size", None)
    return _Found(model, (size, size) if isinstance(size, int) else None if size is None else (int(size[0]), int(size[1])), normalise)


def _from_transformers(name: str, download: bool) -> _Found:
    model = pretrained("AutoModel", name, download=download)
    from transformers.utils.hub import cached_file

    sheet = cached_file(
        name, "preprocessor_config.json", local_files_only=not download, _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )  # fmt: skip
    said = json.loads(Path(sheet).read_text(encoding="utf-8")) if sheet else {}
    normalise = (tuple(said["image_mean"]), tuple(said["image_std"])) if "image_mean" in said else IMAGENET
    return _of_transformers(model, normalise)


class _TimmPlaces(nn.Module):
    """The map of a timm network before pooling, with the channels in front."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return (b, k, height, width) or (b, places, k)."""
        found: Tensor = self.network.forward_features(x)
        last = found.ndim == 4 and found.shape[1] != self.network.num_features
        return found.permute(0, 3, 1, 2) if last else found  # some networks keep the channels behind


def _from_timm(name: str, download: bool) -> _Found:
    timm = _imported("timm")
    said = timm.models.get_pretrained_cfg(name)
    if said is None:
        raise ParameterError(f"expected a name of timm.list_models(pretrained=True), but got {name!r}")
    if not download:
        from huggingface_hub import try_to_load_from_cache

        files = ("model.safetensors", "pytorch_model.bin")
        _refuse_unless(any(isinstance(try_to_load_from_cache(said.hf_hub_id, file), str) for file in files), "timm", name)
    network = timm.create_model(name, pretrained=True, num_classes=0)
    size = (int(said.input_size[-2]), int(said.input_size[-1])) if hasattr(network, "patch_embed") else None
    return _Found(_TimmPlaces(network), size, (tuple(said.mean), tuple(said.std)))


def _from_torchvision(name: str, download: bool) -> _Found:
    models = _imported("torchvision.models")
    network_name, _, version = name.partition(".")
    try:
        choices = models.get_model_weights(network_name)
        weights = choices[version] if version else choices.DEFAULT
    except (ValueError, KeyError) as problem:
        raise ParameterError(
            f"expected a name of torchvision.models.list_models(), or with weights such as 'resnet50.IMAGENET1K_V1', but got {name!r}"
        ) from problem
    weight_file(weights.url, download=download)  # torchvision takes the file from there
    network = models.get_model(network_name, weights=weights)
    for head in ("fc", "classifier", "heads", "head"):
        if hasattr(network, head):
            setattr(network, head, nn.Identity())
    size = (int(network.image_size), int(network.image_size)) if hasattr(network, "image_size") else None
    return _Found(network, size, IMAGENET)


def _imported(library: str) -> Any:
    try:
        return importlib.import_module(library)
    except (ImportError, RuntimeError) as problem:  # torchvision raises a RuntimeError beside a torch of another build
        raise MissingExtraError(
            f"{library} cannot be imported ({problem}): pip install 'polytag[vision]', in the builds that belong to this torch"
        ) from problem


def _refuse_unless(here: bool, library: str, name: str) -> None:
    if not here:
        raise FetchError(
            f"could not load {name!r} from {library}: its weights are not on this machine, and nothing was downloaded, since "
            "download=False; download=True fetches them"
        )


_SOURCES: Mapping[str, Callable[[str, bool], _Found]] = {
    "timm": _from_timm,
    "transformers": _from_transformers,
    "torchvision": _from_torchvision,
}
