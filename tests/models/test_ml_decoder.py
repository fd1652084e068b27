"""ML-Decoder against the textbook form: groups of labels, queries that stay, and what decays."""

import math

import pytest
import torch
from tests.reference import label_transformers as textbook

from polytag.models import MLDecoder
from polytag.testing.models import train
from polytag.types import Batch

SMALL = {"form": "active", "width": 8, "heads": 2, "dropout": 0.0}


def some(b: int = 6, d: int = 9, q: int = 5) -> Batch:
    torch.manual_seed(0)
    x = (torch.rand(b, d) < 0.4).float()
    x[0] = 0
    return Batch(torch.arange(b), x, torch.randint(2, (b, q)).float())


def model(q: int = 5, **params: object) -> MLDecoder:
    torch.manual_seed(1)
    return MLDecoder(9, q, **{**SMALL, **params})


@pytest.mark.parametrize(("q", "groups"), [(1, 100), (5, 100), (5, 2), (7, 3), (6, 1)])
def test_equals_the_textbook_form(q: int, groups: int) -> None:
    net, batch = model(q, groups=groups).double(), some(q=q)
    with torch.no_grad():
        net.bias.normal_()
    expected = textbook.ml_decoder(net, batch.x.double())
    torch.testing.assert_close(net.eval()(batch.x.double()), expected)
    torch.testing.assert_close(net.train()(batch.x.double()), expected)  # there the queries are laid out for each row


@pytest.mark.parametrize(("q", "groups", "count", "each"), [(14, 100, 14, 1), (150, 100, 75, 2), (1001, 1000, 501, 2), (374, 100, 94, 4)])
def test_every_query_has_labels_and_every_label_a_query(q: int, groups: int, count: int, each: int) -> None:
    net = model(q, groups=groups)
    assert net.weight.shape == (count, 8, each)
    assert math.ceil(q / each) == count <= groups


def test_number_of_parameters() -> None:
    attention, thinking, norms = 4 * 64 + 3 * 8, 2 * 8 * 32 + 8 + 32, 3 * 2 * 8
    expected = 10 * 8 + 8 * 9 + attention + thinking + norms + 5 * 8 + 5
    assert sum(p.numel() for p in model().parameters()) == expected
    assert sum(p.numel() for p in model(train_queries=True).parameters()) == expected + 5 * 8


@pytest.mark.parametrize("train_queries", [False, True])
def test_queries_stay_unless_they_are_trained(train_queries: bool) -> None:
    net, batch = model(train_queries=train_queries), some()
    before = net.queries.detach().clone()
    train(net, batch, 2)
    assert torch.equal(net.queries, before) != train_queries


def test_only_matrices_decay() -> None:
    net = model()
    matrices, vectors = net.param_groups(0.1)
    assert "weight_decay" not in matrices
    assert vectors["weight_decay"] == 0
    assert {p.ndim for p in vectors["params"]} == {1}
    assert len(matrices["params"]) + len(vectors["params"]) == len(list(net.parameters()))


def test_labels_in_another_order_give_the_same_scores_in_that_order() -> None:
    net, other, x, order = model(), model(), some().x, torch.tensor([2, 0, 4, 3, 1])
    by_label = ("queries", "weight", "bias")
    other.load_state_dict({name: v[order] if name in by_label else v for name, v in net.state_dict().items()})
    torch.testing.assert_close(other(x), net(x)[:, order])


def test_padding_does_not_matter() -> None:
    net, ids = model(form="ids", vocabulary=9).eval(), torch.tensor([[3, 5, 0], [7, 0, 0]])
    torch.testing.assert_close(net(torch.nn.functional.pad(ids, (0, 4))), net(ids))
    torch.testing.assert_close(net(ids[1:]), net(ids)[1:])


def test_preset_of_the_paper() -> None:
    params = MLDecoder.preset_params("paper", 9, 5)
    assert (params["loss"].gamma_neg, params["loss"].gamma_pos, params["loss"].margin) == (4, 0, 0.05)
    assert sum(p.numel() for p in MLDecoder(9, 5, form="active", **params).parameters()) == (
        10 * 768 + 769 * 768 + (4 * 768 + 3) * 768 + 2 * 768 * 2048 + 768 + 2048 + 6 * 768 + 5 * 769
    )


@pytest.mark.parametrize("bad", [{"groups": 0}, {"hidden": 0}, {"dropout": 1.0}])
def test_refuses_senseless_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        MLDecoder(9, 5, **{**SMALL, **bad})
