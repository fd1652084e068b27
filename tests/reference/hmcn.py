"""HMCN as the equations read, in NumPy: row by row, level by level, each label put where its name says."""

import math

import numpy as np


def array(tensor):
    return tensor.detach().double().numpy()


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def dense(layer, x):
    """Return W x + b."""
    return array(layer.weight) @ x + array(layer.bias)


def phi(block, x):
    """Return the layer's output in evaluation: ReLU, then batch norm by the running statistics."""
    norm = block[2]
    active = np.maximum(dense(block[0], x), 0)
    return (active - array(norm.running_mean)) / np.sqrt(array(norm.running_var) + norm.eps) * array(norm.weight) + array(norm.bias)


def lstm(cell, x, state, memory):
    """Return the next state and memory of an LSTM cell."""
    gates = array(cell.weight_ih) @ x + array(cell.bias_ih) + array(cell.weight_hh) @ state + array(cell.bias_hh)
    let_in, forget, new, out = np.split(gates, 4)
    memory = sigmoid(forget) * memory + sigmoid(let_in) * np.tanh(new)
    return sigmoid(out) * np.tanh(memory), memory


def outputs(model, hierarchy, x):
    """Return local, global and final probabilities of one row."""
    local = np.zeros(hierarchy.q)
    state, memory = np.zeros(model.output.in_features), np.zeros(model.output.in_features)
    for level in range(hierarchy.depth):
        if model.form == "r":
            state, memory = lstm(model.walk, x, state, memory)
        else:
            state = phi(model.walk[level], np.concatenate([state, x]) if level else x)
        found = sigmoid(dense(model.heads[level][1], phi(model.heads[level][0], state)))
        here = [k for k in range(hierarchy.q) if hierarchy.levels[k] == level + 1]
        for label, p in zip(here, found, strict=True):
            local[label] = p
    overall = sigmoid(dense(model.output, state))
    return local, overall, model.beta * local + (1 - model.beta) * overall


def loss(model, hierarchy, X, Y):
    """Return the loss of a batch without unknown labels."""
    rows = [outputs(model, hierarchy, x) for x in X]

    def cross_entropy(p, y):
        return -math.log(p if y else 1 - p)

    total = np.mean([cross_entropy(p, y) for (_, overall, _), labels in zip(rows, Y) for p, y in zip(overall, labels)])
    for level in range(1, hierarchy.depth + 1):
        here = np.flatnonzero(hierarchy.levels == level)
        total += np.mean([cross_entropy(local[k], labels[k]) for (local, _, _), labels in zip(rows, Y) for k in here])
    looked_at = [local if model.violation_on == "local" else final for local, _, final in rows]
    return total + model.violation * np.mean([sum(max(0.0, p[c] - p[a]) ** 2 for c, a in hierarchy.edges) for p in looked_at])
