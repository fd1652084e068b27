"""The losses written out one cell and one pair at a time, from the papers: slow, obvious, for small inputs."""

import math
from collections.abc import Callable, Sequence

import numpy as np

Row = Sequence[float]
Array = np.ndarray


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def cells(logits: Array, y: Array, cost: Callable[[int, int, float, bool], float]) -> Array:
    """Apply a cost (row, column, logit, positive) to every known cell; 0 in the others."""
    out = np.zeros(logits.shape)
    for i, j in np.ndindex(*logits.shape):
        if not math.isnan(y[i, j]):
            out[i, j] = cost(i, j, float(logits[i, j]), y[i, j] == 1)
    return out


def focal(x: float, positive: bool, gamma: float, alpha: float | None = None) -> float:
    right = sigmoid(x if positive else -x)
    side = 1.0 if alpha is None else alpha if positive else 1 - alpha
    return side * sigmoid(-x if positive else x) ** gamma * -math.log(right)


def effective_number_weight(n: float, beta: float) -> float:
    return (1 - beta) / (1 - beta ** max(n, 1))


def class_balanced(logits: Array, y: Array, counts: Row, beta: float, mode: str, normalize: bool, gamma: float) -> Array:
    w = [effective_number_weight(n, beta) for n in counts]
    norm = len(w) / sum(w) if normalize else 1.0

    def weight(i: int, j: int) -> float:
        mine = [k for k in range(len(counts)) if y[i, k] == 1]
        if mode == "by_class":
            return norm * w[j]
        if not mine:
            return 1.0
        if mode == "average_w":
            return norm * sum(w[k] for k in mine) / len(mine)
        numbers = [max(counts[k], 1) for k in mine]
        return norm * effective_number_weight(sum(numbers) / len(mine) if mode == "average_n" else min(numbers), beta)

    return cells(logits, y, lambda i, j, x, positive: weight(i, j) * focal(x, positive, gamma))


def rebalanced(y: Array, counts: Row, lift: float, steepness: float, centre: float) -> Array:
    out = np.empty(y.shape)
    for i, j in np.ndindex(*y.shape):
        chance = sum(1 / max(counts[k], 1) for k in range(len(counts)) if y[i, k] == 1)
        out[i, j] = lift + (sigmoid(steepness * (1 / max(counts[j], 1) / chance - centre)) if chance else 1.0)
    return out


def prior_shift(counts: Row, n: int, kappa: float) -> list[float]:
    shares = [min(max(c / n, 0.5 / n), 1 - 0.5 / n) for c in counts]
    return [kappa * math.log(p / (1 - p)) for p in shares]


def negative_tolerant(logits: Array, y: Array, shift: Row, scale: float, gamma: float, divide: bool = True) -> Array:
    def cost(i: int, j: int, x: float, positive: bool) -> float:
        z = x + shift[j]
        return focal(z, True, gamma) if positive else focal(scale * z, False, gamma) / (scale if divide else 1)

    return cells(logits, y, cost)


def asymmetric(logits: Array, y: Array, gamma_neg: float, gamma_pos: float, margin: float) -> Array:
    def cost(i: int, j: int, x: float, positive: bool) -> float:
        p = sigmoid(x)
        if positive:
            return (1 - p) ** gamma_pos * -math.log(p)
        kept = max(p - margin, 0.0)
        return kept**gamma_neg * -math.log(1 - kept if margin else sigmoid(-x))

    return cells(logits, y, cost)


def sides(scores: Row, y: Row) -> tuple[list[float], list[float]]:
    """Return the scores of the relevant and of the irrelevant labels of one instance."""
    pairs = list(zip(scores, y, strict=True))
    return [s for s, v in pairs if v == 1], [s for s, v in pairs if v == 0]


def instances(logits: Array, y: Array, cost: Callable[[list[float], list[float]], float]) -> Array:
    return np.array([cost(*sides(s.tolist(), v.tolist())) for s, v in zip(logits, y, strict=True)])


def balanced_softmax(up: list[float], down: list[float]) -> float:
    return math.log(1 + sum(math.exp(x) for x in down)) + math.log(1 + sum(math.exp(-x) for x in up))


def pairwise_exponential(up: list[float], down: list[float], scale: float) -> float:
    pairs = [math.exp(-scale * (p - n)) for p in up for n in down]
    return sum(pairs) / len(pairs) if pairs else 0.0


def lsep(up: list[float], down: list[float]) -> float:
    return math.log(1 + sum(math.exp(n - p) for p in up for n in down))


def hinge(up: list[float], down: list[float], margin: float) -> float:
    pairs = [max(0.0, margin - (p - n)) for p in up for n in down]
    return sum(pairs) / len(pairs) if pairs else 0.0


def warp(up: list[float], down: list[float], margin: float) -> float:
    """Sum up the draws: the first violation at draw t, with each of the violating labels equally likely."""
    most, total = len(up) + len(down) - 1, 0.0
    for p in up:
        short = [margin - (p - n) for n in down if margin - (p - n) > 0]
        if not short:
            continue
        found = len(short) / len(down)
        for t in range(1, most + 1):
            weight = sum(1 / r for r in range(1, most // t + 1))
            total += found * (1 - found) ** (t - 1) * weight * sum(short) / len(short)
    return total
