"""ROLE against the numbers of the specification, and what its estimates do."""

import math

import numpy as np
import pytest
import torch

from polytag.data import Dataset, Table, drop_labels, make_multilabel
from polytag.losses import BCE
from polytag.metrics import evaluate
from polytag.models import ROLE
from polytag.models.role import role_parts
from polytag.selectors import Random
from polytag.training import Trainer, predict
from polytag.types import Batch

LOGITS = torch.tensor([[2, -1, 0.5, -3], [-0.5, 1.5, -2, 0], [1, 0.3, -0.7, -1.2]], dtype=torch.float64)
ESTIMATES = torch.tensor([[0.995, 0.4, 0.6, 0.3], [0.5, 0.995, 0.2, 0.5], [0.7, 0.6, 0.4, 0.995]], dtype=torch.float64)
NAN = float("nan")
OBSERVED = torch.tensor([[1, NAN, NAN, NAN], [NAN, 1, NAN, NAN], [NAN, NAN, NAN, 1]]).double()


def batch_of(y: torch.Tensor, weight: torch.Tensor | None = None) -> Batch:
    return Batch(torch.arange(len(y)), torch.zeros(len(y), 1), y, weight)


def test_golden_value() -> None:
    parts = role_parts(LOGITS, ESTIMATES.logit(), batch_of(OBSERVED), k=1.5, eps=1e-5)
    assert float(sum(parts.values())) == pytest.approx(0.8996160643, abs=1e-9)


def test_each_side_learns_from_the_other_and_not_from_itself() -> None:
    logits, theta = LOGITS.clone().requires_grad_(), ESTIMATES.logit().requires_grad_()
    agreement = role_parts(logits, theta, batch_of(OBSERVED), k=1.5)["agreement"]
    of_network, of_estimates = torch.autograd.grad(agreement, (logits, theta))
    gap = LOGITS.sigmoid() - ESTIMATES
    torch.testing.assert_close(of_network, gap / (2 * 12))
    torch.testing.assert_close(of_estimates, -gap / (2 * 12))


def test_weights_reach_the_cells() -> None:
    theta, weight = ESTIMATES.logit(), torch.tensor([2.0, 0.0, 1.0]).double()
    whole = role_parts(LOGITS, theta, batch_of(OBSERVED, weight), k=1.5)
    rows = [role_parts(LOGITS[[i]], theta[[i]], batch_of(OBSERVED[[i]]), k=1.5) for i in range(3)]
    for name in ("known", "agreement"):
        torch.testing.assert_close(whole[name], (2 * rows[0][name] + rows[2][name]) / 3)
        cells = role_parts(LOGITS, theta, batch_of(OBSERVED, weight[:, None].expand(3, 4)), k=1.5)
        torch.testing.assert_close(cells[name], whole[name])


def test_estimates_start_from_what_is_known() -> None:
    y = np.array([[1, 0, NAN], [NAN, NAN, 1]])
    model = ROLE.from_data(Table(Dataset(np.zeros((2, 4)), y)), network="linear")
    estimates = model.theta.sigmoid().detach().numpy()
    np.testing.assert_allclose(estimates[[0, 0, 1], [0, 1, 2]], [0.995, 0.005, 0.995], rtol=1e-5)
    assert ((estimates[np.isnan(y)] > 0.4) & (estimates[np.isnan(y)] < 0.6)).all()
    assert len(np.unique(estimates[np.isnan(y)])) == 3
    assert model.k == pytest.approx(2.0)


def test_estimates_learn_faster_and_do_not_decay() -> None:
    table = Table(Dataset(np.zeros((2, 4)), np.eye(2)))
    network, estimates = ROLE.from_data(table, network="linear", lr_ratio=5.0).param_groups(0.1)
    assert (network["lr"], estimates["lr"], estimates["weight_decay"]) == (0.1, 0.5, 0.0)
    assert sum(p.numel() for p in network["params"]) == 4 * 2 + 2


def test_learns_from_single_positives() -> None:
    data, _ = make_multilabel(1200, 10, 6, cardinality=2.5, imbalance=1.5, noise=0.05, correlation=0.0)
    train = data.take(np.arange(800))
    table = Table(Dataset(train.X, drop_labels(train.Y, single_positive=True)))
    k = float(train.Y.sum(axis=1).mean())
    model = ROLE.from_data(table, network="linear", k=k)
    before = model.theta.detach().clone()
    Trainer(epochs=25, lr=1e-2, keep="last").fit(model, table, Random(table.targets, 32))
    truth, unknown = torch.as_tensor(train.Y, dtype=torch.float32), torch.as_tensor(np.isnan(table.dataset.Y))
    assert float((model.theta[unknown] > 0).float().eq(truth[unknown]).float().mean()) > 0.85
    assert float((before[unknown] > 0).float().eq(truth[unknown]).float().mean()) < 0.6
    test = data.take(np.arange(800, 1200))
    found = evaluate(test.Y, predict(model, Table(test)).sigmoid().numpy(), threshold=0.5, metrics=["hamming_loss", "macro_auc"])
    assert found["hamming_loss"] < 0.15 < float(test.Y.mean())
    assert found["macro_auc"] > 0.93


def test_weights_load_into_a_model_built_without_rows() -> None:
    table = Table(Dataset(np.zeros((5, 4)), np.eye(5)))
    model = ROLE.from_data(table, network="mlp", network_params={"hidden": [8]}).eval()
    bare = ROLE(4, 5, network_params={"hidden": [8]}, **model.config).eval()
    bare.load_state_dict(model.state_dict())
    assert (bare.theta.shape, bare.k) == ((5, 5), model.k)
    assert torch.equal(bare(torch.ones(1, 4)), model(torch.ones(1, 4)))


def test_wraps_a_network_that_needs_to_see_the_data() -> None:
    rng = np.random.default_rng(0)
    table = Table(Dataset(rng.normal(size=(12, 4)), rng.integers(0, 2, (12, 3))))
    objective = ROLE.from_data(table, network="clif").objective(table[torch.arange(12)])
    assert objective.logits.shape == (12, 3)
    assert math.isclose(float(sum(objective.parts.values())), float(objective.loss.detach()), rel_tol=1e-6)


def test_in_evaluation_the_known_labels_count() -> None:
    table = Table(Dataset(np.ones((3, 2)), np.array([[1, NAN], [0, 1], [NAN, NAN]])))
    model = ROLE.from_data(table, network="linear").eval()
    elsewhere = Batch(torch.tensor([70, 80, 90]), *table[torch.arange(3)][1:])
    torch.testing.assert_close(model.objective(elsewhere).loss, BCE()(model(elsewhere.x), elsewhere.y))


def test_refuses_what_it_cannot_use() -> None:
    for bad in ({"k": -1.0}, {"lr_ratio": 0.0}, {"eps": -1.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            ROLE(3, 2, **bad)
    with pytest.raises(KeyError, match="mlp"):
        ROLE(3, 2, network="mpl")
    pictures = Table(Dataset(np.zeros((2, 3, 16, 16), dtype=np.uint8), np.eye(2), kind="images"))
    with pytest.raises(ValueError, match="models that read"):
        ROLE.from_data(pictures, network="linear")
