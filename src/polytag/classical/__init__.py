"""Classical multi-label methods and resampling, on NumPy, SciPy and scikit-learn."""

from polytag.classical.base import ClassicalClassifier
from polytag.classical.br import BR
from polytag.classical.cc import CC
from polytag.classical.clr import CLR
from polytag.classical.ecc import ECC
from polytag.classical.lcl import LCL
from polytag.classical.lcn import LCN
from polytag.classical.lcpn import LCPN
from polytag.classical.lp import LP
from polytag.classical.mlknn import MLkNN
from polytag.classical.mlros import MLROS
from polytag.classical.mlsmote import MLSMOTE
from polytag.classical.rakel import RAkEL
from polytag.classical.remedial import REMEDIAL
from polytag.classical.resampling import Resampled, Resampler

__all__ = [
    "BR",
    "CC",
    "CLR",
    "ECC",
    "LCL",
    "LCN",
    "LCPN",
    "LP",
    "MLROS",
    "MLSMOTE",
    "REMEDIAL",
    "ClassicalClassifier",
    "MLkNN",
    "RAkEL",
    "Resampled",
    "Resampler",
]
