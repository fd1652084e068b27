"""Batch selectors: which rows the next training step sees."""

from polytag.selectors.active_bias import ActiveBias
from polytag.selectors.ada_boundary import AdaBoundary
from polytag.selectors.adac import AdaC
from polytag.selectors.adaptive import Adaptive
from polytag.selectors.balancemix import BalanceMix
from polytag.selectors.base import BatchSelector
from polytag.selectors.class_aware import ClassAware
from polytag.selectors.d2ace import D2ACE
from polytag.selectors.hard import Hard
from polytag.selectors.imbalance import imbalance_weights
from polytag.selectors.importance import Importance
from polytag.selectors.infobatch import InfoBatch
from polytag.selectors.mixing import mix, paired
from polytag.selectors.ohem import OHEM
from polytag.selectors.random import Random
from polytag.selectors.recency_bias import RecencyBias
from polytag.selectors.reference_model import cross_fitted_losses
from polytag.selectors.rho_loss import RHOLoss
from polytag.selectors.selective_backprop import SelectiveBackprop
from polytag.selectors.uncertainty import Uncertainty

__all__ = [
    "D2ACE",
    "OHEM",
    "ActiveBias",
    "AdaBoundary",
    "AdaC",
    "Adaptive",
    "BalanceMix",
    "BatchSelector",
    "ClassAware",
    "Hard",
    "Importance",
    "InfoBatch",
    "RHOLoss",
    "Random",
    "RecencyBias",
    "SelectiveBackprop",
    "Uncertainty",
    "cross_fitted_losses",
    "imbalance_weights",
    "mix",
    "paired",
]
