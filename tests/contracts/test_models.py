"""Every registered model keeps the promises of the contract, and the contract notices models that break them."""

import copy

import pytest
import torch
from tests.contracts.settings import SETTINGS, Setting

from polytag import registry
from polytag.errors import ParameterError
from polytag.losses import BCE
from polytag.models import MLP, Objective
from polytag.models.base import of_one_number
from polytag.selectors import Random
from polytag.testing import models as contract
from polytag.training import Trainer

MODEL_KEYWORDS = {name: registry.keywords(registry.get("model", name)) for name in registry.names("model")}
OWN_LOSSES = {"hcal"}  # a word that chooses between two of its own
PER_INSTANCE = {"dela", "hotvae", "paca"}  # weigh the sum over an instance's labels against other parts, whatever the reduction
PRESETS = [(name, preset) for name in registry.names("model") for preset in registry.get("model", name).PRESETS]


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", registry.names("model"))
def test_contract(name, check):
    setting = SETTINGS.get(name, Setting())
    check(contract.Subject(registry.get("model", name), setting.pace, setting.params))


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_presets_build_and_train(name, preset):
    subject = contract.Subject(registry.get("model", name), params={**SETTINGS.get(name, Setting()).params, "preset": preset})
    for check in (contract.check_state, contract.check_degenerate_batches):
        check(subject)


@pytest.mark.parametrize("name", registry.names("model"))
def test_says_how_it_is_trained(name):
    model = registry.get("model", name)
    for preset in (None, *model.PRESETS):
        training = model.training_defaults(preset)
        assert training.pop("batch_size") >= 1
        assert {"lr", "weight_decay", "epochs"} <= training.keys()
        Trainer(**training)


@pytest.mark.parametrize("name", [name for name in registry.names("model") if "loss" in MODEL_KEYWORDS[name] and name not in OWN_LOSSES])
def test_takes_a_loss_of_any_reduction_that_is_one_number(name):
    """The larger the reduction, the larger the loss, unless the model takes it for each instance; the trainer refuses single terms."""
    subject = contract.Subject(registry.get("model", name), params=SETTINGS.get(name, Setting()).params)
    table = subject.toy()
    values = {}
    for reduction in ("mean", "batch_mean", "sum"):
        model = subject(table, loss=BCE(reduction=reduction)).eval()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            values[reduction] = float(model.objective(contract.batch_of(table)).loss.detach())
    none = subject(table, loss=BCE(reduction="none"))
    if name in PER_INSTANCE:
        assert values["mean"] == values["batch_mean"] == values["sum"]
        of_one_number(none.objective(contract.batch_of(table)))
        return
    assert values["mean"] < values["batch_mean"] < values["sum"]
    with pytest.raises(ParameterError, match="reduction 'mean', 'batch_mean' or 'sum'"):
        Trainer(epochs=1).fit(none, table, Random(table.labels, 8))


@pytest.mark.parametrize("name", registry.names("model"))
def test_docstring_names_cost_reference_and_example(name):
    doc = registry.get("model", name).__doc__
    for section in ("Args:", "Cost:", "Reference:", "Example:"):
        assert section in doc


def test_unknown_preset_names_the_nearest():
    with pytest.raises(KeyError, match="adabatch"):
        registry.get("model", "clif").from_data(contract.toy(), preset="adabatsh")


class Fails(MLP):
    """A perceptron with one fault, chosen by name."""

    def __init__(self, d, q, *, fault, **params):
        super().__init__(d, q, **{"hidden": [16], "dropout": 0.0, **params})
        self.fault, self.calls = fault, 0
        if fault == "check_parameters":
            self.idle = torch.nn.Parameter(torch.zeros(1))
        if fault == "check_seed":
            for parameter in self.parameters():
                torch.nn.init.ones_(parameter)
        if fault in ("check_training", "check_capacity"):
            self.output.requires_grad_(False)
            self.hidden.requires_grad_(False)
            self.constant = torch.nn.Parameter(torch.zeros(q))

    @classmethod
    def from_data(cls, train, *, fault, **params):
        if fault == "check_nothing_to_learn" and not train.q:
            return None
        return super().from_data(train, fault=fault, **params)

    def forward(self, x):
        self.calls += 1
        logits = super().forward(x)
        if self.fault == "check_evaluation":
            logits = logits + 0.1 * self.calls
        if self.fault in ("check_training", "check_capacity"):
            logits = 0 * logits + self.constant
        if self.fault == "check_shapes" and not self.training:
            logits = logits.T
        return logits

    def objective(self, batch):
        logits = self(batch.x)
        if self.fault == "check_blind_to_labels":
            logits = logits + 0.1 * batch.y
        loss = self.loss(logits, batch.y, None if self.fault == "check_weight" else batch.weight)
        if self.fault == "check_degenerate_batches":
            loss = loss / batch.y.sum()
        if self.fault == "check_unknown_labels":
            loss = self.loss(logits, batch.y.nan_to_num())
        if self.fault == "check_precision":
            loss = loss.half().float()
        return Objective(loss, logits)

    def state_dict(self, *args, **kwargs):
        state = super().state_dict(*args, **kwargs)
        return {"output.bias": state["output.bias"]} if self.fault == "check_state" else state

    def load_state_dict(self, state, strict=True, assign=False):
        return super().load_state_dict(copy.copy(state), strict=False)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_the_contract_notices(check):
    with pytest.raises(AssertionError):
        check(contract.Subject(Fails, params={"fault": check.__name__}))
    check(contract.Subject(Fails, params={"fault": None}))
