"""What every label enhancement promises, as checks that third parties can run on theirs.

::

    from polytag.testing.enhancers import check_enhancer
    check_enhancer(MyEnhancer)
"""

import contextlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from polytag.data.dataset import Dataset
from polytag.data.synthetic_distributions import make_label_distribution
from polytag.data.table import Table
from polytag.enhance.base import Enhancer, distribution_loss
from polytag.errors import DataError, ParameterError
from polytag.metrics.distribution import cosine, kullback_leibler
from polytag.models import Linear
from polytag.models.enhanced import Enhanced
from polytag.types import Array, Batch

_SMOOTHED = 0.01
"""Share of the even distribution in the labels that recovered distributions must beat in divergence, where a plain 0 would cost 36."""


def check_enhancer(cls: type[Enhancer], *, equivariant: bool = False, **params: Any) -> None:
    """Run all checks on an enhancer class.

    Args:
        cls: Called as ``cls(**params)``.
        equivariant: Whether rows and labels in another order must give the same degrees in that order; not so for networks, whose first
            weights and batches follow the order.
        **params: Its parameters, such as fewer epochs.

    Raises:
        AssertionError: A promise is broken.

    Example:
        >>> from polytag.enhance import GLLE
        >>> check_enhancer(GLLE, equivariant=True)
    """
    subject = Subject(cls, equivariant=equivariant, **params)
    for check in CHECKS:
        check(subject)


class Subject:
    """The enhancer class under test with its parameters; called, it gives a new enhancer.

    Args:
        cls: The class.
        equivariant: See ``check_enhancer``.
        **params: Its parameters.
    """

    def __init__(self, cls: Callable[..., Enhancer], *, equivariant: bool = False, **params: Any) -> None:
        self.cls, self.equivariant, self.params = cls, equivariant, params

    def __call__(self) -> Enhancer:
        """Build an enhancer."""
        return self.cls(**self.params)

    def found(self, X: Any, Y: Any, seed: int = 0) -> Array:
        """Return what a new enhancer recovers, once it is seen to be label distributions."""
        degrees = self().fit_transform(X, Y, seed=seed)
        assert isinstance(degrees, np.ndarray), f"expected an array, but got {type(degrees)}"
        assert degrees.dtype == np.float64, f"expected float64, but got {degrees.dtype}"
        assert degrees.shape == Y.shape, f"expected shape {Y.shape}, but got {degrees.shape}"
        assert np.isfinite(degrees).all(), "a degree is not finite"
        assert (degrees >= 0).all(), f"a degree is negative: {degrees.min()}"
        assert np.allclose(degrees.sum(axis=1), 1, rtol=0, atol=1e-6), "the degrees of a row do not sum to 1"
        return degrees


