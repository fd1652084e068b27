"""The encoders behind ``polytag features``: pretrained ones as they are, and small ones that learn from the training part first."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from polytag import metrics, registry
from polytag.data.parted import checksums
from polytag.data.picture_files import PictureFiles
from polytag.data.prepare import Preparation
from polytag.data.raw import RawSet
from polytag.data.splits import Split, holdout, with_valid
from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.models import ImageEncoder, TextEncoder
from polytag.models.frozen import Encoder, Inputs, weights_key
from polytag.selectors import Random
from polytag.training import Callback, Epoch, Trainer, predict
from polytag.types import Array

Watch = Callable[[str, int, int], None]
"""Told what is being done, how far it is, and how much there is."""

QUALITY = ("macro_auc", "macro_ap", "micro_f1", "macro_f1", "ranking_loss", "hamming_loss")
"""What is recorded of a trained encoder on its training and validation rows; label sets are cut at a probability of 0.5."""


class Readied(NamedTuple):
    """An encoder that will not learn any more.

    Attributes:
        model: The network.
        rows: Makes of some raw rows what the network reads.
        learnt: What its training was like; ``None`` for a pretrained one.
    """

    model: Encoder
    rows: Callable[[Array], Inputs]
    learnt: dict[str, Any] | None


@dataclass(frozen=True)
class Pretrained:
    """An encoder that knows nothing of these labels: of torchvision, timm or transformers, or a network of one's own.

    Args:
        encoder: A name of the library, the folder of an encoder of transformers, or (for pictures) a network.
        source: Library that knows the name of a picture encoder: ``"torchvision"``, ``"timm"`` or ``"transformers"``. Texts are always
            read with transformers.
        pooling: ``"mean"`` of places or tokens, or the first one (``"cls"``).
        max_len: Tokens of a text.
        download: Fetch what is not on this machine.
        params: Further parameters of ``ImageEncoder`` or ``TextEncoder``.

    Differs: torchvision's networks have their first ImageNet weights (``IMAGENET1K_V1``) unless another version is named, since these are
        the ones that papers used and that belong to a view of 256 and 224 pixels.
    """

    encoder: str | nn.Module
    source: str = "torchvision"
    pooling: str = "mean"
    max_len: int = 256
    download: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, raw: RawSet) -> dict[str, Any]:
        """Return all that the features depend on besides the rows, as plain values."""
        own: dict[str, Any] = {"source": "transformers" if raw.kind == "text" or self._folder else self.source}
        if isinstance(self.encoder, nn.Module):
            own = {"weights": weights_key(_Own(self.encoder))}
        elif self._folder is not None:
            own["files"] = checksums(self._folder)
        if raw.kind == "text":
            own["max_len"] = self.max_len
        return {"encoder": self._named(raw), "pooling": self.pooling, **own, "params": dict(self.params)}

    @property
    def _folder(self) -> Path | None:
        return Path(self.encoder) if isinstance(self.encoder, str) and Path(self.encoder).is_dir() else None

    def _named(self, raw: RawSet) -> str:
        """Return the encoder's name, with the version of its weights where its library has several."""
        if isinstance(self.encoder, nn.Module):
            return type(self.encoder).__name__
        if self._folder is not None:
            return self._folder.name
        plain = raw.kind == "text" or self.source != "torchvision" or "." in self.encoder
        return self.encoder if plain else f"{self.encoder}.IMAGENET1K_V1"

    def parts(self, raw: RawSet) -> dict[str, Array]:
        """Return the published parts; the whole set in one piece if it has none."""
        return dict(raw.parts) or {"full": np.arange(raw.n)}

    def ready(self, raw: RawSet, parts: Mapping[str, Array], work: Path, device: str, watch: Watch | None) -> Readied:
        """Load the encoder; arguments as ``Trained.ready``."""
        how: dict[str, Any] = {"pooling": self.pooling, "frozen": True, "download": self.download, **self.params}
        if raw.kind == "text":
            if isinstance(self.encoder, nn.Module):
                raise ParameterError("expected the name or folder of an encoder of transformers for texts, which brings its tokens")
            model = TextEncoder(self.max_len, 1, encoder=self.encoder, max_len=self.max_len, **how)
            words = TextEncoder.tokenizer({"encoder": self.encoder, "max_len": self.max_len, "download": self.download})
            if words is None:
                raise ParameterError(f"expected an encoder with tokens of its own, but got {self.encoder!r}")
            return Readied(model, lambda rows: _texts(words, raw, rows), None)
        encoder = self.encoder if isinstance(self.encoder, nn.Module) or self._folder is not None else self._named(raw)
        shape = (3, raw.X.crop, raw.X.crop) if isinstance(raw.X, PictureFiles) else raw.X.shape[1:]
        source: Any = "transformers" if self._folder is not None else self.source
        network = ImageEncoder(shape[0], 1, encoder=encoder, source=source, shape=shape, **how)
        return Readied(network, lambda rows: _pictures(raw, rows), None)


