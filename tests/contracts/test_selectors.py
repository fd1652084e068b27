"""Every registered selector keeps the promises of the contract."""

import pytest

from polytag import registry
from polytag.testing.selectors import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", registry.names("selector"))
def test_contract(name, check):
    check(registry.get("selector", name))


@pytest.mark.parametrize("name", registry.names("selector"))
def test_docstring_names_cost_and_example(name):
    doc = registry.get("selector", name).__doc__
    assert "Cost:" in doc
    assert "Example:" in doc
