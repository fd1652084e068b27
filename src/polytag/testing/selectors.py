"""What every batch selector promises, as checks that third parties can run on theirs.

::

    from polytag.testing.selectors import check_selector
    check_selector(MySelector)
"""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polytag.data.dataset import Dataset
from polytag.data.table import Table
from polytag.errors import DataError, ParameterError, ResumeError
from polytag.selectors.base import BatchSelector, shuffled_pass
from polytag.types import Array

Make = Callable[..., BatchSelector]


def check_selector(cls: Make, **params: Any) -> None:
    """Run all checks on a selector class.

    Args:
        cls: Called as ``cls(y, batch_size, x=x, seed=seed, **params)``.
        **params: Further parameters.

    Raises:
        AssertionError: A promise is broken.

    Example:
        >>> from polytag.selectors import Random
        >>> check_selector(Random)
    """

    def make(*args: Any, **kwargs: Any) -> BatchSelector:
        return cls(*args, **{**params, **kwargs})

    for check in CHECKS:
        check(make)


def toy(n: int = 61, q: int = 4) -> tuple[Array, Array]:
    """Return features (n, 3) and labels (n, q) with unequal frequencies; row 0 has no label."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    y = (rng.random((n, q)) < np.linspace(0.6, 0.1, q)).astype(np.float32)
    y[0] = 0
    return x, y


def logits_of(rows: Tensor, y: Array) -> Tensor:
    """Return made-up logits that differ from row to row."""
    generator = torch.Generator().manual_seed(int(rows.sum()))
    return torch.randn(len(rows), y.shape[1], generator=generator) + rows[:, None] / len(y)


def chosen(selector: BatchSelector, rows: Tensor, y: Array) -> Tensor:
    """Return the rows of the batch: those that were drawn, or what the selector makes of them if they are candidates."""
    while selector.screening:
        rows = selector.screen(rows, logits_of(rows, y))
    return rows


def epoch_of(selector: BatchSelector, y: Array) -> list[list[int]]:
    """Run one epoch with updates; return its batches."""
    batches = []
    for drawn in selector:
        rows = chosen(selector, drawn, y)
        selector.update(rows, logits_of(rows, y))
        batches.append(rows.tolist())
    return batches


def check_batches(make: Make) -> None:
    """Batches are int64 tensors on the CPU, in range, without repeats, ``ceil(n / b)`` an epoch, of the right sizes."""
    x, y = toy()
    selector = make(y, 8, x=x, seed=0)
    assert len(selector) == 8
    for epoch in range(5):
        batches = []
        for drawn in selector:
            rows = chosen(selector, drawn, y)
            assert isinstance(rows, Tensor), f"expected a tensor, but got {type(rows)}"
            assert rows.dtype == torch.int64, f"expected int64 row numbers, but got {rows.dtype}"
            assert rows.device.type == "cpu"
            assert 0 <= int(rows.min()) <= int(rows.max()) < len(y), "a row number is out of range"
            assert selector.replacement or len(set(rows.tolist())) == len(rows), "a row stands twice in a batch"
            selector.update(rows, logits_of(rows, y))
            batches.append(len(rows))
        assert selector.shrinks or len(batches) == 8, f"expected 8 batches, but epoch {epoch} has {len(batches)}"
        assert set(batches[:-1]) <= {8}, f"expected full batches, but got sizes {batches}"
        assert selector.shrinks or batches[-1] in (8, 5), f"expected a full last batch or the remainder, but got {batches[-1]}"


def check_whole_set(make: Make) -> None:
    """With ``batch_size >= n`` each batch is a permutation of all rows."""
    x, y = toy(10)
    for size in (10, 99):
        selector = make(y, size, x=x, seed=0)
        for _ in range(5):
            (rows,) = epoch_of(selector, y)
            assert len(set(rows)) == len(rows), "a row stands twice in a batch of the whole set"
            assert selector.shrinks or len(rows) == 10, f"expected a permutation of all rows, but got {rows}"


def check_one_row(make: Make) -> None:
    """A training set of one row works."""
    selector = make(np.ones((1, 2)), 4, x=np.zeros((1, 3)), seed=0)
    assert [epoch_of(selector, np.ones((1, 2))) for _ in range(5)] == [[[0]]] * 5


def check_empty_labels(make: Make) -> None:
    """Labels without positives, and a set without any, work."""
    x, y = toy(20)
    for empty in (np.concatenate([y, np.zeros((20, 2), dtype=np.float32)], axis=1), np.zeros_like(y)):
        selector = make(empty, 8, x=x, seed=0)
        for _ in range(5):
            epoch_of(selector, empty)
        assert np.isfinite(selector.probabilities()).all()


def check_nothing_drawn_ahead(make: Make) -> None:
    """A batch is drawn when it is asked for, not before."""
    x, y = toy()
    selector = make(y, 8, x=x, seed=0)
    drawn = []
    original = selector.draw
    selector.draw = lambda k: (drawn.append(k), original(k))[1]  # type: ignore[method-assign,func-returns-value]
    for _ in range(5):
        before = len(drawn)
        for number, rows in enumerate(selector, start=1):
            assert len(drawn) - before <= number, "a batch was drawn before it was asked for"
            rows = chosen(selector, rows, y)
            selector.update(rows, logits_of(rows, y))


def check_same_seed(make: Make) -> None:
    """The same seed gives the same rows, another seed others."""
    x, y = toy()
    first, second, other = (make(y, 8, x=x, seed=seed) for seed in (3, 3, 4))
    runs = [[epoch_of(selector, y) for _ in range(5)] for selector in (first, second, other)]
    assert runs[0] == runs[1], "the same seed gave different batches"
    assert runs[0] != runs[2], "another seed gave the same batches"


def check_kinds_of_labels(make: Make) -> None:
    """NumPy, torch, SciPy and indexed labels give the same batches."""
    from scipy import sparse

    from polytag.data.labels import LabelIndex

    x, y = toy()
    kinds = [y, torch.from_numpy(y), sparse.csr_array(y), sparse.csc_matrix(y), LabelIndex.from_labels(y), y.astype(bool)]
    runs = [[epoch_of(selector, y) for _ in range(5)] for selector in [make(kind, 8, x=x, seed=0) for kind in kinds]]
    assert all(run == runs[0] for run in runs), "the batches depend on how the labels are stored"


def check_resume(make: Make) -> None:
    """A fresh selector with a saved state goes on exactly where the saved one was, at any step."""
    x, y = toy()
    for stop in (0, 1, 8, 9, 27, 35, 40):
        straight, resumed = make(y, 8, x=x, seed=1), make(y, 8, x=x, seed=9)
        steps = steps_of(straight, y)
        for _ in range(stop):
            next(steps)
        resumed.load_state_dict(stored(straight.state_dict()))
        same = all(a == b for a, b in itertools.islice(zip(steps, steps_of(resumed, y)), 30))
        assert same, f"resumed after step {stop}, the batches differ"
    for epochs in (1, 5):
        straight, resumed = make(y, 8, x=x, seed=1), make(y, 8, x=x, seed=9)
        for _ in range(epochs):
            epoch_of(straight, y)
        resumed.load_state_dict(stored(straight.state_dict()))
        assert epoch_of(straight, y) == epoch_of(resumed, y), f"resumed after epoch {epochs}, the batches differ"


def steps_of(selector: BatchSelector, y: Array) -> Iterator[list[int]]:
    """Run epoch after epoch; yield each batch after its update."""
    while True:
        for drawn in selector:
            rows = chosen(selector, drawn, y)
            selector.update(rows, logits_of(rows, y))
            yield rows.tolist()


def stored(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state as it comes back from a file of tensors and JSON; fails for anything else."""
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    plain = json.loads(json.dumps({k: v for k, v in state.items() if k not in tensors}))
    return {**{k: v.clone() for k, v in tensors.items()}, **plain}


