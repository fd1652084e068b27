"""C-Tran against the textbook form: states of labels, which are shown in training, and what the logits may not have seen."""

import pytest
import torch
from tests.reference import label_transformers as textbook

from polytag.losses import BCE
from polytag.models import CTran
from polytag.types import Batch

SMALL = {"form": "active", "width": 8, "heads": 2}


def some(b: int = 6, d: int = 9, q: int = 5) -> Batch:
    torch.manual_seed(0)
    x = (torch.rand(b, d) < 0.4).double()
    x[0] = 0
    y = torch.randint(2, (b, q)).double()
    y[1, 2] = torch.nan
    return Batch(torch.arange(b), x, y)


def model(q: int = 5, **params: object) -> CTran:
    torch.manual_seed(1)
    return CTran(9, q, **{**SMALL, "dropout": 0.0, **params}).double()


def test_equals_the_textbook_form() -> None:
    net, batch = model(), some()
    nothing = torch.full_like(batch.y, torch.nan)
    known = batch.y.clone()
    known[::2, 1:4] = torch.nan
    torch.testing.assert_close(net(batch.x), textbook.ctran(net, batch.x, nothing))
    torch.testing.assert_close(net.complete(batch.x, known), textbook.ctran(net, batch.x, known))
    assert not torch.allclose(net.complete(batch.x, known), net(batch.x))


def test_number_of_parameters() -> None:
    attention, think, norms = 4 * 64 + 3 * 8, 2 * 64 + 2 * 8, 4 * 8
    assert sum(p.numel() for p in model().parameters()) == 10 * 8 + 5 * 8 + 2 * 8 + 2 * 8 + 3 * (attention + think + norms) + 5 * 9


def test_the_loss_counts_the_labels_that_were_not_shown() -> None:
    net, batch = model(), some()
    shown = torch.rand(batch.y.shape) < 0.5
    net._draw_noise = lambda y: shown  # type: ignore[method-assign]
    objective = net.train().objective(batch)
    logits = textbook.ctran(net, batch.x, batch.y.masked_fill(~shown, torch.nan))
    cells = [
        torch.nn.functional.binary_cross_entropy_with_logits(logits[i, j], batch.y[i, j])
        for i in range(6)
        for j in range(5)
        if not shown[i, j] and not batch.y[i, j].isnan()
    ]
    torch.testing.assert_close(objective.loss, torch.stack(cells).mean())
    torch.testing.assert_close(objective.logits, net(batch.x))
    assert not objective.logits.requires_grad


def test_where_all_labels_are_shown_or_unknown_nothing_is_left_to_learn() -> None:
    net, batch = model(), some()
    net._draw_noise = lambda y: torch.ones_like(y).bool()  # type: ignore[method-assign]
    assert float(net.train().objective(batch).loss.detach()) == 0


def test_draws_up_to_three_quarters_of_the_labels_and_all_alike() -> None:
    net, y = model(q=9).train(), torch.zeros(20_000, 9)
    shown = net._draw_noise(y)
    assert shown is not None
    torch.testing.assert_close(shown.sum(1).bincount() / 20_000, torch.full((7,), 1 / 7), atol=0.01, rtol=0)
    torch.testing.assert_close(shown.double().mean(0), torch.full((9,), 3 / 9).double(), atol=0.015, rtol=0)
    pairs = (shown[:, :1] & shown[:, 1:]).double().mean(0)  # k (k - 1) / (9 * 8), k from 0 to 6
    torch.testing.assert_close(pairs, torch.full((8,), 70 / 7 / 72).double(), atol=0.015, rtol=0)


def test_nothing_is_shown_in_evaluation_or_when_switched_off() -> None:
    assert model().eval()._draw_noise(torch.zeros(3, 5)) is None
    assert model(known=0.0).train()._draw_noise(torch.zeros(3, 5)) is None
    assert model(q=1).train()._draw_noise(torch.zeros(3, 1)) is None
    net, batch = model().eval(), some()
    torch.testing.assert_close(net.objective(batch).loss, BCE()(net(batch.x), batch.y))


def test_labels_in_another_order_give_the_same_scores_in_that_order() -> None:
    net, other, batch, order = model(), model(), some(), torch.tensor([2, 0, 4, 3, 1])
    by_label = ("labels", "output.weight", "output.bias")
    other.load_state_dict({name: v[order] if name in by_label else v for name, v in net.state_dict().items()})
    torch.testing.assert_close(other.complete(batch.x, batch.y[:, order]), net.complete(batch.x, batch.y)[:, order])


def test_padding_does_not_matter() -> None:
    net, ids = model(form="ids", vocabulary=9).eval(), torch.tensor([[3, 5, 0], [7, 0, 0]])
    torch.testing.assert_close(net(torch.nn.functional.pad(ids, (0, 4))), net(ids))
    torch.testing.assert_close(net(ids[1:]), net(ids)[1:])


def test_refuses_known_labels_that_are_none() -> None:
    with pytest.raises(ValueError, match=r"\[0\.5"):
        model().complete(some().x, torch.full((6, 5), 0.5))
    with pytest.raises(ValueError, match=r"\(6, 4\)"):
        model().complete(some().x, torch.zeros(6, 4))


@pytest.mark.parametrize("bad", [{"layers": 0}, {"known": 1.0}, {"dropout": 1.0}, {"hidden": 0}])
def test_refuses_senseless_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        CTran(9, 5, **{**SMALL, **bad})


def test_preset_of_the_paper() -> None:
    params = CTran.preset_params("paper", 9, 5)
    logits, y = torch.randn(4, 5), torch.randint(2, (4, 5)).float()
    torch.testing.assert_close(params["loss"](logits, y), torch.nn.BCEWithLogitsLoss(reduction="sum")(logits, y))
    assert (params["width"], CTran.training_defaults("paper")["schedule"]) == (2048, None)
