"""Every registered metric keeps the promises of the contract, and the contract notices metrics that break them."""

import numpy as np
import pytest

from polytag import metrics, registry
from polytag.metrics import Metric, Outcome
from polytag.testing import metrics as contract


@pytest.mark.parametrize("name", registry.names("metric"))
def test_contract(name):
    contract.check_metric(name)


@pytest.mark.parametrize("name", registry.names("metric"))
def test_listed_metrics_are_functions_of_the_package(name):
    if not name.startswith(("d2ace_", "flem_", "dela_")):
        assert getattr(metrics, name) is registry.get("metric", name)
        assert name in metrics.__all__


BROKEN = {
    "check_description": Metric(lambda Y, scores=None: 0.5, "unregistered", "scores", (0, 1), "max"),
    "check_range": Metric(lambda Y, scores=None: 1.5, "high", "scores", (0, 1), "max"),
    "check_direction": Metric(lambda Y, scores=None: metrics.macro_auc(Y, scores), "wrong_way", "scores", (0, 1), "min"),
    "check_permutation": Metric(lambda Y, scores=None: float(Outcome.of(Y, scores).scores[0, 0]), "first", "scores", (0, 1), "max"),
    "check_monotone": Metric(lambda Y, scores=None: float(Outcome.of(Y, scores).scores.mean()), "average", "scores", (0, 1), "max"),
    "check_unknown": Metric(lambda Y, scores=None: float(Outcome.of(Y, scores).scores.mean()), "average", "scores", (0, 1), "max"),
    "check_refusal": Metric(lambda Y, scores=None: 0.5, "deaf", "scores", (0, 1), "max"),
    "check_doors": Metric(lambda Y, scores=None: float(isinstance(Y, np.ndarray)), "two_faced", "scores", (0, 1), "max"),
    "check_form": Metric(lambda Y, scores=None: float(Y.scores.flags.f_contiguous), "formal", "scores", (0, 1), "max"),
}


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_the_contract_notices(check):
    with pytest.raises((AssertionError, KeyError)):
        check(BROKEN[check.__name__])