@dataclass(frozen=True)
class Trained:
    """A small network that learns from the training part, stops by the validation part, and never sees a label of the test part.

    Where no validation part is published, a stratified share of the training part is set aside, and where there are no parts at all, a
    test part is too.

    Args:
        model: ``"xmlcnn"`` for texts or ``"small_cnn"`` for pictures.
        width: Number of features: of XML-CNN's bottleneck, or of the last block of the small network, whose other blocks are narrower.
        epochs: Epochs at most; ``None`` is the model's own number.
        batch_size: Rows in a batch of training; ``None`` is the model's own.
        lr: Learning rate; ``None`` is the model's own.
        patience: Epochs without improvement before training stops; ``None`` is the model's own.
        monitor: What says on the validation part which epoch is best: ``"loss"``, their mean binary cross-entropy, or a metric.
        valid: Share of the training rows that is set aside where no validation part is published.
        test: Share of the rows that is set aside where no parts are published.
        seed: Decides the parts, the initial weights, the batches and dropout.
        params: Further parameters of the model.
        text: How texts become tokens: ``max_words``, ``min_count``, ``max_len``, ``lower``, see ``Tokenizer.fit``.

    Raises:
        ParameterError: A number makes no sense.
    """

    model: str
    width: int = 512
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    patience: int | None = None
    monitor: str = "loss"
    valid: float = 0.25
    test: float = 0.25
    seed: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.model not in ("xmlcnn", "small_cnn"):
            raise ParameterError(f"expected model 'xmlcnn' or 'small_cnn', but got {self.model!r}")
        if self.width < 8 or not (0 < self.valid < 1 and 0 < self.test < 1):
            raise ParameterError(
                f"expected width >= 8 and valid and test between 0 and 1, but got width={self.width}, valid={self.valid}, test={self.test}"
            )

    @property
    def name(self) -> str:
        """The encoder's name."""
        return {"xmlcnn": "xml-cnn", "small_cnn": "small-cnn"}[self.model]

    def settings(self, raw: RawSet) -> dict[str, Any]:
        """Return all that the features depend on besides the rows, as plain values."""
        needed = "text" if self.model == "xmlcnn" else "images"
        if raw.kind != needed:
            right = "xml-cnn" if raw.kind == "text" else "small-cnn"
            raise ParameterError(
                f"expected {needed} for the encoder {self.name!r}, but {raw.name!r} holds {raw.kind}; {right!r} reads them"
            )
        cut = {name: getattr(self, name) for name in ("valid", "test") if name not in raw.parts}
        fixed = ("test",) if raw.parts else ()
        return {
            "encoder": self.name,
            **{name: getattr(self, name) for name in ("width", "epochs", "batch_size", "lr", "patience", "monitor", "seed")},
            **{name: share for name, share in cut.items() if name not in fixed},
            "params": dict(self.params),
            **({"text": dict(self.text)} if raw.kind == "text" else {}),
        }

    def parts(self, raw: RawSet) -> dict[str, Array]:
        """Return training, validation and test rows; published ones are taken as they are."""
        if not raw.parts:
            split = holdout(raw.Y, test=self.test, valid=self.valid, seed=self.seed)
            return dict(zip(Split._fields, split))
        if "train" not in raw.parts:
            raise ParameterError(f"expected a part 'train' to learn from, but {raw.name!r} has only {', '.join(raw.parts)}")
        if "valid" in raw.parts:
            return dict(raw.parts)
        train = raw.parts["train"]
        share = math.ceil(self.valid * len(train) - 1e-9) / len(train)  # whole rows, such as 5,827 + 1,943 of the 7,770 of Reuters
        split = with_valid(raw.Y, train, raw.parts.get("test", train[:0]), valid=share, seed=self.seed)
        return {part: rows for part, rows in zip(Split._fields, split) if len(rows)}

    def ready(self, raw: RawSet, parts: Mapping[str, Array], work: Path, device: str, watch: Watch | None) -> Readied:
        """Train the encoder, or go on where an earlier call was cut off.

        Args:
            raw: The rows.
            parts: What ``parts`` returned.
            work: Folder of the checkpoint.
            device: Where to train.
            watch: Told about each epoch.
        """
        train, valid = (raw.dataset(parts[part]) for part in ("train", "valid"))
        prepared = None
        if raw.kind == "text":
            words = Preparation(text={"as": "tokens", **self.text})
            prepared = words.fit(train, Split(np.arange(train.n), np.arange(0), np.arange(0)), inputs=("tokens",))
            train, valid = prepared.transform(train), prepared.transform(valid)
        tables = {"train": Table(train, device), "valid": Table(valid, device)}
        known = registry.get("model", self.model)
        own = known.training_defaults(epochs=self.epochs)
        authors = own.pop("batch_size")
        asked = {name: getattr(self, name) for name in ("epochs", "lr", "patience") if getattr(self, name) is not None}
        callbacks = () if watch is None else (_Epochs(watch, self.name),)
        trainer = Trainer(**{**own, **asked, "monitor": self.monitor, "seed": self.seed, "callbacks": callbacks})
        model = known.from_data(tables["train"], seed=self.seed, **self._size(), **self.params)
        chooser = Random(tables["train"].targets, authors if self.batch_size is None else self.batch_size, seed=self.seed)
        run = trainer.fit(model, tables["train"], chooser, tables["valid"], resume=work / "training.safetensors")
        learnt = {
            "epochs": len(run.history),
            "best_epoch": run.best_epoch,
            "seconds": round(run.seconds, 1),
            self.monitor: [epoch.valid for epoch in run.history],
            "quality": {part: _quality(model, table) for part, table in tables.items()},
        }
        if prepared is None:
            return Readied(model, lambda rows: _pictures(raw, rows), learnt)
        return Readied(model, lambda rows: _texts(prepared.words, raw, rows), learnt)

    def _size(self) -> dict[str, Any]:
        """Return the parameter that makes so many features, where it is not given."""
        name, value = ("bottleneck", self.width) if self.model == "xmlcnn" else ("widths", [self.width // part for part in (8, 4, 2, 1)])
        return {} if name in self.params else {name: value}


class _Epochs(Callback):
    """Passes the epochs on to a watcher."""

    def __init__(self, watch: Watch, name: str) -> None:
        self._watch, self._name = watch, name

    def begin(self, epochs: int, steps: int) -> None:
        self._epochs = epochs

    def epoch(self, epoch: Epoch) -> None:
        self._watch(f"training {self._name} (best on the validation rows is kept)", epoch.epoch + 1, self._epochs)


class _Own(nn.Module):
    """A network under the name that the key of weights expects."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def features(self, x: Tensor) -> Tensor:
        found: Tensor = self.network(x)
        return found


def _quality(model: Any, table: Table) -> dict[str, float]:
    """Return how well the encoder's own output predicts the labels of a part."""
    scores = predict(model, table).double().sigmoid().numpy()
    found = metrics.evaluate(table.dataset.Y, scores, threshold=0.5, metrics=list(QUALITY))
    return {name: round(float(found[name]), 6) for name in QUALITY}


def _texts(words: Any, raw: RawSet, rows: Array) -> Inputs:
    """Return texts of these rows as tokens, made in one go (they are small)."""
    tokens = torch.from_numpy(words.transform(raw.X[rows])).long()
    return lambda start, stop: tokens[start:stop]


def _pictures(raw: RawSet, rows: Array) -> Inputs:
    """Return pictures of these rows, a batch at a time, as numbers from 0 to 1."""
    chosen = raw.X[rows]
    if isinstance(chosen, PictureFiles):
        return lambda start, stop: torch.from_numpy(chosen.pixels(start, stop)).float() / 255
    return lambda start, stop: torch.from_numpy(chosen[start:stop]).float() / 255
