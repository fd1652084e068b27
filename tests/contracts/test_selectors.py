"""Every registered selector keeps the promises of the contract."""

from functools import partial

import numpy as np
import pytest

from polytag import registry
from polytag.bench.method import parameters
from polytag.errors import ParameterError
from polytag.testing.selectors import CHECKS, epoch_of, toy

WITH_PRESSURE = [name for name in registry.names("selector") if "pressure" in parameters("selector", name)]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", registry.names("selector"))
def test_contract(name, check):
    check(registry.get("selector", name))


@pytest.mark.parametrize("name", registry.names("selector"))
def test_docstring_names_cost_and_example(name):
    doc = registry.get("selector", name).__doc__
    assert "Cost:" in doc
    assert "Example:" in doc


@pytest.mark.parametrize("name", WITH_PRESSURE)
@pytest.mark.parametrize("pressure", [0.5, float("nan"), float("inf")])
def test_a_pressure_below_one_is_refused(name, pressure):
    with pytest.raises(ParameterError, match=f"pressure >= 1.*{pressure}"):
        registry.get("selector", name)(np.eye(6), 2, x=np.eye(6), pressure=pressure)


@pytest.mark.parametrize("name", registry.names("selector"))
def test_short_warmup_reaches_the_selection_phase_of_the_contract(name):
    """The contract runs five epochs; selectors with longer plain passes are put through it again with two of them."""
    selector = registry.get("selector", name)
    if "warmup" in parameters("selector", name):
        for check in CHECKS:
            check(partial(selector, warmup=2))


@pytest.mark.parametrize("name", [name for name in WITH_PRESSURE if name != "adac"])  # whose chains follow the labels
def test_pressure_one_is_uniform(name):
    kind = registry.get("selector", name)
    x, y = toy(60)
    selector = kind(y, 12, x=x, seed=0, warmup=1, pressure=1.0)
    counts = np.zeros(60)
    for _ in range(200):
        for rows in epoch_of(selector, y):
            counts[rows] += 1
    drawn = counts.sum() - 60
    expected = drawn / 60
    statistic = ((counts - 1 - expected) ** 2 / (expected * (1 - 12 / 60))).sum()
    assert statistic < 98.3, "99.9 % of chi-square with 59 degrees of freedom"
