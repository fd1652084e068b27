"""A graph of similar rows, and graph convolutions over it that compute only the rows asked for."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from torch import Tensor, nn

from polytag.data.neighbours import NeighbourSearch
from polytag.types import Array


class NeighbourGraph:
    """Which rows are near which: the k nearest of each, and each itself.

    Args:
        features: Shape (n, p).
        k: Neighbours of a row; at most n - 1 are taken.
        device: Where ``block`` puts its answers.

    Attributes:
        k: Neighbours of each row.
        nearest: Their numbers, shape (n, k).
        smoothing: ``D^-1/2 A D^-1/2`` as a CSR array, A being 1 where either row is a neighbour of the other, or both are the same, and D
            the row sums of A.
    """

    def __init__(self, features: Array, k: int, device: torch.device | str = "cpu") -> None:
        n = len(features)
        self.k, self.device = min(k, n - 1), torch.device(device)
        found = NeighbourSearch(features).of_training_rows(self.k)
        self.nearest = torch.as_tensor(found)
        pairs = (np.repeat(np.arange(n), self.k), found.reshape(-1))
        directed = sparse.csr_array((np.ones(n * self.k), pairs), shape=(n, n))
        both = sparse.csr_array(((directed + directed.T + sparse.eye_array(n)) > 0).astype(np.float64))
        shrink = sparse.diags_array(1 / np.sqrt(both.sum(axis=1)))
        self.smoothing = sparse.csr_array(shrink @ both @ shrink)

    def block(self, rows: Tensor) -> Bool[Tensor, "b b"]:
        """Return which of these rows are neighbours of which, by row; every row is one of itself."""
        place = torch.full((len(self.nearest),), -1)
        place[rows] = torch.arange(len(rows))
        at = place[self.nearest[rows]]
        row, column = (at >= 0).nonzero(as_tuple=True)
        found = torch.eye(len(rows), dtype=torch.bool)
        found[row, at[row, column]] = True
        return found.to(self.device)


class GraphEncoder(nn.Module):
    """Two graph convolutions ``S relu(S V W0) W1`` of all rows V, of which any rows can be asked for without computing the others.

    Args:
        graph: Gives the smoothing S.
        described: V, shape (n, p).
        hidden: Width between the convolutions.
        q: Number of labels.
    """

    def __init__(self, graph: NeighbourGraph, described: Float[Tensor, "n p"], hidden: int, q: int) -> None:
        super().__init__()
        self.smoothing = graph.smoothing
        self.smoothed = torch.as_tensor(self.smoothing @ described.cpu().numpy()).to(described)
        self.layers = nn.Sequential(nn.Linear(described.shape[1], hidden, bias=False), nn.ReLU(), nn.Linear(hidden, q, bias=False))

    def forward(self, rows: Tensor) -> Float[Tensor, "b q"]:
        """Return the output of these rows: only their neighbours go through the layers."""
        part = self.smoothing[rows.cpu().numpy()]
        needed, place = np.unique(part.indices, return_inverse=True)
        device = self.smoothed.device
        outputs = self.layers(self.smoothed[torch.as_tensor(needed, device=device).long()])
        weight = torch.as_tensor(part.data, device=device).to(outputs)
        owner = torch.as_tensor(np.repeat(np.arange(len(rows)), np.diff(part.indptr)), device=device)
        spread = outputs[torch.as_tensor(place, device=device)] * weight[:, None]
        return outputs.new_zeros(len(rows), outputs.shape[1]).index_add(0, owner, spread)  # type: ignore[no-any-return]