def check_foreign_state(make: Make) -> None:
    """A state of another batch size or data set is refused."""
    x, y = toy()
    state = make(y, 8, x=x, seed=0).state_dict()
    for other in (make(y, 9, x=x, seed=0), make(y[:-1], 8, x=x[:-1], seed=0)):
        try:
            other.load_state_dict(state)
        except ResumeError:
            continue
        raise AssertionError("a state that belongs to another selector was accepted")


def check_new_epoch_after_break(make: Make) -> None:
    """``iter`` begins a new epoch after one that was left by break."""
    x, y = toy()
    selector = make(y, 8, x=x, seed=0)
    next(iter(selector))
    assert len(epoch_of(selector, y)) == len(selector)


def check_global_random_state(make: Make) -> None:
    """The global random states are neither read nor changed."""
    x, y = toy()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    try:
        selector = make(y, 8, x=x, seed=0)
        first = [epoch_of(selector, y) for _ in range(5)]
        assert torch.equal(torch_state, torch.get_rng_state()), "torch's global random state was changed"
        assert np.array_equal(numpy_state[1], np.random.get_state()[1]), "numpy's global random state was changed"  # type: ignore[index]  # noqa: NPY002
        torch.rand(3), np.random.rand(3)  # noqa: NPY002
        selector = make(y, 8, x=x, seed=0)
        assert first == [epoch_of(selector, y) for _ in range(5)], "the batches depend on the global random state"
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def check_warmup(make: Make) -> None:
    """Warm-up epochs are the shuffled passes that all selectors with the same seed share."""
    x, y = toy()
    selector = make(y, 8, x=x, seed=5)
    for epoch in range(int(min(selector.warmup, 4))):
        rows = [row for batch in epoch_of(selector, y) for row in batch]
        assert rows == shuffled_pass(len(y), 5, epoch).tolist(), f"warm-up epoch {epoch} is not the shared pass"


