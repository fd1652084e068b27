"""Query2Label against the textbook form, with and without labels that look at each other."""

import pytest
import torch
from tests.reference import label_transformers as textbook

from polytag.losses import BCE
from polytag.models import Query2Label
from polytag.types import Batch

SMALL = {"form": "active", "width": 8, "heads": 2, "dropout": 0.0}
ATTENTION, NORM = 4 * 64 + 3 * 8, 2 * 8


def some(b: int = 6, d: int = 9, q: int = 5) -> Batch:
    torch.manual_seed(0)
    x = (torch.rand(b, d) < 0.4).double()
    x[0] = 0
    return Batch(torch.arange(b), x, torch.randint(2, (b, q)).double())


def model(q: int = 5, **params: object) -> Query2Label:
    torch.manual_seed(1)
    return Query2Label(9, q, **{**SMALL, **params}).double()


@pytest.mark.parametrize("label_self_attention", [True, False])
@pytest.mark.parametrize(("encoder_layers", "decoder_layers"), [(1, 2), (0, 1), (2, 3)])
def test_equals_the_textbook_form(encoder_layers: int, decoder_layers: int, label_self_attention: bool) -> None:
    net = model(encoder_layers=encoder_layers, decoder_layers=decoder_layers, label_self_attention=label_self_attention)
    batch = some()
    torch.testing.assert_close(net(batch.x), textbook.query2label(net, batch.x))
    objective = net.eval().objective(batch)
    torch.testing.assert_close(objective.loss, BCE()(objective.logits, batch.y))


def test_number_of_parameters() -> None:
    thinking = 2 * 8 * 32 + 8 + 32
    encoder = ATTENTION + thinking + 2 * NORM
    expected = 10 * 8 + encoder + 5 * 8 + 2 * encoder + 5 * 9
    assert sum(p.numel() for p in model(label_self_attention=False).parameters()) == expected
    assert sum(p.numel() for p in model().parameters()) == expected + ATTENTION + NORM


def test_labels_in_the_first_layer_would_see_nothing() -> None:
    """Where all states are zero, what labels take from each other is the same vector for all, so the layer starts without it."""
    from polytag.nn import LabelDecoderLayer

    layer = LabelDecoderLayer(8, 2, 16, labels="before")
    agreed = layer._agree(torch.zeros(1, 5, 8), torch.randn(1, 5, 8))[0]
    torch.testing.assert_close(agreed, agreed[:1].expand(5, -1))
    assert [part.labels for part in model().decoder] == ["never", "before"]
    assert [part.labels for part in model(decoder_layers=1).decoder] == ["after"]


def test_without_self_attention_a_label_does_not_hear_of_the_others() -> None:
    for together in (True, False):
        net, x = model(label_self_attention=together), some().x
        before = net(x).detach()
        with torch.no_grad():
            net.queries[3] += 1
        changed = (net(x) - before).abs().amax(dim=0) > 1e-9
        assert changed.tolist() == ([True] * 5 if together else [False, False, False, True, False])


def test_labels_in_another_order_give_the_same_scores_in_that_order() -> None:
    net, other, x, order = model(), model(), some().x, torch.tensor([2, 0, 4, 3, 1])
    by_label = ("queries", "output.weight", "output.bias")
    other.load_state_dict({name: v[order] if name in by_label else v for name, v in net.state_dict().items()})
    torch.testing.assert_close(other(x), net(x)[:, order])


def test_padding_does_not_matter() -> None:
    net, ids = model(form="ids", vocabulary=9).eval(), torch.tensor([[3, 5, 0], [7, 0, 0]])
    torch.testing.assert_close(net(torch.nn.functional.pad(ids, (0, 4))), net(ids))
    torch.testing.assert_close(net(ids[1:]), net(ids)[1:])


def test_memory_does_not_grow_with_pairs_of_labels() -> None:
    net, kept = model(q=300, decoder_layers=2), []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        net.train().objective(some(b=3, q=300))
    assert max(kept) <= 3 * 300 * 32 < 3 * 300 * 300


def test_preset_of_the_paper() -> None:
    params = Query2Label.preset_params("paper", 9, 5)
    assert (params["loss"].gamma_neg, params["loss"].gamma_pos, params["loss"].margin) == (2, 0, 0)
    schedule = Query2Label.training_defaults("paper", epochs=10)["schedule"]
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    published = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=101, pct_start=21 / 101, cycle_momentum=False)
    for step in range(100):
        assert schedule(step / 10) == pytest.approx(published.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        published.step()


@pytest.mark.parametrize("bad", [{"encoder_layers": -1}, {"decoder_layers": 0}, {"hidden": 0}, {"dropout": 1.0}])
def test_refuses_senseless_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Query2Label(9, 5, **{**SMALL, **bad})