def toy(n: int = 24, d: int = 4, q: int = 3) -> tuple[Array, Array]:
    """Return features that say something of the labels; row 0 has no label, row 1 all of them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    Y = (X @ rng.normal(size=(d, q)) + 0.3 * rng.normal(size=(n, q)) > 0.3).astype(np.uint8)
    Y[0], Y[1:2] = 0, 1
    return X, Y


def check_distributions(make: Subject) -> None:
    """What comes back has the shape of Y, is float64, at least 0, and sums to 1 in each row; few rows or features, many labels."""
    for n, d, q in ((24, 4, 3), (2, 1, 2), (7, 30, 12), (30, 2, 2)):
        make.found(*toy(n, d, q))


def check_seed(make: Subject) -> None:
    """The same seed gives the same degrees, and global random states, gradient mode and default type stay as they were."""
    X, Y = toy()
    before = _states()
    first = make.found(X, Y, seed=3)
    assert before == _states(), "the global random state, the gradient mode or the default type has changed"
    np.random.random()  # noqa: NPY002  (a global state that must not matter)
    torch.rand(1)
    assert np.array_equal(first, make.found(X, Y, seed=3)), "the same seed gives other degrees"


def _states() -> tuple[object, ...]:
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002
    numbers = (legacy["state"]["key"].tobytes(), legacy["state"]["pos"], random.getstate())
    return torch.random.get_rng_state().numpy().tobytes(), *numbers, torch.is_grad_enabled(), torch.get_default_dtype()


def check_inputs_stay(make: Subject) -> None:
    """Features and labels are as they were, and a second call of one enhancer gives the same."""
    X, Y = toy()
    kept = X.copy(), Y.copy()
    enhancer = make()
    first = enhancer.fit_transform(X, Y, seed=0)
    assert np.array_equal(X, kept[0]), "the features have changed"
    assert np.array_equal(Y, kept[1]), "the labels have changed"
    assert np.array_equal(first, enhancer.fit_transform(X, Y, seed=0)), "a second call gives other degrees"


def check_sparse(make: Subject) -> None:
    """Sparse features and labels give what dense ones give."""
    X, Y = toy()
    X = np.where(np.abs(X) > 0.6, X, 0.0)
    dense = make.found(X, Y)
    for features, labels in ((sparse.csr_matrix(X), Y), (sparse.csr_array(X), Y), (X, sparse.csr_array(Y))):
        assert np.allclose(dense, make.found(features, labels), rtol=0, atol=1e-4), "sparse input gives other degrees"


def check_types(make: Subject) -> None:
    """Labels as truth values or floats, and features in single precision, give the same."""
    X, Y = toy()
    X = X.astype(np.float32)
    first = make.found(X.astype(np.float64), Y)
    for features, labels in ((X, Y.astype(bool)), (X, Y.astype(np.float64)), (np.asfortranarray(X), Y.astype(np.int64))):
        assert np.allclose(first, make.found(features, labels), rtol=0, atol=1e-4), f"{labels.dtype} gives other degrees"


def check_permutation(make: Subject) -> None:
    """Rows and labels in another order have the same degrees in that order; not asked of methods that start from chance."""
    if not make.equivariant:
        return
    X, Y = toy(30, 4, 5)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(30), rng.permutation(5)
    whole, other = make.found(X, Y), make.found(X[rows], Y[np.ix_(rows, columns)])
    assert np.allclose(other, whole[np.ix_(rows, columns)], rtol=0, atol=1e-6), "the order of rows or labels matters"


def check_relevant_labels_lead(make: Subject) -> None:
    """Relevant labels get higher degrees than irrelevant ones on average."""
    data, _ = make_label_distribution(90, 4, 4, seed=2)
    found = make.found(data.X, data.Y)
    relevant, others = found[data.Y == 1].mean(), found[data.Y == 0].mean()
    assert relevant > others, f"relevant labels have a mean degree of {relevant:.4f}, irrelevant ones of {others:.4f}"


def check_degenerate_data(make: Subject) -> None:
    """Labels that are nowhere or everywhere, no label or all of them, constant features, rows that are equal: still distributions."""
    X, Y = toy()
    never_and_always = Y.copy()
    never_and_always[:, 0], never_and_always[:, 1] = 0, 1
    for labels in (never_and_always, np.zeros_like(Y), np.ones_like(Y)):
        make.found(X, labels)
    constant, zero = X.copy(), np.zeros_like(X)
    constant[:, 0] = 5.0
    for features in (constant, zero, zero + 3.0, np.repeat(X[:8], 3, axis=0), 1e6 * X, 1e-6 * X):
        make.found(features, Y)


def check_tiny_data(make: Subject) -> None:
    """A single label, or a single row, works or is refused with an error of polytag."""
    X, Y = toy()
    for features, labels in ((X, Y[:, :1]), (X[2:3], Y[2:3])):
        with contextlib.suppress(DataError, ParameterError):
            make.found(features, labels)


def check_refusals(make: Subject) -> None:
    """Unknown or soft labels, features that are not finite, and rows that do not match are refused with ``DataError``."""
    X, Y = toy()
    unknown, soft = Y.astype(np.float64), Y.astype(np.float64)
    unknown[4, 1], soft[4, 1] = np.nan, 0.5
    nan, infinite = X.copy(), X.copy()
    nan[3, 0], infinite[3, 0] = np.nan, np.inf
    for features, labels in ((X, unknown), (X, soft), (nan, Y), (infinite, Y), (sparse.csr_array(nan), Y), (X[:-1], Y), (X[0], Y)):
        try:
            make().fit_transform(features, labels)
        except DataError:
            continue
        raise AssertionError(f"X of shape {features.shape} and Y of shape {labels.shape} with wrong content were not refused")
    table = Table(Dataset(X, unknown))
    try:
        Enhanced.around(Linear.from_data(table), make(), table)
    except DataError:
        return
    raise AssertionError("unknown labels were not refused beside a model")


def beside_a_model(make: Subject, seed: int = 0) -> tuple[Enhanced, Batch]:
    """Return a linear model with the enhancer's companion beside it, in training mode, and all rows of toy data."""
    X, Y = toy()
    table = Table(Dataset(X, Y))
    return Enhanced.around(Linear.from_data(table), make(), table, seed=seed).train(), table[torch.arange(len(X))]


