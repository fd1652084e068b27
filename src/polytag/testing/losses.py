"""What every loss promises, as checks that third parties can run on theirs.

::

    from polytag.testing.losses import check_loss
    check_loss(MyLoss)
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import torch
from torch import Tensor

from polytag.data.dataset import Dataset
from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.losses.base import REDUCTIONS, Loss


class Make(Protocol):
    """Builds a loss for training rows with these labels, with further parameters if given."""

    def __call__(self, y: Tensor, **params: Any) -> Loss:
        """Return the loss."""


def check_loss(cls: type[Loss], **params: Any) -> None:
    """Run all checks on a loss class.

    Args:
        cls: Built through ``cls.from_data(table, **params)``.
        **params: Its parameters.

    Raises:
        AssertionError: A promise is broken.

    Example:
        >>> from polytag.losses import BCE
        >>> check_loss(BCE, label_smoothing=0.1)
    """
    for check in CHECKS:
        check(builder(cls, **params))


def builder(cls: type[Loss], **params: Any) -> Make:
    """Return what builds the loss for training rows with given labels: what the checks take."""

    def make(y: Tensor, **more: Any) -> Loss:
        return cls.from_data(Table(Dataset(torch.zeros(len(y), 1).numpy(), y.numpy())), **{**params, **more})

    return make


def toy(b: int = 6, q: int = 4, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Return logits and labels; the first row has no label, the second all."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(b, q, generator=generator, dtype=dtype)
    y = (torch.rand(b, q, generator=generator) < 0.4).to(dtype)
    y[0], y[1] = 0, 1
    return logits, y


def reduced(loss: Loss, logits: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return what a loss should come to, from its terms: their mean, sum, or sum over the number of rows, those that count."""
    terms, counted = loss.terms(logits, y), loss.counted_cells(y)
    if weight is not None:
        terms = terms * (weight if terms.ndim == 1 else weight[:, None])
    counted = counted if terms.ndim == 2 else counted.any(dim=1)
    number = {"mean": max(int(counted.sum()), 1), "batch_mean": len(y), "sum": 1}[loss.reduction]
    return terms[counted].sum() / number


def check_shape(make: Make) -> None:
    """Terms are one a cell or one an instance; the loss is what its reduction makes of them; ``per_instance`` is their sum over b."""
    for b, q in ((1, 1), (1, 5), (7, 1), (6, 4)):
        logits, y = toy(max(b, 2), q)
        loss = make(y)
        logits, y = logits[:b], y[:b]
        terms = loss.terms(logits, y)
        assert terms.shape in ((b, q), (b,))
        value = loss(logits, y)
        assert value.shape == ()
        torch.testing.assert_close(value, reduced(loss, logits, y))
        torch.testing.assert_close(loss.per_instance(logits, y), terms.sum() / b)
        assert bool(value.isfinite())


def check_gradient(make: Make) -> None:
    """Gradients are those of finite differences."""
    logits, y = toy()
    loss = make(y).double()
    assert torch.autograd.gradcheck(lambda x: loss(x, y), (logits.requires_grad_(),))


def check_extreme_logits(make: Make) -> None:
    """At logits of 0 and +-100 value and gradient are finite, in single precision."""
    _, y = toy(dtype=torch.float32)
    for size in (0.0, 100.0, -100.0):
        for sign in (torch.ones_like(y), 2 * y - 1):
            logits = (size * sign).requires_grad_()
            value = make(y)(logits, y)
            (gradient,) = torch.autograd.grad(value, logits)
            assert bool(value.isfinite())
            assert bool(gradient.isfinite().all())


def check_degenerate_training_labels(make: Make) -> None:
    """Labels that training rows never or always have, or that are nowhere known, and no rows at all, give finite values and gradients."""
    logits, y = toy()
    never_and_always = y.clone()
    never_and_always[:, 0], never_and_always[:, 1], never_and_always[:, 2] = 0, 1, torch.nan
    for labels in (never_and_always, torch.zeros_like(y), torch.ones_like(y), y[:0]):
        logits = logits.detach().requires_grad_()
        value = make(labels)(logits, y)
        (gradient,) = torch.autograd.grad(value, logits)
        assert bool(value.isfinite())
        assert bool(gradient.isfinite().all())


def check_better_scores_cost_less(make: Make) -> None:
    """Logits that agree with the labels cost less than logits that contradict them."""
    logits, y = toy()
    agreeing = logits.abs() * (2 * y - 1)
    loss = make(y)
    assert bool(loss(agreeing, y) < loss(-agreeing, y))


def check_permutation(make: Make) -> None:
    """Rows in another order have the same terms in that order; so have labels, in the training rows and in the batch."""
    logits, y = toy()
    loss = make(y)
    rows, columns = torch.tensor([3, 0, 5, 1, 4, 2]), torch.tensor([2, 0, 3, 1])
    terms = loss.terms(logits, y)
    torch.testing.assert_close(loss.terms(logits[rows], y[rows]), terms[rows])
    other = make(y[:, columns]).terms(logits[:, columns], y[:, columns])
    torch.testing.assert_close(other, terms[:, columns] if terms.ndim == 2 else terms)


