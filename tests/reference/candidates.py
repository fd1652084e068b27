"""Slow, obvious forms of the selectors that choose among candidates or leave rows out, with loops and by enumeration."""

import itertools
import math
import time

import numpy as np
import torch


def mean_bce(logits, y):
    """Return the mean binary cross-entropy of each row over the labels that are not NaN."""
    found = []
    for z_row, y_row in zip(logits.tolist(), y.tolist()):
        terms = [max(z, 0) - z * t + math.log1p(math.exp(-abs(z))) for z, t in zip(z_row, y_row) if not math.isnan(t)]
        found.append(sum(terms) / len(terms) if terms else 0.0)
    return np.array(found)


def best_rows(rows, scores, k):
    """Return the k candidates with the largest scores, largest first; of equals, the one that came first."""
    left, kept = list(range(len(rows))), []
    while len(kept) < k:
        best = left[0]
        for position in left:
            if scores[position] > scores[best]:
                best = position
        left.remove(best)
        kept.append(int(rows[best]))
    return kept


def best_of_pool_chances(scores, pool, k):
    """Return the chance of each tuple of k rows to be the best of ``pool`` uniform candidates."""
    chances = {}
    pools = list(itertools.permutations(range(len(scores)), pool))
    for rows in pools:
        kept = tuple(best_rows(rows, [scores[row] for row in rows], k))
        chances[kept] = chances.get(kept, 0.0) + 1 / len(pools)
    return chances


def cell_weights(logits, y, keep):
    """Return ``cells / kept`` at the hardest known cells, one cell after the other."""
    losses = {}
    for i, j in itertools.product(*map(range, y.shape)):
        if not math.isnan(y[i, j]):
            losses[i, j] = mean_bce(logits[i : i + 1, j : j + 1], y[i : i + 1, j : j + 1])[0]
    kept = max(1, round(keep * len(losses)))
    weights = np.zeros(y.shape)
    for cell in sorted(losses, key=lambda cell: (-losses[cell], cell))[:kept]:
        weights[cell] = len(losses) / kept
    return weights


def importance_chances(logits, y):
    """Return P over candidates."""
    scores = []
    for z_row, y_row in zip(logits.tolist(), y.tolist()):
        scores.append(math.sqrt(sum((1 / (1 + math.exp(-z)) - t) ** 2 for z, t in zip(z_row, y_row) if not math.isnan(t))))
    return np.array(scores) / sum(scores)


def gain(P):
    """Return tau as the paper writes it."""
    return 1 / math.sqrt(1 - sum((p - 1 / len(P)) ** 2 for p in P) / sum(p**2 for p in P))


def selective_backprop(losses, b, beta, history, rounds, passes, generator, batches):
    """Return some batches, the losses being fixed; ``passes`` yields orders of all rows, ``generator`` uniform numbers."""
    recent, waiting, found, order = [], [], [], []
    while len(found) < batches:
        refused, looks = {}, 0
        while len(waiting) < b and looks < rounds:
            rows = []
            while not rows:
                order = order or list(next(passes))
                rows, order = [row for row in order[:b] if row not in waiting], order[b:]
            looks += 1
            recent = (recent + [losses[row] for row in rows])[-history:]
            for row, chance in zip(rows, generator.random(len(rows))):
                refused.pop(row, None)
                if chance < (sum(loss <= losses[row] for loss in recent) / len(recent)) ** beta:
                    waiting.append(row)
                else:
                    refused[row] = losses[row]
        if len(waiting) < b:
            waiting += sorted(refused, key=lambda row: -refused[row])[: b - len(waiting)]
        found.append(waiting[:b])
        waiting = waiting[b:]
    return found


class Scripted:
    """A generator whose ``random`` returns given numbers, so that a test can go through all outcomes; the rest is a real one's."""

    def __init__(self, numbers):
        self.numbers, self.real = np.asarray(numbers, dtype=float), np.random.default_rng(0)

    def random(self, size):
        taken, self.numbers = self.numbers[:size], self.numbers[size:]
        assert len(taken) == size, "more chance was asked for than expected"
        return taken

    def permutation(self, rows):
        return self.real.permutation(rows)


def batches_of(selector, logits_of, steps):
    """Run some steps with candidates and updates; return batches and their weights."""
    found = []
    while len(found) < steps:
        for drawn in selector:
            rows = drawn
            while selector.screening:
                rows = selector.screen(rows, logits_of(rows))
            weights = selector.weights(rows)
            selector.update(rows, logits_of(rows))
            found.append((rows.tolist(), None if weights is None else weights.tolist()))
            if len(found) == steps:
                break
    return found


def seconds_a_step(selector, steps=30):
    """Return the median time of drawing a batch, candidates and update included; logits cost nothing."""
    q, times = selector.targets.index.q, []
    rows_of_epoch = iter(selector)
    for _ in range(steps):
        start = time.perf_counter()
        rows = next(rows_of_epoch)
        while selector.screening:
            rows = selector.screen(rows, torch.full((len(rows), q), 0.5))
        selector.weights(rows)
        selector.update(rows, torch.full((len(rows), q), 0.5))
        times.append(time.perf_counter() - start)
    return float(np.median(times))
