"""CLIF as the paper writes it."""

import torch
from torch import Tensor
from torch.nn import functional

from polytag.models import CLIF, Objective
from polytag.types import Batch


def cooccurrence(y: Tensor) -> Tensor:
    """Return the symmetric conditional co-occurrence of the labels, pair by pair."""
    q = y.shape[1]
    graph = torch.zeros(q, q, dtype=torch.float64)
    for j in range(q):
        for k in range(q):
            if j != k:
                both = float((y[:, j] * y[:, k]).sum())
                graph[j, k] = (both / max(float(y[:, j].sum()), 1e-6) + both / max(float(y[:, k].sum()), 1e-6)) / 2
    return graph


def embedding_loss(u: Tensor, graph: Tensor) -> float:
    """Return the mean over label pairs of the squared distance between cosine and graph with self loops."""
    u, q, total = u.detach(), len(u), 0.0
    for j in range(q):
        for k in range(q):
            cosine = (u[j] @ u[k]) / ((u[j].norm() + 1e-6) * (u[k].norm() + 1e-6))
            total += float(cosine - graph[j, k] - int(j == k)) ** 2
    return total / q**2


class TextbookCLIF:
    """The formulas of the paper on the weights of a ``CLIF`` (without dropout); all labels' features are one (b, q, hidden) tensor."""

    def __init__(self, model: CLIF) -> None:
        self.model = model

    def objective(self, batch: Batch) -> Objective:
        """Return loss and logits, with the statistics of the labels at hand in the batch norms if the model is in training mode."""
        u = self.embeddings()
        logits = self.decode(batch.x, u)
        unit = u / (u.norm(dim=1, keepdim=True) + 1e-6)
        likeness = ((unit @ unit.T - self.model.graph - torch.eye(len(u), dtype=u.dtype, device=u.device)) ** 2).mean()
        return Objective(functional.multilabel_soft_margin_loss(logits, batch.y) + self.model.weight * likeness, logits)

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits, embedding the labels anew."""
        return self.decode(x, self.embeddings())

    def embeddings(self) -> Tensor:
        """Return U."""
        h = self.model.label_nodes
        for layer in self.model.gin:
            first, norm1, _, second, norm2, _ = [m for m in layer.mlp if not isinstance(m, torch.nn.Dropout)]
            old, h = h, h + layer.eps * h + self.model.graph.T @ h
            for fc, norm in ((first, norm1), (second, norm2)):
                kept = (None, None) if norm.training else (norm.running_mean, norm.running_var)
                h = functional.batch_norm(h @ fc.weight.T + fc.bias, *kept, norm.weight, norm.bias, norm.training, eps=norm.eps)
                h = functional.leaky_relu(h, 0.1)
            if old.shape == h.shape:
                h = h + old
        return h

    def decode(self, x: Tensor, u: Tensor) -> Tensor:
        """Return the logits from features and label embeddings."""
        model, a = self.model, x
        for fc in (m for m in model.input if isinstance(m, torch.nn.Linear)):
            a = functional.leaky_relu(a @ fc.weight.T + fc.bias, 0.1)
        gates = u @ model.gate.weight.T + model.gate.bias
        gates = torch.sigmoid(gates) if model.sigmoid_gate else gates
        f = functional.leaky_relu((a[:, None] * gates) @ model.mix.weight.T + model.mix.bias, 0.1)
        return (f * model.classifier.weight).sum(2) + model.classifier.bias
