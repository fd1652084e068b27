"""A tree or a directed acyclic graph over labels, as one immutable value."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse

from polytag.errors import DataError
from polytag.hierarchy import labels
from polytag.hierarchy.constraint import Constraint, How
from polytag.hierarchy.forms import Forms
from polytag.hierarchy.graph import adjacency, contracted, find_cycle, longest_paths, reachable
from polytag.types import Array, ArrayLike


@dataclass(frozen=True, eq=False)
class Hierarchy(Forms):
    """Which label implies which: whoever has a label has all its ancestors.

    Build one with ``from_edges``, ``from_parents``, ``from_paths``, ``from_levels`` or ``from_obo``, or from a file with
    ``read_hierarchy``; a label may have several parents, or none, and parts need not be
    connected. There is no artificial root.

    Args:
        names: Name of each of the q labels, in the order of the columns of Y.
        edges: Numbers of (child, parent), shape (m, 2); repeated ones count once.

    Raises:
        DataError: There is no label, a name is empty or stands twice, an edge leads to a label that does not exist, or edges form a cycle.

    Cost: O(q + m) time and memory; what is larger (``ancestors``) is computed when it is asked for.

    Example:
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")])
        >>> h.names, h.levels.tolist(), h.is_tree
        (('animal', 'cat', 'dog'), [1, 2, 2], True)
        >>> h.close([[0, 1, 0]])
        array([[1, 1, 0]])
    """

    names: tuple[str, ...]
    edges: Array

    def __post_init__(self) -> None:
        names = tuple(str(name) for name in self.names)
        pairs = np.asarray(self.edges)
        if pairs.size and (pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu"):
            raise DataError(f"expected edges as whole numbers (child, parent) of shape (m, 2), but got {pairs.dtype} {pairs.shape}")
        edges = np.unique(pairs.astype(np.int64).reshape(-1, 2), axis=0)
        edges.setflags(write=False)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "edges", edges)
        _checked(names, edges)
        if (self._above < 0).any():
            cycle = find_cycle(self.q, *self.edges.T)
            shown = [names[node] for node in cycle[:20]] + ([f"... ({len(cycle) - 20} more)"] if len(cycle) > 20 else [])
            loop = " -> ".join([*shown, names[cycle[0]]])
            raise DataError(f"expected a hierarchy without cycles, but got {loop} (each below the next); remove one of these edges")

    @property
    def q(self) -> int:
        """Number of labels."""
        return len(self.names)

    @property
    def levels(self) -> Array:
        """Level of each label, shape (q,): 1 at the top, else 1 + the longest path to the top."""
        return self._above + 1

    @property
    def depth(self) -> int:
        """Number of levels."""
        return int(self.levels.max())

    @cached_property
    def by_level(self) -> tuple[Array, ...]:
        """Numbers of the labels of each level, the top level first."""
        order = np.argsort(self.levels, kind="stable")
        order.setflags(write=False)
        return tuple(np.split(order, np.cumsum(np.bincount(self.levels)[1:-1])))

    @cached_property
    def heights(self) -> Array:
        """Longest path from each label down to one without children, shape (q,)."""
        return longest_paths(self.q, self.edges[:, 1], self.edges[:, 0])

    @cached_property
    def parents(self) -> Any:
        """CSR array (q, q): row = child, columns = its parents."""
        return adjacency(self.q, self.edges[:, 0], self.edges[:, 1])

    @cached_property
    def children(self) -> Any:
        """CSR array (q, q): row = parent, columns = its children."""
        return adjacency(self.q, self.edges[:, 1], self.edges[:, 0])

    @cached_property
    def ancestors(self) -> Any:
        """Boolean CSR array (q, q): row = label, columns = all that are above it, itself not.

        Cost: as many cells as there are pairs of a label and an ancestor.
        """
        return reachable(self.parents)

    @property
    def tops(self) -> tuple[str, ...]:
        """Names of the labels without parents."""
        return tuple(self.names[k] for k in np.flatnonzero(self._above == 0))

    @property
    def ends(self) -> tuple[str, ...]:
        """Names of the labels without children."""
        return tuple(self.names[k] for k in np.flatnonzero(self.heights == 0))

    @property
    def is_tree(self) -> bool:
        """Whether no label has several parents."""
        return bool(len(np.unique(self.edges[:, 0])) == len(self.edges))

    @cached_property
    def constraint(self) -> Constraint:
        """A new-made module that makes scores coherent, on the CPU; models make their own with ``make_constraint``."""
        return self.make_constraint()

    def make_constraint(self) -> Constraint:
        """Return a new module that makes scores coherent, for a model to own."""
        return Constraint(self.edges[:, 0], self.edges[:, 1], self._above, self.heights)

    def constrain(self, scores: ArrayLike, how: How = "up") -> Any:
        """Return coherent scores, an array for an array and a tensor for a tensor; see ``Constraint``.

        Args:
            scores: Logits or probabilities (n, q); ``product`` wants probabilities.
            how: ``"up"``, ``"down"`` or ``"product"``.

        Raises:
            DataError: The scores have not one column for each label.
            ParameterError: There is no such way.

        Cost: O(n m) time, O(n q) memory.

        Example:
            >>> Hierarchy.from_edges([("a", "b")]).constrain(np.array([[0.2, 0.7]]))
            array([[0.7, 0.7]])
        """
        if isinstance(scores, torch.Tensor):
            return (self.constraint if scores.device.type == "cpu" else self.make_constraint().to(scores.device))(scores, how)
        values = np.asarray(scores)
        floats = values if values.dtype.kind == "f" else values.astype(np.float64)
        return np.asarray(self.constraint(torch.from_numpy(np.ascontiguousarray(floats)), how).numpy())

    def close(self, Y: ArrayLike) -> Any:
        """Return the labels with all ancestors of each positive added.

        An unknown cell (NaN) above a positive becomes positive; any other stays unknown, and none becomes negative.

        Args:
            Y: Labels (n, q), dense or sparse; 0, 1 or NaN.

        Returns:
            In the form and type that Y had.

        Cost: O(positives after closing times their parents), and a few array operations for each level.

        Example:
            >>> Hierarchy.from_edges([("a", "b"), ("b", "c")]).close([[np.nan, 1, np.nan]])
            array([[ 1.,  1., nan]])
        """
        return self._kept(Y, labels.close(self._fits(Y), self.parents, self.depth))

    def mend(self, chosen: ArrayLike, how: How = "up") -> Array:
        """Return label sets (n, q), bool, in which no label lacks an ancestor.

        Args:
            chosen: Label sets (n, q), dense.
            how: ``"up"`` adds the ancestors that are missing; ``"down"`` and ``"product"`` drop the labels that lack one.

        Cost: O(n (q + edges)).

        Example:
            >>> h = Hierarchy.from_edges([("a", "b")])
            >>> h.mend([[False, True]]), h.mend([[False, True]], "down")
            (array([[ True,  True]]), array([[False, False]]))
        """
        if how == "up":
            return np.asarray(self.close(np.asarray(chosen, dtype=np.uint8)) == 1)
        return np.asarray(self.constrain(np.asarray(chosen, dtype=np.float32), "down") > 0.5)

    def leaves(self, Y: ArrayLike) -> Any:
        """Return the most specific labels only: those without a descendant among the positives of the row.

        Args:
            Y: Labels (n, q), dense or sparse; 0, 1 or NaN.

        Returns:
            In the form and type that Y had.

        Cost: as for ``close``.

        Example:
            >>> Hierarchy.from_edges([("a", "b")]).leaves([[1, 1], [1, 0]])
            array([[0, 1],
                   [1, 0]])
        """
        return self._kept(Y, labels.leaves(self._fits(Y), self.parents, self.depth))

    def violations(self, Y: ArrayLike) -> Array:
        """Return for each row how many (child, parent) edges have the child without the parent, shape (n,), int64.

        Args:
            Y: Label sets (n, q), dense or sparse; a parent that is NaN (unknown) violates nothing.

        Cost: O(positives times parents).
        """
        return labels.violations(self._fits(Y), self.parents)

    def take(self, columns: ArrayLike) -> "Hierarchy":
        """Return the hierarchy over these labels only, in this order; who was below whom still is.

        Args:
            columns: Numbers or a mask of labels.

        Raises:
            DataError: No label is left, or one stands there twice.

        Cost: O(q + m), and for each label left out as many steps as it has nearest kept ancestors.

        Example:
            >>> Hierarchy.from_edges([("a", "b"), ("b", "c")]).take([2, 0]).to_edges()
            [('a', 'c')]
        """
        chosen = np.asarray(columns)
        kept = np.arange(self.q)[chosen if chosen.size else chosen.astype(np.int64)]
        return Hierarchy(tuple(self.names[k] for k in kept), contracted(self.parents, kept, self._above))

    def ordered(self, names: Sequence[str]) -> "Hierarchy":
        """Return the same hierarchy with its labels in the order of these names.

        Raises:
            DataError: The names are not exactly the labels.
        """
        mine, theirs = set(self.names), set(names)
        absent, extra = [name for name in names if name not in mine], [name for name in self.names if name not in theirs]
        if absent or extra or len(names) != self.q:
            raise DataError(
                f"expected the hierarchy to have exactly the labels of the data, but it lacks {absent[:5]} and has {extra[:5]} besides; "
                "add the missing ones to it, or take(...) those that the data have"
            )
        number = {name: k for k, name in enumerate(self.names)}
        return self.take([number[name] for name in names])

    def to_dict(self) -> dict[str, Any]:
        """Return names and edges as plain values; ``Hierarchy.of`` reads them."""
        return {"names": list(self.names), "edges": self.edges.tolist()}

    def __eq__(self, other: object) -> bool:
        """Say whether both have the same labels in the same order, and the same edges."""
        return isinstance(other, Hierarchy) and self.names == other.names and np.array_equal(self.edges, other.edges)

    def __hash__(self) -> int:
        return hash((self.names, self.edges.tobytes()))

    def __repr__(self) -> str:
        kind = "tree" if self.is_tree else "graph"
        return f"<hierarchy: {kind} of {self.q} labels, {len(self.edges)} edges, {self.depth} levels>"

    @cached_property
    def _above(self) -> Array:
        return longest_paths(self.q, self.edges[:, 0], self.edges[:, 1])

    def _fits(self, Y: Any) -> Any:
        shape = Y.shape if hasattr(Y, "shape") else np.shape(Y)
        if len(shape) != 2 or shape[1] != self.q:
            raise DataError(f"expected labels of shape (n, {self.q}), one column for each label of the hierarchy, but got {tuple(shape)}")
        if isinstance(Y, torch.Tensor):
            return (Y.float() if Y.dtype == torch.bfloat16 else Y).cpu().numpy()  # NumPy has no bfloat16
        return Y if sparse.issparse(Y) else np.asarray(Y)

    @staticmethod
    def _kept(Y: Any, found: Any) -> Any:
        """Return what was found for Y as a tensor on its device if Y is one."""
        return torch.from_numpy(found).to(Y.device, Y.dtype) if isinstance(Y, torch.Tensor) else found


def _checked(names: tuple[str, ...], edges: Array) -> None:
    """Refuse names and edges that make no hierarchy; cycles are looked for afterwards."""
    if not names:
        raise DataError("expected a hierarchy over at least one label, but got none")
    empty = [k for k, name in enumerate(names) if not name.strip()]
    if empty:
        raise DataError(f"expected a name for every label, but label {empty[0]} has an empty one")
    if len(set(names)) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise DataError(f"expected every label once, but {twice!r} stands there twice; name a node by its whole path to tell them apart")
    if edges.size and not (edges.min() >= 0 and edges.max() < len(names)):
        raise DataError(f"expected edges between labels 0 to {len(names) - 1}, but got {int(edges.min())} to {int(edges.max())}")
