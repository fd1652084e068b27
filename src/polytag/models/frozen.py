"""The output of an encoder that does not learn, computed once and kept on disk."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from polytag.data.dataset import Dataset
from polytag.data.table import Table
from polytag.errors import DataError, ParameterError
from polytag.types import Array

_BLOCK = 4096
"""Rows that are hashed at a time."""

Inputs = Callable[[int, int], Tensor]
"""Returns the rows from one number up to another one, as the encoder wants them."""

Watch = Callable[[int, int], None]
"""Told how many rows are done, of how many."""


class Encoder(Protocol):
    """A network with ``features``, such as ``TextEncoder``, ``ImageEncoder`` and ``SmallCNN``."""

    def features(self, x: Tensor) -> Tensor:
        """Return one vector a row."""

    def eval(self) -> Any:
        """Switch to evaluation mode."""

    def state_dict(self) -> Any:
        """Return the weights."""


def frozen_features(
    model: Encoder, dataset: Dataset, *, cache: str | Path | None = None, batch_size: int = 64, device: str | torch.device = "cpu"
) -> Dataset:
    """Return a set whose features are what an encoder makes of the rows: a table, on which any model for tables trains in seconds.

    With ``cache``, the features are kept in a file named after the content of weights, settings and rows, so that a change of any of them
    leads to another file, and the same call finds them again. A call that was cut off continues where it stopped.

    Args:
        model: A network with ``features``; put into evaluation mode.
        dataset: Tokens or images; labels and names stay.
        cache: Folder of the files; ``None`` keeps the features in memory only.
        batch_size: Rows at a time.
        device: Where to compute.

    Returns:
        A set of kind ``"table"``; with ``cache``, X is mapped from the file and stays on disk.

    Raises:
        ParameterError: The batch size is below 1.
        DataError: The rows are raw texts.

    Cost: one pass of the encoder over the rows, once; with ``cache`` one pass over weights and rows each time, to hash them.

    Example:
        >>> from polytag.models import SmallCNN
        >>> pictures = Dataset(np.zeros((4, 3, 8, 8), np.uint8), np.eye(4), kind="images")
        >>> frozen_features(SmallCNN(3, 4, widths=(8, 16)), pictures).X.shape
        (4, 16)
    """
    table = Table(dataset, device)

    def inputs(start: int, stop: int) -> Tensor:
        return table[torch.arange(start, stop, device=table.device)].x

    key = "" if cache is None else content_key(model, dataset)
    X = encode_rows(model, inputs, dataset.n, cache=None if cache is None else Path(cache) / key, batch_size=batch_size, device=device)
    return Dataset(X, dataset.Y, label_names=dataset.label_names, name=dataset.name, hierarchy=dataset.hierarchy)


def with_encoder_view(train: Table, model: Any, *, batch_size: int = 64) -> Table:
    """Return training rows whose neighbours are searched by what an encoder, as it is now, makes of them.

    This is ``Preparation(neighbours="encoder")``: the encoder is that of the model to be trained, before its training, so it should be a
    pretrained one. The features are computed once and do not follow the training.

    Args:
        train: Tokens or images.
        model: A network with ``features``; it stays in its mode, and its weights as they are.
        batch_size: Rows at a time.

    Returns:
        The rows with a view (n, k), float32, which ``Dataset.features`` hands to selectors and to label enhancement.

    Raises:
        DataError: The rows are no tokens or images, or the model has no encoder.
        ParameterError: The batch size is below 1.

    Cost: one pass of the encoder over the rows; memory O(n k).

    Example:
        >>> from polytag.models import SmallCNN
        >>> pictures = Dataset(np.zeros((4, 3, 8, 8), np.uint8), np.eye(4), kind="images")
        >>> with_encoder_view(Table(pictures), SmallCNN(3, 4, widths=(8, 16))).dataset.features.shape
        (4, 16)
    """
    if train.kind not in ("tokens", "images") or not callable(getattr(model, "features", None)):
        raise DataError(
            f"expected tokens or images and a model with an encoder for neighbours='encoder', but got {train.kind} and "
            f"{type(model).__name__}; take a model with features, such as text_encoder, image_encoder, xmlcnn or small_cnn, or leave "
            "neighbours at 'auto'"
        )

    def inputs(start: int, stop: int) -> Tensor:
        return train[torch.arange(start, stop, device=train.device)].x

    was_training = model.training
    view = encode_rows(model, inputs, train.n, batch_size=batch_size, device=train.device)
    model.train(was_training)
    return train.with_view(view)


def encode_rows(
    model: Encoder,
    inputs: Inputs,
    n: int,
    *,
    cache: Path | None = None,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    watch: Watch | None = None,
) -> Array:
    """Return what an encoder makes of n rows that are fetched a batch at a time, such as pictures that stay in their files.

    Args:
        model: A network with ``features``; put into evaluation mode and moved to the device.
        inputs: Returns the rows from one number up to another one.
        n: Number of rows.
        cache: Path without ending that the file's name begins with; must say what encoder and rows are. A file that is there is taken, and
            one that was begun is continued. ``None`` keeps the features in memory only.
        batch_size: Rows at a time.
        device: Where to compute.
        watch: Told about each batch; rows of a file that is there count as done.

    Returns:
        Features (n, k), float32; with ``cache`` mapped from the file.

    Raises:
        ParameterError: The batch size is below 1.

    Cost: one pass of the encoder; without ``cache`` memory of the features, with it of a batch.

    Example:
        >>> from polytag.models import SmallCNN
        >>> pictures = torch.rand(5, 3, 8, 8)
        >>> encode_rows(SmallCNN(3, 4, widths=(8, 16)), lambda start, stop: pictures[start:stop], 5, batch_size=2).shape
        (5, 16)
    """
    if batch_size < 1:
        raise ParameterError(f"expected batch_size >= 1, but got {batch_size!r}")
    model.eval()
    if isinstance(model, torch.nn.Module):
        model.to(device)

    def block(start: int) -> Array:
        with torch.no_grad():
            found: Array = model.features(inputs(start, min(start + batch_size, n)).to(device)).float().cpu().numpy()
        if watch is not None:
            watch(start + len(found), n)
        return found

    if cache is None:
        return np.concatenate([block(start) for start in range(0, max(n, 1), batch_size)])
    found = _kept(block, n, cache, batch_size)
    if watch is not None:
        watch(n, n)
    return found


def weights_key(model: Encoder) -> str:
    """Return the SHA-256 of the network's structure and weights; a head, which features do not pass through, does not count.

    Example:
        >>> from polytag.models import SmallCNN
        >>> one = SmallCNN(3, 4, widths=(8, 16))
        >>> weights_key(one) == weights_key(one), weights_key(one) == weights_key(SmallCNN(3, 4, widths=(8, 16)))
        (True, False)
    """
    digest = hashlib.sha256()
    _add_model(digest, model)
    return digest.hexdigest()


def content_key(model: Encoder, dataset: Dataset) -> str:
    """Return a digest of everything that the features depend on: the network's structure and weights, and the rows."""
    digest = hashlib.blake2b(digest_size=16)
    _add_model(digest, model)
    digest.update(f"{dataset.kind} {dataset.X.dtype} {dataset.X.shape}".encode())
    for start in range(0, dataset.n, _BLOCK):
        digest.update(np.ascontiguousarray(dataset.X[start : start + _BLOCK]).tobytes())
    return digest.hexdigest()


