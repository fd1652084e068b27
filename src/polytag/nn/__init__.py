"""Building blocks that several models share."""

from polytag.nn.labelwise import LabelwiseLinear
from polytag.nn.norm import BatchNorm
from polytag.nn.perceptron import linear, mlp_block

__all__ = ["BatchNorm", "LabelwiseLinear", "linear", "mlp_block"]
