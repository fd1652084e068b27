"""Deep multi-label models, usable in any PyTorch loop."""

from polytag.models.base import MultiLabelModel, Objective, Preset
from polytag.models.clif import CLIF
from polytag.models.dela import DELA
from polytag.models.linear import Linear
from polytag.models.mlp import MLP
from polytag.models.mpvae import MPVAE

__all__ = ["CLIF", "DELA", "MLP", "MPVAE", "Linear", "MultiLabelModel", "Objective", "Preset"]
