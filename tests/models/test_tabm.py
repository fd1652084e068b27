"""TabM against k separate networks, and its maps of numbers."""

import math

import numpy as np
import pytest
import torch
from scipy import sparse, stats
from tests.reference.tabm import TextbookTabM

from polytag.data.dataset import Dataset
from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.losses import BCE
from polytag.models import TabM
from polytag.models.tabm import averaged
from polytag.nn.numeric import PiecewiseLinear, QuantileNormal, many_valued, quantile_knots
from polytag.types import Batch


def table(n: int = 60, seed: int = 0) -> Table:
    """Return rows with two numbers and a flag, and three labels: common, rare, partly unknown."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.gamma(2.0, size=n), rng.uniform(size=n), rng.random(n) < 0.2])
    y = (rng.random((n, 3)) < [0.6, 0.1, 0.5]).astype(np.float32)
    y[::3, 2] = np.nan
    return Table(Dataset(x, y))


@pytest.mark.parametrize("inputs", ["quantile", "scaled", "piecewise"])
@pytest.mark.parametrize("variant", ["tabm", "tabm_mini", "packed"])
@pytest.mark.parametrize("b", [1, 7])
def test_equals_separate_networks(variant: str, inputs: str, b: int) -> None:
    train = table()
    model = TabM.from_data(train, k=3, hidden=[6, 5], variant=variant, inputs=inputs, bins=4, seed=1).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    textbook, batch = TextbookTabM(model), train[torch.arange(b)]
    for weight in (None, torch.rand(b).double(), torch.rand(b, 3).double()):
        batch = Batch(batch.rows, batch.x.double(), batch.y.double(), weight)
        fast, slow = model.objective(batch), textbook.loss(batch)
        torch.testing.assert_close(fast.loss, slow)
        torch.testing.assert_close(fast.logits.sigmoid(), textbook.predict(batch.x))
        parameters = list(model.parameters())
        for mine, theirs in zip(torch.autograd.grad(fast.loss, parameters), torch.autograd.grad(slow, parameters), strict=True):
            torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(model(batch.x), fast.logits)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        # W and, for each of the k = 4 members, r, s and bias of both hidden layers; outputs for each member
        ("tabm", 103 * 8 + 4 * (103 + 8 + 8) + 8 * 8 + 4 * 3 * 8 + 4 * (8 + 1) * 14),
        ("tabm_mini", 103 * 8 + 8 + 4 * 103 + 8 * 8 + 8 + 4 * (8 + 1) * 14),
        ("packed", 4 * ((103 + 1) * 8 + (8 + 1) * 8 + (8 + 1) * 14)),
    ],
)
def test_number_of_parameters(variant: str, expected: int) -> None:
    model = TabM(103, 14, k=4, hidden=[8, 8], variant=variant)
    assert sum(p.numel() for p in model.parameters()) == expected


def test_members_part_at_the_first_layer_only() -> None:
    model = TabM(200, 3, k=8, hidden=[16, 16])
    first, second = model.hidden
    assert set(first.r.unique().tolist()) == {-1.0, 1.0}
    assert abs(first.r.mean().item()) < 0.1
    assert all(bool((vector == 1).all()) for vector in (first.s, second.r, second.s))
    assert all(bool((layer.bias == layer.bias[0]).all()) for layer in (first, second))
    assert not torch.equal(model.output.weight[0], model.output.weight[1])


def test_pieces_of_a_feature_start_with_one_sign() -> None:
    signs = TabM(30, 2, k=4, inputs="piecewise", bins=5).hidden[0].r.view(4, 30, 5)
    assert bool((signs == signs[..., :1]).all())
    assert set(signs.unique().tolist()) == {-1.0, 1.0}


def test_averages_probabilities_without_rounding() -> None:
    members = torch.randn(5, 4, 3, dtype=torch.float64) * 3
    torch.testing.assert_close(averaged(members).sigmoid(), members.sigmoid().mean(dim=0))
    extreme = torch.tensor([900.0, 900.0, -900.0]).view(3, 1, 1)
    assert float(averaged(extreme)) == pytest.approx(math.log(2))
    assert float(averaged(extreme[:2])) == 900.0
    assert float(averaged(-extreme[:2])) == -900.0
    assert averaged(extreme.bfloat16()).dtype == torch.float32


def test_unknown_labels_do_not_reach_the_gradient() -> None:
    model = TabM(3, 2, k=2, hidden=[8]).eval()
    x, y = torch.rand(4, 3, requires_grad=True), torch.ones(4, 2)
    y[1], y[2, 0] = torch.nan, torch.nan
    (gradient,) = torch.autograd.grad(model.objective(Batch(torch.arange(4), x, y)).loss, x)
    assert ((gradient != 0).any(dim=1)).tolist() == [True, False, True, True]


def test_another_loss_takes_over() -> None:
    batch = Batch(torch.arange(4), torch.rand(4, 3), torch.ones(4, 2))
    one, seven = (TabM.from_data(table(), seed=0, k=2, loss=BCE(pos_weight=weight)).eval() for weight in (1.0, 7.0))
    batch = batch._replace(y=torch.ones(4, 3))
    torch.testing.assert_close(seven.objective(batch).loss, 7 * one.objective(batch).loss)


def test_each_member_drops_its_own_units() -> None:
    model = TabM(3, 2, k=2, hidden=[64], dropout=0.5, variant="tabm_mini")
    seen: list[torch.Tensor] = []
    model.dropout.register_forward_hook(lambda _, __, out: seen.append(out == 0))
    model(torch.rand(5, 3))
    assert not torch.equal(seen[0][0], seen[0][1])
    assert torch.equal(model.eval()(torch.ones(1, 3)), model(torch.ones(1, 3)))


def test_only_matrices_are_decayed() -> None:
    model = TabM(3, 2, k=2, hidden=[8])
    decayed, free = model.param_groups(0.1)
    assert {id(p) for p in decayed["params"]} == {id(model.hidden[0].weight), id(model.output.weight)}
    assert free["weight_decay"] == 0
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))
    optimizer = torch.optim.AdamW(model.param_groups(0.1), weight_decay=0.5)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]


def test_outputs_may_start_at_the_log_odds() -> None:
    train = table()
    model = TabM.from_data(train, prior_bias=True, k=2)
    y = train.dataset.Y
    for label in range(3):
        known = y[~np.isnan(y[:, label]), label]
        odds = (known.sum() + 0.5) / (len(known) - known.sum() + 0.5)
        assert model.output.bias[:, label].tolist() == pytest.approx([math.log(odds)] * 2)
    sparse_labels = Table(Dataset(np.ones((4, 1)), sparse.csr_array(np.array([[1, 0], [1, 0], [1, 1], [0, 0]], dtype=np.uint8))))
    assert TabM.context(sparse_labels)["prior"].tolist() == pytest.approx([math.log(3.5 / 1.5), math.log(1.5 / 3.5)])


def test_quantile_scores_are_normal_and_flags_stay() -> None:
    train = table(3000)
    x = train[torch.arange(3000)].x
    model = QuantileNormal(quantile_knots(train))
    scores = model(x)
    assert model.numeric.tolist() == [True, True, False]
    assert torch.equal(scores[:, 2], x[:, 2])
    for column in range(2):
        values = scores[:, column].numpy()
        assert stats.spearmanr(values, x[:, column].numpy()).statistic > 0.9999
        assert abs(values.mean()) < 0.01
        assert values.std() == pytest.approx(0.97, abs=0.03)  # the outermost 1/128 at either end are cut
    beyond = model(torch.tensor([[1e9, -1e9, 5.0]]))
    assert beyond.tolist() == [[pytest.approx(stats.norm.ppf(1 - 1 / 128)), pytest.approx(stats.norm.ppf(1 / 128)), 5.0]]


def test_scores_do_not_depend_on_the_scale() -> None:
    train, x = table(), torch.rand(9, 3)
    stretched = Table(Dataset(train.dataset.X * 50 - 3, train.dataset.Y))
    first, second = (QuantileNormal(quantile_knots(t)) for t in (train, stretched))
    torch.testing.assert_close(first(x)[:, :2], second(x * 50 - 3)[:, :2], atol=1e-4, rtol=0)


def test_a_shared_value_gets_the_middle_score() -> None:
    scores = QuantileNormal(torch.tensor([[0.0, 1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 5.0]]))
    middle = (stats.norm.ppf(1.5 / 8) + stats.norm.ppf(3.5 / 8)) / 2
    assert float(scores(torch.tensor([[1.0]]))) == pytest.approx(middle)


def test_sparse_and_dense_features_have_the_same_knots() -> None:
    rng = np.random.default_rng(0)
    dense = rng.uniform(size=(50, 600)) * (rng.random((50, 600)) < 0.7)
    y = np.ones((50, 1))
    torch.testing.assert_close(quantile_knots(Table(Dataset(sparse.csr_array(dense), y))), quantile_knots(Table(Dataset(dense, y))))
    assert quantile_knots(Table(Dataset(dense[:0], y[:0]))).shape == (600, 64)
    with pytest.raises(ParameterError, match="count=1"):
        quantile_knots(Table(Dataset(dense, y)), 1)


def test_many_valued_is_about_the_share_of_one_value() -> None:
    values = np.linspace(0, 1, 1000)
    columns = np.column_stack([values, values > 0.5, np.where(values < 0.4, 0, values), np.where(values < 0.6, 0, values), 0 * values])
    assert many_valued(quantile_knots(Table(Dataset(columns, np.ones((1000, 1)))))).tolist() == [True, False, True, False, False]


def test_pieces_add_up_to_the_value() -> None:
    edges = torch.tensor([[0.0, 0.1, 0.5, 1.0], [0.0, 0.0, 0.0, 1.0]])
    x = torch.tensor([[-0.2, 1.0], [0.05, 0.0], [0.7, 1.0], [1.5, 0.25]])
    pieces = PiecewiseLinear(edges)(x).view(4, 2, 3)
    torch.testing.assert_close((pieces * edges.diff(dim=1)).sum(dim=2), x)
    assert pieces[:, 1, :2].eq(0).all()
    assert pieces[2, 0].tolist() == [1.0, 1.0, pytest.approx(0.4)]
    one = PiecewiseLinear(torch.tensor([[2.0, 4.0]]))
    assert one(torch.tensor([[1.0], [5.0]])).flatten().tolist() == [-0.5, 1.5]


@pytest.mark.parametrize(
    "bad",
    [
        {"k": 0},
        {"hidden": []},
        {"hidden": [0]},
        {"bins": 0},
        {"dropout": 1.0},
        {"variant": "mini"},
        {"inputs": "raw"},
        {"prior_bias": True},
    ],
)
def test_refuses_senseless_values(bad: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=next(iter(bad))):
        TabM(3, 2, **bad)


def test_never_copies_the_batch_or_the_matrix_for_each_member() -> None:
    b, d, k = 64, 2000, 8
    model, largest = TabM(d, 3, k=k, hidden=[16]), 0
    batch = Batch(torch.arange(b), torch.rand(b, d), torch.ones(b, 3))

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, tensor.untyped_storage().nbytes() // tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        model.objective(batch)
    assert largest <= b * d < k * 16 * d < k * b * d
