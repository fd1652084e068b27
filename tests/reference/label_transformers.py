"""The transformers over labels as their papers write them: one instance at a time, real tokens only, attention spelled out."""

import torch
from torch import Tensor
from torch.nn import functional

from polytag.models import CTran, LaMP, MLDecoder, Query2Label
from polytag.nn import AddNorm, Attention, EncoderLayer, FeedForward


def attend(part: Attention, asking: Tensor, keys: Tensor, values: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return multi-head attention of (m, w) on (t, w)."""
    q, k, v = part.query(asking), part.key(keys), part.value(values)
    found = []
    for columns in torch.arange(q.shape[1]).chunk(part.heads):
        scores = q[:, columns] @ k[:, columns].T / len(columns) ** 0.5
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        found.append(scores.softmax(dim=1) @ v[:, columns])
    return part.out(torch.cat(found, dim=1))


def add(part: AddNorm, vectors: Tensor, change: Tensor) -> Tensor:
    return functional.layer_norm(vectors + change, vectors.shape[1:], part.norm.weight, part.norm.bias)


def think(part: FeedForward, vectors: Tensor) -> Tensor:
    return part[3](part[0](vectors).clamp(min=0))


def encode(layer: EncoderLayer, tokens: Tensor) -> Tensor:
    tokens = add(layer.attended, tokens, attend(layer.attention, tokens, tokens, tokens))
    return add(layer.thought, tokens, think(layer.feed_forward, tokens))


def rows(model: CTran | Query2Label | MLDecoder | LaMP, x: Tensor) -> list[Tensor]:
    """Return the real tokens of each row."""
    tokens, real = model.tokens(x)
    return [mine[here] for mine, here in zip(tokens, real)]


def ctran(model: CTran, x: Tensor, known: Tensor) -> Tensor:
    logits = []
    for tokens, given in zip(rows(model, x), known):
        labels = [model.labels[j] + (0 if y.isnan() else model.states[int(y)]) for j, y in enumerate(given)]
        sequence = model.norm(torch.cat([tokens, torch.stack(labels)]))
        for layer in model.layers:
            sequence = encode(layer, sequence)
        logits.append((sequence[len(tokens) :] * model.output.weight).sum(1) + model.output.bias)
    return torch.stack(logits)


def query2label(model: Query2Label, x: Tensor) -> Tensor:
    logits = []
    for tokens in rows(model, x):
        for layer in model.encoder:
            tokens = encode(layer, tokens)
        states = torch.zeros_like(model.queries)
        for layer in model.decoder:
            if layer.labels == "before":
                looking = states + model.queries
                states = add(layer.agreed, states, attend(layer.among, looking, looking, states))
            states = add(layer.found, states, attend(layer.across, states + model.queries, tokens, tokens))
            if layer.labels == "after":
                looking = states + model.queries
                states = add(layer.agreed, states, attend(layer.among, looking, looking, states))
            states = add(layer.thought, states, think(layer.feed_forward, states))
        logits.append((states * model.output.weight).sum(1) + model.output.bias)
    return torch.stack(logits)


def ml_decoder(model: MLDecoder, x: Tensor) -> Tensor:
    logits = []
    for tokens in rows(model, x):
        tokens = model.input(tokens).clamp(min=0)
        states = add(model.begun, model.queries, model.queries)
        states = add(model.found, states, attend(model.across, states, tokens, tokens))
        states = add(model.thought, states, think(model.feed_forward, states))
        answers = torch.cat([state @ weight for state, weight in zip(states, model.weight)])
        logits.append(answers[: len(model.bias)] + model.bias)
    return torch.stack(logits)


def lamp(model: LaMP, x: Tensor, allowed: Tensor) -> list[Tensor]:
    """Return the readout behind every look."""
    readouts = []
    for tokens in rows(model, x):
        for layer in model.encoder:
            tokens = encode(layer, tokens)
        states, mine = model.labels, []
        for layer in model.decoder:
            states = add(layer.found, states, attend(layer.across, states, tokens, tokens))
            states = add(layer.thought, states, think(layer.first, states))
            mine.append((states * model.labels).sum(1))
            states = add(layer.heard, states, attend(layer.among, states, states, states, allowed))
            states = add(layer.agreed, states, think(layer.second, states))
            mine.append((states * model.labels).sum(1))
        readouts.append(torch.stack(mine))
    return list(torch.stack(readouts, dim=1))
