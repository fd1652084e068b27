"""HCAL against hand oracles and the textbook form, with one class a level and with several, on trees and graphs."""

import numpy as np
import pytest
import torch
from tests.reference import hcal as slow
from torch import nn

from polytag.data import Dataset, Table
from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.losses import ASL, BCE
from polytag.models import HCAL, level_tasks
from polytag.models.base import Decides
from polytag.models.hcal import classes_per_level
from polytag.models.level_tasks import LevelTask, LevelWeights, Units, class_means, class_units, softmax_log_odds
from polytag.testing import models as contract
from polytag.training import Trainer
from polytag.types import Batch

TREE = Hierarchy.from_edges([("A", "a1"), ("A", "a2"), ("B", "b1")], ["a1", "A", "b1", "B", "a2"])
"""Two levels; columns in no order of levels."""
DEEP = Hierarchy.from_edges([("t", "m1"), ("t", "m2"), ("u", "m3"), ("m1", "f1"), ("m1", "f2"), ("m2", "f3"), ("m3", "f4"), ("m3", "f5")])
UNEVEN = Hierarchy.from_edges([("t", "m1"), ("t", "m2"), ("m1", "f1"), ("m1", "f2")], ["t", "m1", "m2", "f1", "f2", "alone"])
GRAPH = Hierarchy.from_edges([("x", "c"), ("y", "c"), ("x", "d"), ("c", "e"), ("y", "e"), ("d", "g")])
SHAPES = {"tree": TREE, "deep": DEEP, "uneven": UNEVEN, "graph": GRAPH}


def one_path(hierarchy: Hierarchy, n: int, seed: int = 0) -> np.ndarray:
    """Return labels of n rows that each reach one end of the deepest level, with all ancestors."""
    ends = np.flatnonzero(hierarchy.levels == hierarchy.depth)
    Y = np.zeros((n, hierarchy.q), np.uint8)
    Y[np.arange(n), np.random.default_rng(seed).choice(ends, n)] = 1
    return hierarchy.close(Y)


def several(hierarchy: Hierarchy, n: int, seed: int = 0, share: float = 0.3) -> np.ndarray:
    """Return closed random labels; the first row has none."""
    Y = (np.random.default_rng(seed).random((n, hierarchy.q)) < share).astype(np.uint8)
    Y[0] = 0
    return hierarchy.close(Y)


def built(hierarchy: Hierarchy, d: int = 5, seed: int = 0, **params) -> HCAL:
    torch.manual_seed(seed)
    params = {"encoder": nn.Identity(), "width": 4, "noise": 0.0, **params}
    model = HCAL(d, hierarchy.q, hierarchy=hierarchy, **params)
    for task in model.tasks:  # prototypes that differ more than fresh ones do, so that all terms matter
        nn.init.normal_(task.prototypes)
    return model.double()


