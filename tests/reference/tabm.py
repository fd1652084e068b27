"""TabM as k separate networks: each member built as a plain stack of layers with the matrices it would have on its own."""

import torch
from torch import Tensor

from polytag.models import TabM
from polytag.types import Batch


class TextbookTabM:
    """The formulas of the paper on the weights of a ``TabM`` (without dropout), one member after another."""

    def __init__(self, model: TabM) -> None:
        self.model = model

    def member(self, m: int, x: Tensor) -> Tensor:
        """Return the logits of member m."""
        h = self.model.inputs(x)
        for layer in self.model.hidden:
            r = torch.ones(h.shape[1]).to(h) if layer.r is None else layer.r[m]
            s = torch.ones(layer.weight.shape[-2]).to(h) if layer.s is None else layer.s[m]
            weight = layer.weight[m] if layer.weight.ndim == 3 else layer.weight
            bias = layer.bias[m] if layer.bias.ndim == 2 else layer.bias
            h = torch.relu(h @ (s[:, None] * weight * r[None, :]).T + bias)
        return h @ self.model.output.weight[m].T + self.model.output.bias[m]

    def predict(self, x: Tensor) -> Tensor:
        """Return the mean probability of the members."""
        k = len(self.model.output.bias)
        return sum(torch.sigmoid(self.member(m, x)) for m in range(k)) / k

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean over the members of the loss of each."""
        k = len(self.model.output.bias)
        return sum(self.model.loss(self.member(m, batch.x), batch.y, batch.weight) for m in range(k)) / k
