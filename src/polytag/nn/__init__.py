"""Building blocks that several models share."""

from polytag.nn.labelwise import LabelwiseLinear, label_blocks
from polytag.nn.norm import BatchNorm, pooled_statistics
from polytag.nn.perceptron import linear, mlp_block

__all__ = ["BatchNorm", "LabelwiseLinear", "label_blocks", "linear", "mlp_block", "pooled_statistics"]