def _add_model(digest: Any, model: Encoder) -> None:
    digest.update(repr(model).encode())
    digest.update(repr({name: getattr(model, name, None) for name in ("pooling", "shift", "resize", "grid")}).encode())
    for name, tensor in model.state_dict().items():
        if not name.startswith("output."):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())


def _kept(block: Callable[[int], Array], n: int, path: Path, size: int) -> Array:
    """Return the features mapped from their file, after computing those rows that are not there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, part, progress = (path.with_name(path.name + ending) for ending in (".npy", ".part.npy", ".json"))
    if not done.exists():
        rows = json.loads(progress.read_text())["rows"] if progress.exists() and part.exists() else 0
        store = np.lib.format.open_memmap(part, mode="r+") if rows else None
        for start in range(rows, n, size):
            found = block(start)
            if store is None:
                store = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(n, found.shape[1]))
            store[start : start + len(found)] = found
            store.flush()
            _write(progress, json.dumps({"rows": start + len(found)}))
        if store is None:
            np.save(part, block(0))
        part.replace(done)
        progress.unlink(missing_ok=True)
    mapped: Array = np.load(done, mmap_mode="r")
    return mapped


def _write(path: Path, text: str) -> None:
    """Write a small file that appears whole or not at all."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.write_text(text)
    fresh.replace(path)
