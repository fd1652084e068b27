"""C-HMCNN(h) as it was published: a (b, q, q) tensor of every label's descendants, probabilities, binary cross-entropy."""

import torch
from torch import Tensor
from torch.nn import functional

from polytag.hierarchy import Hierarchy
from polytag.models import CHMCNN, Objective
from polytag.types import Batch


def relation(hierarchy: Hierarchy, like: Tensor) -> Tensor:
    """Return R (q, q): row = label, columns = the label itself and all below it."""
    below = torch.from_numpy(hierarchy.ancestors.toarray().T)
    return (below | torch.eye(hierarchy.q, dtype=torch.bool)).to(like)


def dense_maximum(h: Tensor, R: Tensor) -> Tensor:
    """Return the highest probability among each label and its descendants."""
    return (h[:, None, :].expand(-1, len(R), -1) * R).amax(dim=2)


def dense_mcloss(h: Tensor, y: Tensor, R: Tensor) -> tuple[Tensor, Tensor]:
    """Return MCLoss (b, q) of probabilities and closed labels, and t."""
    t = (1 - y) * dense_maximum(h, R) + y * dense_maximum(y * h, R)
    return functional.binary_cross_entropy(t, y, reduction="none"), t


class TextbookCHMCNN:
    """The formulas of the paper on the network of a ``CHMCNN``.

    Args:
        model: Supplies network and hierarchy.
        dtype: In which the constraint is computed; the authors' code has ``torch.float64`` behind a network in single precision.
    """

    def __init__(self, model: CHMCNN, dtype: torch.dtype | None = None) -> None:
        edges = torch.stack([model.constraint.child, model.constraint.parent], dim=1).cpu().numpy()
        hierarchy = Hierarchy(tuple(map(str, range(model.constraint.q))), edges)
        self.model, self.R = model, relation(hierarchy, next(model.parameters())).to(dtype)

    def objective(self, batch: Batch) -> Objective:
        """Return the mean of MCLoss over rows and labels, and the coherent logits."""
        h = self.model.network(batch.x).sigmoid().to(self.R)
        terms, _ = dense_mcloss(h, batch.y.to(h), self.R)
        return Objective(terms.mean(), dense_maximum(h, self.R).logit())

    def predict(self, x: Tensor) -> Tensor:
        """Return the coherent logits."""
        return dense_maximum(self.model.network(x).sigmoid().to(self.R), self.R).logit()
