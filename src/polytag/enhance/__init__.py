"""Label enhancement: how much each label describes each row, recovered from features and labels."""

from polytag.enhance.base import Companion, Enhancer, Guidance, Recovered, distribution_loss
from polytag.enhance.flem import FLEM
from polytag.enhance.glle import GLLE
from polytag.enhance.lemll import LEMLL
from polytag.enhance.levi import LEVI
from polytag.enhance.multi_output_svr import MultiOutputSVR, signed_targets
from polytag.enhance.valen import VALEN

__all__ = [
    "FLEM",
    "GLLE",
    "LEMLL",
    "LEVI",
    "VALEN",
    "Companion",
    "Enhancer",
    "Guidance",
    "MultiOutputSVR",
    "Recovered",
    "distribution_loss",
    "signed_targets",
]
