"""What every loss promises, as checks that third parties can run on theirs.

::

    from polytag.testing.losses import check_loss
    check_loss(MyLoss)
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from polytag.losses.base import Loss

Make = Callable[[], Loss]


def check_loss(cls: Callable[..., Loss], **params: Any) -> None:
    """Run all checks on a loss class.

    Args:
        cls: Called as ``cls(**params)``.
        **params: Its parameters.

    Raises:
        AssertionError: A promise is broken.

    Example:
        >>> from polytag.losses import BCE
        >>> check_loss(BCE, label_smoothing=0.1)
    """
    for check in CHECKS:
        check(lambda: cls(**params))


def toy(b: int = 6, q: int = 4, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Return logits and labels; the first row has no label, the second all."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(b, q, generator=generator, dtype=dtype)
    y = (torch.rand(b, q, generator=generator) < 0.4).to(dtype)
    y[0], y[1] = 0, 1
    return logits, y


def check_shape(make: Make) -> None:
    """Terms are one a cell or one an instance; the loss is their mean, a finite scalar; ``per_instance`` is their sum over b."""
    for b, q in ((1, 1), (1, 5), (7, 1), (6, 4)):
        logits, y = toy(max(b, 2), q)
        logits, y = logits[:b], y[:b]
        loss = make()
        terms = loss.terms(logits, y)
        assert terms.shape in ((b, q), (b,))
        value = loss(logits, y)
        assert value.shape == ()
        torch.testing.assert_close(value, terms.mean())
        torch.testing.assert_close(loss.per_instance(logits, y), terms.sum() / b)
        assert bool(value.isfinite())


def check_gradient(make: Make) -> None:
    """Gradients are those of finite differences."""
    logits, y = toy()
    loss = make().double()
    assert torch.autograd.gradcheck(lambda x: loss(x, y), (logits.requires_grad_(),))


def check_extreme_logits(make: Make) -> None:
    """At logits of 0 and +-100 value and gradient are finite, in single precision."""
    _, y = toy(dtype=torch.float32)
    for size in (0.0, 100.0, -100.0):
        for sign in (torch.ones_like(y), 2 * y - 1):
            logits = (size * sign).requires_grad_()
            value = make()(logits, y)
            (gradient,) = torch.autograd.grad(value, logits)
            assert bool(value.isfinite())
            assert bool(gradient.isfinite().all())


def check_better_scores_cost_less(make: Make) -> None:
    """Logits that agree with the labels cost less than logits that contradict them."""
    logits, y = toy()
    agreeing = logits.abs() * (2 * y - 1)
    loss = make()
    assert bool(loss(agreeing, y) < loss(-agreeing, y))


def check_permutation(make: Make) -> None:
    """Rows in another order have the same terms in that order; so have labels, if no parameter belongs to a label."""
    logits, y = toy()
    loss = make()
    rows, columns = torch.tensor([3, 0, 5, 1, 4, 2]), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(loss.terms(logits[rows], y[rows]), loss.terms(logits, y)[rows])
    if all(value.ndim == 0 for value in (*loss.parameters(), *loss.buffers())):
        terms = loss.terms(logits, y)
        torch.testing.assert_close(loss.terms(logits[:, columns], y[:, columns]), terms[:, columns] if terms.ndim == 2 else terms)


def check_inputs_stay(make: Make) -> None:
    """Logits, labels, gradient mode and random state are as they were."""
    for enabled in (True, False):
        logits, y = toy()
        before, state = (logits.clone(), y.clone()), torch.random.get_rng_state()
        with torch.set_grad_enabled(enabled):
            make()(logits, y)
            assert torch.is_grad_enabled() == enabled
        assert torch.equal(logits, before[0])
        assert torch.equal(y, before[1])
        assert torch.equal(torch.random.get_rng_state(), state)


def check_unknown_labels(make: Make) -> None:
    """Unknown cells (NaN) count neither in the mean nor in the gradient, whatever their logits; without a known label the loss is 0."""
    logits, y = toy()
    loss = make()
    if loss.terms(logits, y).ndim == 1:
        y[2], known = torch.nan, torch.tensor([0, 1, 3, 4, 5])
        torch.testing.assert_close(loss(logits, y), loss(logits[known], y[known]))
        hidden = y.isnan()
    else:
        hidden = torch.zeros(y.shape, dtype=torch.bool)
        hidden[2], hidden[3, 1], hidden[0, 2] = True, True, True
        terms = loss.terms(logits, y)
        y = y.masked_fill(hidden, torch.nan)
        torch.testing.assert_close(loss(logits, y), terms[~hidden].mean())
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, y), logits)
    assert bool((gradient[hidden] == 0).all())
    assert bool(gradient.isfinite().all())
    assert bool((gradient[~hidden] != 0).any())
    assert float(loss(logits, torch.full_like(y, torch.nan)).detach()) == 0.0


def check_weight(make: Make) -> None:
    """Weights multiply the terms: ones change nothing, the loss is linear in them, and those of cells work too."""
    loss = make()
    logits, y = toy()
    weight = torch.linspace(0, 2, len(y), dtype=logits.dtype)
    terms = loss.terms(logits, y)
    for value in (loss, loss.per_instance):
        torch.testing.assert_close(value(logits, y, torch.ones(len(y))), value(logits, y))
        torch.testing.assert_close(value(logits, y, weight[:, None].expand_as(y)), value(logits, y, weight))
        torch.testing.assert_close(value(logits, y, 3 * weight), 3 * value(logits, y, weight))
    expected = (terms * (weight if terms.ndim == 1 else weight[:, None])).mean()
    torch.testing.assert_close(loss(logits, y, weight), expected)


def check_half_precision(make: Make) -> None:
    """Logits in half precision are summed in single precision, under autocast too."""
    logits, y = toy(64, 8, torch.float32)
    half = logits.bfloat16()
    loss = make()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half, y)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(half.float(), y))


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_shape,
    check_gradient,
    check_extreme_logits,
    check_better_scores_cost_less,
    check_permutation,
    check_inputs_stay,
    check_unknown_labels,
    check_weight,
    check_half_precision,
)
"""All checks, in the order in which ``check_loss`` runs them."""
