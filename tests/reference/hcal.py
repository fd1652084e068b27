"""HCAL as one reads it: loops over levels, classes and instances, with names instead of columns."""

import math

import torch
from torch import Tensor

from polytag.hierarchy import Hierarchy
from polytag.models import HCAL


def losses(model: HCAL, hierarchy: Hierarchy, features: Tensor, y: Tensor) -> list[float]:
    """Return the loss of each level, from the top down, by softmax and without disturbance; y has no unknown cells."""
    found = []
    for level in range(1, hierarchy.depth + 1):
        classes = [c for c in range(hierarchy.q) if hierarchy.levels[c] == level]
        prototypes = [p / p.norm() for p in model.tasks[level - 1].prototypes]
        units = []
        if level == hierarchy.depth or model.aggregate == "none":
            units = [(features[i], [c for c in classes if y[i, c] == 1]) for i in range(len(y))]
        else:
            for c in classes:
                mean = class_feature(model.aggregate, hierarchy, features, y, c)
                units += [] if mean is None else [(mean, [c])]
        terms = [cross_entropy(unit, prototypes, [classes.index(c) for c in held]) for unit, held in units if held]
        found.append(sum(terms) / len(terms) if terms else 0.0)
    return found


def class_feature(aggregate: str, hierarchy: Hierarchy, features: Tensor, y: Tensor, c: int) -> Tensor | None:
    """Return the feature of a class in a batch, or ``None`` if nobody has it."""
    having = [i for i in range(len(y)) if y[i, c] == 1]
    if not having:
        return None
    if aggregate == "instance_mean":
        return torch.stack([features[i] for i in having]).mean(0)
    children = [int(child) for child, parent in hierarchy.edges if parent == c]
    means = [class_feature(aggregate, hierarchy, features, y, child) for child in children]
    stopping = [features[i] for i in having if not any(y[i, child] == 1 for child in children)]
    members = [mean for mean in means if mean is not None] + ([torch.stack(stopping).mean(0)] if stopping else [])
    return torch.stack(members).mean(0)


def cross_entropy(feature: Tensor, prototypes: list[Tensor], held: list[int]) -> float:
    """Return the cross-entropy between the even distribution over the held classes and the softmax of the cosines over 0.1."""
    scores = [(feature @ p).item() / 0.1 for p in prototypes]
    total = math.log(sum(math.exp(s) for s in scores))
    return sum(total - scores[c] for c in held) / len(held)


def total(losses: list[float], gamma: float = 0.5) -> float:
    """Return the sum of the losses, each times its softmax weight."""
    raised = [math.exp(loss / gamma) for loss in losses]
    return sum(r / sum(raised) * loss for r, loss in zip(raised, losses))


def decide(hierarchy: Hierarchy, scores: Tensor, how: str) -> list[set[int]]:
    """Return the labels of each row where each level has one class: ``independent``, ``top_down`` or ``bottom_up``."""
    at = {level: [c for c in range(hierarchy.q) if hierarchy.levels[c] == level] for level in range(1, hierarchy.depth + 1)}
    parents = {c: {int(p) for child, p in hierarchy.edges if child == c} for c in range(hierarchy.q)}
    rows = []
    for score in scores.tolist():
        chosen: set[int] = set()
        if how == "bottom_up":
            frontier = {max(at[hierarchy.depth], key=lambda c: score[c])}
            while frontier:
                chosen |= frontier
                frontier = {p for c in frontier for p in parents[c]}
        else:
            for level in sorted(at):
                allowed = [c for c in at[level] if how == "independent" or parents[c] <= chosen]
                chosen |= {max(allowed, key=lambda c: score[c])} if allowed else set()
        rows.append(chosen)
    return rows