def check_companion(make: Subject) -> None:
    """Beside a model: the seed decides, no global random state moves, and a batch's distributions are detached and sum to 1."""
    before = _states()
    enhanced, batch = beside_a_model(make, seed=5)
    assert before == _states(), "building the companion has changed a global state"
    again, _ = beside_a_model(make, seed=5)
    first, second = enhanced.companion.state_dict(), again.companion.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first), "the same seed gives another companion"
    part = Batch(batch.rows[3:10], batch.x[3:10], batch.y[3:10])
    assert torch.equal(enhanced.distributions(part), again.distributions(part)), "the same seed gives other distributions"
    for found in (enhanced.distributions(part), enhanced.companion(part, part.x, enhanced(part.x).detach()).distribution):
        assert found.shape == part.y.shape
        assert not found.requires_grad, "a label distribution carries gradient"
        assert bool((found >= 0).all())
        torch.testing.assert_close(found.sum(dim=1), torch.ones(len(part.y)))


def check_gradients(make: Subject) -> None:
    """The model learns from ``beta L_LD + (1 - beta)`` its own loss alone, the companion from its own loss alone."""
    enhanced, batch = beside_a_model(make)
    model, companion = list(enhanced.model.parameters()), list(enhanced.companion.parameters())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        total = enhanced.objective(batch)
    assert bool(total.loss.isfinite())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        own = enhanced.model.objective(batch)
        guidance = enhanced.companion(batch, batch.x, own.logits.detach())
    assert not any(part.requires_grad for part in guidance.parts.values()), "a part of the companion's loss carries gradient"
    assert "distribution" in total.parts
    divergence = distribution_loss(own.logits, guidance.distribution).mean()
    expected = enhanced.beta * divergence + (1 - enhanced.beta) * own.loss
    for found, wanted in zip(_gradient(total.loss, model), _gradient(expected, model)):
        torch.testing.assert_close(found, wanted, msg="a gradient of the companion's loss reaches the model")
    learning = [p for p in companion if p.requires_grad]
    if not learning:
        assert not guidance.loss.requires_grad, "the companion has a loss, but nothing that learns from it"
        return
    for found, wanted in zip(_gradient(total.loss, learning), _gradient(guidance.loss, learning)):
        assert bool(found.isfinite().all())
        torch.testing.assert_close(found, wanted, msg="a gradient of the model's loss reaches the companion")


def _gradient(loss: Tensor, parameters: list[Any]) -> list[Tensor]:
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found)]


def check_training(make: Subject) -> None:
    """A few steps beside a model keep loss and weights finite and move both; the optimiser's groups hold every parameter once."""
    enhanced, batch = beside_a_model(make)
    groups = enhanced.param_groups(1e-2)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in enhanced.parameters() if p.requires_grad), "a parameter is missing, or there twice"
    before = {name: p.detach().clone() for name, p in enhanced.named_parameters()}
    optimizer = torch.optim.Adam(groups)
    for step in range(12):
        rows = torch.arange(step % 4, len(batch.y), 4)
        loss = enhanced.objective(Batch(batch.rows[rows], batch.x[rows], batch.y[rows])).loss
        assert bool(loss.isfinite()), f"the loss is {float(loss.detach())} after {step} steps"
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for part in ("model", "companion"):
        mine = {name: p for name, p in enhanced.named_parameters() if name.startswith(part) and p.requires_grad}
        assert all(bool(p.isfinite().all()) for p in mine.values()), f"a weight of the {part} is not finite"
        assert not mine or any(not torch.equal(p, before[name]) for name, p in mine.items()), f"the {part} did not move"


def check_recovery(make: Subject) -> None:
    """Where the truth is known, it is nearer than the labels divided by their number, in cosine or in divergence.

    In divergence the labels have 1 % of an even distribution mixed in, since otherwise their zeros would lose to anything.
    """
    data, truth = make_label_distribution(120, 6, 4, seed=1)
    found = make.found(data.X, data.Y)
    labels = data.Y / data.Y.sum(axis=1, keepdims=True)
    smoothed = (1 - _SMOOTHED) * labels + _SMOOTHED / data.q
    angles, divergences = (cosine(truth, found), cosine(truth, labels)), (kullback_leibler(truth, found), kullback_leibler(truth, smoothed))
    assert angles[0] > angles[1] or divergences[0] < divergences[1], (
        f"no better than the labels: cosine {angles[0]:.4f} against {angles[1]:.4f}, divergence {divergences[0]:.4f} against "
        f"{divergences[1]:.4f}"
    )


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_distributions,
    check_seed,
    check_inputs_stay,
    check_sparse,
    check_types,
    check_permutation,
    check_relevant_labels_lead,
    check_degenerate_data,
    check_tiny_data,
    check_refusals,
    check_companion,
    check_gradients,
    check_training,
    check_recovery,
)
"""All checks, in the order in which ``check_enhancer`` runs them."""
