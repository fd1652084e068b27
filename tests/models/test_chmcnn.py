"""C-HMCNN against its authors' numbers, hand oracles and the dense published form."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.published import linears
from tests.reference.chmcnn import TextbookCHMCNN, dense_mcloss, relation
from torch import Tensor, nn

from polytag.hierarchy import Hierarchy
from polytag.losses import ASL, BCE
from polytag.models import CHMCNN
from polytag.models.chmcnn import through
from polytag.testing.models import Subject, batch_of
from polytag.types import Batch

CLOSE = {"rtol": 1e-8, "atol": 1e-12}
T4 = Hierarchy.from_edges([("A", "a1"), ("A", "a2")], names=["A", "B", "a1", "a2"])


def mcloss(hierarchy: Hierarchy, h: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return MCLoss of each cell, t, and the gradient of the sum with respect to the probabilities."""
    h = h.clone().requires_grad_()
    _, supplied = through(hierarchy.make_constraint(), h.logit(), y)
    terms = BCE().terms(supplied, y)
    return terms.detach(), supplied.detach().sigmoid(), torch.autograd.grad(terms.sum(), h)[0]


def random_case(seed: int, tree: bool, q: int = 12, b: int = 6) -> tuple[Hierarchy, Tensor, Tensor]:
    """Return a random hierarchy, distinct logits, and closed labels."""
    rng = np.random.default_rng(seed)
    edges = [(k, int(p)) for k in range(1, q) for p in rng.choice(k, size=min(k, 1 if tree else int(rng.integers(0, 4))), replace=False)]
    hierarchy = Hierarchy(tuple(f"n{k}" for k in range(q)), np.array(edges, dtype=np.int64).reshape(-1, 2)).take(rng.permutation(q))
    logits = torch.from_numpy(rng.permutation(b * q).reshape(b, q) / q - b / 2)
    return hierarchy, logits, torch.from_numpy(hierarchy.close((rng.random((b, q)) < 0.2).astype(np.float64)))


def published(golden: Path, name: str) -> tuple[Hierarchy, dict[str, Tensor]]:
    """Return the hierarchy of a published case, root included, and its arrays."""
    with np.load(golden / f"{name}.npz") as file:
        arrays = dict(file)
    hierarchy = Hierarchy(tuple(map(str, range(len(arrays["R"])))), arrays.pop("edges"))
    return hierarchy, {key: torch.as_tensor(values, dtype=torch.float64) for key, values in arrays.items()}


@pytest.mark.data
@pytest.mark.parametrize("name", ["chmcnn_tree", "chmcnn_dag"])
def test_network_equals_the_published_code(golden: Path, name: str) -> None:
    whole, case = published(golden, name)
    kept, x = torch.nonzero(case["in_loss"]).ravel(), case["x"]  # the column of the root is of no use to us
    model = CHMCNN(x.shape[1], len(kept), hierarchy=whole.take(kept), hidden=len(case["param/layer.0.bias"])).double()
    roles = linears(model.network, "layer")
    with torch.no_grad():
        for role, tensor in roles.items():
            stored = case[f"param/{role}"]
            tensor.copy_(stored[kept] if role.startswith("layer.2") else stored)
    torch.testing.assert_close(model.eval()(x).sigmoid(), case["eval/mcm"][:, kept], **CLOSE)

    for k, layer in enumerate(m for m in model.network if isinstance(m, nn.Dropout)):
        layer.register_forward_hook(lambda _, inputs, __, mask=case[f"dropout/{k}"]: inputs[0] * mask / (1 - 0.7))
    raw: list[Tensor] = []
    model.network.register_forward_hook(lambda _, __, out: raw.append(out))
    objective = model.train().objective(Batch(torch.arange(len(x)), x, case["y"][:, kept]))
    raw[0].retain_grad()
    h = raw[0].detach().sigmoid()
    torch.testing.assert_close(h, case["train/h"][:, kept], **CLOSE)
    torch.testing.assert_close(objective.logits.sigmoid(), case["train/mcm"][:, kept], **CLOSE)
    torch.testing.assert_close(objective.loss, case["loss"], **CLOSE)
    objective.loss.backward()
    torch.testing.assert_close(raw[0].grad, case["grad/h"][:, kept] * h * (1 - h), **CLOSE)
    torch.testing.assert_close(roles["layer.2.bias"].grad, case["grad/layer.2.bias"][kept], **CLOSE)
    for k in (0, 1):
        torch.testing.assert_close(roles[f"layer.{k}.weight"].grad.norm(), case[f"gradnorm/layer.{k}.weight"], **CLOSE)


