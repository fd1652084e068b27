"""LaMP against the textbook form: who hears whom, the tied readout, the earlier readouts."""

import numpy as np
import pytest
import torch
from tests.reference import label_transformers as textbook

from polytag.data import Dataset, Table
from polytag.losses import BCE
from polytag.models import LaMP
from polytag.types import Batch

SMALL = {"form": "active", "width": 8, "heads": 2, "dropout": 0.0}
PAIRS = torch.tensor([[0, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0]]).bool()
HEARD = {"none": torch.ones(5, 5).bool(), "inveye": torch.eye(5).bool(), "prior": PAIRS | torch.eye(5).bool()}


def some(b: int = 6, d: int = 9, q: int = 5) -> Batch:
    torch.manual_seed(0)
    x = (torch.rand(b, d) < 0.4).double()
    x[0] = 0
    return Batch(torch.arange(b), x, torch.randint(2, (b, q)).double())


def model(**params: object) -> LaMP:
    torch.manual_seed(1)
    return LaMP(9, 5, **{**SMALL, "pairs": PAIRS, **params}).double()


@pytest.mark.parametrize("graph", ["none", "prior"])
def test_equals_the_textbook_form(graph: str) -> None:
    net, batch = model(graph=graph, intermediate=0.2), some()
    readouts = textbook.lamp(net, batch.x, HEARD[graph])
    torch.testing.assert_close(net(batch.x), readouts[-1])
    objective = net.objective(batch)
    early = sum(BCE()(readout, batch.y) for readout in readouts[:-1])
    assert len(readouts) == 4
    torch.testing.assert_close(objective.loss, BCE()(readouts[-1], batch.y) + 0.2 * early)
    torch.testing.assert_close(objective.parts["intermediate"], early.detach())
    torch.testing.assert_close(model(graph=graph).objective(batch).loss, BCE()(readouts[-1], batch.y))


def test_attention_to_oneself_needs_no_queries_and_keys() -> None:
    closed, looking, x = model(graph="inveye"), model(graph="prior", pairs=None), some().x
    state = looking.state_dict()
    for k in range(2):
        state[f"decoder.{k}.among.value.weight"] = closed.decoder[k].among[0].weight
        state[f"decoder.{k}.among.out.weight"] = closed.decoder[k].among[1].weight
    state |= {name: value for name, value in closed.state_dict().items() if name in state}
    looking.load_state_dict(state)
    torch.testing.assert_close(closed(x), looking(x))
    fewer = sum(p.numel() for p in looking.parameters()) - sum(p.numel() for p in closed.parameters())
    assert fewer == 2 * (2 * 64 + 8)


def test_number_of_parameters() -> None:
    attention, thinking, norm = 4 * 64 + 3 * 8, 2 * 8 * 16 + 8 + 16, 2 * 8
    expected = 10 * 8 + 5 * 8 + 2 * (attention + thinking + 2 * norm) + 2 * 2 * (attention + thinking + 2 * norm)
    assert sum(p.numel() for p in model().parameters()) == expected


@pytest.mark.parametrize("graph", ["none", "inveye", "prior"])
def test_a_label_hears_of_its_neighbours_only(graph: str) -> None:
    net, x = model(graph=graph, decoder_layers=1), some().x
    before = net(x).detach()
    with torch.no_grad():
        net.labels[3] += 1
    assert ((net(x) - before).abs().amax(dim=0) > 1e-9).tolist() == HEARD[graph][:, 3].tolist()


def test_the_graph_is_that_of_the_training_rows() -> None:
    labels = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    net = LaMP.from_data(Table(Dataset(np.eye(3), labels)), width=8)
    assert net.pairs is not None
    assert net.pairs.tolist() == [[True, True, False, False], [True, True, True, False], [False, True, True, False], [False] * 3 + [True]]
    assert LaMP.from_data(Table(Dataset(np.eye(3), labels)), width=8, graph="none").pairs is None


def test_tokens_see_each_other() -> None:
    """What a word says depends on the words beside it, which the authors' code forgets."""
    net = model()
    tokens, real = net.tokens(torch.tensor([[1.0, 1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0, 0, 0]]).double())
    assert torch.equal(tokens[0, 0], tokens[1, 0])
    assert not torch.allclose(net.encoder[0](tokens, real)[0, 0], net.encoder[0](tokens, real)[1, 0])


def test_a_row_as_a_single_token() -> None:
    net, x = model(encoder="mlp", encoder_layers=2), some().x
    tokens, real = net.tokens(x)
    torch.testing.assert_close(tokens[:, 0], x @ net.tokens.map.weight.T + net.tokens.map.bias)
    assert (tokens.shape, real, len(net.encoder)) == ((6, 1, 8), None, 0)
    with pytest.raises(ValueError, match="mlp"):
        LaMP(9, 5, width=8, encoder="mlp", form="ids", vocabulary=9)


def test_labels_in_another_order_give_the_same_scores_in_that_order() -> None:
    order = torch.tensor([2, 0, 4, 3, 1])
    net, other, x = model(), model(pairs=PAIRS[order][:, order]), some().x
    names = dict(net.named_parameters())
    other.load_state_dict({name: v[order] if name == "labels" else v for name, v in names.items()}, strict=False)
    torch.testing.assert_close(other(x), net(x)[:, order])


def test_padding_does_not_matter() -> None:
    net, ids = model(form="ids", vocabulary=9).eval(), torch.tensor([[3, 5, 0], [7, 0, 0]])
    torch.testing.assert_close(net(torch.nn.functional.pad(ids, (0, 4))), net(ids))
    torch.testing.assert_close(net(ids[1:]), net(ids)[1:])


def test_first_logits_are_small() -> None:
    torch.manual_seed(0)
    logits = LaMP(20, 30, form="active", graph="none").eval()((torch.rand(50, 20) < 0.3).float())
    assert float(logits.detach().abs().max()) < 12


def test_preset_of_the_paper() -> None:
    training = LaMP.training_defaults("paper")
    assert (training["optimizer_params"], training["schedule"], training["lr"]) == ({"betas": (0.9, 0.98)}, None, 2e-4)


@pytest.mark.parametrize("bad", [{"graph": "all"}, {"encoder": "rnn"}, {"intermediate": -1.0}, {"decoder_layers": 0}, {"dropout": 1.0}])
def test_refuses_senseless_choices(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        LaMP(9, 5, **{**SMALL, **bad})
    with pytest.raises(ValueError, match=r"\(5, 5\)"):
        LaMP(9, 5, **SMALL, pairs=torch.eye(4))
