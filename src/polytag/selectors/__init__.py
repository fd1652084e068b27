"""Batch selectors: which rows the next training step sees."""

from polytag.selectors.adac import AdaC
from polytag.selectors.adaptive import Adaptive
from polytag.selectors.base import BatchSelector
from polytag.selectors.hard import Hard
from polytag.selectors.imbalance import imbalance_weights
from polytag.selectors.random import Random

__all__ = ["AdaC", "Adaptive", "BatchSelector", "Hard", "Random", "imbalance_weights"]
