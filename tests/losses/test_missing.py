"""The losses for missing labels against the specification's numbers and their definitions."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.losses.fixture import LOGITS, NAN, POSITIVES_ONLY, SINGLE, batches
from tests.reference.losses import focal, sigmoid

from polytag.data import Dataset, Table
from polytag.losses import BCE, EPR, PR, SPLC, AssumeNegative, Hill, LargeLoss, Loss, PartialBCE, expected_positives
from polytag.models import Linear
from polytag.selectors import Random
from polytag.testing import losses as contract
from polytag.training import Trainer


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


@settings(deadline=None, max_examples=30)
@given(batches(), st.booleans(), st.integers(0, 3))
def test_correction_by_probability_equals_its_definition(batch: tuple, trust: bool, epoch: int) -> None:
    logits, y, _ = batch
    loss = SPLC(0.7, 2, margin=0.5, gamma=1.5, trust_negatives=trust)
    loss.begin_epoch(epoch)
    expected = [
        [
            focal(x - 0.5, True, 1.5)
            if label == 1 or (epoch >= 2 and (math.isnan(label) or not trust) and sigmoid(x) > 0.7)
            else focal(x, False, 1.5)
            for x, label in zip(*row)
        ]
        for row in zip(logits.tolist(), y.tolist())
    ]
    np.testing.assert_allclose(loss.terms(logits, y), expected, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(batches(), st.booleans(), st.sampled_from(["reject", "correct"]), st.integers(0, 12))
def test_large_losses_equal_their_definition(batch: tuple, trust: bool, mode: str, epoch: int) -> None:
    logits, y, _ = batch
    loss = LargeLoss(0.1, mode=mode, limit=0.8, trust_negatives=trust)
    loss.begin_epoch(epoch)
    x, labels = logits.tolist(), y.tolist()
    cells = [(i, j) for i in range(len(x)) for j in range(len(x[0])) if math.isnan(labels[i][j]) or (labels[i][j] == 0 and not trust)]
    losses = sorted((focal(x[i][j], False, 0) for i, j in cells), reverse=True)
    k = math.ceil(min(0.1 * epoch, 0.8) * len(cells))
    doubted = {(i, j) for i, j in cells if k == len(cells) or focal(x[i][j], False, 0) > losses[k]}
    assert len(doubted) <= k
    for i, j in np.ndindex(*y.shape):
        present = labels[i][j] == 1 or ((i, j) in doubted and mode == "correct")
        expected = 0.0 if (i, j) in doubted and mode == "reject" else focal(x[i][j], present, 0)
        assert float(loss.terms(logits, y)[i, j]) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_without_corrections_they_assume_negatives() -> None:
    for loss in (SPLC(margin=0, gamma=0), LargeLoss()):
        torch.testing.assert_close(loss(LOGITS, POSITIVES_ONLY), BCE()(LOGITS, SINGLE))
        loss.begin_epoch(5)
        assert float(loss(LOGITS, POSITIVES_ONLY)) < float(BCE()(LOGITS, SINGLE))
        loss.begin_epoch(0)
        torch.testing.assert_close(loss(LOGITS, POSITIVES_ONLY), BCE()(LOGITS, SINGLE))


@pytest.mark.parametrize("cls", [SPLC, LargeLoss])
def test_distrusted_zeros_count_as_unknown(cls: type[Loss]) -> None:
    loss, trusting = cls(trust_negatives=False), cls()
    for epoch in (0, 1, 30):
        loss.begin_epoch(epoch)
        trusting.begin_epoch(epoch)
        assert torch.equal(loss.terms(LOGITS, SINGLE), trusting.terms(LOGITS, POSITIVES_ONLY))
    assert not torch.equal(trusting.terms(LOGITS, SINGLE), trusting.terms(LOGITS, POSITIVES_ONLY))


def test_equal_losses_are_all_believed() -> None:
    loss = LargeLoss(0.5)
    loss.begin_epoch(1)
    torch.testing.assert_close(loss.terms(torch.zeros(2, 3), torch.full((2, 3), NAN)), torch.full((2, 3), math.log(2)))


def test_half_precision_and_gradients_after_the_first_epochs() -> None:
    for loss in (SPLC(), LargeLoss(0.3), LargeLoss(0.3, mode="correct")):
        loss.begin_epoch(2)
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, POSITIVES_ONLY), (LOGITS.clone().requires_grad_(),))
        half = loss(LOGITS.bfloat16(), POSITIVES_ONLY.bfloat16())
        assert half.dtype == torch.float32
        assert float(half) == pytest.approx(float(loss(LOGITS, POSITIVES_ONLY)), rel=0.02)


def test_trainer_tells_the_loss_which_epoch_it_is(tmp_path: Path) -> None:
    class Heard(BCE):
        epochs: list[int]

        def begin_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

    table = Table(Dataset(np.eye(6), np.eye(6)))
    loss = Heard()
    loss.epochs = []
    model = Linear.from_data(table, loss=loss)
    for epochs in (2, 4):
        Trainer(epochs=epochs).fit(model, table, Random(table.labels, 3), resume=tmp_path / "run.safetensors")
    assert loss.epochs == [0, 1, 2, 3]  # the second call goes on where the first one stopped


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
        (SPLC, {"start": 0}),
        (SPLC, {"trust_negatives": False}),
        (LargeLoss, {"mode": "correct"}),
        (LargeLoss, {"trust_negatives": False}),
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
        (lambda: SPLC(1.0), "cut"),
        (lambda: SPLC(start=-1), "start"),
        (lambda: LargeLoss(-0.1), "rate"),
        (lambda: LargeLoss(limit=2.0), "limit"),
        (lambda: LargeLoss(mode="drop"), "reject, correct"),
    ],
)
def test_refuses_senseless_numbers(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
