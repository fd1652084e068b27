"""Local classifiers in one network: who learns from which rows, scores along paths, and what they add up to."""

from itertools import product as combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.local import masks, product, random_hierarchy, selected
from torch import nn

from polytag.data import Dataset, Table
from polytag.hierarchy import POLICIES, Hierarchy
from polytag.models import Local
from polytag.models.local import LogProduct
from polytag.types import Batch

NAN = float("nan")
T4 = Hierarchy.from_edges([("A", "a1"), ("A", "a2")], names=["A", "B", "a1", "a2"])
ROWS = torch.tensor([[1.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 1]])
"""a1; A and no further; B; nothing; a1 and a2."""

TABLE = {
    "exclusive": ["01000", "00100", "10001", "00001"],
    "less_exclusive": ["-100-", "00100", "10001", "00001"],
    "less_inclusive": ["11001", "00100", "10001", "00001"],
    "inclusive": ["11001", "00100", "1-001", "0-001"],
    "siblings": ["110-1", "001-0", "1---1", "0---1"],
    "exclusive_siblings": ["-10--", "-01--", "1---1", "0---1"],
}
"""By hand, a string for each label with a sign for each row: 1 positive, 0 negative, - not used."""


def signs(target, mask) -> list[str]:
    return ["".join("-" if not m else str(int(t)) for t, m in zip(column, used)) for column, used in zip(target.T, mask.T)]


def lessons(hierarchy, y, **params):
    return Local(2, hierarchy.q, hierarchy=hierarchy, hidden=2, **params).lessons(y)


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_by_hand(policy: str) -> None:
    assert signs(*lessons(T4, ROWS, per="node", policy=policy)) == TABLE[policy]


def test_parents_and_levels_by_hand() -> None:
    assert signs(*lessons(T4, ROWS)) == ["11001", "00100", "10--1", "00--1"]
    assert signs(*lessons(T4, ROWS, per="level")) == TABLE["less_inclusive"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(POLICIES))
def test_masks_are_the_training_sets_of_separate_models(seed: int, policy: str) -> None:
    rng = np.random.default_rng(seed)
    hierarchy = random_hierarchy(rng, q=8)
    Y = hierarchy.close((rng.random((15, 8)) < 0.15).astype(np.float32))
    target, mask = (part.numpy() for part in lessons(hierarchy, torch.from_numpy(Y), per="node", policy=policy))
    positive, negative = masks(selected(Y, hierarchy, policy), len(Y))
    np.testing.assert_array_equal(mask, positive | negative)
    np.testing.assert_array_equal(target[mask] == 1, positive[mask])


def test_what_unknown_labels_decide_is_left_out() -> None:
    y = torch.tensor([[1.0, 0, NAN, 0], [NAN, 0, NAN, 0], [1, NAN, 1, NAN]])
    assert signs(*lessons(T4, y)) == ["1-1", "00-", "--1", "0--"]
    assert signs(*lessons(T4, y, per="node", policy="less_inclusive")) == ["1-1", "00-", "--1", "00-"]
    assert signs(*lessons(T4, y, per="node", policy="exclusive")) == ["--0", "00-", "--1", "00-"]  # is A a most specific label of row 0?
    assert signs(*lessons(T4, y, per="node", policy="siblings")) == ["1-1", "0--", "--1", "---"]


def test_loss_is_that_of_the_cells_of_the_mask() -> None:
    torch.manual_seed(0)
    model = Local(2, 4, hierarchy=T4, hidden=3, dropout=0.0).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    weight = torch.tensor([1.0, 2, 0.5, 1, 3], dtype=torch.float64)
    h, total = model.network(x).sigmoid().detach(), 0.0
    for i, j in combinations(range(5), range(4)):
        if j < 2 or ROWS[i, 0] == 1:
            total += float(weight[i] * -torch.log(h[i, j] if ROWS[i, j] else 1 - h[i, j]))
    batch = Batch(torch.arange(5), x, ROWS.double(), weight)
    assert float(model.objective(batch).loss.detach()) == pytest.approx(total / 20)
    cells = batch._replace(weight=weight[:, None].expand(5, 4))
    torch.testing.assert_close(model.objective(cells).loss, model.objective(batch).loss)


