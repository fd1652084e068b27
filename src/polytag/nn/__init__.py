"""Building blocks that several models share."""

from polytag.nn.attention import AddNorm, Attention, EncoderLayer, FeedForward, LabelDecoderLayer
from polytag.nn.flow import ConditionalFlow
from polytag.nn.gaussian import LOGVAR, clamp_logvar, gaussian_kl, log_normal_cdf, reparameterise
from polytag.nn.labelwise import LabelwiseLinear, label_blocks
from polytag.nn.norm import BatchNorm, pooled_statistics
from polytag.nn.optimizers import build_optimizer
from polytag.nn.perceptron import layer_widths, linear, mlp_block
from polytag.nn.seeding import seeded
from polytag.nn.tokens import ActiveTokens, FeatureTokens, InputTokens, PatchTokens, by_length, token_context

__all__ = [
    "LOGVAR",
    "ActiveTokens",
    "AddNorm",
    "Attention",
    "BatchNorm",
    "ConditionalFlow",
    "EncoderLayer",
    "FeatureTokens",
    "FeedForward",
    "InputTokens",
    "LabelDecoderLayer",
    "LabelwiseLinear",
    "PatchTokens",
    "build_optimizer",
    "by_length",
    "clamp_logvar",
    "gaussian_kl",
    "label_blocks",
    "layer_widths",
    "linear",
    "log_normal_cdf",
    "mlp_block",
    "pooled_statistics",
    "reparameterise",
    "seeded",
    "token_context",
]
