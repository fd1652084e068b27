"""CLIF as the paper writes it, label by label, on the weights of a ``CLIF`` (evaluation mode, without dropout)."""

import torch
from torch import Tensor
from torch.nn import functional

from polytag.models import CLIF


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


def embeddings(model: CLIF) -> Tensor:
    """Return U with the running statistics of the batch norms."""
    h = model.label_nodes
    for layer in model.gin:
        first, norm1, _, second, norm2, _ = [m for m in layer.mlp if not isinstance(m, torch.nn.Dropout)]
        old, h = h, h + layer.eps * h + model.graph.T @ h
        for fc, norm in ((first, norm1), (second, norm2)):
            h = h @ fc.weight.T + fc.bias
            h = (h - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps) * norm.weight + norm.bias
            h = functional.leaky_relu(h, 0.1)
        if old.shape == h.shape:
            h = h + old
    return h


def embedding_loss(u: Tensor, graph: Tensor) -> float:
    """Return the mean over label pairs of the squared distance between cosine and graph with self loops."""
    u, q, total = u.detach(), len(u), 0.0
    for j in range(q):
        for k in range(q):
            cosine = (u[j] @ u[k]) / ((u[j].norm() + 1e-6) * (u[k].norm() + 1e-6))
            total += float(cosine - graph[j, k] - int(j == k)) ** 2
    return total / q**2


def logits(model: CLIF, x: Tensor) -> Tensor:
    """Return the logits, one label after the other."""
    u, a = embeddings(model), x
    for fc in (m for m in model.input if isinstance(m, torch.nn.Linear)):
        a = functional.leaky_relu(a @ fc.weight.T + fc.bias, 0.1)
    columns = []
    for j in range(len(u)):
        gate = model.gate.weight @ u[j] + model.gate.bias
        gate = torch.sigmoid(gate) if model.sigmoid_gate else gate
        f = functional.leaky_relu((a * gate) @ model.mix.weight.T + model.mix.bias, 0.1)
        columns.append(f @ model.classifier.weight[j] + model.classifier.bias[j])
    return torch.stack(columns, dim=1)