def batch_of(y, d: int = 5, seed: int = 1) -> Batch:
    y = torch.as_tensor(np.asarray(y), dtype=torch.float64)
    x = torch.randn(len(y), d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Batch(torch.arange(len(y)), x, y)


# Hand oracles


def oracle(temperature: float) -> tuple[HCAL, Batch]:
    h = Hierarchy.from_edges([("p", "f0"), ("p", "f1"), ("r", "f2")], ["p", "r", "f0", "f1", "f2"])
    model = HCAL(2, 5, hierarchy=h, encoder=nn.Identity(), width=2, noise=0.0, temperature=temperature, per_level="one").double()
    model.projection.weight.data, model.projection.bias.data = torch.eye(2).double(), torch.zeros(2).double()
    model.tasks[0].prototypes.data = torch.tensor([[0.0, 1], [1, 0]]).double()
    model.tasks[1].prototypes.data = torch.tensor([[1.0, 0], [0.6, 0.8], [0, -1]]).double()
    return model, Batch(torch.arange(2), torch.eye(2).double(), torch.tensor([[1.0, 0, 1, 0, 0], [1, 0, 0, 1, 0]]).double())


@pytest.mark.parametrize(
    ("temperature", "fine", "coarse", "weights", "total"),
    [(1.0, 0.595586, 0.693147, (0.451373, 0.548627), 0.649111), (0.1, 0.009265, 0.693147, (0.202981, 0.797019), 0.554332)],
)
def test_oracle_of_the_loss(temperature, fine, coarse, weights, total):
    model, batch = oracle(temperature)
    objective = model.objective(batch)
    parts = {name: float(value) for name, value in objective.parts.items()}
    expected = {"loss_level_1": coarse, "loss_level_2": fine, "weight_level_1": weights[1], "weight_level_2": weights[0]}
    assert parts == pytest.approx(expected, abs=1e-6)
    assert objective.loss.item() == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize(
    ("losses", "weights", "total"),
    [((1.0, 0.5), (0.731059, 0.268941), 0.865529), ((1.0, 0.5, 0.25), (0.628532, 0.231224, 0.140244), 0.779205)],
)
def test_oracle_of_the_weights(losses, weights, total):
    losses = torch.tensor(losses, dtype=torch.float64, requires_grad=True)
    loss, found = LevelWeights(len(losses), "loss_softmax")(losses, torch.ones(len(losses), dtype=torch.bool), 1)
    assert found.tolist() == pytest.approx(weights, abs=1e-6)
    assert loss.item() == pytest.approx(total, abs=1e-6)
    assert float(found.sum()) == pytest.approx(1)
    assert not found.requires_grad
    torch.testing.assert_close(torch.autograd.grad(loss, losses)[0], found)  # the weights have no gradient of their own


def test_oracle_of_the_aggregation():
    f = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    y = torch.tensor([[1.0, 1, 0], [1, 1, 0], [1, 0, 1]])  # the parent, child a, child b
    torch.testing.assert_close(class_units(f, y[:, :1], None, sigmoid=False).features[0], torch.tensor([2 / 3, 1 / 3]))
    torch.testing.assert_close(class_means(f, y, None, [torch.tensor([[1, 2], [0, 0]])])[0], torch.tensor([0.5, 0.5]))


# The textbook form


@pytest.mark.parametrize("aggregate", ["instance_mean", "class_mean", "none"])
@pytest.mark.parametrize("labels", [one_path, several])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_textbook_form(shape, labels, aggregate):
    h = SHAPES[shape]
    model = built(h, aggregate=aggregate)
    for seed in range(3):
        batch = batch_of(labels(h, 9, seed), seed=seed)
        objective = model.objective(batch)
        expected = slow.losses(model, h, model.features(batch.x), batch.y)
        many = [k for k in range(h.depth) if (h.levels == k + 1).sum() > 1]  # a level of one class has no softmax
        for k in many:
            assert float(objective.parts[f"loss_level_{k + 1}"]) == pytest.approx(expected[k], rel=1e-9), k
        if len(many) == h.depth and all(expected):
            assert objective.loss.item() == pytest.approx(slow.total(expected), rel=1e-9)


def test_several_classes_a_level_reduce_to_one():
    """With one positive a level, the loss is the plain cross-entropy of torch."""
    model = built(DEEP)
    batch = batch_of(one_path(DEEP, 12))
    finest = np.flatnonzero(DEEP.levels == 3)
    scores = model.tasks[2].scores(model.features(batch.x))
    expected = nn.functional.cross_entropy(scores, batch.y[:, finest].argmax(dim=1))
    torch.testing.assert_close(model.objective(batch).parts["loss_level_3"], expected.detach())


def test_a_class_that_is_not_in_the_batch_has_no_unit():
    h = TREE
    model, y = built(h), np.zeros((4, 5))
    y[:, :2] = 1  # a1 and its parent only
    batch = batch_of(y)
    loss = model.objective(batch).parts["loss_level_1"]
    mean = model.features(batch.x).mean(dim=0, keepdim=True)
    torch.testing.assert_close(loss, -model.tasks[0].scores(mean).log_softmax(dim=1)[0, 0].detach())
    units = class_units(torch.ones(4, 2), torch.tensor([[1.0, 0.0]] * 4), None, sigmoid=False)
    assert units.y.isnan().all(dim=1).tolist() == [False, True]


def test_of_very_many_classes_only_those_in_the_batch_are_compared(monkeypatch):
    f, y = torch.randn(6, 3), torch.tensor(several(DEEP, 6)[:, :6]).float()
    y[:, 2:4] = 0
    weight = torch.rand(6, 6)
    for sigmoid in (False, True):
        task = LevelTask(6, 3, sigmoid=sigmoid, noise=0.0)
        whole = class_units(f, y, weight, sigmoid=sigmoid)
        monkeypatch.setattr(level_tasks, "_MANY", 2)
        few = class_units(f, y, weight, sigmoid=sigmoid)
        monkeypatch.undo()
        assert len(few.y) < len(whole.y) == 6 + sigmoid
        torch.testing.assert_close(task.loss(few)[0], task.loss(whole)[0])


def test_rows_without_a_class_say_no_to_all_of_them():
    f = torch.tensor([[1.0, 0], [0, 1], [0, -1]])
    y = torch.tensor([[1.0, 1], [0, 1], [0, 0]])
    units = class_units(f, y, None, sigmoid=True)
    torch.testing.assert_close(units.features, torch.tensor([[1.0, 0], [0.5, 0.5], [0, -1]]))
    torch.testing.assert_close(units.y, torch.tensor([[1.0, 1], [0.5, 1], [0, 0]]))


def test_rows_and_cells_that_weigh_nothing_have_no_say():
    for params in ({}, {"aggregate": "class_mean"}, {"aggregate": "none"}, {"loss": "bce"}, {"loss": "bce", "aggregate": "class_mean"}):
        model, batch = built(DEEP, **params), batch_of(several(DEEP, 8, share=0.5))
        weight = torch.ones(8, dtype=torch.float64)
        weight[3] = 0
        other = batch._replace(x=batch.x.clone())
        other.x[3] += 5
        for weights in (weight, weight[:, None].expand(8, DEEP.q)):
            losses = [model.objective(part._replace(weight=weights)).loss for part in (batch, other)]
            torch.testing.assert_close(*losses)
        assert not torch.isclose(model.objective(batch).loss, model.objective(other).loss)


def test_unknown_labels_are_left_out():
    model = built(TREE)
    batch = batch_of(one_path(TREE, 6))
    y = batch.y.clone()
    fine = np.flatnonzero(TREE.levels == 2)
    y[0, fine] = y[0, fine].masked_fill(y[0, fine] == 0, torch.nan)  # one known class: nothing to tell it from
    y[1] = torch.nan
    scores = model.tasks[1].scores(model.features(batch.x))[2:]
    expected = nn.functional.cross_entropy(scores, batch.y[2:, fine].argmax(dim=1), reduction="sum") / 5
    torch.testing.assert_close(model.objective(batch._replace(y=y)).parts["loss_level_2"], expected.detach())


# Probabilities


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_are_the_log_odds_of_the_softmax_of_each_level(shape):
    h = SHAPES[shape]
    model = built(h).eval()
    x = torch.randn(7, 5, dtype=torch.float64)
    proba = model(x).sigmoid()
    features = model.features(x)
    for level in range(1, h.depth + 1):
        columns = np.flatnonzero(h.levels == level)
        if len(columns) > 1:
            directions = nn.functional.normalize(model.tasks[level - 1].prototypes, dim=1)
            torch.testing.assert_close(proba[:, columns], (features @ directions.T / 0.1).softmax(dim=1))


def test_log_odds_are_exact_where_probabilities_are_nearly_one():
    scores = torch.tensor([[10.0, -10, -10], [300.0, 0, 0], [1.0, 1.0, 1.0]], requires_grad=True)
    found = softmax_log_odds(scores)
    expected = scores.double() - torch.stack([scores.double()[:, others].logsumexp(1) for others in ([1, 2], [0, 2], [0, 1])], dim=1)
    torch.testing.assert_close(found.double(), expected)
    found.sum().backward()
    assert bool(scores.grad.isfinite().all())


def test_prototypes_are_disturbed_in_training_only():
    model = built(TREE, noise=0.01)
    task = model.tasks[1]
    still = task.directions()
    torch.testing.assert_close(still.norm(dim=1), torch.ones(3).double())
    first, second = task.directions(True), task.directions(True)
    assert not torch.equal(first, second)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(3).double())
    assert 0 < (first - still).abs().max().item() < 0.03
    batch = batch_of(one_path(TREE, 6))
    assert not torch.equal(model.train().objective(batch).loss, model.objective(batch).loss)
    assert torch.equal(model.train().objective(batch).logits, model.eval().objective(batch).logits)
    assert torch.equal(model.objective(batch).loss, model.objective(batch).loss)
    model.train().objective(batch).loss.backward()
    assert bool((task.prototypes.grad != 0).any())


