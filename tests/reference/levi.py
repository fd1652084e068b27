"""LEVI as the formulas say it: one row and one coordinate at a time, probabilities and logarithms written out."""

import math

import numpy as np
from torch import nn

from polytag.enhance.levi import LEVI, VariationalAutoencoder


def linears(block: nn.Module) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the weights of a block's linear layers in order."""
    layers = [m for m in block.modules() if isinstance(m, nn.Linear)]
    return [(m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in layers]


def elu(v: np.ndarray) -> np.ndarray:
    return np.array([a if a > 0 else math.exp(a) - 1 for a in v])


def sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v))


def posterior_of_row(network: VariationalAutoencoder, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of one row's code, without dropout."""
    (w0, b0), (w1, b1), (w2, b2) = linears(network.encoder)
    out = w2 @ np.tanh(w1 @ elu(w0 @ np.concatenate([x, y]) + b0) + b1) + b2
    k = len(out) // 2
    return out[:k], np.log1p(np.exp(out[k:])) + 1e-8


def terms(levi: LEVI, network: VariationalAutoencoder, x: np.ndarray, y: np.ndarray, noise: np.ndarray, binary: bool) -> dict[str, float]:
    """Return the parts of the loss and their sum, without dropout."""
    (w0, b0), (w1, b1), (w2, b2) = linears(network.decoder)
    labels, divergence, features = [], [], []
    for i in range(len(x)):
        mean, deviation = posterior_of_row(network, x[i], y[i])
        code = mean + deviation * noise[i]
        decoded = w2 @ elu(w1 @ np.tanh(w0 @ code + b0) + b1) + b2
        if binary or levi.decoder == "sigmoid":
            decoded = sigmoid(decoded)
        p = sigmoid(code[len(code) - y.shape[1] :])
        labels += [-math.log(p[j]) if y[i, j] else -math.log(1 - p[j]) for j in range(y.shape[1])]
        divergence += [0.5 * (m**2 + s**2 - math.log(s**2) - 1) for m, s in zip(mean, deviation, strict=True)]
        for k in range(x.shape[1]):
            if binary:
                features.append(-math.log(decoded[k]) if x[i, k] else -math.log(1 - decoded[k]))
            else:
                features.append((x[i, k] - decoded[k]) ** 2)
    found = {name: sum(values) / len(values) for name, values in (("labels", labels), ("divergence", divergence), ("features", features))}
    found["total"] = levi.label_weight * found["labels"] + levi.kl_weight * found["divergence"] + levi.feature_weight * found["features"]
    return found


def distribution_of_row(network: VariationalAutoencoder, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the softmax of the sigmoid of the last means."""
    mean, _ = posterior_of_row(network, x, y)
    weights = np.exp(sigmoid(mean[len(mean) - len(y) :]))
    return weights / weights.sum()
