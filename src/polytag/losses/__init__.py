"""Losses on logits, usable in any PyTorch loop."""

from polytag.losses.base import Loss, instance_mean, instance_weight
from polytag.losses.bce import BCE

__all__ = ["BCE", "Loss", "instance_mean", "instance_weight"]