def test_prototypes_start_small():
    torch.manual_seed(0)
    task = LevelTask(200, 256)
    assert task.prototypes.std().item() == pytest.approx(0.01, rel=0.02)
    assert (task.directions(True) - task.directions()).norm(dim=1).mean().item() == pytest.approx(0.01 * (256 / 3) ** 0.5, rel=0.05)


# Weights of the levels


def test_fixed_weights_and_uncertainty():
    losses, present = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64), torch.ones(3, dtype=torch.bool)
    assert float(LevelWeights(3, "fixed", fixed=[0.0, 1, 2])(losses, present, 1)[0]) == 1
    assert float(LevelWeights(3, "fixed")(losses, present, 1)[0]) == pytest.approx(1.75 / 3)
    rule = LevelWeights(3, "uncertainty").double()
    rule.theta.data = torch.tensor([0.0, 1.0, -1.0]).double()
    total, weights = rule(losses, present, 1)
    assert total.item() == pytest.approx((1 + 0.5 * np.exp(-1) + 0.25 * np.exp(1)) / 3)
    assert weights.tolist() == pytest.approx((np.exp([0, -1, 1]) / 3).tolist())
    total.backward()
    assert rule.theta.grad.tolist() == pytest.approx([1 - 1 / 3, 1 - 0.5 * np.exp(-1) / 3, 1 - 0.25 * np.exp(1) / 3])


