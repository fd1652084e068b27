"""XML-CNN against the slow form, and what padding must not do."""

import numpy as np
import pytest
import torch
from tests.reference.sequences import xmlcnn_logits

from polytag.data import Dataset, Table
from polytag.errors import DataError, ParameterError
from polytag.models import XMLCNN
from polytag.testing import models as contract

SMALL = {"width": 8, "filters": 6, "bottleneck": 10}
TEXTS = torch.tensor([[3, 4, 5, 2, 7, 6, 5, 3, 2, 4, 6], [2, 3, 7, 0, 0, 0, 0, 0, 0, 0, 0], [5, *[0] * 10], [0] * 11])


def test_number_of_parameters_on_bibtex() -> None:
    assert sum(p.numel() for p in XMLCNN(1836, 159, form="active").parameters()) == 940_191


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_equals_the_slow_form(parts: int) -> None:
    torch.manual_seed(0)
    model = XMLCNN(11, 3, form="ids", vocabulary=8, parts=parts, **SMALL).eval().double()
    torch.testing.assert_close(model(TEXTS), xmlcnn_logits(model, TEXTS))
    many = TEXTS.repeat(10, 1)  # enough to be sorted into lots by length
    torch.testing.assert_close(model(many), model(TEXTS).repeat(10, 1))


@pytest.mark.parametrize("form", ["ids", "active"])
def test_padding_changes_nothing(form: str) -> None:
    model = XMLCNN(11, 3, form=form, vocabulary=8, **SMALL).eval().double()
    x = TEXTS if form == "ids" else (TEXTS > 4).double()
    more = torch.cat([x, torch.zeros_like(x)], dim=1) if form == "ids" else x
    expected = model(x)
    torch.testing.assert_close(model(more), expected)
    torch.testing.assert_close(torch.cat([model(row[None]) for row in x]), expected)


def test_features_are_the_bottleneck() -> None:
    model = XMLCNN(11, 3, form="active", **SMALL).eval()
    features = model.features((TEXTS > 4).float())
    assert features.shape == (4, 10)
    assert bool((features >= 0).all())
    torch.testing.assert_close(model.output(features), model((TEXTS > 4).float()))
    assert XMLCNN(5, 2).features(torch.zeros(1, 5)).shape == (1, 512)


def test_given_word_vectors_set_the_width() -> None:
    vectors = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    model = XMLCNN(11, 3, form="ids", vocabulary=8, embeddings=vectors)
    np.testing.assert_array_equal(model.tokens.read.vectors.weight.detach(), vectors)
    assert model.convolutions[0].weight.shape == (128, 5, 2)


@pytest.mark.parametrize(
    "check", [contract.check_blind_to_labels, contract.check_degenerate_batches, contract.check_evaluation, contract.check_precision]
)
def test_contract_on_texts(check) -> None:
    check(contract.Subject(_OfTexts, params=SMALL))


class _OfTexts(XMLCNN):
    INPUTS = ("tokens", "table")


def test_reads_a_binary_table_as_words_and_no_pictures() -> None:
    binary = Table(Dataset(np.eye(4), np.ones((4, 2))))
    assert XMLCNN.from_data(binary, **SMALL).config == {"form": "active", "vocabulary": 0}
    with pytest.raises(DataError, match="images"):
        XMLCNN.from_data(Table(Dataset(np.zeros((2, 1, 4, 4)), np.ones((2, 2)), kind="images")))


@pytest.mark.parametrize("bad", [{"windows": ()}, {"windows": (0,)}, {"filters": 0}, {"parts": 0}, {"hidden_dropout": 1.0}])
def test_refuses_senseless_numbers(bad: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=next(iter(bad))):
        XMLCNN(3, 2, **bad)  # type: ignore[arg-type]
