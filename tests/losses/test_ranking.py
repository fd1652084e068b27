"""The losses of instances against the specification's numbers, PyTorch's and their definitions, pair by pair."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.losses.fixture import LABELS, LOGITS, NAN, batches
from tests.reference import losses as slow
from torch.nn import functional

from polytag.losses import LSEP, WARP, BalancedSoftmax, Loss, PairwiseExponential, PairwiseHinge, pairwise_exponential
from polytag.losses.pairwise import violations
from polytag.testing import losses as contract


@pytest.mark.parametrize(
    ("loss", "values"),
    [
        (BalancedSoftmax(), [0.9039691364, 1.2100519677, 2.0949068505]),
        (PairwiseExponential(), [0.2115201365, 0.2711784804, 0.6403891833]),
        (PairwiseExponential("sigmoid", 5), [0.0144786615, 0.0230392427, 0.1389738020]),
        (LSEP(), [0.2699145805, 0.3283412890, 1.1629271085]),
        (PairwiseHinge(), [0, 0, 0.5]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Loss) else "",
)
def test_golden_values(loss: Loss, values: list[float]) -> None:
    np.testing.assert_allclose(loss.terms(LOGITS, LABELS), values, atol=1e-10)
    assert float(loss(LOGITS, LABELS)) == pytest.approx(np.mean(values), abs=1e-10)


def test_hinge_equals_pytorch() -> None:
    loss = PairwiseHinge(divide_by="labels")
    assert float(loss(LOGITS, LABELS)) == pytest.approx(0.125, abs=1e-12)
    logits, y = contract.toy(9, 7)
    numbers = torch.full(y.shape, -1)
    for row, labels in enumerate(y):
        mine = labels.nonzero().flatten()
        numbers[row, : len(mine)] = mine
    torch.testing.assert_close(loss(logits, y), functional.multilabel_margin_loss(logits, numbers))


@settings(deadline=None, max_examples=40)
@given(batches(), st.sampled_from([0.5, 1.0, 3.0]))
def test_equal_their_definitions(batch: tuple, margin: float) -> None:
    logits, y, _ = batch
    pairs = [
        (BalancedSoftmax(), slow.balanced_softmax),
        (PairwiseExponential("none"), partial(slow.pairwise_exponential, scale=1)),
        (LSEP(), slow.lsep),
        (PairwiseHinge(margin), partial(slow.hinge, margin=margin)),
        (WARP(margin), partial(slow.warp, margin=margin)),
    ]
    for loss, definition in pairs:
        expected = slow.instances(logits.numpy(), y.numpy(), definition)
        np.testing.assert_allclose(loss.terms(logits, y), expected, rtol=1e-9, atol=1e-11)
    squashed = slow.instances(logits.tanh().numpy(), y.numpy(), partial(slow.pairwise_exponential, scale=2))
    np.testing.assert_allclose(PairwiseExponential(scale=2).terms(logits, y), squashed / 2, rtol=1e-9, atol=1e-12)


def test_samples_of_scores_are_taken_at_once() -> None:
    scores = torch.stack([LOGITS, 2 * LOGITS]).reshape(2, 3, 4)
    both = pairwise_exponential(scores, LABELS, 2.0)
    torch.testing.assert_close(both[1], pairwise_exponential(2 * LOGITS, LABELS, 2.0))
    assert both.shape == (2, 3)


def test_warp_is_the_mean_of_drawn_losses() -> None:
    generator = np.random.default_rng(0)
    scores, y = torch.tensor([[0.2, 1.0, 0.0, -3.0, 0.9, -3.0]]), torch.tensor([[1.0, 0, 0, 0, 0, 0]])
    others, drawn = scores[0, 1:].numpy(), []
    for _ in range(20_000):
        draws = generator.integers(5, size=5)
        short = 1 - (0.2 - others[draws])
        hits = np.flatnonzero(short > 0)
        drawn.append(sum(1 / r for r in range(1, 5 // (hits[0] + 1) + 1)) * short[hits[0]] if len(hits) else 0.0)
    assert float(WARP()(scores, y)) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(len(drawn)))


@pytest.mark.parametrize("cls", [LSEP, PairwiseExponential, PairwiseHinge, WARP])
def test_instances_without_pairs_count_as_zero_or_not_at_all(cls: type) -> None:
    y = torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 0], [1, 1, NAN, 1]]).double()
    logits = torch.tensor([[-1.0, 2, 0, 1], [1, 2, 3, 4], [1, 2, 3, 4]]).double()
    terms = cls().terms(logits, y)
    assert terms[0] > 0
    assert terms[1:].tolist() == [0, 0]
    torch.testing.assert_close(cls()(logits, y), terms.sum() / 3)
    torch.testing.assert_close(cls(skip_empty=True)(logits, y), terms[0])
    assert float(cls(skip_empty=True)(logits[1:], y[1:])) == 0


def test_ranking_losses_do_not_build_tables_of_pairs() -> None:
    largest, y = 0, (torch.arange(1000) % 3 == 0).float().expand(4, 1000)

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    logits = torch.linspace(-1, 1, 4000).reshape(4, 1000).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        for loss in (LSEP(), PairwiseExponential(), PairwiseHinge(), WARP(), BalancedSoftmax()):
            assert bool(loss(logits, y).isfinite())
    assert 0 < largest <= 4 * 1001


def test_ties_at_the_margin_are_no_violation() -> None:
    count, excess = violations(
        torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[True, False, False]]), torch.tensor([[False, True, True]]), 1.0
    )
    assert count.tolist() == [[0, 0, 0]]
    assert excess.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (PairwiseExponential, {"squash": "sigmoid", "scale": 5.0}),
        (PairwiseExponential, {"skip_empty": True}),
        (LSEP, {"skip_empty": True}),
        (PairwiseHinge, {"divide_by": "labels"}),
        (PairwiseHinge, {"margin": 0.5, "skip_empty": True}),
        (WARP, {"skip_empty": True}),
        (BalancedSoftmax, {"reduction": "sum"}),
    ],
)
def test_contract_of_the_switches(cls: type[Loss], params: dict) -> None:
    contract.check_loss(cls, **params)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PairwiseExponential("softmax"), "sigmoid"),
        (lambda: PairwiseExponential(scale=0), "scale"),
        (lambda: PairwiseHinge(0), "margin"),
        (lambda: PairwiseHinge(divide_by="rows"), "divide_by"),
        (lambda: WARP(-1), "margin"),
    ],
)
def test_refuses_senseless_numbers(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