def test_a_level_that_the_batch_says_nothing_about_has_no_weight():
    losses, present = torch.tensor([1.0, 0.0]), torch.tensor([True, False])
    assert LevelWeights(2, "loss_softmax")(losses, present, 1)[1].tolist() == [1, 0]
    assert LevelWeights(2, "uncertainty")(losses, present, 1)[0].item() == 0.5
    total, weights = LevelWeights(2, "loss_softmax")(torch.zeros(2), torch.tensor([False, False]), 1)
    assert (float(total), float(weights.sum())) == (0, 1)


def test_rates_compare_epochs_and_are_kept():
    rule, there = LevelWeights(2, "rate", rows=4), torch.ones(2, dtype=torch.bool)

    def step(rule, *losses):
        return rule(torch.tensor(losses), there, 2)[1].tolist()

    for losses in ((1.0, 4.0), (3.0, 4.0), (1.0, 2.0)):  # epochs of two steps: means (2, 4), then (1, 3)
        assert step(rule, *losses) == [0.5, 0.5]
    halfway = LevelWeights(2, "rate", rows=4)
    halfway.load_state_dict(rule.state_dict())
    assert step(halfway, 1.0, 4.0) == [0.5, 0.5]
    expected = torch.tensor([1 / 2, 3 / 4]).softmax(0).tolist()
    assert step(halfway, 9.0, 9.0) == pytest.approx(expected)
    halfway.eval()
    assert step(halfway, 5.0, 5.0) == step(halfway, 5.0, 5.0) == pytest.approx(expected)  # looking does not count


@pytest.mark.parametrize("weighting", ["loss_softmax", "fixed", "uncertainty", "rate"])
def test_every_weighting_trains(weighting):
    h, x = DEEP, np.random.default_rng(0).normal(size=(40, 6))
    data = Table(Dataset(x, one_path(h, 40), label_names=h.names, hierarchy=h))
    model = HCAL.from_data(data, weighting=weighting, encoder_params={"hidden": 16}, width=8)
    before = float(model.eval().objective(data[torch.arange(40)]).parts[f"loss_level_{h.depth}"])
    contract.train(model, data[torch.arange(40)], 60, lr=0.003)
    assert float(model.objective(data[torch.arange(40)]).parts[f"loss_level_{h.depth}"]) < 0.7 * before


# Decisions


@pytest.mark.parametrize("how", ["independent", "top_down", "bottom_up"])
@pytest.mark.parametrize("shape", ["tree", "deep"])
def test_three_ways_to_combine_single_classes(shape, how):
    h = SHAPES[shape]
    model = built(h, per_level="one", decode=how)
    x = torch.randn(40, 5, dtype=torch.float64)
    labels = model.decide(x)
    assert [set(np.flatnonzero(row)) for row in labels.numpy()] == slow.decide(h, model.eval()(x), how)
    broken = int((h.violations(labels.numpy()) > 0).sum())
    assert broken > 0 if how == "independent" else broken == 0
    assert torch.equal(model.decide(x, decode="top_down"), built(h, per_level="one", decode="top_down").decide(x))