def check_probabilities(make: Make) -> None:
    """``probabilities`` has shape (n,), is positive and sums to 1, before and after updates."""
    x, y = toy()
    selector = make(y, 8, x=x, seed=0)
    for _ in range(6):
        proba = selector.probabilities()
        assert proba.shape == (len(y),)
        assert (proba > 0).all(), "a row can never be drawn"
        assert abs(float(proba.sum()) - 1) < 1e-9
        epoch_of(selector, y)


def check_no_information_is_uniform(make: Make) -> None:
    """As long as nothing tells rows apart (nothing seen, or all losses zero), all are equally likely, unless labels alone decide."""
    x, y = toy()
    selector = make(y, 8, x=x, seed=0)
    if type(selector).observe is BatchSelector.observe and type(selector).density is not BatchSelector.density:
        return
    np.testing.assert_allclose(selector.probabilities(), 1 / len(y), rtol=1e-9)
    for _ in range(5):
        for drawn in selector:
            rows = drawn
            while selector.screening:
                rows = selector.screen(rows, torch.from_numpy(2000 * y[rows] - 1000))
            selector.update(rows, torch.from_numpy(2000 * y[rows] - 1000))
    np.testing.assert_allclose(selector.probabilities(), 1 / len(y), rtol=1e-9)


def check_nonfinite_refused(make: Make) -> None:
    """NaN logits are refused with the number of the instance, by selectors that look at logits; ``on_nonfinite="max"`` accepts them."""
    x, y = toy()
    selector = make(y, 8, x=x, seed=0)
    rows = next(iter(selector))
    if type(selector).observe is BatchSelector.observe and not selector.screening:
        return
    logits = logits_of(rows, y)
    logits[2] = torch.nan
    tell = selector.screen if selector.screening else selector.update
    message = _refusal(tell, rows, logits)
    assert message, "NaN logits were accepted"
    assert str(int(rows[2])) in message, "the message does not name the instance"
    tolerant = make(y, 8, x=x, seed=0, on_nonfinite="max")
    for number, drawn in enumerate(tolerant):
        rows = chosen(tolerant, drawn, y)
        logits = logits_of(rows, y)
        logits[number % len(rows)] = torch.nan
        tolerant.update(rows, logits)
    epoch_of(tolerant, y)
    assert np.isfinite(tolerant.probabilities()).all()


