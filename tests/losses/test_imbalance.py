"""The losses for long-tailed labels against the specification's numbers and their definitions, cell by cell."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.losses.fixture import COUNTS, LABELS, LOGITS, NAN, N, batches
from tests.reference import losses as slow

from polytag.data import Dataset, Table
from polytag.losses import ASL, BCE, CB, CBNTR, DistributionBalanced, Focal, Loss, RebalancedFocal
from polytag.losses.rebalancing import effective_weight, prior_logit, rebalanced_weight
from polytag.testing import losses as contract

TEXT = {"form": "textstudy", "neg_scale": 2.0, "centre": 0.9}


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (Focal(), 0.1144343310),
        (Focal(alpha=0.5), 0.0572171655),
        (Focal(alpha=0.25), 0.0415178208),
        (CB(COUNTS, normalize=False, alpha=0.5, scale=10), 0.1228662834),
        (RebalancedFocal(COUNTS, centre=0.9, alpha=0.5), 0.0203066582),
        (DistributionBalanced(COUNTS, N, rebalance=False, **TEXT), 0.0564866022),
        (DistributionBalanced(COUNTS, N, **TEXT), 0.0159348792),
        (DistributionBalanced(COUNTS, N, gamma=0, **TEXT), 0.0533500049),
        (CBNTR(COUNTS, N, normalize=False, scale=5), 0.1192047658),
        (DistributionBalanced(COUNTS, N, form="authors"), 0.1870674117),
        (DistributionBalanced(COUNTS, N, form="authors", centre=0.2, neg_scale=2), 0.2108087598),
        (ASL(reduction="sum"), 1.7073238803),
        (ASL(gamma_pos=0, reduction="sum"), 3.1650571910),
        (ASL(), 1.7073238803 / 3),
        (ASL(reduction="mean"), 1.7073238803 / 12),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Loss) else "",
)
def test_golden_values(loss: Loss, value: float) -> None:
    assert float(loss(LOGITS, LABELS)) == pytest.approx(value, abs=1e-10)


def test_golden_weights() -> None:
    counts = torch.tensor(COUNTS)
    np.testing.assert_allclose(effective_weight(counts.double(), 0.9), [0.1005180474, 0.1138403260, 0.1535339933, 0.2441942810], atol=1e-10)
    rows = [
        [0.10065297, 0.10789708, 0.43924363, 1.09953204],
        [0.10669285, 0.83105858, 1.09998330, 1.1],
        [0.10025878, 0.10078570, 0.10498514, 0.26901945],
    ]
    np.testing.assert_allclose(rebalanced_weight(LABELS, counts, 0.1, 10, 0.9), rows, atol=1e-6)
    shift = 0.05 * prior_logit(counts, torch.tensor(N), torch.float64)
    np.testing.assert_allclose(shift, [0, -0.0693147181, -0.1098612289, -0.1472219490], atol=1e-10)


@settings(deadline=None, max_examples=30)
@given(batches(), st.sampled_from(["by_class", "average_w", "average_n", "min_n"]), st.booleans(), st.sampled_from([0.0, 2.0, 0.5]))
def test_class_balanced_equals_its_definition(batch: tuple, mode: str, normalize: bool, gamma: float) -> None:
    logits, y, counts = batch
    expected = slow.class_balanced(logits.numpy(), y.numpy(), counts, 0.9, mode, normalize, gamma)
    loss = CB(counts, mode=mode, normalize=normalize, gamma=gamma)
    np.testing.assert_allclose(loss.terms(logits, y), expected, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(batches(), st.sampled_from([0.0, 2.0]), st.sampled_from(["paper", "authors", "textstudy"]), st.booleans())
def test_distribution_balanced_equals_its_definition(batch: tuple, gamma: float, form: str, rebalance: bool) -> None:
    logits, y, counts = batch
    x, labels, n = logits.numpy(), y.numpy(), 60
    weight = slow.rebalanced(labels, counts, 0.1, 10, 0.3)
    focal = slow.cells(x, labels, lambda i, j, s, positive: slow.focal(s, positive, gamma))
    np.testing.assert_allclose(RebalancedFocal(counts, gamma=gamma).terms(logits, y), weight * focal, rtol=1e-9, atol=1e-12)
    shift = slow.prior_shift(counts, n, 0.05 / 5 if form == "authors" else 0.05)
    tolerant = slow.negative_tolerant(x, labels, shift, 5, gamma, divide=rebalance or form != "textstudy")
    expected = {"paper": 1, "authors": 2, "textstudy": 0.5}[form] * tolerant * (weight if rebalance else 1)
    loss = DistributionBalanced(counts, n, form=form, rebalance=rebalance, gamma=gamma)
    np.testing.assert_allclose(loss.terms(logits, y), expected, rtol=1e-9, atol=1e-12)
    columns = np.array([slow.effective_number_weight(count, 0.9) for count in counts])
    expected = columns / columns.mean() * slow.negative_tolerant(x, labels, slow.prior_shift(counts, n, 0.05), 2, gamma)
    np.testing.assert_allclose(CBNTR(counts, n, gamma=gamma).terms(logits, y), expected, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(batches(), st.sampled_from([0.0, 0.5, 1.0, 4.0]), st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.05, 0.5]))
def test_asymmetric_equals_its_definition(batch: tuple, gamma_neg: float, gamma_pos: float, margin: float) -> None:
    logits, y, _ = batch
    expected = slow.asymmetric(logits.numpy(), y.numpy(), gamma_neg, gamma_pos, margin)
    for detach in (False, True):
        loss = ASL(gamma_neg, gamma_pos, margin, detach_focal_weight=detach)
        np.testing.assert_allclose(loss.terms(logits, y), expected, rtol=1e-9, atol=1e-12)


def test_special_cases_are_their_simpler_relatives() -> None:
    bce, focal = BCE().terms(LOGITS, LABELS), Focal().terms(LOGITS, LABELS)
    torch.testing.assert_close(Focal(gamma=0).terms(LOGITS, LABELS), bce)
    torch.testing.assert_close(ASL(0, 0, 0).terms(LOGITS, LABELS), bce)
    torch.testing.assert_close(ASL(2, 2, 0).terms(LOGITS, LABELS), focal)
    torch.testing.assert_close(CB(COUNTS, beta=0).terms(LOGITS, LABELS), focal)
    torch.testing.assert_close(CB([7, 7, 7, 7]).terms(LOGITS, LABELS), focal)
    unshifted = DistributionBalanced(COUNTS, N, kappa=0, neg_scale=1)
    torch.testing.assert_close(unshifted.terms(LOGITS, LABELS), RebalancedFocal(COUNTS).terms(LOGITS, LABELS))


def test_easy_negatives_have_neither_loss_nor_gradient_below_the_margin() -> None:
    logits = torch.tensor([[-3.0, -2.9]], requires_grad=True)  # p = 0.0474 and 0.0522, on either side of the margin
    terms = ASL().terms(logits, torch.zeros(1, 2))
    (gradient,) = torch.autograd.grad(terms.sum(), logits)
    assert terms[0, 0] == gradient[0, 0] == 0
    assert terms[0, 1] > 0
    assert gradient[0, 1] > 0


def test_detached_focal_factors_only_scale_the_gradient_of_the_cross_entropy() -> None:
    logits = LOGITS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(ASL(2, 2, 0, detach_focal_weight=True, reduction="sum")(logits, LABELS), logits)
    p = LOGITS.sigmoid()
    torch.testing.assert_close(gradient, (p - LABELS).abs().square() * (p - LABELS))


def test_counts_come_from_the_known_labels_of_the_training_rows() -> None:
    table = Table(Dataset(np.zeros((4, 1)), np.array([[1, 0, 1.0], [1, NAN, 0], [0, NAN, 0], [NAN, 1, 0]])))
    for cls in (CB, RebalancedFocal, DistributionBalanced, CBNTR):
        assert cls.from_data(table).class_counts.tolist() == [2, 1, 1]
    for kind in (DistributionBalanced, CBNTR):
        assert kind.from_data(table).n_train.tolist() == [3, 2, 4]
    loss = DistributionBalanced.from_data(table, n_train=8, kappa=0.1)
    assert (int(loss.n_train), loss.kappa) == (8, 0.1)
    shares = [2 / 3, 1 / 2, 1 / 4]
    logits = [math.log(p / (1 - p)) for p in shares]
    whole = DistributionBalanced.from_data(table)
    np.testing.assert_allclose(prior_logit(whole.class_counts, whole.n_train, torch.float64), logits, atol=1e-12)


def test_sparse_labels_count_as_dense_ones_do() -> None:
    from scipy import sparse

    dense = np.array([[1, 0, 1.0], [1, 0, 0], [0, NAN, 0]])
    for loss in (CBNTR.from_data(Table(Dataset(np.zeros((3, 1)), y))) for y in (dense, sparse.csr_array(dense))):
        assert loss.class_counts.tolist() == [2, 0, 1]
        assert loss.n_train.tolist() == [3, 2, 3]
    assert int(CBNTR.from_data(Table(Dataset(np.zeros((3, 1)), np.ones((3, 2), dtype=np.uint8)))).n_train) == 3


def test_counts_survive_other_types_and_are_not_saved() -> None:
    loss = CB([70_000, 3])
    before = loss.terms(torch.zeros(1, 2), torch.ones(1, 2))
    torch.testing.assert_close(loss.half().terms(torch.zeros(1, 2), torch.ones(1, 2)), before)
    assert not loss.state_dict()


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (Focal, {"gamma": 0.5, "alpha": 0.25}),
        (CB, {"mode": "average_w"}),
        (CB, {"mode": "average_n", "normalize": False}),
        (CB, {"mode": "min_n"}),
        (RebalancedFocal, {"gamma": 0.0}),
        (DistributionBalanced, {"form": "authors"}),
        (DistributionBalanced, {"form": "textstudy", "rebalance": False}),
        (DistributionBalanced, {"gamma": 0.0}),
        (ASL, {"margin": 0.0}),
        (ASL, {"gamma_pos": 0.0, "reduction": "sum"}),
        (ASL, {"gamma_neg": 0.5, "reduction": "mean"}),
    ],
)
def test_contract_of_the_switches(cls: type[Loss], params: dict) -> None:
    contract.check_loss(cls, **params)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Focal(gamma=-1), "gamma"),
        (lambda: Focal(alpha=1.5), "alpha"),
        (lambda: CB(COUNTS, mode="by_row"), "average_w"),
        (lambda: CB(COUNTS, beta=1.0), "beta"),
        (lambda: CB([1.5, 2]), "class_counts"),
        (lambda: CB([-1, 2]), "class_counts"),
        (lambda: DistributionBalanced(COUNTS, N, form="code"), "textstudy"),
        (lambda: DistributionBalanced(COUNTS, N, neg_scale=0), "neg_scale"),
        (lambda: DistributionBalanced(COUNTS, -1), "n_train"),
        (lambda: CBNTR(COUNTS, N, beta=-0.1), "beta"),
        (lambda: ASL(margin=1.0), "margin"),
        (lambda: ASL(reduction="average"), "batch_mean"),
    ],
)
def test_refuses_senseless_numbers(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
