"""Scores made coherent level by level: no label above any of its ancestors, at a cost of batch times edges."""

from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from polytag.errors import ParameterError
from polytag.types import Array

How: TypeAlias = Literal["up", "down", "product"]
"""Ways to make scores coherent."""


class Constraint(nn.Module):
    """Brings scores of labels into line with their hierarchy, as a module that moves with its model and has no parameters.

    Three ways, with ``h`` the scores as they come and ``D(A)`` the label A and all its descendants:

    - ``up``: ``s_A = max of h_B over B in D(A)``; a label is at least as likely as anything below it. Works on logits and probabilities.
    - ``down``: ``s_A = min of h_B over A and its ancestors``; a label is at most as likely as anything above it. The same.
    - ``product``: ``s_A = h_A * min of s_P over the parents P of A``, for probabilities given that a parent holds.

    Args:
        child: Child of each edge, shape (edges,).
        parent: Parent of each edge.
        level: Longest path from the top to each label, shape (q,).
        height: Longest path from each label down, shape (q,).

    Cost: O(b edges) time and O(b q) memory; a few array operations for each level. Nothing of size (b, q, q) exists.

    Reference: for ``up``, the max constraint module: Giunchiglia and Lukasiewicz, "Coherent hierarchical multi-label classification
        networks", NeurIPS 2020.

    Differs: of equal descendants one passes the gradient on, where other forms split it.
    """

    def __init__(self, child: Array, parent: Array, level: Array, height: Array) -> None:
        super().__init__()
        self.q = len(level)
        self._up = self._plan("up", child, parent, height[parent])
        self._down = self._plan("down", parent, child, level[child])
        self.child: Tensor
        self.parent: Tensor
        for name, values in (("child", child), ("parent", parent)):
            self.register_buffer(name, torch.from_numpy(np.array(values, dtype=np.int64)), persistent=False)

    def forward(self, scores: Float[Tensor, "b q"], how: How = "up") -> Float[Tensor, "b q"]:
        """Return coherent scores; gradients flow to the label that supplied each of them.

        Raises:
            ParameterError: There is no such way.
        """
        if how == "up":
            return scores.gather(1, self.sources(scores))
        if how == "down":
            return scores.gather(1, self._sweep(scores, "down", None))
        if how == "product":
            return self._sweep_products(scores)
        raise ParameterError(f"expected how to be 'up', 'down' or 'product', but got {how!r}")

    def sources(self, scores: Float[Tensor, "b q"], y: Float[Tensor, "b q"] | None = None) -> Int[Tensor, "b q"]:
        """Return which label supplies the score of each label under ``up``.

        Args:
            scores: Logits or probabilities.
            y: Closed labels; with them a positive label takes scores of its positive descendants only, and an unknown one (NaN) neither
                gives nor takes.

        Returns:
            Numbers of labels, for ``scores.gather(1, ...)``; a label itself where no descendant is above it.
        """
        return self._sweep(scores, "up", y)

    def _sweep(self, scores: Tensor, way: Literal["up", "down"], y: Tensor | None) -> Tensor:
        """Walk through the levels, those first whose scores are final, and keep for each label where its extreme score came from."""
        sign = 1 if way == "up" else -1
        exact = torch.float64 if scores.dtype == torch.float64 else torch.float32
        best = (scores.detach().t().to(exact) * sign).contiguous()
        source = torch.arange(self.q, device=scores.device)[:, None].expand_as(best).clone()
        labels = None if y is None else y.t().contiguous()
        for giver, taker, slot, takers in self._steps(way):
            given = best[giver]
            if labels is not None:
                given = torch.where(labels[giver] == labels[taker], given, -torch.inf)
            own, where = best[takers], slot[:, None].expand_as(given)
            top = own.scatter_reduce(0, where, given, "amax")
            winner = torch.where(given == top[slot], source[giver], -1)
            other = torch.full_like(source[: len(takers)], -1).scatter_reduce(0, where, winner, "amax")
            source[takers] = torch.where((own >= top) | (other < 0), source[takers], other)
            best[takers] = top
        return source.t()

    def _sweep_products(self, scores: Tensor) -> Tensor:
        """Return each score times the lowest final score among its parents, top labels first."""
        final = scores.t()
        for giver, _, slot, takers in self._steps("down"):
            given = final[giver]
            ones = torch.ones_like(final[takers])
            lowest = ones.scatter_reduce(0, slot[:, None].expand_as(given), given, "amin")
            final = final.index_copy(0, takers, final[takers] * lowest)
        return final.t()

    def _plan(self, way: str, giver: Array, taker: Array, turn: Array) -> list[str]:
        """Store, for each turn, its edges (giver, taker, number of the taker within the turn) and its takers."""
        names = []
        for step in np.unique(turn):
            edges = np.flatnonzero(turn == step)
            takers, slot = np.unique(taker[edges], return_inverse=True)
            names.append(f"_{way}_{step}")
            for part, values in zip(("giver", "taker", "slot", "takers"), (giver[edges], taker[edges], slot, takers)):
                self.register_buffer(f"{names[-1]}_{part}", torch.from_numpy(values.astype(np.int64)), persistent=False)
        return names

    def _steps(self, way: str) -> Any:
        for name in self._up if way == "up" else self._down:
            yield tuple(getattr(self, f"{name}_{part}") for part in ("giver", "taker", "slot", "takers"))