@pytest.mark.parametrize("how", ["top_down", "bottom_up"])
@pytest.mark.parametrize("per_level", ["one", "at_most_one", "several"])
@pytest.mark.parametrize("shape", SHAPES)
def test_combined_decisions_never_contradict_the_hierarchy(shape, per_level, how):
    h = SHAPES[shape]
    labels = built(h, per_level=per_level).decide(torch.randn(60, 5, dtype=torch.float64), decode=how)
    assert not h.violations(labels.numpy()).any()
    assert bool(labels.any())


def test_several_classes_by_thresholds():
    h = UNEVEN
    model = built(h, per_level="several")
    assert isinstance(model, Decides)
    x = torch.randn(50, 5, dtype=torch.float64)
    own = model.eval()(x) > 0
    assert torch.equal(model.decide(x, decode="independent"), own.double())
    closed = torch.as_tensor(h.close(own.numpy().astype(int)))
    assert torch.equal(model.decide(x), closed.double())  # the default closes where there are thresholds
    top_down = own.clone()
    for level in (2, 3):
        for c in np.flatnonzero(h.levels == level):
            parents = [int(p) for child, p in h.edges if child == c]
            top_down[:, c] &= top_down[:, parents].all(dim=1)
    assert torch.equal(model.decide(x, decode="top_down"), top_down.double())


def test_thresholds_are_the_best_of_each_level():
    h, rng = TREE, np.random.default_rng(3)
    data = Table(Dataset(rng.normal(size=(60, 5)).astype(np.float32), several(h, 60), label_names=h.names, hierarchy=h))
    model = HCAL.from_data(data, encoder_params={"hidden": 8}, width=4)
    assert model.per_level == ("several", "several")
    model.train().fit_threshold(data)
    assert model.training
    scores, y = model.eval()(data[torch.arange(60)].x).detach(), data[torch.arange(60)].y

    def f1(columns, cut):
        guess, truth = scores[:, columns] > cut, y[:, columns] == 1
        return float(2 * (guess & truth).sum() / (guess.sum() + truth.sum()))

    for level in (1, 2):
        columns = np.flatnonzero(h.levels == level)
        best = max(f1(columns, float(cut) - 1e-6) for cut in scores[:, columns].flatten())
        assert f1(columns, float(model.cuts[level - 1])) == pytest.approx(best)
    again = HCAL.from_data(data, encoder_params={"hidden": 8}, width=4, seed=9)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.decide(data[torch.arange(60)].x), model.decide(data[torch.arange(60)].x))


def test_a_row_may_stop_early():
    h = UNEVEN
    y = h.close(np.array([[0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0]] * 10))
    data = Table(Dataset(y.astype(np.float32) + 0.01, y, label_names=h.names, hierarchy=h))
    model = HCAL.from_data(data, encoder_params={"hidden": 32, "dropout": 0.0}, width=8, aggregate="none")
    assert model.per_level == ("one", "at_most_one", "at_most_one")
    contract.train(model, data[torch.arange(40)], 100, lr=0.003)
    model.fit_threshold(data)
    torch.testing.assert_close(model.decide(data[torch.arange(4)].x, decode="independent"), torch.as_tensor(y[:4]).float())


def test_how_many_classes_a_level_has_follows_from_the_rows():
    assert classes_per_level(one_path(DEEP, 9), DEEP.levels) == ["one"] * 3
    assert classes_per_level(several(DEEP, 50), DEEP.levels) == ["several"] * 3
    Y = one_path(TREE, 6).astype(float)
    Y[2, TREE.levels == 2] = np.nan
    assert classes_per_level(Y, TREE.levels) == ["one", "one"]
    Y[2, TREE.levels == 2] = 0
    assert classes_per_level(Y, TREE.levels) == ["one", "at_most_one"]
    from scipy import sparse

    assert classes_per_level(sparse.csr_array(one_path(DEEP, 9)), DEEP.levels) == ["one"] * 3
    assert classes_per_level(np.zeros((0, 5)), TREE.levels) == ["several"] * 2


# Training