def check_misfits_refused(make: Make) -> None:
    """Logits of another shape and rows out of range are refused."""
    x, y = toy()
    selector = make(y, 8, x=x, seed=0)
    rows = chosen(selector, next(iter(selector)), y)
    logits = logits_of(rows, y)
    for wrong in ((rows, logits[:, 1:]), (rows, logits[1:]), (rows + len(y), logits), (rows - len(y), logits)):
        assert _refusal(selector.update, *wrong), "rows or logits that do not fit were accepted"


def check_weights(make: Make) -> None:
    """Loss weights are ``None``, or finite, not negative and of shape (b,) or (b, q); those of a plain pass are ``None`` or 1."""
    x, y = toy()
    selector = make(y, 8, x=x, seed=0)
    for epoch in range(5):
        for drawn in selector:
            rows = chosen(selector, drawn, y)
            weights = selector.weights(rows)
            if weights is not None:
                assert tuple(weights.shape) in ((len(rows),), (len(rows), y.shape[1]))
                assert bool((weights >= 0).all() & weights.isfinite().all())
                assert epoch >= selector.warmup, "a plain pass has loss weights"
            selector.update(rows, logits_of(rows, y))


def check_importance_weights(make: Make) -> None:
    """``importance_weights`` are those of ``probabilities``; a selector for which none exist says so."""
    x, y = toy()
    selector = make(y, 8, x=x, seed=0)
    for _ in range(5):
        for drawn in selector:
            plain = selector.epoch < selector.warmup
            rows = chosen(selector, drawn, y)
            try:
                weights = selector.importance_weights(rows, normalise=False).numpy()
            except ParameterError:
                return
            expected = np.ones(len(rows)) if plain else 1 / (len(y) * selector.probabilities()[rows.numpy()])
            np.testing.assert_allclose(weights, expected, rtol=1e-5)
            selector.update(rows, logits_of(rows, y))


def _refusal(tell: Callable[..., object], rows: Tensor, logits: Tensor) -> str:
    """Return the message with which data are refused; empty if they are accepted."""
    try:
        tell(rows, logits)
    except DataError as error:
        return str(error)
    return ""


def check_update_leaves_logits_alone(make: Make) -> None:
    """``update`` neither changes the logits nor lets gradients flow; logits may be of lower precision."""
    x, y = toy()
    selector = make(y, 8, x=x, seed=0)
    for number, drawn in enumerate(selector):
        rows = chosen(selector, drawn, y)
        logits = logits_of(rows, y).to(torch.bfloat16 if number % 2 else torch.float32).requires_grad_()
        copy = logits.detach().clone()
        selector.update(rows, logits)
        assert torch.equal(copy, logits.detach())
        assert logits.grad is None


def check_data_loader(make: Make) -> None:
    """``DataLoader(table, sampler=selector, batch_size=None)`` gives the selector's batches, none ahead of its update."""
    x, y = toy()
    table = Table(Dataset(x, y))
    alone, loaded = make(y, 8, x=x, seed=0), make(y, 8, x=x, seed=0)
    loader = torch.utils.data.DataLoader(table, sampler=loaded, batch_size=None, generator=torch.Generator())
    for _ in range(5):
        batches = []
        for batch in loader:
            rows = chosen(loaded, batch.rows, y)
            loaded.update(rows, logits_of(rows, y))
            batches.append(rows.tolist())
        assert batches == epoch_of(alone, y), "the batches of a DataLoader differ from those of plain iteration"


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_batches,
    check_whole_set,
    check_one_row,
    check_empty_labels,
    check_nothing_drawn_ahead,
    check_same_seed,
    check_kinds_of_labels,
    check_resume,
    check_foreign_state,
    check_new_epoch_after_break,
    check_global_random_state,
    check_warmup,
    check_probabilities,
    check_no_information_is_uniform,
    check_nonfinite_refused,
    check_misfits_refused,
    check_weights,
    check_importance_weights,
    check_update_leaves_logits_alone,
    check_data_loader,
)
"""The checks that ``check_selector`` runs, in this order."""
