"""Logits of whole tables, and numbers computed from them in evaluation mode."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from polytag import metrics
from polytag.data.table import Table
from polytag.losses import BCE
from polytag.models.base import MultiLabelModel
from polytag.types import Array


def predict(model: MultiLabelModel, table: Table, *, batch_size: int = 1024, precision: str = "float32") -> Float[Tensor, "n q"]:
    """Return the logits of all rows of a table, in order, on the CPU.

    The model is put into evaluation mode for the purpose and left in the mode it was in.

    Args:
        model: What predicts.
        table: Rows to predict.
        batch_size: Rows at a time; bounds the memory.
        precision: As in ``Trainer``; or ``"float64"``, in which the score of a row does not depend on the rows predicted with it beyond
            the last digits (in float32 it does at about 1e-7, since matrix products of other shapes add up in other orders).

    Cost: one forward pass; memory O(batch_size) on the device and O(n q) on the CPU.
    """
    if precision == "float64":
        model = copy.deepcopy(model).double()
    with _evaluating(model):
        blocks = [_logits(model, batch.x, precision).cpu() for batch in table.blocks(batch_size)]
    return torch.cat(blocks) if blocks else torch.empty(0, table.q)


def decide(model: Any, table: Table, *, batch_size: int = 1024, precision: str = "float32") -> Bool[Array, "n q"]:
    """Return the labels that a model with a threshold of its own decides on.

    Args:
        model: A model that ``Decides``.
        table: Rows.
        batch_size: Rows at a time.
        precision: ``"float64"``: as for ``predict``; otherwise models decide in float32.
    """
    exact = precision == "float64"
    if exact:
        model = copy.deepcopy(model).double()
    with _evaluating(model):
        found = [model.decide(batch.x.double() if exact and batch.x.is_floating_point() else batch.x) for batch in table.blocks(batch_size)]
    return np.concatenate([labels.cpu().numpy() > 0.5 for labels in found]) if found else np.zeros((0, table.q), dtype=bool)


def score(model: MultiLabelModel, table: Table, metric: str, *, batch_size: int = 1024, precision: str = "float32") -> float:
    """Return a metric of the model on a table, in evaluation mode.

    Args:
        model: What predicts.
        table: Rows with their labels.
        metric: A name of ``polytag.metrics`` (label sets are cut at a probability of 0.5), or ``"loss"``, the mean binary cross-entropy
            over all known cells, which convergence plots show.
        batch_size: Rows at a time.
        precision: As in ``Trainer``.
    """
    logits = predict(model, table, batch_size=batch_size, precision=precision)
    if metric == "loss":
        bce, known, total = BCE(), 0, 0.0
        for batch, block in zip(table.blocks(batch_size), torch.split(logits, batch_size)):
            cells = int((~batch.y.isnan()).sum())
            known, total = known + cells, total + float(bce(block.double(), batch.y.cpu().double())) * cells
        return total / max(known, 1)
    found = metrics.evaluate(
        table.dataset.Y, logits.double().sigmoid().numpy(), threshold=0.5, metrics=[metric], hierarchy=table.dataset.hierarchy
    )
    return found[metric]


def glance(model: MultiLabelModel, x: Tensor, precision: str = "float32") -> Float[Tensor, "b q"]:
    """Return the logits of candidate rows, without gradient and in evaluation mode: looking at them leaves no trace in the model."""
    with _evaluating(model):
        return _logits(model, x, precision)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which forward passes run at this precision."""
    half = precision in ("bfloat16", "float16")
    return torch.autocast(device.type, dtype=getattr(torch, precision) if half else torch.bfloat16, enabled=half)


def _logits(model: MultiLabelModel, x: Tensor, precision: str) -> Tensor:
    if precision == "float64":
        return model(x.double() if x.is_floating_point() else x)  # type: ignore[no-any-return]
    with autocast(x.device, precision):
        return model(x).float()  # type: ignore[no-any-return]


@contextmanager
def _evaluating(model: MultiLabelModel) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