def check_inputs_stay(make: Make) -> None:
    """Logits, labels, gradient mode and random state are as they were, and so is the loss: a second call gives the same."""
    for enabled in (True, False):
        logits, y = toy()
        loss = make(y)
        before, state = (logits.clone(), y.clone()), torch.random.get_rng_state()
        with torch.set_grad_enabled(enabled):
            first = loss(logits, y)
            assert torch.is_grad_enabled() == enabled
            assert torch.equal(loss(logits, y), first)
        assert torch.equal(logits, before[0])
        assert torch.equal(y, before[1])
        assert torch.equal(torch.random.get_rng_state(), state)


def check_unknown_labels(make: Make) -> None:
    """Unknown cells (NaN) count neither in the mean nor in the gradient, whatever their logits; without a known label the loss is 0.

    A loss that ``assumes`` something of unknown labels must give them finite gradients, not zero everywhere.
    """
    logits, y = toy()
    logits = logits.abs() * (1 - 2 * y)  # all wrong, so that every known cell has something to learn
    loss = make(y)
    hidden = torch.zeros(y.shape, dtype=torch.bool)
    hidden[2], hidden[3, 1], hidden[0, 2] = True, True, True
    complete, y = loss.terms(logits, y), y.masked_fill(hidden, torch.nan)
    logits.requires_grad_()
    value = loss(logits, y)
    (gradient,) = torch.autograd.grad(value, logits)
    assert bool(value.isfinite())
    assert bool(gradient.isfinite().all())
    assert bool((gradient[3][~hidden[3]] != 0).any()), "a row of which one label is unknown has no say"
    nothing = loss(logits, torch.full_like(y, torch.nan))
    assert bool(nothing.isfinite())
    if loss.assumes:
        assert bool((gradient[hidden] != 0).any())
        return
    assert bool((gradient[hidden] == 0).all())
    torch.testing.assert_close(loss(logits + 3.0 * hidden, y), value)
    torch.testing.assert_close(value, reduced(loss, logits, y))
    torch.testing.assert_close(loss.terms(logits, y)[[1, 4, 5]], complete[[1, 4, 5]])
    assert not bool(loss.counted_cells(y)[hidden].any())
    assert float(nothing.detach()) == 0.0


def check_weight(make: Make) -> None:
    """Weights multiply the terms: ones change nothing, the loss is linear in them, and those of cells work too."""
    logits, y = toy()
    loss = make(y)
    weight = torch.linspace(0, 2, len(y), dtype=logits.dtype)
    for value in (loss, loss.per_instance):
        torch.testing.assert_close(value(logits, y, torch.ones(len(y))), value(logits, y))
        torch.testing.assert_close(value(logits, y, weight[:, None].expand_as(y)), value(logits, y, weight))
        torch.testing.assert_close(value(logits, y, 3 * weight), 3 * value(logits, y, weight))
    torch.testing.assert_close(loss(logits, y, weight), reduced(loss, logits, y, weight))


def check_reductions(make: Make) -> None:
    """Every reduction is a keyword: "none" gives the weighted terms, 0 where they do not count; the others are made of their sum.

    "sum" is that sum, "mean" it over the number of terms that count, "batch_mean" it over the rows; unknown labels and weights or not. An
    unknown word is refused.
    """
    logits, complete = toy()
    partly = complete.masked_fill(torch.arange(complete.numel()).view_as(complete) % 5 == 3, torch.nan)
    for y, weight in ((complete, None), (partly, None), (partly, torch.linspace(0, 2, len(partly), dtype=logits.dtype))):
        losses = {word: make(complete, reduction=word) for word in REDUCTIONS}
        values = {word: loss(logits, y, weight) for word, loss in losses.items()}
        loss, single = losses["none"], values["none"]
        terms, counted = loss.terms(logits, y), loss.counted_cells(y)
        counted = counted if terms.ndim == 2 else counted.any(dim=1)
        assert single.shape == terms.shape
        assert bool((single[~counted] == 0).all())
        factor = torch.ones_like(terms) if weight is None else weight.view(-1, *[1] * (terms.ndim - 1)).expand_as(terms)
        torch.testing.assert_close(single[counted], (terms * factor)[counted])
        torch.testing.assert_close(values["sum"], single.sum())
        torch.testing.assert_close(values["mean"], single.sum() / counted.sum())
        torch.testing.assert_close(values["batch_mean"], single.sum() / len(y))
        for other in losses.values():
            torch.testing.assert_close(other.per_instance(logits, y, weight), values["batch_mean"])
    default = make(complete)
    torch.testing.assert_close(default(logits, complete), losses[default.reduction](logits, complete))
    with suppress(ParameterError):
        make(complete, reduction="average")
        raise AssertionError("expected a ParameterError for a reduction that does not exist")


def check_half_precision(make: Make) -> None:
    """Logits in half precision are summed in single precision, under autocast too."""
    logits, y = toy(64, 8, torch.float32)
    half = logits.bfloat16()
    loss = make(y)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half, y)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(half.float(), y))


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_shape,
    check_gradient,
    check_extreme_logits,
    check_degenerate_training_labels,
    check_better_scores_cost_less,
    check_permutation,
    check_inputs_stay,
    check_unknown_labels,
    check_weight,
    check_reductions,
    check_half_precision,
)
"""All checks, in the order in which ``check_loss`` runs them."""