def test_on_a_tree_the_loss_is_the_likelihood_of_the_label_set() -> None:
    torch.manual_seed(0)
    model, x = Local(2, 4, hierarchy=T4, hidden=3, dropout=0.0).double(), torch.randn(1, 2, dtype=torch.float64)
    closed = [y for y in combinations((0.0, 1.0), repeat=4) if y[0] >= max(y[2], y[3])]
    sets = torch.tensor(closed, dtype=torch.float64)
    likelihood = torch.stack([torch.exp(-4 * model.objective(Batch(torch.arange(1), x, y[None])).loss) for y in sets])
    torch.testing.assert_close(likelihood.sum(), torch.ones((), dtype=torch.float64))
    torch.testing.assert_close(likelihood @ sets, model(x)[0].sigmoid())  # scores are the marginals


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_scores_are_products_along_paths_and_never_contradict_the_hierarchy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hierarchy = random_hierarchy(rng, q=9)
    logits = torch.from_numpy(rng.normal(size=(5, 9)) * 3)
    found = LogProduct(hierarchy).logits(logits)
    expected = [product(h, hierarchy) for h in logits.sigmoid().numpy()]
    np.testing.assert_allclose(found.sigmoid().numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(found.sigmoid().numpy(), hierarchy.constrain(logits.sigmoid().numpy(), "product"), rtol=1e-9)
    child, parent = torch.tensor(hierarchy.edges).T
    for scale in (0.01, 1.0, 30.0):
        scores = LogProduct(hierarchy).logits((logits * scale).float())
        assert bool(scores.isfinite().all())
        assert bool((scores[:, child] <= scores[:, parent]).all())
        assert hierarchy.violations((scores > scores.quantile(0.6)).numpy()).sum() == 0


def test_deep_and_saturated_scores_stay_finite() -> None:
    chain = Hierarchy.from_edges([(str(k), str(k + 1)) for k in range(39)])
    constraint = LogProduct(chain)
    for value in (-1e4, -30.0, 0.0, 30.0, 1e4):
        logits = torch.full((2, 40), value).requires_grad_()
        scores = constraint.logits(logits)
        assert bool(scores.isfinite().all())
        assert bool(torch.autograd.grad(scores.sum(), logits)[0].isfinite().all())
    small = constraint.logits(torch.full((1, 40), -30.0))
    torch.testing.assert_close(small[0], -30.0 * torch.arange(1, 41))  # a probability of e^-1200 is 0 in any float
    torch.testing.assert_close(constraint.logits(torch.full((1, 40), 40.0))[0, 0], torch.tensor(40.0))  # and 1 - e^-40 is 1


def test_a_level_has_a_network_of_its_own() -> None:
    model = Local(2, 4, hierarchy=T4, per="level", hidden=3, dropout=0.0)
    y = torch.tensor([[1.0, 0.0, NAN, NAN]])
    model.objective(Batch(torch.arange(1), torch.ones(1, 2), y)).loss.backward()
    top, below = (sum(float(p.grad.abs().sum()) for p in part.parameters()) for part in model.network.parts)
    assert top > 0 == below


def test_levels_are_closed_and_stand_in_the_order_of_the_labels() -> None:
    mixed = Hierarchy.from_edges([("A", "a1"), ("A", "a2")], names=["a1", "B", "a2", "A"])
    x = torch.tensor([[0.5, -1.0], [2.0, 0.3], [-1.0, -0.7]])
    for closure in ("up", "down"):
        model = Local(2, 4, hierarchy=mixed, per="level", closure=closure, hidden=3).eval()
        (B, A), (a1, a2) = (part(x).T for part in model.network.parts)
        expected = mixed.constrain(torch.stack([a1, B, a2, A], dim=1), closure)
        torch.testing.assert_close(model(x), expected)


def test_takes_other_networks() -> None:
    x, y = np.random.default_rng(0).normal(size=(6, 3)), T4.close(np.eye(4)[[0, 1, 2, 3, 2, 1]])
    table = Table(Dataset(x, y, label_names=T4.names, hierarchy=T4))
    model = Local.from_data(table, network="mlp", network_params={"hidden": [5]}).eval()
    assert model.network.output.in_features == 5
    given = nn.Linear(3, 4)
    copied = Local(3, 4, hierarchy=T4, network=given)
    torch.testing.assert_close(copied.network.weight, given.weight)
    assert copied.network is not given
    pictures = Dataset(np.zeros((4, 3, 16, 16), dtype=np.uint8), y[:4], label_names=T4.names, hierarchy=T4, kind="images")
    assert type(Local.from_data(Table(pictures), network_params={"grid": 4}).network).__name__ == "SmallCNN"


def test_refuses_what_makes_no_sense() -> None:
    for bad in ({"per": "edge"}, {"policy": "sibling"}, {"closure": "product"}, {"dropout": 1.0}, {"network_params": {"hidden": 3}}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Local(3, 4, hierarchy=T4, **bad)
    with pytest.raises(ValueError, match="perceptron for each level"):
        Local(3, 4, hierarchy=T4, per="level", network="mlp")
    with pytest.raises(ValueError, match="over the 3 labels of Y, but got one over 4"):
        Local(3, 3, hierarchy=T4)