@pytest.mark.data
@pytest.mark.parametrize("name", ["chmcnn_tree", "chmcnn_dag"])
def test_loss_and_constraint_equal_the_published_code(golden: Path, name: str) -> None:
    hierarchy, case = published(golden, name)
    torch.testing.assert_close(relation(hierarchy, case["R"]), case["R"])
    h = case["random/h"]
    terms, t, gradient = mcloss(hierarchy, h, case["random/y"])
    torch.testing.assert_close(hierarchy.constrain(h), case["random/mcm"], **CLOSE)
    torch.testing.assert_close(t, case["random/t"], **CLOSE)
    torch.testing.assert_close(terms.mean(), case["random/loss"], **CLOSE)
    torch.testing.assert_close(gradient / terms.numel(), case["random/grad_h"], **CLOSE)


@pytest.mark.parametrize(
    ("hierarchy", "h", "expected"),
    [
        (T4, [0.3, 0.6, 0.5, 0.2], [0.5, 0.6, 0.5, 0.2]),
        (Hierarchy.from_edges([("X", "C"), ("Y", "C")], names="XYC"), [0.2, 0.7, 0.4], [0.4, 0.7, 0.4]),
        (Hierarchy.from_edges([("x", "y"), ("y", "z")]), [0.1, 0.2, 0.9], [0.9, 0.9, 0.9]),
    ],
    ids=["tree", "two parents", "chain"],
)
def test_hand_oracle_of_prediction(hierarchy: Hierarchy, h: list[float], expected: list[float]) -> None:
    model = CHMCNN(2, hierarchy.q, hierarchy=hierarchy, hidden=3).double().eval()
    with torch.no_grad():
        model.network[-1].weight.zero_()
        model.network[-1].bias.copy_(torch.tensor(h).double().logit())
    torch.testing.assert_close(model(torch.zeros(1, 2).double()).sigmoid(), torch.tensor([expected]).double(), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("h", "y", "t", "total", "gradient"),
    [
        ((0.3, 0.6, 0.5, 0.4), (1, 0, 0, 1), (0.4, 0.6, 0.5, 0.4), 3.442019, (0, 2.5, 2, -5)),
        ((0.3, 0.6, 0.5, 0.2), (1, 0, 0, 1), (0.3, 0.6, 0.5, 0.2), 4.422849, (-10 / 3, 2.5, 2, -5)),
        ((0.3, 0.6, 0.5, 0.2), (1, 0, 1, 0), (0.5, 0.6, 0.5, 0.2), 2.525729, (0, 2.5, -4, 1.25)),
        ((0.3, 0.6, 0.5, 0.2), (1, 0, 1, 1), (0.5, 0.6, 0.5, 0.2), 3.912023, (0, 2.5, -4, -5)),
        ((0.3, 0.6, 0.5, 0.2), (0, 1, 0, 0), (0.5, 0.6, 0.5, 0.2), 2.120264, (0, -5 / 3, 4, 1.25)),
        ((0.3, 0.6, 0.5, 0.2), (0, 0, 0, 0), (0.5, 0.6, 0.5, 0.2), 2.525729, (0, 2.5, 4, 1.25)),
    ],
)
def test_hand_oracles_of_the_loss(h, y, t, total: float, gradient) -> None:
    double = {"dtype": torch.float64}
    terms, found, slope = mcloss(T4, torch.tensor([h], **double), torch.tensor([y], **double))
    torch.testing.assert_close(found, torch.tensor([t], **double))
    assert float(terms.sum()) == pytest.approx(total, abs=5e-7)
    torch.testing.assert_close(slope, torch.tensor([gradient], **double))


