"""Losses on logits, usable in any PyTorch loop."""

from polytag.losses.base import Loss
from polytag.losses.bce import BCE

__all__ = ["BCE", "Loss"]