def test_learning_rates_of_the_levels():
    groups = built(DEEP, loss="bce", weighting="uncertainty").param_groups(0.01)
    assert [group["lr"] for group in groups] == pytest.approx([0.01, 0.05, 0.1, 0.2, 0.01])
    assert [len(group["params"]) for group in groups[1:]] == [1, 1, 1, 7]
    assert groups[4]["weight_decay"] == 0
    four = Hierarchy.from_edges([("a", "b"), ("b", "c"), ("c", "d")])
    assert [group["lr"] for group in built(four).param_groups(1.0)][1:5] == [5, 10, 20, 20]
    defaults = HCAL.training_defaults()
    assert (defaults["batch_size"], defaults["epochs"], defaults["lr"], defaults["weight_decay"]) == (32, 500, 0.01, 1e-4)
    assert defaults["optimizer_params"] == {"momentum": 0.9}
    assert HCAL.training_defaults("aircraft")["epochs"] == 1000


def test_published_settings_learn_single_paths():
    rng = np.random.default_rng(0)
    y = one_path(DEEP, 300)
    x = (y @ rng.normal(size=(DEEP.q, 10)) + 0.3 * rng.normal(size=(300, 10))).astype(np.float32)
    data = Dataset(x, y, label_names=DEEP.names, hierarchy=DEEP)
    train, test = Table(data.take(np.arange(200))), Table(data.take(np.arange(200, 300)))
    model = HCAL.from_data(train)
    settings = {**HCAL.training_defaults(), "epochs": 8}
    from polytag.selectors import Random

    run = Trainer(**{name: value for name, value in settings.items() if name != "batch_size"}).fit(model, train, Random(train.labels, 32))
    assert {"loss_level_1", "weight_level_3"} <= run.history[-1].parts.keys()
    right = (model.decide(test[torch.arange(100)].x) == test[torch.arange(100)].y).all(dim=1).float().mean()
    assert float(right) > 0.9


CHECKS = [check for check in contract.CHECKS if check.__name__ not in ("check_training", "check_capacity")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "params", [{}, {"loss": "bce", "aggregate": "class_mean", "weighting": "uncertainty"}, {"weighting": "rate"}], ids=str
)
def test_contract_of_other_settings(params, check):
    """Not those that ask for several labels a level by one half: a softmax says how classes share one, not how many there are."""
    check(contract.Subject(HCAL, params={**params, "encoder_params": {"dropout": 0.0, "hidden": 16}}))


# Wrong parameters


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 0}, "width >= 1"), ({"temperature": 0.0}, "temperature > 0"), ({"noise": -1.0}, "noise >= 0"),
        ({"aggregate": "mean"}, "aggregate='mean'"), ({"decode": "up"}, "decode='up'"), ({"per_level": "many"}, "per_level"),
        ({"per_level": ["one"]}, "2 of these"), ({"weighting": "equal"}, "weighting='equal'"), ({"gamma": 0.0}, "gamma > 0"),
        ({"weighting": "rate"}, "rows"), ({"level_weights": [1.0]}, "2 level_weights"), ({"loss": "hinge"}, "got 'hinge'"),
        ({"loss": ASL()}, "objective is its own"), ({"loss": BCE(pos_weight=2.0)}, "plain BCE"),
        ({"encoder": "mpl"}, "did you mean 'mlp'"), ({"encoder": 3}, "a network or one of"), ({"augment": "blur"}, "augment"),
        ({"augment": "crop_flip"}, "expected pictures"), ({"encoder_params": {"hiden": 3}}, "hidden"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_named(wrong, said):
    with pytest.raises(ParameterError, match=said):
        HCAL(3, 5, hierarchy=TREE, **wrong)


def test_wrong_data_are_named():
    with pytest.raises(DataError, match="over the 4 labels of Y, but got one over 5"):
        HCAL(3, 4, hierarchy=TREE)
    with pytest.raises(DataError, match="none; give it one"):
        HCAL.from_data(Table(Dataset(np.eye(3), np.eye(3))))
    assert HCAL(3, 5, hierarchy=TREE, loss=BCE()).sigmoid


def test_units_of_half_known_rows():
    task = LevelTask(3, 2, sigmoid=True, noise=0.0).double()
    f = torch.randn(2, 2).double()
    y = torch.tensor([[1.0, torch.nan, 0.0], [torch.nan] * 3]).double()
    loss, present = task.loss(Units(f, y, None))
    expected = BCE()(task.scores(f)[:1, [0, 2]], y[:1, [0, 2]])
    torch.testing.assert_close(loss, expected)
    assert bool(present)
    assert not bool(task.loss(Units(f, torch.full_like(y, torch.nan), None))[1])
