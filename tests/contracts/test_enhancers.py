"""Every registered enhancer keeps the promises of the contract, and the contract notices enhancers that break them."""

import numpy as np
import pytest
import torch
from tests.contracts.settings import ENHANCERS

from polytag import registry
from polytag.enhance import Companion, Enhancer, Guidance, Recovered
from polytag.enhance.base import checked
from polytag.errors import DataError
from polytag.testing import enhancers as contract


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", registry.names("enhancer"))
def test_contract(name, check):
    check(contract.Subject(registry.get("enhancer", name), **ENHANCERS.get(name, {})))


@pytest.mark.parametrize("strategy", ["s", "t"])
@pytest.mark.parametrize("check", [contract.check_degenerate_data, contract.check_gradients, contract.check_training])
def test_the_other_strategies_of_flem(strategy, check):
    check(contract.Subject(registry.get("enhancer", "flem"), **ENHANCERS["flem"] | {"epochs": 3}, strategy=strategy))


@pytest.mark.parametrize("name", registry.names("enhancer"))
def test_docstring_names_cost_reference_and_example(name):
    doc = registry.get("enhancer", name).__doc__
    for section in ("Args:", "Cost:", "Reference:", "Differs:", "Example:"):
        assert section in doc


class Follows(Companion):
    """A companion with a weight of its own: what it says of a row is the known distribution, made flatter or steeper."""

    def __init__(self, known, fault):
        super().__init__()
        self.known, self.fault = known, fault
        self.steep = torch.nn.Parameter(torch.ones(()))

    def forward(self, batch, features, logits):
        found = torch.softmax(self.steep * self.known[batch.rows].log(), dim=1)
        loss = (found - batch.y).square().mean()
        if self.fault == "check_training":
            loss = loss * (torch.inf if len(batch.y) < 24 else 1)
        return Guidance(found if self.fault == "check_companion" else found.detach(), loss)

    def distributions(self, batch, features):
        return self.known[batch.rows]


class Fails(Enhancer):
    """Labels smoothed with those of the nearest rows, with one fault, chosen by name."""

    def __init__(self, *, fault=None):
        super().__init__(beta=0.2)
        self.fault = fault

    def fit_transform(self, X, Y, *, seed=0):
        fault, original = self.fault, Y
        if fault == "check_refusals":
            X, Y = np.nan_to_num(X.toarray() if hasattr(X, "toarray") else X), np.nan_to_num(Y)
            X, Y = np.atleast_2d(X)[: len(Y)], (Y > 0.5).astype(int)[: len(np.atleast_2d(X))]
        X, Y = checked(X, Y)
        if fault == "check_sparse" and hasattr(X, "toarray"):
            Y = 1 - Y
        X = X.toarray() if hasattr(X, "toarray") else X
        away = np.square(X[:, None] - X[None]).sum(axis=2)
        near = np.exp(-away / (away.mean() + 1e-9))
        found = 0.2 + 0.7 * near @ Y / near.sum(axis=1, keepdims=True) + Y
        if fault == "check_degenerate_data" and not away.any():
            found = found * np.nan
        if fault == "check_tiny_data" and min(Y.shape) == 1:
            found = np.full_like(found, np.nan)
        if fault == "check_relevant_labels_lead":
            found = 2.2 - found
        if fault == "check_recovery":
            found = 1e-4 + Y * np.random.default_rng(0).random(Y.shape) ** 4
        if fault == "check_permutation":
            found = found + np.arange(Y.shape[1])
        if fault == "check_seed":
            found = found + np.random.random(found.shape)  # noqa: NPY002
        if fault == "check_inputs_stay":
            original *= 0
        if fault == "check_types" and original.dtype.kind == "b":
            found = found[:, ::-1]
        found /= found.sum(axis=1, keepdims=True)
        return found.astype(np.float32) if fault == "check_distributions" else found

    def companion(self, train, width, *, seed=0):
        known = torch.as_tensor(self.fit_transform(train.dataset.features, train.dataset.Y, seed=seed), dtype=torch.float32)
        return Idle(known) if self.fault == "check_gradients" else Follows(known, self.fault)


class Idle(Recovered):
    """Says that it has a loss to minimise, and holds nothing that could."""

    def forward(self, batch, features, logits):
        return Guidance(self.known[batch.rows], torch.ones((), requires_grad=True) * 2)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_the_contract_notices(check):
    with pytest.raises(AssertionError):
        check(contract.Subject(Fails, equivariant=True, fault=check.__name__))
    check(contract.Subject(Fails, equivariant=True))


@pytest.mark.parametrize(("d", "q"), [(0, 2), (2, 0)])
@pytest.mark.parametrize("name", registry.names("enhancer"))
def test_no_features_or_no_labels_are_refused(name, d, q):
    with pytest.raises(DataError, match=r"n, d, q >= 1, but got \(4, \d\) and \(4, \d\)"):
        registry.get("enhancer", name)().fit_transform(np.ones((4, d)), np.ones((4, q)))
