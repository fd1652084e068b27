"""The output of an encoder that does not learn, computed once and kept on disk."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from polytag.data.dataset import Dataset
from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.types import Array

_BLOCK = 4096
"""Rows that are hashed at a time."""


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
    if batch_size < 1:
        raise ParameterError(f"expected batch_size >= 1, but got {batch_size!r}")
    model.eval()
    if isinstance(model, torch.nn.Module):
        model.to(device)
    table = Table(dataset, device)
    if cache is None:
        X = np.concatenate([_block(model, table, start, batch_size) for start in range(0, max(dataset.n, 1), batch_size)])
    else:
        X = _kept(model, table, Path(cache), batch_size)
    return Dataset(X, dataset.Y, label_names=dataset.label_names, name=dataset.name, hierarchy=dataset.hierarchy)


def content_key(model: Encoder, dataset: Dataset) -> str:
    """Return a digest of everything that the features depend on: the network's structure and weights, and the rows."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(model).encode())
    digest.update(repr({name: getattr(model, name, None) for name in ("pooling", "shift", "resize", "grid")}).encode())
    for name, tensor in model.state_dict().items():
        if not name.startswith("output."):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    digest.update(f"{dataset.kind} {dataset.X.dtype} {dataset.X.shape}".encode())
    for start in range(0, dataset.n, _BLOCK):
        digest.update(np.ascontiguousarray(dataset.X[start : start + _BLOCK]).tobytes())
    return digest.hexdigest()


def _block(model: Encoder, table: Table, start: int, size: int) -> Array:
    with torch.no_grad():
        rows = torch.arange(start, min(start + size, table.n), device=table.device)
        found: Array = model.features(table[rows].x).float().cpu().numpy()
    return found


def _kept(model: Encoder, table: Table, folder: Path, size: int) -> Array:
    """Return the features mapped from their file, after computing those rows that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    key = content_key(model, table.dataset)
    done, part, progress = folder / f"{key}.npy", folder / f"{key}.part.npy", folder / f"{key}.json"
    if not done.exists():
        rows = json.loads(progress.read_text())["rows"] if progress.exists() and part.exists() else 0
        store = np.lib.format.open_memmap(part, mode="r+") if rows else None
        for start in range(rows, table.n, size):
            block = _block(model, table, start, size)
            if store is None:
                store = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(table.n, block.shape[1]))
            store[start : start + len(block)] = block
            store.flush()
            _write(progress, json.dumps({"rows": start + len(block)}))
        if store is None:
            np.save(part, _block(model, table, 0, size))
        part.replace(done)
        progress.unlink(missing_ok=True)
    mapped: Array = np.load(done, mmap_mode="r")
    return mapped


def _write(path: Path, text: str) -> None:
    """Write a small file that appears whole or not at all."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.write_text(text)
    fresh.replace(path)
