"""Label enhancement: how much each label describes each row, recovered from features and labels."""

from polytag.enhance.base import Companion, Enhancer, Guidance, Recovered, distribution_loss

__all__ = ["Companion", "Enhancer", "Guidance", "Recovered", "distribution_loss"]
