"""The losses for missing labels against the specification's numbers and their definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from tests.losses.fixture import LOGITS, NAN, POSITIVES_ONLY, SINGLE, batches
from tests.reference.losses import focal, sigmoid

from polytag.data import Dataset, Table
from polytag.losses import BCE, EPR, PR, AssumeNegative, Hill, Loss, PartialBCE, expected_positives
from polytag.testing import losses as contract


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (AssumeNegative(eps=1e-5), 0.5826887020),
        (AssumeNegative(0.1, eps=1e-5), 0.6468523113),
        (AssumeNegative(weak=True, eps=1e-5), 0.2937605102),
        (EPR(1.5, eps=1e-5), 0.1562788315),
    ],
)
def test_golden_values(loss: Loss, value: float) -> None:
    assert float(loss(LOGITS, POSITIVES_ONLY)) == pytest.approx(value, abs=1e-9)


def test_assuming_negatives_is_binary_cross_entropy_on_zeros() -> None:
    torch.testing.assert_close(AssumeNegative()(LOGITS, POSITIVES_ONLY), BCE()(LOGITS, SINGLE))
    torch.testing.assert_close(AssumeNegative(0.1)(LOGITS, POSITIVES_ONLY), BCE(label_smoothing=0.1)(LOGITS, SINGLE))
    torch.testing.assert_close(AssumeNegative()(LOGITS, SINGLE), BCE()(LOGITS, SINGLE))


def test_only_assumed_negatives_are_weak() -> None:
    y = torch.tensor([[1.0, 0.0, NAN, NAN]])
    torch.testing.assert_close(AssumeNegative(weak=True).terms(torch.zeros(1, 4), y), math.log(2) * torch.tensor([[1, 1, 1 / 3, 1 / 3]]))


@settings(deadline=None, max_examples=30)
@given(batches())
def test_equal_their_definitions(batch: tuple) -> None:
    logits, y, _ = batch
    b, q = y.shape
    x, labels = logits.tolist(), y.tolist()
    excess, partial, hill, known = [], [], [], np.zeros((b, q))
    for i in range(b):
        p = [sigmoid(s) for s in x[i]]
        up, rest = [j for j in range(q) if labels[i][j] == 1], [j for j in range(q) if labels[i][j] != 1]
        excess.append(sum(max(0, 1 - (p[j] - p[k])) for j in up for k in rest) / q)
        seen = [j for j in range(q) if not math.isnan(labels[i][j])]
        known[i, seen] = [focal(x[i][j], labels[i][j] == 1, 0) for j in seen]
        partial.append((5.45 - 4.45 * len(seen) / q) / q * known[i].sum())
        hill.append([focal(x[i][j] - 1, True, 2) if j in up else (1.5 - p[j]) * p[j] ** 2 for j in range(q)])
    penalty = (sum(sigmoid(s) for row in x for s in row) / b - 2) ** 2 / q**2
    close = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(PR().terms(logits, y), excess, **close)
    np.testing.assert_allclose(PartialBCE().terms(logits, y), partial, **close)
    np.testing.assert_allclose(Hill().terms(logits, y), hill, **close)
    np.testing.assert_allclose(EPR(2).terms(logits, y), known + penalty, **close)


def test_factor_of_partial_labels() -> None:
    loss, logits = PartialBCE(), torch.zeros(1, 10)
    whole, tenth = torch.zeros(1, 10), torch.full((1, 10), NAN)
    tenth[0, 0] = 0
    torch.testing.assert_close(loss(logits, whole), BCE()(logits, whole))
    torch.testing.assert_close(loss(logits, tenth), 5.005 / 10 * BCE()(logits, tenth))


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([[1, 0], [0, 1], [1, 1], [0, 0]], 1.0),
        ([[1, NAN], [0, 1], [1, 0], [0, NAN]], 1.0),
        ([[1, NAN], [NAN, 1], [1, 1], [NAN, NAN]], 1.0),
        ([[1, NAN], [NAN, 1], [1, NAN], [NAN, NAN]], 0.75),
    ],
)
def test_expected_number_of_positives(y: list, expected: float) -> None:
    table = Table(Dataset(np.zeros((4, 1)), np.array(y, dtype=float)))
    assert expected_positives(table) == pytest.approx(expected)
    assert EPR.from_data(table).k == pytest.approx(expected)


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (AssumeNegative, {"label_smoothing": 0.1}),
        (AssumeNegative, {"weak": True, "eps": 1e-5}),
        (EPR, {"eps": 1e-5}),
        (PR, {"margin": 0.5}),
        (PartialBCE, {"slope": 0.0, "offset": 1.0}),
        (Hill, {"gamma": 0.0}),
    ],
)
def test_contract_of_the_switches(cls: type[Loss], params: dict) -> None:
    contract.check_loss(cls, **params)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AssumeNegative(0.7), "label_smoothing"),
        (lambda: AssumeNegative(eps=-1), "eps"),
        (lambda: EPR(-1), "k"),
        (lambda: PR(0), "margin"),
        (lambda: PartialBCE(4.0, 3.0), "slope"),
        (lambda: Hill(0.5), "height"),
    ],
)
def test_refuses_senseless_numbers(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
