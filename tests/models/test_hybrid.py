"""The hybrid of convolution and attention, its ablations, and the kinds of data it reads."""

import pytest
import torch

from polytag.errors import ParameterError
from polytag.models import HybridCNNAttention
from polytag.testing import models as contract
from polytag.types import Batch

SMALL = {"width": 16, "feed_forward": 16}
ABLATIONS = [{}, {"attention": False}, {"convolution": False}]
TEXTS = torch.tensor([[3, 4, 5, 2, 7, 6, 5, 3, 2, 4, 6], [2, 3, 7, 0, 0, 0, 0, 0, 0, 0, 0], [5, *[0] * 10], [0] * 11])


class _OfTexts(HybridCNNAttention):
    INPUTS = ("tokens",)


class _OfPictures(HybridCNNAttention):
    INPUTS = ("images",)


def test_number_of_parameters_on_corel() -> None:
    c, d, q, t = 128, 500, 374, 32
    tokens, block = 17 * c + t * c, 3 * c + 2 * c + (c + 1) * c
    attention, thought = 4 * c * c + 3 * c + 2 * c, 2 * c * 256 + 256 + c + 2 * c
    labels, output = q * c, q * (c + 1)
    whole = tokens + 2 * block + 2 * (attention + thought) + labels + 2 * attention + thought + output
    count = {str(switch): sum(p.numel() for p in HybridCNNAttention(d, q, **switch).parameters()) for switch in ABLATIONS}
    assert list(count.values()) == [whole, tokens + 2 * block + output, whole - 2 * block]


def test_conv_only_by_hand() -> None:
    torch.manual_seed(0)
    model, x = HybridCNNAttention(48, 3, attention=False, conv_blocks=1, **SMALL).eval(), torch.randn(2, 48)
    tokens, _ = model.tokens(x)
    block = model.mix[0]
    padded = torch.cat([torch.zeros(2, 1, 16), tokens, torch.zeros(2, 1, 16)], dim=1)
    kernel = block.depthwise.weight[:, 0, 0]
    mixed = sum(padded[:, k : k + 3] * kernel[:, k] for k in range(3))
    mixed = mixed / (1 + block.norm.eps) ** 0.5
    mixed = mixed * (1 + torch.erf(mixed / 2**0.5)) / 2
    h = tokens + mixed @ block.pointwise.weight.T + block.pointwise.bias
    torch.testing.assert_close(model(x), h.mean(dim=1) @ model.output.weight.T + model.output.bias)


@pytest.mark.parametrize("switch", ABLATIONS, ids=str)
def test_padding_changes_nothing(switch: dict[str, bool]) -> None:
    model = HybridCNNAttention(11, 3, form="ids", vocabulary=8, **SMALL, **switch).eval().double()
    expected = model(TEXTS)
    torch.testing.assert_close(model(torch.cat([TEXTS, torch.zeros_like(TEXTS)], dim=1)), expected)
    torch.testing.assert_close(torch.cat([model(row[None]) for row in TEXTS]), expected)


def test_statistics_are_those_of_real_tokens() -> None:
    model = HybridCNNAttention(11, 3, form="ids", vocabulary=8, **SMALL).train()
    seen: list[int] = []
    for block in model.mix:
        block.norm.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    model(TEXTS)
    assert seen == [11 + 3 + 1 + 1] * 2


def test_convolution_looks_at_neighbours_and_attention_at_all() -> None:
    x = torch.zeros(1, 160, requires_grad=True)

    def reach(**switch: bool) -> list[bool]:
        model = HybridCNNAttention(160, 1, conv_blocks=1, **SMALL, **switch).eval().double()
        tokens, _ = model.tokens(x.double())
        for block in model.mix:
            tokens = block(tokens, None, 10)
        for layer in model.encoder:
            tokens = layer(tokens)
        (gradient,) = torch.autograd.grad(tokens[0, 0].square().sum(), x)
        return gradient.view(10, 16).any(dim=1).tolist()

    assert reach(attention=False) == [True] * 2 + [False] * 8
    assert reach(convolution=False) == [True] * 10


def test_labels_look_at_each_other() -> None:
    model, x = HybridCNNAttention(32, 4, **SMALL).eval(), torch.randn(1, 32)
    before = model(x)
    model.queries.data[0, 3] += 1
    assert bool((model(x) != before).all())


def test_a_picture_becomes_a_map() -> None:
    model = HybridCNNAttention(1, 3, form="pixels", shape=(3, 200, 90), **SMALL)
    tokens, real = model.tokens(torch.rand(2, 3, 200, 90))
    assert tokens.shape == (2, 7 * 6, 16)
    assert real.all()
    grid = torch.zeros(1, 42, 16, requires_grad=True)
    out = model.eval().mix[0](grid, None, 6)
    (gradient,) = torch.autograd.grad(out[0, 6 * 3 + 3].square().sum(), grid)  # row 3, column 3 of the map
    seen = gradient[0].any(dim=1).view(7, 6).nonzero()
    assert seen.min(dim=0).values.tolist() == [2, 2]
    assert seen.max(dim=0).values.tolist() == [4, 4]


@pytest.mark.parametrize("cls", [_OfTexts, _OfPictures])
@pytest.mark.parametrize(
    "check",
    [
        contract.check_blind_to_labels,
        contract.check_degenerate_batches,
        contract.check_evaluation,
        contract.check_precision,
        contract.check_state,
    ],
)
def test_contract_on_texts_and_pictures(check, cls: type[HybridCNNAttention]) -> None:
    check(contract.Subject(cls, params=SMALL))


@pytest.mark.parametrize("switch", ABLATIONS[1:], ids=str)
@pytest.mark.parametrize("check", [contract.check_shapes, contract.check_parameters, contract.check_evaluation, contract.check_precision])
def test_contract_of_the_ablations(check, switch: dict[str, bool]) -> None:
    check(contract.Subject(HybridCNNAttention, params={"patch": 2, **SMALL, **switch}))


@pytest.mark.parametrize("switch", ABLATIONS, ids=str)
def test_one_token_of_one_row_trains(switch: dict[str, bool]) -> None:
    objective = HybridCNNAttention(3, 2, **SMALL, **switch).train().objective(Batch(torch.arange(1), torch.ones(1, 3), torch.ones(1, 2)))
    objective.loss.backward()
    assert bool(objective.loss.isfinite())


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"convolution": False, "attention": False}, "neither"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"heads": 3}, "heads"),
        ({"form": "pixels"}, "picture"),
    ],
)
def test_refuses_senseless_choices(bad: dict[str, object], match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        HybridCNNAttention(3, 2, **bad)  # type: ignore[arg-type]
