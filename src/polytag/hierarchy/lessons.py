"""Which rows teach which label, when a hierarchy tells local classifiers apart."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from polytag.errors import ParameterError
from polytag.hierarchy.constraint import Constraint
from polytag.hierarchy.hierarchy import Hierarchy

POLICIES = ("exclusive", "less_exclusive", "less_inclusive", "inclusive", "siblings", "exclusive_siblings")


def check_policy(policy: str) -> None:
    """Raise ``ParameterError`` unless there is such a policy."""
    if policy not in POLICIES:
        raise ParameterError(f"expected policy among {', '.join(POLICIES)}, but got {policy!r}")


class Lessons(Constraint):
    """The constraint, and questions to it about the neighbours of labels in the hierarchy.

    Args:
        labels: The hierarchy.

    Example:
        >>> tree = Lessons(Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")]))
        >>> target, taught = tree.by_policy(torch.tensor([[1.0, 1, 0], [1, 0, 1], [0, 0, 0]]), "siblings")
        >>> target[:, 1].tolist(), taught[:, 1].tolist()  # what cats learn: no row without animals teaches them
        ([True, False, False], [True, True, False])
    """

    top: Tensor

    def __init__(self, labels: Hierarchy) -> None:
        super().__init__(labels.edges[:, 0], labels.edges[:, 1], labels.levels, labels.heights)
        self.register_buffer("top", torch.from_numpy(np.asarray(labels.levels == 1)), persistent=False)

    def by_policy(self, y: Float[Tensor, "b q"], policy: str, *, exact: bool = True) -> tuple[Bool[Tensor, "b q"], Bool[Tensor, "b q"]]:
        """Return which rows are positive for each label, and which rows it learns from at all, under one of the six policies.

        With "exact" rows of a label A those of which A is a most specific label:

        - ``exclusive``: exact rows of A against all others; ``less_exclusive``: against rows without A.
        - ``less_inclusive``: rows with A against all others; ``inclusive``: against those without A of which no most specific label is
          above A.
        - ``siblings``: rows with A against rows with another child of a parent of A (labels at the top are each other's siblings);
          ``exclusive_siblings``: exact rows of A against exact rows of these.

        A row that qualifies for both sides is positive.

        Args:
            y: Closed labels; NaN = unknown, which teaches nothing.
            policy: One of ``POLICIES``.
            exact: Whether exact rows are meant where the policies say so; ``False``: any row with the label.

        Raises:
            ParameterError: There is no such policy.

        Cost: O(b (q + edges)).

        Reference: Eisner, Poulin, Szafron, Lu and Greiner, "Improving protein function prediction using the hierarchical structure of the
            gene ontology", CIBCB 2005; Silla and Freitas, "A survey of hierarchical classification across different application domains",
            Data Mining and Knowledge Discovery 2011.
        """
        check_policy(policy)
        known, present = ~y.isnan(), y == 1
        itself = present & ~self.any_child(present) if exact else present
        clear = ~(itself & self.any_child(~known)) if exact else known  # a child may hold or not, and with it the label is exact or not
        absent = known & ~present
        if policy == "exclusive":
            return itself, known & clear
        if policy == "less_exclusive":
            return itself, (itself & clear) | absent
        if policy == "less_inclusive":
            return present, known
        if policy == "inclusive":
            below = -self(-itself.to(y.dtype), "down") > 0  # this label or one above it is there itself
            return present, present | (absent & ~below)
        if policy == "siblings":
            return present, present | (absent & self.any_sibling(present))
        return itself, known & clear & (itself | self.any_sibling(itself))

    def any_parent(self, cells: Bool[Tensor, "b q"]) -> Bool[Tensor, "b q"]:
        """Say for which labels the cell of a parent is set."""
        return self._count(cells[:, self.parent], self.child) > 0

    def any_child(self, cells: Bool[Tensor, "b q"]) -> Bool[Tensor, "b q"]:
        """Say for which labels the cell of a child is set."""
        return self._count(cells[:, self.child], self.parent) > 0

    def any_sibling(self, cells: Bool[Tensor, "b q"]) -> Bool[Tensor, "b q"]:
        """Say for which labels the cell of another child of a parent of theirs is set; labels at the top are each other's siblings."""
        children = self._count(cells[:, self.child], self.parent)
        besides = children[:, self.parent] > cells[:, self.child]
        tops = (cells & self.top).sum(dim=1, keepdim=True) > cells.long()
        return (self._count(besides, self.child) > 0) | (tops & self.top)

    def _count(self, values: Bool[Tensor, "b edges"], label: Tensor) -> Tensor:
        """Return for each label at how many of its edges the value is set."""
        counts = values.new_zeros(len(values), self.q, dtype=torch.int64)
        return counts.index_add(1, label, values.long())
