"""BP-MLL against the error terms of its authors, the textbook sum over pairs, and thresholds found by trying."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from polytag.data import Dataset
from polytag.data.table import Table
from polytag.errors import DataError, ParameterError
from polytag.losses import BCE, PairwiseExponential
from polytag.models import BPMLL
from polytag.models.bpmll import threshold_targets
from polytag.types import Batch

UNKNOWN = torch.nan


def made(n: int = 40, d: int = 7, q: int = 4, seed: int = 0) -> tuple[BPMLL, Batch]:
    """Return a model in double precision and rows of which the first has no label and the second has all."""
    torch.manual_seed(seed)
    y = torch.randint(2, (n, q)).double()
    y[0], y[1] = 0, 1
    return BPMLL(d, q, hidden=5).double(), Batch(torch.arange(n), torch.rand(n, d).double(), y)


def test_number_of_parameters() -> None:
    assert sum(p.numel() for p in BPMLL(103, 14).parameters()) == 2_492
    assert (BPMLL(1, 2).hidden.out_features, BPMLL(2, 2, hidden=9).hidden.out_features) == (1, 9)


def test_the_loss_is_the_sum_over_pairs_of_rows_that_have_some() -> None:
    model, batch = made()
    c = (1.6 * batch.x - 0.8) @ model.hidden.weight.T + model.hidden.bias
    c = (c.tanh() @ model.output.weight.T + model.output.bias).tanh()
    torch.testing.assert_close(model.outputs(batch.x), c)
    values = []
    for row, labels in zip(c, batch.y):
        pairs = [torch.exp(n - p) for p, n in itertools.product(row[labels == 1], row[labels == 0])]
        if pairs:
            values.append(sum(pairs) / len(pairs))
    assert len(values) < len(c) - 1
    objective = model.objective(batch)
    torch.testing.assert_close(objective.loss, sum(values) / len(values))
    torch.testing.assert_close(objective.logits, torch.log((1 + c) / (1 - c)))
    torch.testing.assert_close(objective.logits.sigmoid(), (c + 1) / 2)
    shared = PairwiseExponential(skip_empty=True)
    torch.testing.assert_close(shared(objective.logits / 2, batch.y), objective.loss)
    weight = torch.rand(len(c)).double()
    torch.testing.assert_close(model.objective(batch._replace(weight=weight)).loss, shared(objective.logits / 2, batch.y, weight))


def test_one_step_follows_the_error_terms_of_the_authors() -> None:
    model, batch = made(n=6)
    y, c = batch.y[5], model.outputs(batch.x[5:])[0].detach()
    assert 0 < y.sum() < len(y)
    pairs = y.sum() * (1 - y).sum()
    error = torch.stack(
        [
            torch.exp(-(c[j] - c[y == 0])).sum() / pairs if y[j] == 1 else -torch.exp(-(c[y == 1] - c[j])).sum() / pairs
            for j in range(len(y))
        ]
    )
    delta = error * (1 + c) * (1 - c)
    hidden = model.hidden(1.6 * batch.x[5] - 0.8).tanh().detach()
    back = (delta @ model.output.weight.detach()) * (1 + hidden) * (1 - hidden)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    training = BPMLL.training_defaults("paper")
    lr, decay = training["lr"], training["lr"] * training["weight_decay"]
    assert (training["batch_size"], training["epochs"], lr, decay) == (1, 100, 0.05, pytest.approx(1e-5))
    optimizer = training["optimizer"](model.param_groups(lr), weight_decay=training["weight_decay"])
    model.objective(Batch(batch.rows[5:], batch.x[5:], batch.y[5:])).loss.backward()
    optimizer.step()
    moves = {
        "output.weight": torch.outer(delta, hidden), "output.bias": delta,
        "hidden.weight": torch.outer(back, 1.6 * batch.x[5] - 0.8), "hidden.bias": back,
    }  # fmt: skip
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), (1 - decay) * before[name] + lr * moves[name])


def test_unknown_labels_are_in_no_pair() -> None:
    model, batch = made()
    y = batch.y.clone()
    y[2:, 1] = UNKNOWN
    logits = model(batch.x)
    partial = model.objective(batch._replace(y=y)).loss
    known = torch.tensor([0, 2, 3])
    alone = PairwiseExponential(skip_empty=True)(logits[:, known] / 2, batch.y[:, known])
    torch.testing.assert_close(partial, alone)
    grads = torch.autograd.grad(partial, list(model.output.parameters()))
    assert bool((grads[0][1] == 0).all())
    assert bool((grads[0][known] != 0).all())
    nothing = model.objective(batch._replace(y=torch.full_like(y, UNKNOWN))).loss
    assert float(nothing.detach()) == 0.0


def test_many_labels_and_saturated_outputs_stay_finite() -> None:
    model = BPMLL(3, 1000)
    nn.init.constant_(model.output.bias, 40.0)
    objective = model.objective(Batch(torch.arange(8), torch.rand(8, 3), (torch.rand(8, 1000) < 0.02).float()))
    objective.loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    assert bool((objective.logits > 70).all())


def errors(t: float, c: list[float], y: list[float]) -> int:
    """Count what a threshold does wrong."""
    return sum((label == 1 and out <= t) or (label == 0 and out >= t) for out, label in zip(c, y))


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """Return outputs, some of them equal, and labels, of which at least one is known."""
    q = draw(st.integers(1, 7))
    c = [value / 8 for value in draw(st.lists(st.integers(-8, 8), min_size=q, max_size=q))]
    y = draw(st.lists(st.sampled_from([0.0, 1.0, UNKNOWN]), min_size=q, max_size=q).filter(lambda y: any(v == v for v in y)))
    return c, y


@settings(max_examples=300, deadline=None)
@given(rows())
def test_thresholds_make_the_fewest_errors(row: tuple[list[float], list[float]]) -> None:
    c, y = row
    found = float(threshold_targets(torch.tensor([c]).double(), torch.tensor([y]).double()))
    known = sorted({out for out, label in zip(c, y) if label == label})
    tried = [known[0] - 0.1, *((a + b) / 2 for a, b in itertools.pairwise(known)), known[-1] + 0.1]
    counted = [errors(t, c, y) for t in tried]
    assert min(counted) <= min(errors(t, c, y) for t in known)  # a threshold that equals an output is never better
    assert found == pytest.approx(tried[counted.index(min(counted))], abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(rows())
def test_midpoints_are_mulans(row: tuple[list[float], list[float]]) -> None:
    c, y = row
    relevant, irrelevant = ([out for out, label in zip(c, y) if label == side] for side in (1, 0))
    if relevant and irrelevant:
        expected = (min(relevant) + max(irrelevant)) / 2
    else:
        expected = max(irrelevant) + 0.1 if irrelevant else min(relevant) - 0.1
    outputs, labels = torch.tensor([c]).double(), torch.tensor([y]).double()
    assert float(threshold_targets(outputs, labels, midpoint=True)) == pytest.approx(expected, abs=1e-12)
    if relevant and irrelevant and min(relevant) > max(irrelevant):
        assert float(threshold_targets(outputs, labels)) == pytest.approx(expected, abs=1e-12)


def test_the_midpoint_is_not_the_best_threshold_where_the_groups_overlap() -> None:
    c, y = torch.tensor([[0.9, 0.8, 0.7, -0.2, 0.1]]), torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]])
    assert float(threshold_targets(c, y, midpoint=True)) == pytest.approx(-0.05)
    assert float(threshold_targets(c, y)) == pytest.approx(-0.3)
    assert (errors(-0.3, c[0].tolist(), y[0].tolist()), errors(-0.05, c[0].tolist(), y[0].tolist())) == (1, 2)


@pytest.mark.parametrize("midpoint", [False, True])
def test_the_threshold_function_is_the_least_squares_fit(midpoint: bool) -> None:
    model, batch = made(n=50)
    y = batch.y.clone()
    y[3:20, 0] = UNKNOWN
    y[7] = UNKNOWN
    table = Table(Dataset(batch.x.numpy(), y.numpy()))
    before = model.decide(batch.x)
    torch.testing.assert_close(before, (model.outputs(batch.x) > 0).double())
    model.float().fit_threshold(table, midpoint=midpoint, batch_size=16)
    outputs = model.outputs(batch.x.float()).detach()
    kept = np.delete(np.arange(50), 7)
    design = np.column_stack([outputs.double().numpy(), np.ones(50)])
    targets = threshold_targets(outputs.double()[kept], y[kept], midpoint=midpoint).numpy()
    solution = np.linalg.lstsq(design[kept], targets, rcond=None)[0]
    np.testing.assert_allclose([*model.threshold_weight, float(model.threshold_bias)], solution, rtol=1e-4, atol=1e-5)
    expected = outputs.numpy() > (design @ solution)[:, None]
    np.testing.assert_array_equal(model.decide(batch.x.float()).numpy(), expected)
    restored = BPMLL(7, 4, hidden=5)
    restored.load_state_dict(model.state_dict())
    assert torch.equal(restored.decide(batch.x.float()), model.decide(batch.x.float()))


def test_saturated_outputs_have_a_threshold_too() -> None:
    model, batch = made(n=3)
    nn.init.constant_(model.output.weight, 0.0)
    nn.init.constant_(model.output.bias, 40.0)
    model.fit_threshold(Table(Dataset(batch.x.numpy(), np.ones((3, 4)))))
    assert bool((model.decide(batch.x) == 1).all())
    model.fit_threshold(Table(Dataset(batch.x.numpy(), np.zeros((3, 4)))))
    assert bool((model.decide(batch.x) == 0).all())
    with pytest.raises(DataError, match="3 rows"):
        model.fit_threshold(Table(Dataset(batch.x.numpy(), np.full((3, 4), np.nan))))


def test_learns_to_rank_and_then_to_decide() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((400, 6)).astype(np.float32)
    table = Table(Dataset(x, x > np.array([0.5, 0.8, 0.8, 0.2, 0.2, 0.5])))
    model, batch = BPMLL.from_data(table, hidden=16), table[torch.arange(400)]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        model.objective(batch).loss.backward()
        optimizer.step()

    def right() -> float:
        return float((model.decide(batch.x) == batch.y).float().mean())

    at_half = right()
    model.fit_threshold(table)
    assert right() > max(at_half, 0.9)


@pytest.mark.parametrize("loss", [BCE(), PairwiseExponential()])
def test_another_loss_takes_the_logits(loss: nn.Module) -> None:
    model, batch = made()
    other = BPMLL(7, 4, hidden=5, loss=loss).double()
    other.load_state_dict(model.state_dict(), strict=False)
    weight = torch.rand(len(batch.y)).double()
    expected: Tensor = loss(model(batch.x), batch.y, weight)
    torch.testing.assert_close(other.objective(batch._replace(weight=weight)).loss, expected)


def test_features_may_stay_as_they_are() -> None:
    model, batch = made()
    plain = BPMLL(7, 4, hidden=5, span=None).double()
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(plain(1.6 * batch.x - 0.8), model(batch.x))


@pytest.mark.parametrize("bad", [{"hidden": 0}, {"span": 0.0}, {"q": 1}])
def test_refuses_senseless_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(bad))):
        BPMLL(**{"d": 3, "q": 2, **bad})
