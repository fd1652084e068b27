"""Recurrent networks with label attention against packed sequences and the attention written out."""

import numpy as np
import pytest
import torch
from tests.reference.sequences import packed_states, rnn_logits

from polytag.errors import ParameterError
from polytag.models import RNN
from polytag.testing import models as contract
from polytag.types import Batch

SMALL = {"width": 8, "states": 12}
TEXTS = torch.tensor([[3, 4, 5, 2, 7, 6, 5, 3, 2, 4, 6], [2, 3, 7, 0, 0, 0, 0, 0, 0, 0, 0], [5, *[0] * 10], [0] * 11])
KINDS = [{"cell": cell, "readout": readout} for cell in ("gru", "lstm") for readout in ("label_attention", "pool")]


def test_number_of_parameters_on_bibtex() -> None:
    assert sum(p.numel() for p in RNN(1836, 159, form="active", states=256).parameters()) == 514_847


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_equals_packed_sequences_and_attention_written_out(kind: dict[str, str]) -> None:
    torch.manual_seed(0)
    model = RNN(11, 3, form="ids", vocabulary=8, **SMALL, **kind).eval().double()
    states, real = packed_states(model, TEXTS)
    torch.testing.assert_close(model._read(*model.tokens(TEXTS))[real], states[real])
    torch.testing.assert_close(model(TEXTS), rnn_logits(model, TEXTS))
    many = TEXTS.repeat(10, 1)  # enough to be sorted into lots by length
    torch.testing.assert_close(model(many), model(TEXTS).repeat(10, 1))


@pytest.mark.parametrize("form", ["ids", "active"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_padding_changes_nothing(kind: dict[str, str], form: str) -> None:
    model = RNN(11, 3, form=form, vocabulary=8, **SMALL, **kind).eval().double()
    x = TEXTS if form == "ids" else (TEXTS > 4).double()
    expected = model(x)
    torch.testing.assert_close(torch.cat([model(row[None]) for row in x]), expected)
    words, real = model.tokens(x)
    longer, none = torch.cat([words, torch.ones_like(words)], dim=1), torch.cat([real, torch.zeros_like(real)], dim=1)
    readout = model._pool if model.attention is None else model._attend
    torch.testing.assert_close(readout(model._read(longer, none), none), expected)


def test_many_labels_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = RNN(11, 5, form="ids", vocabulary=8, **SMALL).eval()
    expected = model(TEXTS)
    monkeypatch.setattr("polytag.models.rnn.label_blocks", lambda q, cells: [slice(0, 2), slice(2, 4), slice(4, 6)])
    torch.testing.assert_close(model(TEXTS), expected)


def test_never_builds_the_summaries() -> None:
    model, largest = RNN(11, 200, form="ids", vocabulary=8, width=8, states=64), 0

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        model.objective(Batch(torch.arange(4), TEXTS, torch.zeros(4, 200)))
    assert largest <= max(2 * 200 * 64, 4 * 11 * 2 * 200) < 4 * 200 * 64


def test_given_word_vectors_set_the_width() -> None:
    vectors = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    model = RNN(11, 3, form="ids", vocabulary=8, embeddings=vectors)
    np.testing.assert_array_equal(model.tokens.read.vectors.weight.detach(), vectors)
    assert model.onwards.input_size == 5


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[3]], ids=str)
@pytest.mark.parametrize(
    "check", [contract.check_blind_to_labels, contract.check_degenerate_batches, contract.check_evaluation, contract.check_precision]
)
def test_contract_on_texts(check, kind: dict[str, str]) -> None:
    check(contract.Subject(_OfTexts, params={**SMALL, **kind}))


class _OfTexts(RNN):
    INPUTS = ("tokens", "table")


@pytest.mark.parametrize("bad", [{"cell": "elman"}, {"readout": "last"}, {"states": 0}, {"states": 7}])
def test_refuses_senseless_choices(bad: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=next(iter(bad))):
        RNN(3, 2, **bad)  # type: ignore[arg-type]
