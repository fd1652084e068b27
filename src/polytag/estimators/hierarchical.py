"""Labels with a hierarchy, for an estimator: read, closed, scored without contradiction, and given back in the form in which they came."""

from typing import Any, NamedTuple

import numpy as np
import torch

from polytag.data.hierarchies import closed, hierarchy_from, is_separator
from polytag.data.targets import Target, named_rows, read_target
from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy, label_paths
from polytag.models.local import LogProduct
from polytag.types import Array

_WAYS = ("up", "down", "product")


class Labels(NamedTuple):
    """Labels as an estimator learns them.

    Attributes:
        Y: Shape (n, q), closed if there is a hierarchy.
        target: What they looked like.
        hierarchy: Over their columns, or ``None``.
        added: How many ancestors were added, because a label was there without them.
    """

    Y: Any
    target: Target
    hierarchy: Hierarchy | None = None
    added: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the labels; empty where nobody gave any."""
        return self.target.names if self.hierarchy is None else self.hierarchy.names


def read_labels(Y: Any, hierarchy: Any, closure: str | None) -> Labels:
    """Return labels, closed under their hierarchy, and what they looked like.

    Args:
        Y: As in ``read_target``; with a hierarchy also names of labels for each row, as ``label_paths`` reads them.
        hierarchy: As in ``hierarchy_from``, or ``None``.
        closure: Checked, see ``coherent``.

    Raises:
        DataError: Y is no set of labels, or the hierarchy is not over exactly its labels.
        ParameterError: There is no such way of closing.
    """
    if closure not in (None, *_WAYS):
        raise ParameterError(f"expected closure to be 'up', 'down', 'product' or None, but got {closure!r}")
    if hierarchy is None:
        return Labels(*read_target(Y))
    rows = named_rows(Y)
    if rows is not None:
        found = label_paths(rows, hierarchy) if is_separator(hierarchy) else label_paths(rows, hierarchy=hierarchy_from(hierarchy))
        return Labels(found.Y, Target("names", np.dtype(np.uint8), hierarchy=found.hierarchy), found.hierarchy, found.added)
    labels, target = read_target(Y)
    known = _over_columns(hierarchy, target, labels.shape[1])
    full, added = closed(labels, known)
    return Labels(full, target, known, added)


def coherent(logits: Array, hierarchy: Hierarchy | None, closure: str | None) -> Array:
    """Return logits of which none is above that of an ancestor; unchanged without a hierarchy or a closure.

    Args:
        logits: Shape (n, q), float64.
        hierarchy: Over the columns.
        closure: As ``how`` in ``Hierarchy.constrain``; ``"product"`` multiplies probabilities and returns the logits of the products.
    """
    if hierarchy is None or closure is None:
        return logits
    if closure == "product":
        return np.asarray(LogProduct(hierarchy).logits(torch.from_numpy(logits)).numpy())
    return np.asarray(hierarchy.constrain(logits, closure))  # type: ignore[arg-type]


def mended(labels: Array, hierarchy: Hierarchy | None, closure: str | None) -> Array:
    """Return label sets (n, q), bool, in which no label lacks an ancestor.

    Under ``"up"`` the ancestors are added, under ``"down"`` and ``"product"`` the labels that lack one go.
    """
    if hierarchy is None or closure is None:
        return labels
    return hierarchy.mend(labels, closure)  # type: ignore[arg-type]


def _over_columns(hierarchy: Any, target: Target, q: int) -> Hierarchy:
    """Return the hierarchy over the columns of Y.

    Raises:
        DataError: The columns have no names, and the hierarchy does not say their order.
    """
    if target.columns is not None:
        return hierarchy_from(hierarchy, target.names)
    ordered = isinstance(hierarchy, Hierarchy) or (isinstance(hierarchy, dict) and set(hierarchy) == {"names", "edges"})
    if not ordered:
        raise DataError(
            "expected Y with names, a data frame or a list of names for each row, since the hierarchy speaks of names, but got "
            f"an array with {q} columns; or pass a Hierarchy, whose names stand in the order of the columns"
        )
    found = hierarchy_from(hierarchy)
    if found.q != q:
        raise DataError(f"expected one column of Y for each of the {found.q} labels of the hierarchy, but got {q}; see its names")
    return found
