"""Scores made coherent level by level: no label above any of its ancestors, at a cost of batch times edges."""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from polytag.errors import DataError, ParameterError
from polytag.hierarchy.products import products
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

    Cost: O(b edges + b q log(levels)) time and O(b (q + edges)) memory, whatever the number of levels; two array operations for each level,
        so that a chain of 100 000 labels takes seconds (``product``, with more operations, minutes). Nothing of size (b, q, q) exists.

    Reference: for ``up``, the max constraint module: Giunchiglia and Lukasiewicz, "Coherent hierarchical multi-label classification
        networks", NeurIPS 2020.

    Differs: of equal descendants one passes the gradient on, where other forms split it.
    """

    def __init__(self, child: Array, parent: Array, level: Array, height: Array) -> None:
        super().__init__()
        self.q = len(level)
        self.child: Tensor
        self.parent: Tensor
        self.register_buffer("child", _numbers(child), persistent=False)
        self.register_buffer("parent", _numbers(parent), persistent=False)
        self._sizes = {"up": self._plan("up", child, parent, height[parent]), "down": self._plan("down", parent, child, level[child])}
        self._jumps = int(max(level, default=0)).bit_length()

    def forward(self, scores: Float[Tensor, "b q"], how: How = "up") -> Float[Tensor, "b q"]:
        """Return coherent scores; gradients flow to the label that supplied each of them.

        Raises:
            ParameterError: There is no such way.
            DataError: The scores have not one column for each label.
        """
        if how == "up":
            return scores.gather(1, self.sources(scores))
        self._fits(scores)
        if how == "down":
            return scores.gather(1, self._sources(-_exact(scores.detach()), "down"))
        if how == "product":
            return products(_exact(scores), list(self._steps("down"))).to(scores.dtype)
        raise ParameterError(f"expected how to be 'up', 'down' or 'product', but got {how!r}")

    def sources(self, scores: Float[Tensor, "b q"]) -> Int[Tensor, "b q"]:
        """Return which label supplies the score of each label under ``up``.

        Args:
            scores: Logits or probabilities.

        Returns:
            Numbers of labels, for ``scores.gather(1, ...)``; a label itself where no descendant is above it.

        Raises:
            DataError: The scores have not one column for each label.
        """
        self._fits(scores)
        return self._sources(_exact(scores.detach()), "up")

    def _fits(self, scores: Tensor) -> None:
        if scores.ndim != 2 or scores.shape[1] != self.q:
            raise DataError(f"expected scores of shape (b, {self.q}), one column for each label, but got {tuple(scores.shape)}")

    def _sources(self, own: Tensor, way: Literal["up", "down"]) -> Tensor:
        """Return where the largest score that reaches each label came from.

        Values go first, those that are final before those that they reach; then each label points to the giver that it has its value
        from, or to itself, and pointers to pointers are followed until they end.

        Args:
            own: Scores (b, q).
            way: Who gives: ``"up"`` children, ``"down"`` parents.
        """
        own = own.t().contiguous()
        giver, taker = getattr(self, f"{way}_giver"), getattr(self, f"{way}_taker")
        best, places = own.clone(), taker[:, None].expand(-1, own.shape[1])
        edges = self._sizes[way][0]
        for givers, where in zip(torch.split(giver, edges), torch.split(places, edges)):
            best.scatter_reduce_(0, where, best.index_select(0, givers), "amax")
        reached = best.index_select(0, taker)
        gives = (best.index_select(0, giver) == reached) & (own.index_select(0, taker) < reached)
        found = torch.full_like(best, -1, dtype=torch.int64)
        found.scatter_reduce_(0, places, torch.where(gives, giver[:, None], -1), "amax")
        itself = torch.arange(self.q, device=own.device)[:, None]
        pointer = torch.where(found < 0, itself, found).t().contiguous()
        for _ in range(self._jumps):
            pointer = pointer.gather(1, pointer)
        return pointer

    def _plan(self, way: str, giver: Array, taker: Array, turn: Array) -> tuple[list[int], list[int]]:
        """Store the edges turn by turn, and in each turn by taker; return how many edges and how many takers each turn has."""
        order = np.lexsort((taker, turn))
        giver, taker, turn = giver[order], taker[order], turn[order]
        turns, first, edges = np.unique(turn, return_index=True, return_counts=True)
        new = np.ones(len(order), dtype=bool)
        new[1:] = (taker[1:] != taker[:-1]) | (turn[1:] != turn[:-1])
        rank = np.cumsum(new) - 1
        parts = {"giver": giver, "taker": taker, "slot": rank - np.repeat(rank[first], edges), "takers": taker[new]}
        for part, values in parts.items():
            self.register_buffer(f"{way}_{part}", _numbers(values), persistent=False)
        return edges.tolist(), np.bincount(np.searchsorted(turns, turn[new]), minlength=len(turns)).tolist()

    def _steps(self, way: Literal["up", "down"]) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Walk through the turns: giver and taker of each edge, number of the taker within the turn, and the takers of the turn."""
        edges, takers = self._sizes[way]
        sizes = {"giver": edges, "taker": edges, "slot": edges, "takers": takers}
        yield from zip(*(torch.split(getattr(self, f"{way}_{part}"), size) for part, size in sizes.items()))


def _exact(scores: Tensor) -> Tensor:
    """Return the scores in a type that compares and multiplies them without loss."""
    return scores.to(torch.float64 if scores.dtype == torch.float64 else torch.float32)


def _numbers(values: Array) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.int64))
