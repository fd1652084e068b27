"""C2AE as a textbook writes it: every pair of a relevant and an irrelevant label has a cell of its own."""

import torch
from torch import Tensor

from polytag.models import C2AE, Objective
from polytag.types import Batch


class TextbookC2AE:
    """The same weights, with the (b, q, q) table of score differences."""

    def __init__(self, model: C2AE) -> None:
        self.model = model

    def predict(self, x: Tensor) -> Tensor:
        return self.model.decoder(self.model.features(x).sigmoid() - 0.5).sigmoid()

    def objective(self, batch: Batch) -> Objective:
        model = self.model
        a = model.features(batch.x).sigmoid() - 0.5
        e = model.labels(batch.y).sigmoid() - 0.5
        weight = torch.ones(len(a), dtype=a.dtype) if batch.weight is None else batch.weight
        scores = model.decoder(e).sigmoid()
        differences = torch.exp(-5 * (scores[:, :, None] - scores[:, None, :]))
        relevant, irrelevant = batch.y, 1 - batch.y
        counted = relevant[:, :, None] * irrelevant[:, None, :]
        pairs = (differences * counted).sum(dim=(1, 2)) / (relevant.sum(dim=1) * irrelevant.sum(dim=1)).clamp(min=1)
        output = (weight * pairs).sum() / 5
        scaled = [torch.diag(weight.sqrt()) @ side for side in (a, e)]
        unit = torch.eye(a.shape[1], dtype=a.dtype)
        crooked = sum((side.T @ side - unit).square().sum() for side in scaled)
        embedding = (weight[:, None] * (a - e).square()).sum() + model.orthogonality * crooked
        squares = sum(p.square().sum() for p in model.parameters() if p.ndim == 2)
        return Objective(embedding + model.output_weight * output + model.l2 * squares, self.predict(batch.x))
