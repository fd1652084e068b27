"""What makes a label distribution a good one: the losses of FLEM's estimator."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


def similarity_loss(z: Float[Tensor, "b q"], features: Float[Tensor, "b p"]) -> Float[Tensor, ""]:
    """Return the mean over all pairs of rows of the squared difference of two cosines, that of their features and that of their z.

    Args:
        z: Scores of the labels, before the softmax.
        features: What describes the rows; no gradient reaches them.
    """
    likeness = _units(features.detach())
    scores = _units(z)
    return (likeness @ likeness.T - scores @ scores.T).square().mean()


def threshold_loss(z: Float[Tensor, "b q"], y: Float[Tensor, "b q"], epsilon: float = 0.0) -> Float[Tensor, "b"]:
    """Return for each row by how much its highest irrelevant label stands above its lowest relevant one, plus epsilon, or 0.

    Args:
        z: Scores of the labels, before the softmax.
        y: Labels; half and more is relevant. Rows with all or no labels give 0.
        epsilon: Margin.
    """
    relevant: Bool[Tensor, "b q"] = y >= 0.5
    highest = z.masked_fill(relevant, -torch.inf).amax(dim=1)
    lowest = z.masked_fill(~relevant, torch.inf).amin(dim=1)
    return (highest - lowest + epsilon).clamp(min=0)


def interaction_loss(
    z: Float[Tensor, "b q"], logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"], gamma_pos: float = 0.0, gamma_neg: float = 1.0
) -> Float[Tensor, ""]:
    """Return the mean over all cells of the cross-entropy of z with the labels, weighted by how unsure the model is of the cell.

    Args:
        z: Scores of the labels.
        logits: The model's; no gradient reaches them.
        y: Labels.
        gamma_pos: Power of ``1 - p`` in the weight of a positive.
        gamma_neg: Power of ``p`` in the weight of a negative.
    """
    logits, y = logits.detach(), y.to(z)
    positive = (gamma_pos * functional.logsigmoid(-logits)).exp() * functional.logsigmoid(z)
    negative = (gamma_neg * functional.logsigmoid(logits)).exp() * functional.logsigmoid(-z)
    total: Tensor = y * positive + (1 - y) * negative
    return -total.mean()


def _units(rows: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """Return rows of length 1. One of zeros stays, and no gradient reaches it, since that would be endless."""
    length = rows.norm(dim=1, keepdim=True)
    units = rows / length.clamp(min=1e-12)
    safe: Tensor = units.where(length > 1e-12, units.detach())
    return safe
