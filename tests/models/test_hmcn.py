"""HMCN against its equations written out, the hand oracle of the violation term, and the hierarchy it must not contradict."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import hmcn as textbook
from tests.reference.local import random_hierarchy

from polytag.hierarchy import Hierarchy
from polytag.models import HMCN
from polytag.models.hmcn import mixed_logit
from polytag.testing.models import train
from polytag.types import Batch

T4 = Hierarchy.from_edges([("A", "a1"), ("A", "a2")], names=["A", "B", "a1", "a2"])
MIXED = Hierarchy.from_edges([("A", "a1"), ("A", "a2"), ("a1", "x"), ("B", "x")], names=["a1", "B", "x", "A", "a2"])


def batch_for(hierarchy: Hierarchy, n: int = 12, d: int = 3, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    y = hierarchy.close((rng.random((n, hierarchy.q)) < 0.3).astype(np.float64))
    return Batch(torch.arange(n), torch.from_numpy(rng.normal(size=(n, d))), torch.from_numpy(y))


def fixed(local, overall=None, **params) -> HMCN:
    """Return a model over T4 whose outputs are these probabilities, whatever x is."""
    model = HMCN(1, 4, hierarchy=T4, width=2, **params).double().eval()
    one, other = (torch.tensor([p], dtype=torch.float64).logit() for p in (local, local if overall is None else overall))
    model.outputs = lambda x: (one.expand(len(x), -1), other.expand(len(x), -1))
    return model


@pytest.mark.parametrize("params", [{}, {"form": "r"}, {"beta": 0.2, "violation": 3.0}, {"violation_on": "local", "violation": 3.0}])
def test_equals_the_equations(params) -> None:
    model, batch = HMCN(3, 5, hierarchy=MIXED, width=6, dropout=0.0, closure=None, **params).double(), batch_for(MIXED)
    train(model, batch, 20)
    expected = np.array([textbook.outputs(model, MIXED, x)[2] for x in batch.x.numpy()])
    np.testing.assert_allclose(model(batch.x).sigmoid().detach().numpy(), expected, rtol=1e-10)
    loss = float(model.objective(batch).loss.detach())
    assert loss == pytest.approx(textbook.loss(model, MIXED, batch.x.numpy(), batch.y.numpy()), rel=1e-10)


def test_violation_worked_by_hand() -> None:
    model = fixed([0.3, 0.6, 0.5, 0.2])
    y = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0]], dtype=torch.float64)
    objective = model.objective(Batch(torch.arange(2), torch.zeros(2, 1), y))
    assert float(objective.parts["violation"]) == pytest.approx(0.04)
    assert float(objective.loss - objective.parts["local"] - objective.parts["global"]) == pytest.approx(0.004)


def test_violation_looks_at_the_mixture_or_at_the_local_outputs() -> None:
    local, overall = [0.3, 0.6, 0.5, 0.2], [0.5, 0.6, 0.5, 0.4]
    batch = Batch(torch.arange(1), torch.zeros(1, 1), torch.ones(1, 4, dtype=torch.float64))
    for params, expected in (({}, 0.1**2), ({"beta": 0.0}, 0.0), ({"beta": 1.0}, 0.2**2), ({"violation_on": "local"}, 0.2**2)):
        assert float(fixed(local, overall, **params).objective(batch).parts["violation"]) == pytest.approx(expected, abs=1e-12)


def test_violation_takes_the_weights_of_rows() -> None:
    model, x = fixed([0.3, 0.6, 0.5, 0.2]), torch.zeros(2, 1)
    batch = Batch(torch.arange(2), x, torch.ones(2, 4, dtype=torch.float64), torch.tensor([2.0, 1.0], dtype=torch.float64))
    assert float(model.objective(batch).parts["violation"]) == pytest.approx(1.5 * 0.04)


def test_weights_of_cells_reach_their_level_and_unknown_labels_cost_nothing() -> None:
    model = fixed([0.3, 0.6, 0.5, 0.2])
    y = torch.tensor([[1.0, 0, 1, torch.nan]], dtype=torch.float64)
    cells = torch.tensor([[2.0, 1.0, 3.0, 5.0]], dtype=torch.float64)
    parts = model.objective(Batch(torch.arange(1), torch.zeros(1, 1), y, cells)).parts
    terms = -np.log([0.3, 0.4, 0.5])
    assert float(parts["local"]) == pytest.approx((2 * terms[0] + terms[1]) / 2 + 3 * terms[2])
    assert float(parts["global"]) == pytest.approx((2 * terms[0] + terms[1] + 3 * terms[2]) / 3)


def test_closure_by_hand() -> None:
    x = torch.zeros(1, 1)
    for closure, expected in (("up", [0.5, 0.6, 0.5, 0.2]), ("down", [0.3, 0.6, 0.3, 0.2]), (None, [0.3, 0.6, 0.5, 0.2])):
        found = fixed([0.3, 0.6, 0.5, 0.2], closure=closure)(x).sigmoid()
        torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["f", "r"]), st.sampled_from(["up", "down"]))
def test_scores_never_contradict_the_hierarchy(seed: int, form: str, closure: str) -> None:
    rng = np.random.default_rng(seed)
    hierarchy = random_hierarchy(rng, q=9)
    torch.manual_seed(seed)
    model = HMCN(4, 9, hierarchy=hierarchy, form=form, width=5, closure=closure).eval()
    scores = model(torch.from_numpy(rng.normal(size=(6, 4)) * 50).float())
    child, parent = torch.tensor(hierarchy.edges).T
    assert bool((scores[:, child] <= scores[:, parent]).all())
    for cut in torch.quantile(scores.detach(), torch.tensor([0.2, 0.5, 0.9])):
        assert hierarchy.violations((scores > cut).numpy()).sum() == 0


def test_without_a_closure_scores_do_contradict_it() -> None:
    torch.manual_seed(0)
    model = HMCN(4, 4, hierarchy=T4, width=5, closure=None).eval()
    assert T4.violations((model(torch.randn(200, 4)) > 0).numpy()).sum() > 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_logit_of_a_mixture_is_exact_and_finite(share: float) -> None:
    values = torch.tensor([-1e4, -90.0, -3.0, 0.0, 0.7, 3.0, 90.0, 1e4])
    first, second = (v.flatten().clone().requires_grad_() for v in torch.meshgrid(values, values, indexing="ij"))
    found = mixed_logit(first, second, share)
    assert bool(found.isfinite().all())
    assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(found.sum(), (first, second), allow_unused=True) if g is not None)
    one, other = (v.detach().double() for v in (first, second))
    small = (one.abs() < 30) & (other.abs() < 30)
    exact = (share * one.sigmoid() + (1 - share) * other.sigmoid()).logit()
    torch.testing.assert_close(found[small].double(), exact[small], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mixed_logit(first, first, share), first)


def test_a_single_row_is_normalised_by_the_running_statistics() -> None:
    model, batch = HMCN(3, 4, hierarchy=T4, width=5, dropout=0.0).double(), batch_for(T4)
    train(model, batch, 5)
    expected, state = model(batch.x[:1]), {k: v.clone() for k, v in model.state_dict().items()}
    torch.testing.assert_close(model.train()(batch.x[:1]), expected)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_recurrent_form_has_one_walk_for_all_levels() -> None:
    chain = Hierarchy.from_edges([(str(k), str(k + 1)) for k in range(5)])
    sizes = {form: sum(p.numel() for p in HMCN(7, 6, hierarchy=chain, form=form, width=8).walk.parameters()) for form in "fr"}
    assert sizes == {"f": 8 * (7 + 1 + 2) + 5 * 8 * (8 + 7 + 1 + 2), "r": 4 * 8 * (7 + 8 + 2)}


def test_refuses_what_makes_no_sense() -> None:
    for bad in ({"form": "x"}, {"beta": 1.5}, {"violation": -1.0}, {"violation_on": "global"}, {"closure": "product"}, {"width": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            HMCN(3, 4, hierarchy=T4, **bad)
    with pytest.raises(ValueError, match="over the 3 labels of Y, but got one over 4"):
        HMCN(3, 3, hierarchy=T4)
