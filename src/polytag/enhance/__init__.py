"""Label enhancement: how much each label describes each row, recovered from features and labels."""

from polytag.enhance.base import Companion, Enhancer, Guidance, Recovered, distribution_loss
from polytag.enhance.flem import FLEM

__all__ = ["FLEM", "Companion", "Enhancer", "Guidance", "Recovered", "distribution_loss"]