def test_pushes_down_the_wrong_descendant_where_other_losses_do_not() -> None:
    """With h = (.3, .6, .5, .4) and y = (1, 0, 0, 1), the cross-entropy of the maximum gives the wrong label a1 no gradient."""
    h, y = torch.tensor([[0.3, 0.6, 0.5, 0.4]], dtype=torch.float64), torch.tensor([[1.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    assert float(mcloss(T4, h, y)[0].mean()) == pytest.approx(0.860505, abs=5e-7)
    logits = h.logit().requires_grad_()
    naive = BCE().terms(T4.constrain(logits), y).sum()
    slope = torch.autograd.grad(naive, logits)[0] / (h * (1 - h))
    assert float(naive.detach()) == pytest.approx(3.218876, abs=5e-7)
    torch.testing.assert_close(slope, torch.tensor([[0.0, 2.5, 0.0, -2.5]], dtype=torch.float64))
    assert float(BCE().terms(h.logit(), y).sum()) == pytest.approx(3.729701, abs=5e-7)


@pytest.mark.parametrize("tree", [True, False])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_equals_the_dense_published_form(tree: bool, seed: int) -> None:
    hierarchy, logits, y = random_case(seed, tree)
    h, R = logits.sigmoid().requires_grad_(), relation(hierarchy, logits)
    expected, t = dense_mcloss(h, y, R)
    terms, found, gradient = mcloss(hierarchy, h.detach(), y)
    torch.testing.assert_close(found, t.detach())
    torch.testing.assert_close(terms, expected.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), h)[0])


def test_a_step_equals_that_of_the_textbook() -> None:
    hierarchy, _, y = random_case(1, tree=False)
    model = CHMCNN(5, hierarchy.q, hierarchy=hierarchy, hidden=7).double().eval()
    batch = Batch(torch.arange(len(y)), torch.randn(len(y), 5, dtype=torch.float64), y)
    ours, theirs = model.objective(batch), TextbookCHMCNN(model).objective(batch)
    torch.testing.assert_close(ours.loss, theirs.loss)
    torch.testing.assert_close(ours.logits, theirs.logits)
    torch.testing.assert_close(model(batch.x), TextbookCHMCNN(model).predict(batch.x))
    gradients = [torch.autograd.grad(found.loss, list(model.parameters())) for found in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_without_edges_the_loss_is_plain_cross_entropy() -> None:
    _, logits, y = random_case(2, tree=True)
    flat = Hierarchy(tuple(map(str, range(12))), np.zeros((0, 2), dtype=np.int64))
    coherent, supplied = through(flat.make_constraint(), logits, y)
    assert torch.equal(coherent, logits)
    assert torch.equal(supplied, logits)


def test_where_all_below_a_present_label_is_present_the_loss_is_that_of_the_coherent_scores() -> None:
    hierarchy, logits, _ = random_case(3, tree=False)
    present = torch.zeros_like(logits)
    present[:3] = 1
    coherent, supplied = through(hierarchy.make_constraint(), logits, present)
    assert torch.equal(coherent, supplied)


@pytest.mark.parametrize("seed", range(5))
def test_unknown_labels_have_no_loss_and_support_no_present_label(seed: int) -> None:
    hierarchy, logits, closed = random_case(seed, tree=False)
    rng = np.random.default_rng(seed)
    y = hierarchy.close(torch.where(torch.from_numpy(rng.random(closed.shape) < 0.3), torch.nan, closed).numpy())
    labels, R = torch.from_numpy(y), relation(hierarchy, logits) > 0
    assert bool(labels.isnan().any())
    assert bool((labels == 1).any())
    _, supplied = through(hierarchy.make_constraint(), logits, labels)
    for i, a in np.ndindex(*y.shape):  # the definition, one cell at a time
        able = R[a] & (labels[i] == 1) if y[i, a] == 1 else R[a]
        assert float(supplied[i, a]) == float(logits[i, able].max())
    terms = BCE().terms(supplied, labels)
    assert bool((terms[labels.isnan()] == 0).all())


def test_large_logits_have_an_exact_loss_in_single_precision() -> None:
    y = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    _, supplied = through(T4.make_constraint(), torch.tensor([[-300.0, 200.0, -300.0, 200.0]]), y)
    assert BCE().terms(supplied, y).tolist() == [[300.0, 200.0, 300.0, 200.0]]


def test_weights_of_cells_and_another_loss_act_on_what_each_label_was_supplied_with() -> None:
    table = Subject(CHMCNN).toy()
    batch, weight = batch_of(table), torch.rand(table.n, table.q)
    model = CHMCNN.from_data(table, hidden=8, loss=ASL()).eval()
    _, supplied = through(model.constraint, model.network(batch.x), batch.y)
    expected = ASL()(supplied, batch.y, weight)
    torch.testing.assert_close(model.objective(batch._replace(weight=weight)).loss, expected)
