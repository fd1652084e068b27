"""Losses on logits, usable in any PyTorch loop."""

from polytag.losses.asl import ASL
from polytag.losses.assume_negative import AssumeNegative
from polytag.losses.balanced_softmax import BalancedSoftmax
from polytag.losses.base import Loss, instance_mean, instance_weight, negative_log
from polytag.losses.bce import BCE
from polytag.losses.bpmll import PairwiseExponential
from polytag.losses.cb import CB
from polytag.losses.cb_ntr import CBNTR
from polytag.losses.counts import expected_positives, log_odds
from polytag.losses.db import DistributionBalanced
from polytag.losses.epr import EPR, cardinality_penalty
from polytag.losses.focal import Focal
from polytag.losses.hill import Hill
from polytag.losses.large_loss import LargeLoss
from polytag.losses.lsep import LSEP
from polytag.losses.pairwise import pairwise_exponential
from polytag.losses.pairwise_hinge import PairwiseHinge
from polytag.losses.partial_bce import PartialBCE
from polytag.losses.pr import PR
from polytag.losses.rfl import RebalancedFocal
from polytag.losses.splc import SPLC
from polytag.losses.warp import WARP

__all__ = [
    "ASL",
    "BCE",
    "CB",
    "CBNTR",
    "EPR",
    "LSEP",
    "PR",
    "SPLC",
    "WARP",
    "AssumeNegative",
    "BalancedSoftmax",
    "DistributionBalanced",
    "Focal",
    "Hill",
    "LargeLoss",
    "Loss",
    "PairwiseExponential",
    "PairwiseHinge",
    "PartialBCE",
    "RebalancedFocal",
    "cardinality_penalty",
    "expected_positives",
    "instance_mean",
    "instance_weight",
    "log_odds",
    "negative_log",
    "pairwise_exponential",
]
