"""Binary cross-entropy against PyTorch's, the specification's numbers and its definition."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from polytag.losses import BCE
from polytag.testing.losses import check_loss, toy

LOGITS = torch.tensor([[2, -1, 0.5, -3], [-0.5, 1.5, -2, 0], [1, 0.3, -0.7, -1.2]], dtype=torch.float64)
LABELS = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 0, 1]]).double()


def test_golden_value() -> None:
    assert float(BCE()(LOGITS, LABELS)) == pytest.approx(0.4327087447, abs=1e-10)


def test_equals_pytorch() -> None:
    logits, y = toy(9, 5)
    torch.testing.assert_close(BCE()(logits, y), functional.binary_cross_entropy_with_logits(logits, y))
    torch.testing.assert_close(BCE()(logits, y), functional.multilabel_soft_margin_loss(logits, y))
    torch.testing.assert_close(BCE().per_instance(logits, y), functional.binary_cross_entropy_with_logits(logits, y) * 5)


@pytest.mark.parametrize("weight", [3.0, [1.0, 2.0, 0.5, 4.0], np.array([1.0, 2.0, 0.5, 4.0]), torch.tensor([1.0, 2.0, 0.5, 4.0])])
def test_weighs_positives(weight: object) -> None:
    w = torch.as_tensor(weight, dtype=torch.float64)
    expected = LABELS * w * functional.softplus(-LOGITS) + (1 - LABELS) * functional.softplus(LOGITS)
    torch.testing.assert_close(BCE(weight).terms(LOGITS, LABELS), expected)


def test_smooths_labels() -> None:
    smooth = LABELS * 0.9 + 0.1 * (1 - LABELS)
    expected = functional.softplus(LOGITS) - LOGITS * smooth
    torch.testing.assert_close(BCE(label_smoothing=0.1).terms(LOGITS, LABELS), expected)


@pytest.mark.parametrize("params", [{"pos_weight": 2.5}, {"pos_weight": [1.0, 2.0, 0.5, 4.0]}, {"label_smoothing": 0.2}])
def test_contract_with_parameters(params: dict) -> None:
    if isinstance(params.get("pos_weight"), list):
        from polytag.testing import losses as contract

        for check in (contract.check_gradient, contract.check_extreme_logits, contract.check_inputs_stay, contract.check_unknown_labels):
            check(contract.builder(BCE, **params))
    else:
        check_loss(BCE, **params)


def test_weights_on_positives_are_not_saved_with_a_model() -> None:
    assert not BCE([1.0, 2.0]).state_dict()


def test_labels_in_half_precision_or_integers() -> None:
    for dtype in (torch.uint8, torch.bool, torch.bfloat16, torch.int64):
        torch.testing.assert_close(BCE()(LOGITS, LABELS.to(dtype)), BCE()(LOGITS, LABELS))


@pytest.mark.parametrize("bad", [{"pos_weight": 0.0}, {"pos_weight": [1.0, -1.0]}, {"label_smoothing": 0.6}, {"label_smoothing": -0.1}])
def test_refuses_senseless_numbers(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        BCE(**bad)
