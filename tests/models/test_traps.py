"""Every registered model at the edges: few labels and many, single rows, extreme features, extreme variances, labels that say nothing."""

import inspect
from dataclasses import replace

import pytest
import torch
from tests.contracts.settings import SETTINGS, Setting
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from polytag import registry
from polytag.data.table import Table
from polytag.errors import DataError, ParameterError
from polytag.losses import ASL
from polytag.testing.models import Subject, batch_of, logits_of, toy, train

NAMES = registry.names("model")
NEED_TWO_LABELS = {"bpmll", "clif"}
"""They compare labels with each other, and say so when there is only one."""
FOR_MANY_LABELS = {"rnn": {"patch": 16}, "small_cnn": {"grid": 4}}
"""Smaller still where the labels are many: fewer steps in time, fewer weights a label."""
SPREADS = {
    "dela": ["logvar"],
    "mpvae": ["feature_logvar", "label_logvar"],
    "hotvae": ["feature_head", "label_head"],
    "paca": ["logvar", "label_logvar"],
}
"""Layers that put out log variances."""


def subject(name, **params):
    setting = SETTINGS.get(name, Setting())
    return Subject(registry.get("model", name), setting.pace, {**setting.params, **params})


def changed(table, **parts):
    return Table(replace(table.dataset, **parts))


def step(model, batch):
    """Take one training step and insist that all numbers in it are finite."""
    optimizer = torch.optim.Adam(model.param_groups(1e-3))
    objective = model.train().objective(batch)
    objective.loss.backward()
    assert bool(objective.loss.isfinite())
    assert bool(objective.logits.isfinite().all())
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all()), f"the gradient of {name}"
    optimizer.step()
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())
    assert bool(logits_of(model, batch.x).isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_one_label_trains_or_is_refused_with_advice(name):
    make = subject(name)
    table = make.toy(q=1)

    def run():
        model = make(table)
        train(model, batch_of(table), 3)
        logits = logits_of(model, batch_of(table).x)
        assert logits.shape == (table.n, 1)
        assert bool(logits.isfinite().all())

    if name in NEED_TWO_LABELS:
        with pytest.raises(ParameterError, match=r"q=1.*model='mlp'"):
            run()
    else:
        run()


@pytest.mark.parametrize("b", [1, 8])
@pytest.mark.parametrize("name", NAMES)
def test_two_labels(name, b):
    make = subject(name)
    table = make.toy(q=2)
    step(make(table), batch_of(table, b))


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes, forward or backward."""

    cells = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):  # what is stored: tensors that were expanded show more than they hold
                self.cells = max(self.cells, tensor.untyped_storage().nbytes() // tensor.element_size())
        return made


@pytest.mark.parametrize("name", NAMES)
def test_thousand_labels_without_tensors_of_pairs(name):
    b, q = 8, 1000
    make = subject(name, **FOR_MANY_LABELS.get(name, {}))
    table = make.toy(n=b, d=1000 if make.kind == "table" else 16, q=q)
    model = make(table)
    with Largest() as largest:
        step(model, batch_of(table))
    assert largest.cells < 0.6 * b * q * q  # (b, q, q) and (b, q, d) hold as many as this without the factor


@pytest.mark.parametrize("name", [name for name in NAMES if "table" in registry.get("model", name).INPUTS])
def test_huge_features(name):
    make = subject(name)
    table = make.toy()
    batch = batch_of(table)
    for x in (1e4 * batch.x, 1e4 * (2 * batch.x - 1), torch.full_like(batch.x, -1e4)):
        step(make(table), batch._replace(x=x))


@pytest.mark.parametrize("spread", [50.0, -50.0, 200.0, -200.0])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", sorted(SPREADS))
def test_extreme_variances(name, spread, sign):
    make = subject(name)
    table = make.toy()
    model = make(table)
    for layer, value in zip(SPREADS[name], (spread, sign * spread), strict=False):
        bias = model.get_submodule(layer).bias.data
        # HOT-VAE's heads put out mean and log variance of each latent vector.
        (bias.view(model.latents, 2, -1)[:, 1] if name == "hotvae" else bias).fill_(value)
    step(model, batch_of(table))


@pytest.mark.parametrize("label", [0.0, 1.0, torch.nan])
@pytest.mark.parametrize("name", NAMES)
def test_a_row_without_contrast_alone_in_a_batch(name, label):
    make = subject(name)
    table = make.toy()
    batch = batch_of(table, 1)
    step(make(table), batch._replace(y=torch.full_like(batch.y, label)))


@pytest.mark.parametrize("name", NAMES)
def test_constant_labels_and_features_without_information(name):
    make = subject(name)
    table = make.toy()
    Y = table.dataset.Y.copy()
    Y[:, 0], Y[:, -1] = 1, 0  # under a hierarchy the first is a top label, the last an end
    for flat in (changed(table, Y=Y), changed(table, X=0 * table.dataset.X, Y=Y)):
        step(make(flat), batch_of(flat))


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_that_does_not_exist_is_named(name):
    make = subject(name)
    with pytest.raises(ParameterError, match=r"no parameter of \w+ called 'hiden'"):
        make(make.toy(), hiden=3)


@pytest.mark.parametrize("name", [name for name in NAMES if "loss" not in inspect.signature(registry.get("model", name)).parameters])
def test_a_model_with_an_objective_of_its_own_takes_no_loss(name):
    make = subject(name)
    with pytest.raises(ParameterError, match=r"expected no loss for \w+, whose objective is its own, but got ASL; leave it out"):
        make(make.toy(), loss=ASL())


UNREADABLE = [
    (name, kind)
    for name in NAMES
    for kind in ("table", "tokens", "images")
    if kind not in (["table"] if name == "role" else registry.get("model", name).INPUTS)  # ROLE's network is a perceptron here
]


@pytest.mark.parametrize(("name", "kind"), UNREADABLE)
def test_data_of_another_kind_are_refused_with_models_that_read_them(name, kind):
    make = subject(name)
    with pytest.raises(DataError, match=rf"reads .*but got {kind} of shape .*models that read {kind} are \w+"):
        make(toy(kind=kind))


def test_role_names_a_parameter_that_its_network_does_not_have():
    make = subject("role", network_params={"hiden": [8]})
    with pytest.raises(ParameterError, match="no parameter of MLP called 'hiden'"):
        make(make.toy())


@pytest.mark.parametrize(("name", "widths"), [("mlp", "hidden"), ("tabm", "hidden"), ("mpvae", "widths"), ("small_cnn", "widths")])
def test_a_single_layer_may_be_given_as_a_number(name, widths):
    make = subject(name)
    shapes = [{key: value.shape for key, value in make(make.toy(), **{widths: given}).state_dict().items()} for given in (8, [8])]
    assert shapes[0] == shapes[1]
    with pytest.raises(ParameterError, match=f"expected {widths} to be widths"):
        make(make.toy(), **{widths: "8,8"})
