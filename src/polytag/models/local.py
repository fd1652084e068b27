"""Local classifiers in one network: each label learns from the rows that its place in the hierarchy allots to it."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.hierarchy import Hierarchy
from polytag.hierarchy.lessons import Lessons, check_policy
from polytag.losses import BCE
from polytag.losses.base import at_least_float32
from polytag.models.base import Objective
from polytag.models.network_inside import NetworkInside, network_or
from polytag.nn import linear, mlp_block
from polytag.registry import register
from polytag.types import Array, Batch


@register("model", "local")
class Local(NetworkInside):
    """Asks of each label a question that supposes its parents, and trains it on the rows where the question makes sense.

    One network gives a logit z_A for each label, ``h_A = sigmoid(z_A)``; a mask says which rows teach which label. With
    ``per="parent"`` these are the rows that have a parent of A (all rows for a label at the top), so that h_A is the probability of A
    given that a parent holds; with ``per="node"`` those that ``policy`` picks. The score of A is ``h_A * min of s_P over its parents P``:
    coherent by itself. ``per="level"`` is a network for each level, trained on all rows, and a closure. The loss is the binary
    cross-entropy of h over the cells of the mask, divided by the number of known cells; on a tree, ``per="parent"`` thereby maximises the
    likelihood of the label set.

    Args:
        d: Number of features.
        q: Number of labels.
        hierarchy: Over the q labels; ``from_data`` takes it from the data.
        per: ``"parent"``, ``"node"`` or ``"level"``.
        policy: For ``per="node"``: which rows teach a label, see ``polytag.hierarchy.Lessons.by_policy``.
        hidden: Width of each hidden layer.
        layers: Number of hidden layers.
        dropout: Dropout after each of them.
        network: What gives the logits instead: the name of a model, or a network (of which a copy is taken) that returns (b, q); not for
            ``per="level"``. ``None``: a perceptron; through ``from_data`` ``"xmlcnn"`` for tokens and ``"small_cnn"`` for pictures.
        network_params: Parameters of the named model; they win over the next.
        network_context: What the named model takes from the data; ``from_data`` fills this in.
        closure: For ``per="level"``: ``"up"`` or ``"down"`` (see ``Hierarchy.constrain``).

    Raises:
        ParameterError: A parameter makes no sense.
        DataError: The network does not read this kind of data, or there is no hierarchy over q labels.

    Cost: that of the network (of one for each level with ``per="level"``) and O(b (q + edges)), in place of q models.

    Reference: Silla and Freitas, "A survey of hierarchical classification across different application domains", Data Mining and Knowledge
        Discovery 2011; for the policies: Eisner, Poulin, Szafron, Lu and Greiner, "Improving protein function prediction using the
        hierarchical structure of the gene ontology", CIBCB 2005.

    Differs: one network with masks in place of separate models, several labels a row, and graphs. All cells of the mask weigh the same, so
        a label with few rows has a small part in the loss. A cell whose place is unknown (NaN) costs nothing. Rows that stop at a parent
        say nothing under the two sibling policies, and a label without siblings has no negatives there; exact rows make h small for labels
        that are rarely the most specific. The policies are here to be compared with; ``per="parent"`` is the choice that adds up.

    Example:
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")])
        >>> scores = Local(4, 3, hierarchy=h, hidden=8).eval()(torch.zeros(2, 4))
        >>> bool((scores[:, :1] >= scores[:, 1:]).all())
        True
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"lr": 1e-4, "weight_decay": 1e-5, "batch_size": 4, "epochs": 200, "patience": 20}
    NEEDS_HIERARCHY: ClassVar[bool] = True

    def __init__(
        self,
        d: int,
        q: int,
        *,
        hierarchy: Any,
        per: Literal["parent", "node", "level"] = "parent",
        policy: str = "siblings",
        hidden: int = 500,
        layers: int = 2,
        dropout: float = 0.7,
        network: str | nn.Module | None = None,
        network_params: Mapping[str, Any] | None = None,
        network_context: Mapping[str, Any] | None = None,
        closure: Literal["up", "down"] = "up",
    ) -> None:
        super().__init__()
        if hidden < 1 or layers < 1 or not 0 <= dropout < 1:
            raise ParameterError(f"expected hidden >= 1, layers >= 1 and 0 <= dropout < 1, but got {hidden=}, {layers=}, {dropout=}")
        check_policy(policy)
        if per not in ("parent", "node", "level") or closure not in ("up", "down"):
            raise ParameterError(f"expected per 'parent', 'node' or 'level', and closure 'up' or 'down', but got {per=}, {closure=}")
        if network is not None and per == "level":
            raise ParameterError("expected no network for per='level', which has a perceptron for each level; take per='parent' or 'node'")
        labels = Hierarchy.of(hierarchy, q=q)
        self.per, self.policy, self.closure, self.bce = per, policy, closure, BCE()
        self.constraint = LogProduct(labels)
        sizes = [d, *[hidden] * layers]

        def own() -> nn.Module:
            return _Levels(sizes, labels.by_level, dropout) if per == "level" else _perceptron(sizes, q, dropout)

        self.network = network_or(own, network, network_params, network_context, d, q)

    def forward(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b q"]:
        """Return the logits of the scores."""
        return self._scores(at_least_float32(self.network(x)))

    def objective(self, batch: Batch) -> Objective:
        """Return the masked cross-entropy, and the logits of the scores, of which the loss is no function."""
        logits = at_least_float32(self.network(batch.x))
        target, taught = self.lessons(batch.y)
        cells = taught.to(logits.dtype)
        if batch.weight is not None:
            cells = cells * (batch.weight[:, None] if batch.weight.ndim == 1 else batch.weight)
        known = batch.y.isnan().logical_not().sum().clamp(min=1)
        return Objective((self.bce.terms(logits, target) * cells).sum() / known, self._scores(logits.detach()))

    def lessons(self, y: Float[Tensor, "b q"]) -> tuple[Float[Tensor, "b q"], Bool[Tensor, "b q"]]:
        """Return what each label is to learn from each row, 0 or 1, and whether it learns from it at all.

        Args:
            y: Closed labels; NaN = unknown.

        Cost: O(b (q + edges)).
        """
        known, present = ~y.isnan(), y == 1
        if self.per == "level":
            return present.to(y.dtype), known
        if self.per == "parent":
            return present.to(y.dtype), known & (self.constraint.any_parent(present) | self.constraint.top)
        target, taught = self.constraint.by_policy(y, self.policy)
        return target.to(y.dtype), taught

    def _scores(self, logits: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        if self.per == "level":
            return self.constraint(logits, self.closure)  # type: ignore[no-any-return]
        return self.constraint.logits(logits)


class LogProduct(Lessons):
    """The constraint, with the product taken on logits.

    Args:
        labels: The hierarchy.

    Example:
        >>> LogProduct(Hierarchy.from_edges([("a", "b")])).logits(torch.zeros(1, 2)).sigmoid()
        tensor([[0.5000, 0.2500]])
    """

    def logits(self, logits: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the logits of ``s_A = sigmoid(z_A) * min of s_P over the parents P of A``, at most 87 in single precision.

        Cost: O(b edges) time and O(b q depth) memory with gradients; sums of logarithms, so that deep labels do not underflow.
        """
        final = functional.logsigmoid(logits).t()
        for giver, _, slot, takers in self._steps("down"):
            given = final[giver]
            most = torch.zeros_like(final[takers]).scatter_reduce(0, slot[:, None].expand_as(given), given, "amin")
            final = final.index_copy(0, takers, final[takers] + most)
        final = final.t().clamp(max=-torch.finfo(final.dtype).tiny)
        # Rounding may part scores by a last digit in the wrong direction; the closure puts that right.
        return self(final - torch.log(-torch.expm1(final)), "down")  # type: ignore[no-any-return]


class _Levels(nn.Module):
    """A perceptron for each level, their outputs in the order of the labels.

    Args:
        sizes: Widths of input and hidden layers.
        by_level: Numbers of the labels of each level.
        dropout: Dropout after each hidden layer.
    """

    place: Tensor

    def __init__(self, sizes: list[int], by_level: Sequence[Array], dropout: float) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_perceptron(sizes, len(labels), dropout) for labels in by_level)
        self.register_buffer("place", torch.from_numpy(np.argsort(np.concatenate(by_level))), persistent=False)

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits."""
        return torch.cat([part(x) for part in self.parts], dim=1)[:, self.place]


def _perceptron(sizes: list[int], out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(mlp_block(sizes, dropout=dropout), linear(sizes[-1], out, "none"))
