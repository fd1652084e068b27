"""Levels of a hierarchy as tasks: prototypes of their classes, units to compare them with, and how much each level weighs."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.losses import instance_weight

Aggregate: TypeAlias = Literal["instance_mean", "class_mean", "none"]
Weighting: TypeAlias = Literal["loss_softmax", "fixed", "uncertainty", "rate"]

_MANY = 1024
"""Classes of a level from which on only those in the batch are compared with the prototypes: one wait for the device, less memory."""


class Units(NamedTuple):
    """What a level is trained on: instances, or one unit for each class in the batch.

    Attributes:
        features: Shape (u, d).
        y: Share of the unit that has each class of the level, shape (u, classes); NaN for unknown. All unknown: the unit is left out.
        weight: How much each unit (u,) or each of its cells (u, classes) counts; ``None``: all the same.
    """

    features: Tensor
    y: Tensor
    weight: Tensor | None


class LevelTask(nn.Module):
    """One level: a learnt prototype for each class, compared with features by the cosine of their angle.

    Args:
        classes: Number of classes.
        width: Width of the features.
        temperature: What cosines are divided by.
        noise: Prototypes move by Uniform(-noise, noise) in each coordinate at each training step, and are brought to length 1 again.
        sigmoid: Ask yes or no for each class, by ``a cos + b`` with learnt a and b, in place of a softmax over the classes. A level of one
            class is always asked so, since a softmax over one class says nothing.
    """

    scale: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, classes: int, width: int, *, temperature: float = 0.1, noise: float = 0.01, sigmoid: bool = False) -> None:
        super().__init__()
        self.temperature, self.noise, self.sigmoid = temperature, noise, sigmoid or classes == 1
        self.prototypes = nn.Parameter(0.01 * torch.randn(classes, width))
        self.register_parameter("scale", nn.Parameter(torch.tensor(1 / temperature)) if self.sigmoid else None)
        self.register_parameter("bias", nn.Parameter(torch.zeros(())) if self.sigmoid else None)

    def directions(self, disturb: bool = False) -> Float[Tensor, "classes d"]:
        """Return the prototypes with length 1; disturbed ones are drawn anew at each call."""
        found = functional.normalize(self.prototypes, dim=1)
        if not disturb or not self.noise:
            return found
        return functional.normalize(found + self.noise * (2 * torch.rand_like(found) - 1), dim=1)

    def scores(self, features: Float[Tensor, "u d"], disturb: bool = False) -> Float[Tensor, "u classes"]:
        """Return what goes into softmax or sigmoid."""
        cosines = features @ self.directions(disturb).T
        if self.scale is not None and self.bias is not None:
            return self.scale * cosines + self.bias
        return cosines / self.temperature

    def log_odds(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b classes"]:
        """Return logits whose sigmoid is the probability of each class."""
        scores = self.scores(features)
        return scores if self.sigmoid else softmax_log_odds(scores)

    def loss(self, units: Units) -> tuple[Float[Tensor, ""], Bool[Tensor, ""]]:
        """Return the mean loss of the units that say something about this level (0 if none does), and whether there are any.

        By softmax, a unit costs the cross-entropy between the even distribution over its positives and the softmax over all classes but
        the unknown ones; units without positives are left out. By sigmoid, each known cell costs its binary cross-entropy.
        """
        scores, y = self.scores(units.features, self.training), units.y
        if self.sigmoid:
            counted = ~y.isnan()
            terms = functional.softplus(scores) - scores * y.masked_fill(~counted, 0.0)
            weight = units.weight if units.weight is None or units.weight.ndim == 2 else units.weight[:, None]
        else:
            positive = y == 1
            counted = positive.any(dim=1)
            log = scores.masked_fill(y.isnan() & counted[:, None], -torch.inf).log_softmax(dim=1)
            terms = -log.where(positive, 0.0).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
            weight = None if units.weight is None else instance_weight(units.weight)
        terms = terms if weight is None else terms * weight.to(terms)
        return terms.where(counted, 0.0).sum() / counted.sum().clamp(min=1), counted.any()


def softmax_log_odds(scores: Float[Tensor, "b classes"]) -> Float[Tensor, "b classes"]:
    """Return ``log(p / (1 - p))`` of a softmax over at least two classes, exact also where a probability is close to 1.

    Example:
        >>> softmax_log_odds(torch.tensor([[1.0, 0.0]])).round(decimals=4).tolist()
        [[1.0, -1.0]]
    """
    top = torch.zeros_like(scores, dtype=torch.bool).scatter(1, scores.argmax(dim=1, keepdim=True), True)
    others = scores.masked_fill(top, -torch.inf).logsumexp(dim=1, keepdim=True)
    log = scores.log_softmax(dim=1)
    return torch.where(top, scores - others, log - torch.log1p(-log.masked_fill(top, -torch.inf).exp()))


def class_units(
    features: Float[Tensor, "b d"],
    y: Float[Tensor, "b classes"],
    weight: Float[Tensor, "b classes"] | None,
    *,
    sigmoid: bool,
    means: Float[Tensor, "classes d"] | None = None,
) -> Units:
    """Return one unit for each class in the batch: the mean over the instances that have it, which is not brought to length 1 again.

    The target of a unit is its class. For a sigmoid it is, class by class, the share of these instances that have it, and the instances
    that have no class of the level make up one more unit, without which nothing would say no to all of them.

    Args:
        features: Of the instances.
        y: Labels of the level; NaN for unknown.
        weight: How much each cell counts, also in the means.
        sigmoid: Whether the level is asked yes or no for each class.
        means: Features of the units of the classes, in place of the means.

    Cost: O(b classes d + classes^2 d); for a level of more than 1024 classes, of which p are in the batch, O(b classes d + p classes d).
    """
    held, known = (y == 1).to(features), (~y.isnan()).to(features)
    if sigmoid:
        none = ((held.sum(dim=1) == 0) & (known.sum(dim=1) > 0)).to(features)
        held = torch.cat([held, none[:, None]], dim=1)
    counts = held if weight is None else held * (weight if not sigmoid else torch.cat([weight, weight.mean(1, keepdim=True)], 1)).to(held)
    present, total, rows = held.sum(dim=0) > 0, counts.sum(dim=0), held.sum(dim=0)
    found = _means(counts, features)
    if means is not None:
        found = torch.cat([means, found[len(means) :]])
    if sigmoid:
        asked = counts.T @ known
        target = (counts.T @ y.nan_to_num(nan=0.0).to(features) / asked.clamp(min=_tiny(asked))).masked_fill(asked == 0, torch.nan)
    else:
        target = torch.eye(y.shape[1], dtype=features.dtype, device=y.device).masked_fill(~present[:, None], torch.nan)
    units = Units(found, target, None if weight is None else total / rows.clamp(min=1))
    if y.shape[1] <= _MANY:
        return units
    kept = present.nonzero().flatten()
    return Units(found[kept], target[kept], None if units.weight is None else units.weight[kept])


def class_means(
    features: Float[Tensor, "b d"], y: Float[Tensor, "b q"], weight: Float[Tensor, "b q"] | None, edges: Sequence[Int[Tensor, "2 m"]]
) -> Float[Tensor, "q d"]:
    """Return for each label the mean over its children in the batch, from the bottom up; instances that stop at it are one more child.

    Args:
        features: Of the instances.
        y: Labels; NaN for unknown.
        weight: How much each cell counts in the means.
        edges: Child and parent of the edges, those of the deepest children last.

    Cost: O(b q d + edges (b + d)).

    Example:
        >>> f, y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 1, 0], [1, 1, 0], [1, 0, 1]])
        >>> class_means(f, y, None, [torch.tensor([[1, 2], [0, 0]])])[0].tolist()
        [0.5, 0.5]
    """
    held = (y == 1).to(features)
    below = torch.zeros_like(held)
    for child, parent in edges:
        below = below.index_add(1, parent, held[:, child])
    direct = held * (below == 0).to(held)
    direct = direct if weight is None else direct * weight.to(held)
    members = (direct.sum(dim=0) > 0).to(held)
    sums = _means(direct, features)
    for child, parent in reversed(edges):
        given = members[child].clamp(max=1)
        sums = sums.index_add(0, parent, sums[child] / members[child].clamp(min=1)[:, None])
        members = members.index_add(0, parent, given)
    return sums / members.clamp(min=1)[:, None]


class LevelWeights(nn.Module):
    """Adds up the losses of the levels, and says how much each counts.

    - ``loss_softmax``: ``lambda = softmax(L / gamma)`` of the losses of this batch, without gradient: the worst level counts most.
    - ``fixed``: numbers that stay.
    - ``uncertainty``: ``1/m sum_k exp(-theta_k) L_k + sum_k theta_k`` with learnt theta.
    - ``rate``: ``softmax(L_k(t) / L_k(t - 1))`` of the mean losses of the last two epochs: the level that improves least counts most. An
      epoch has passed when as many instances went by in training as there are training rows; the first two weigh all levels equally.

    A level about which no instance of the batch says anything has no weight (with ``fixed``: a loss of 0).

    Args:
        levels: Number of levels.
        rule: One of these.
        gamma: Softness of ``loss_softmax``.
        fixed: The weights for ``fixed``, from the top level down; ``None``: ``1 / levels`` each.
        rows: Number of training rows, for ``rate``.

    Raises:
        ParameterError: The rule does not exist, or its numbers make no sense.
    """

    theta: nn.Parameter | None
    fixed: Tensor
    sums: Tensor
    steps: Tensor
    seen: Tensor
    last: Tensor
    before: Tensor

    def __init__(self, levels: int, rule: Weighting, *, gamma: float = 0.5, fixed: Sequence[float] | None = None, rows: int = 0) -> None:
        super().__init__()
        if rule not in ("loss_softmax", "fixed", "uncertainty", "rate") or not gamma > 0:
            raise ParameterError(
                f"expected weighting 'loss_softmax', 'fixed', 'uncertainty' or 'rate' and gamma > 0, but got weighting={rule!r}, {gamma=}"
            )
        given = torch.tensor([1 / levels] * levels if fixed is None else list(fixed), dtype=torch.float32)
        if len(given) != levels or not bool((given >= 0).all()):
            raise ParameterError(f"expected {levels} level_weights of at least 0, from the top level down, but got {fixed!r}")
        self.rule, self.gamma, self.rows = rule, gamma, rows
        self.register_buffer("fixed", given, persistent=False)
        self.register_parameter("theta", nn.Parameter(torch.zeros(levels)) if rule == "uncertainty" else None)
        if rule == "rate":
            for name in ("sums", "steps", "last", "before"):
                self.register_buffer(name, torch.zeros(levels))
            self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(
        self, losses: Float[Tensor, "m"], present: Bool[Tensor, "m"], instances: int
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "m"]]:
        """Return the loss of all levels, and the weights.

        Args:
            losses: Of each level.
            present: Whether the batch says anything about it.
            instances: Instances in the batch.
        """
        if self.theta is not None:
            theta, weights = self.theta, (-self.theta).exp() / len(losses)
            return (torch.where(present, weights * losses + theta, 0.0)).sum(), weights.detach()
        if self.rule == "fixed":
            return self.fixed.to(losses) @ losses, self.fixed.to(losses)
        scores = losses.detach() / self.gamma if self.rule == "loss_softmax" else self._rates(losses.detach(), present, instances)
        weights = scores.masked_fill(~present & present.any(), -torch.inf).softmax(dim=0)
        return weights @ losses, weights

    def _rates(self, losses: Tensor, present: Tensor, instances: int) -> Tensor:
        """Return loss by former loss of each level, 1 where it is not known yet; in training, count the batch."""
        rates = torch.where((self.before > 0) & (self.last > 0), self.last / self.before, 1.0).to(losses)
        if self.training:
            sums, steps, seen = self.sums + losses.to(self.sums), self.steps + present.to(self.steps), self.seen + instances
            over = seen >= self.rows
            known = over & (steps > 0)  # a level that an epoch says nothing about keeps what is known of it
            self.before.copy_(torch.where(known, self.last, self.before))
            self.last.copy_(torch.where(known, sums / steps.clamp(min=1), self.last))
            self.sums.copy_(torch.where(over, 0.0, sums))
            self.steps.copy_(torch.where(over, 0.0, steps))
            self.seen.copy_(torch.where(over, 0, seen))
        return rates


def _means(counts: Float[Tensor, "b u"], features: Float[Tensor, "b d"]) -> Float[Tensor, "u d"]:
    """Return the weighted mean of the features for each column of counts; 0 where nothing counts."""
    total = counts.sum(dim=0)
    return (counts.T @ features) / total.clamp(min=_tiny(total))[:, None]


def _tiny(values: Tensor) -> float:
    return float(torch.finfo(values.dtype).tiny)
