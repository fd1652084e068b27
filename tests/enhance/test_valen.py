"""VALEN against its authors' numbers, the written-out formulas and hand oracles."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.reference import valen as slow
from torch import Tensor

from polytag.enhance import VALEN
from polytag.enhance.descent import column_moments
from polytag.enhance.dirichlet import bounded, compatibility, cross_entropy, dirichlet_divergence, masked_concentration, restricted
from polytag.enhance.neighbour_graph import GraphEncoder, NeighbourGraph
from polytag.errors import DataError, ParameterError

CLOSE = {"rtol": 1e-8, "atol": 1e-12}
FORMS = ["paper", "authors"]
QUICK: dict[str, Any] = {"hidden": 8, "epochs": 4, "warm_up": 2, "batch_size": 8}


def toy(n: int = 30, d: int = 6, q: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features, and labels that depend on them; one row has all labels and one none."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    Y = (X @ rng.normal(size=(d, q)) > 0.3).astype(np.uint8)
    Y[0], Y[-1] = 1, 0
    return X, Y


@pytest.fixture
def case(golden: Path) -> dict[str, Tensor]:
    """Return the arrays of the published code."""
    about = json.loads((golden / "index.json").read_text())["cases"]["valen"]
    with np.load(golden / about["file"]) as file:
        return {key: torch.as_tensor(file[key]) for key in file.files}


@pytest.mark.data
def test_loss_equals_the_published_code(case: dict[str, Tensor]) -> None:
    valen = VALEN(form="authors")
    output, logits = (case[name].clone().requires_grad_() for name in ("encoder_output", "predictor_logits"))
    labels, sample = case["candidates"], case["d"]
    graph = NeighbourGraph(case["X_all"].numpy(), valen.neighbours)
    near = graph.block(case["rows"]) / (graph.k + 1)
    terms = valen.authors_terms(
        logits, output, sample, case["x_hat"], x=case["X_all"][case["rows"]], near=near, labels=labels,
        taught=(case["weights_o"], case["weights_d"]),
    )  # fmt: skip
    theirs = {"features": "rec_x", "labels": "rec_y", "graph": "rec_a", "divergence": "kl", "candidates": "d", "compatibility": "o"}
    for ours, name in (theirs | {"total": "total"}).items():
        torch.testing.assert_close(terms[ours].detach(), case[f"loss/{name}"], **CLOSE)
    terms["total"].backward()
    torch.testing.assert_close(output.grad, case["grad/encoder_output"], **CLOSE)
    torch.testing.assert_close(logits.grad, case["grad/predictor_logits"], **CLOSE)


@pytest.mark.data
def test_concentrations_and_weights_equal_the_published_code(case: dict[str, Tensor]) -> None:
    labels = case["candidates"]
    torch.testing.assert_close(masked_concentration(case["encoder_output"], labels), case["concentration_sampled"], **CLOSE)
    torch.testing.assert_close(bounded(case["encoder_output"]), case["concentration_kl"], **CLOSE)
    by_encoder, by_classifier = VALEN(form="authors").taught(case["d"], case["predictor_logits"], labels, case["weights_o"])
    torch.testing.assert_close(by_encoder, case["new_weights_d"], **CLOSE)
    torch.testing.assert_close(by_classifier, case["new_weights_o"], **CLOSE)


@pytest.mark.data
def test_graph_equals_the_published_code(case: dict[str, Tensor]) -> None:
    graph = NeighbourGraph(case["X_all"].numpy(), 3)
    torch.testing.assert_close(graph.block(torch.arange(14)).double() / 4, case["A"], **CLOSE)


def test_hand_oracles() -> None:
    assert float(dirichlet_divergence(torch.tensor([[2.0, 1.0]]).double(), 1.0)) == pytest.approx(math.log(2) - 0.5, rel=1e-12)
    assert math.log(2) - 0.5 == pytest.approx(0.193147, abs=5e-7)
    d, labels = torch.tensor([[0.5, 0.25, 0.25]]).double(), torch.tensor([[1.0, 1.0, 0.0]]).double()
    assert float(compatibility(d, labels)) == pytest.approx(1.039721, abs=5e-7)
    torch.testing.assert_close(restricted(d, labels), torch.tensor([[2 / 3, 1 / 3, 0.0]]).double())


@pytest.mark.parametrize(("b", "q"), [(1, 2), (7, 4)])
def test_paper_terms_equal_the_written_out_form(b: int, q: int) -> None:
    torch.manual_seed(0)
    valen = VALEN(kl_weight=0.3, compatibility=1.7, prior=0.8)
    alpha, decoded, near = 3 * torch.rand(b, q).double() + 0.1, torch.randn(b, q).double(), torch.rand(b, b) < 0.4
    labels = torch.randint(2, (b, q)).double()
    labels[-1] = 0
    sample = torch.distributions.Dirichlet(alpha).sample()
    fast = valen.paper_terms(alpha, sample, decoded, near, labels)
    parts = slow.paper_terms(alpha.numpy(), sample.numpy(), decoded.numpy(), near.numpy(), labels.numpy(), 0.8)
    for name, value in parts.items():
        assert float(fast[name]) == pytest.approx(value, rel=1e-9)
    total = parts["labels"] + parts["graph"] + 0.3 * parts["divergence"] + 1.7 * parts["compatibility"]
    assert float(fast["total"]) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("k", [0, 1, 3, 50])
def test_graph_equals_the_written_out_form(k: int) -> None:
    X = np.random.default_rng(1).normal(size=(12, 3))
    graph, kept = NeighbourGraph(X, k), min(k, 11)
    assert graph.k == kept
    rows = torch.tensor([7, 2, 11, 0])
    np.testing.assert_array_equal(graph.block(rows), slow.adjacency(X, kept)[np.ix_(rows, rows)])
    np.testing.assert_allclose(graph.smoothing.toarray(), slow.smoothing(X, kept), rtol=1e-12)


def test_graph_convolution_of_a_batch_is_that_of_the_whole_graph() -> None:
    torch.manual_seed(0)
    X = np.random.default_rng(2).normal(size=(20, 3))
    V = torch.randn(20, 5).double()
    encoder = GraphEncoder(NeighbourGraph(X, 3), V, 6, 4).double()
    S, W0, W1 = torch.as_tensor(slow.smoothing(X, 3)), encoder.layers[0].weight.T, encoder.layers[2].weight.T
    whole = S @ (S @ V @ W0).relu() @ W1
    for rows in (torch.tensor([3]), torch.randperm(20)):
        torch.testing.assert_close(encoder(rows), whole[rows])


@pytest.mark.parametrize("form", FORMS)
def test_says_how_much_each_label_describes_a_row(form: str) -> None:
    X, Y = toy(80)
    found = VALEN(form=form, hidden=16, epochs=60, batch_size=32).fit_transform(X, Y)
    assert found.shape == Y.shape
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    assert (found > 0).all()
    labelled = Y.any(axis=1) & ~Y.all(axis=1)
    assert (found * Y).sum(axis=1)[labelled].mean() > Y[labelled].mean() + 0.15


def test_authors_form_keeps_to_the_relevant_labels() -> None:
    X, Y = toy()
    found = VALEN(form="authors", **QUICK).fit_transform(X, Y)
    labelled = Y.any(axis=1)
    np.testing.assert_allclose(found[labelled][Y[labelled] == 0], 0.01 / 1.04, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_rows_without_labels_restrict_nothing(form: str) -> None:
    output = torch.randn(2, 4).double()
    labels = torch.tensor([[0.0] * 4, [1.0] * 4]).double()
    torch.testing.assert_close(masked_concentration(output, labels), output.softmax(dim=1) + 0.01)
    assert compatibility(output.softmax(dim=1), labels)[0] == 0
    assert restricted(output.softmax(dim=1), labels)[0].eq(0).all()
    X, Y = toy(60)
    Y[:, 3] = X[:, 0] > 0
    Y[::6] = 0
    found = VALEN(form=form, hidden=16, epochs=80, batch_size=32).fit_transform(X, Y)
    empty = ~Y.any(axis=1)
    assert np.isfinite(found[empty]).all()
    assert found[empty].std(axis=0).max() > 1e-3  # they differ by their features


@pytest.mark.parametrize("form", FORMS)
def test_same_seed_same_answer_and_the_global_state_stays(form: str) -> None:
    X, Y = toy()
    valen = VALEN(form=form, **QUICK)
    before = torch.random.get_rng_state()
    first = valen.fit_transform(X, Y, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    np.testing.assert_array_equal(first, valen.fit_transform(X, Y, seed=3))
    assert not np.array_equal(first, valen.fit_transform(X, Y, seed=4))


@pytest.mark.parametrize("form", FORMS)
def test_sparse_features_and_other_scales_mean_the_same(form: str) -> None:
    X, Y = toy()
    X = X * (np.abs(X) > 0.5)
    X[:, 2] = 3.0
    valen = VALEN(form=form, **QUICK)
    dense = valen.fit_transform(X, Y)
    np.testing.assert_allclose(valen.fit_transform(sparse.csr_array(X), sparse.csr_matrix(Y)), dense, rtol=2e-3)
    np.testing.assert_allclose(valen.fit_transform(X * 8 + np.arange(6), Y), dense, rtol=2e-3)


def test_column_moments() -> None:
    X = np.random.default_rng(0).normal(size=(40, 5)) * (np.arange(40)[:, None] % 3 > 0)
    X[:, 1], X[:, 2], X[:, 3] = 0.1, 0.0, 1e9 + np.arange(40)
    for matrix in (X, sparse.csr_array(X), sparse.csr_matrix(X)):
        mean, deviation = column_moments(matrix)
        np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(deviation[[0, 3, 4]], X.std(axis=0)[[0, 3, 4]], rtol=1e-9)
        assert (deviation[[1, 2]] == 0).all()


@pytest.mark.parametrize("name", ["kl_weight", "compatibility", "prior", "neighbours", "warm_up", "weight_decay", "lr"])
def test_every_setting_of_the_paper_counts(name: str) -> None:
    X, Y = toy()
    plain = VALEN(**QUICK)
    other = VALEN(**QUICK | {name: 2 * getattr(plain, name) + 1})
    assert not np.array_equal(plain.fit_transform(X, Y), other.fit_transform(X, Y))


@pytest.mark.parametrize(("name", "value"), [("kl_weight", 1.0), ("candidate_weight", 0.0), ("correct", 0.0), ("optimizer", "adam")])
def test_every_setting_of_the_authors_counts(name: str, value: Any) -> None:
    X, Y = toy()
    found = VALEN(form="authors", **QUICK | {name: value}).fit_transform(X, Y)
    assert not np.array_equal(found, VALEN(form="authors", **QUICK).fit_transform(X, Y))


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("form", FORMS)
def test_all_or_no_labels_and_constant_features(form: str, value: int) -> None:
    found = VALEN(form=form, **QUICK).fit_transform(np.full((5, 3), 2.5), np.full((5, 4), value))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found > 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_one_row_one_label_and_a_last_batch_of_one(form: str) -> None:
    X, Y = toy()
    assert VALEN(form=form, **QUICK).fit_transform(X[:1], Y[:1]).shape == (1, 4)
    np.testing.assert_array_equal(VALEN(form=form, **QUICK).fit_transform(X, Y[:, :1]), np.ones((30, 1)))
    assert np.isfinite(VALEN(form=form, **QUICK | {"batch_size": 29}).fit_transform(X, Y)).all()


@pytest.mark.parametrize("form", FORMS)
def test_stays_finite_where_concentrations_are_smallest(form: str) -> None:
    alpha = torch.full((2000, 6), 0.01, requires_grad=True)
    sample = torch.distributions.Dirichlet(alpha).rsample()
    sample.square().sum().backward()
    assert sample.isfinite().all()
    assert alpha.grad is not None
    assert alpha.grad.isfinite().all()
    X, Y = toy()
    found = VALEN(form=form, **QUICK | {"lr": 3.0, "epochs": 10, "optimizer": "adam"}).fit_transform(X, Y)
    assert np.isfinite(found).all()


def test_gradient_stops_at_the_sum_and_flows_where_it_should() -> None:
    output = torch.randn(3, 4, requires_grad=True)
    labels = torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 3)
    masked_concentration(output, labels).sum().backward()
    assert output.grad is not None
    assert output.grad[:, 0].abs().min() > 0  # a row with one label would have none if the sum were differentiated
    assert cross_entropy(torch.zeros(1, 2), torch.ones(1, 2)).isfinite()


def test_refuses_what_it_cannot_read() -> None:
    X, Y = toy()
    with pytest.raises(DataError, match="finite features"):
        VALEN(**QUICK).fit_transform(np.where(X > 1, np.nan, X), Y)
    with pytest.raises(DataError, match="NaN"):
        VALEN(**QUICK).fit_transform(X, np.where(Y == 1, np.nan, 0.0))
    with pytest.raises(DataError, match="0, 1 or NaN"):
        VALEN(**QUICK).fit_transform(X, Y * 0.5)


@pytest.mark.parametrize(
    "bad",
    [
        {"form": "code"}, {"hidden": 0}, {"epochs": 0}, {"batch_size": 0}, {"neighbours": -1}, {"warm_up": -1}, {"lr": 0.0}, {"prior": 0.0},
        {"kl_weight": -1.0}, {"compatibility": -1.0}, {"candidate_weight": -1.0}, {"weight_decay": -1.0}, {"correct": 1.5},
        {"optimizer": "lion"}, {"beta": -0.1},
    ],
)  # fmt: skip
def test_refuses_senseless_numbers(bad: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(bad))):
        VALEN(**bad)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("form", FORMS)
def test_trains_on_a_gpu(form: str) -> None:
    X, Y = toy()
    before = torch.cuda.get_rng_state()
    found = VALEN(form=form, device="cuda", **QUICK).fit_transform(X, Y, seed=3)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    np.testing.assert_allclose(found.sum(axis=1), 1)
