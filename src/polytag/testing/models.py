"""What every deep model promises, as checks that third parties can run on theirs.

::

    from polytag.testing.models import check_model
    check_model(MyModel)
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from polytag.data.dataset import Dataset
from polytag.data.synthetic import make_multilabel
from polytag.data.table import Table
from polytag.errors import DataError
from polytag.hierarchy import Hierarchy
from polytag.losses import BCE
from polytag.metrics import macro_auc
from polytag.models.base import MultiLabelModel
from polytag.types import Array, Batch


class Pace(NamedTuple):
    """How the checks that train a model do it, on the toy data.

    Attributes:
        lr: Learning rate of Adam where 100 steps must beat the label prior.
        steps: Steps for that.
        rows: Rows in a batch for that.
        capacity_lr: Learning rate where rows are learnt by heart.
        capacity_steps: Most steps for that.
        capacity: Share of the rows that must have all labels right.
        calibrated: Whether the logits are meant as probabilities; where they only rank, areas under the ROC curve are compared.
    """

    lr: float = 1e-2
    steps: int = 100
    rows: int = 32
    capacity_lr: float = 3e-3
    capacity_steps: int = 500
    capacity: float = 0.95
    calibrated: bool = True


def check_model(cls: type[MultiLabelModel], pace: Pace | None = None, **params: Any) -> None:
    """Run all checks on a model class.

    Args:
        cls: Built through ``cls.from_data(table, seed=seed, **params)``.
        pace: How it is trained, where a perceptron's pace does not suit it.
        **params: Its parameters.

    Raises:
        AssertionError: A promise is broken.

    Example:
        >>> from polytag.models import Linear
        >>> check_model(Linear)
    """
    for check in CHECKS:
        check(Subject(cls, pace or Pace(), params))


class Subject:
    """The model class under test with its parameters and pace; called like ``from_data``.

    Args:
        cls: The class.
        pace: How it is trained.
        params: Its parameters.
    """

    def __init__(self, cls: Any, pace: Pace = Pace(), params: Mapping[str, Any] | None = None) -> None:  # noqa: B008  (immutable)
        self.cls, self.pace, self.params = cls, pace, dict(params or {})
        self.kind: str = cls.INPUTS[0]
        self.batch_terms: bool = cls.BATCH_TERMS
        self.hierarchical: bool = cls.NEEDS_HIERARCHY

    def __call__(self, table: Table, **params: Any) -> MultiLabelModel:
        """Build the model for a table."""
        return self.cls.from_data(table, **{**self.params, **params})  # type: ignore[no-any-return]

    def toy(self, n: int = 24, d: int = 6, q: int = 4) -> Table:
        """Return toy data of the kind that the model reads."""
        return self._fitting(toy(n, d, q, kind=self.kind).dataset)

    def shown(self, x: Array, y: Array) -> Table:
        """Return features between 0 and 1 in the kind that the model reads: as they are, as words for "low" and "high", or as pixels."""
        if self.kind == "table":
            return self._fitting(Dataset(x, y))
        if self.kind == "images":
            pixels = np.kron(x.reshape(len(x), 1, 1, -1), np.ones((3, 16, 4)))
            return self._fitting(Dataset((255 * pixels).astype(np.uint8), y, kind="images"))
        words = 2 + 2 * np.arange(x.shape[1]) + (x > np.median(x, axis=0))
        return self._fitting(Dataset(words.astype(np.int32), y, kind="tokens", vocabulary=2 + 2 * x.shape[1]))

    def _fitting(self, data: Dataset) -> Table:
        """Return the data as a table, under a hierarchy if the model needs one."""
        return Table(in_pairs(data) if self.hierarchical else data)


def in_pairs(data: Dataset) -> Dataset:
    """Return the data with a hierarchy in which label j is below label (j - 1) // 2, so that each has two children, and closed labels.

    Cost: O(n q).

    Example:
        >>> in_pairs(Dataset(np.eye(2), np.array([[0, 0, 1], [0, 0, 0]]))).Y
        array([[1, 0, 1],
               [0, 0, 0]])
    """
    children = np.arange(1, data.q)
    hierarchy = Hierarchy(tuple(data.label_names), np.stack([children, (children - 1) // 2], axis=1))
    return replace(data, Y=hierarchy.close(data.Y), hierarchy=hierarchy)


def toy(n: int = 24, d: int = 6, q: int = 4, kind: str = "table") -> Table:
    """Return small data with unequal label frequencies; one row without labels and all features zero, one row with all labels.

    Args:
        n: Rows.
        d: Features; tokens of a text; pixels along each side of an image, at least 16.
        q: Labels.
        kind: ``"table"``, ``"tokens"`` or ``"images"``.
    """
    rng = np.random.default_rng(0)
    x: Array = rng.uniform(size=(n, d)).astype(np.float32)
    y = (rng.random((n, q)) < np.linspace(0.7, 0.2, q)).astype(np.float32)
    if kind == "tokens":
        x = np.sort((x * 9).astype(np.int32), axis=1)[:, ::-1].copy()  # padding, 0, at the right
    elif kind == "images":
        x = (255 * rng.uniform(size=(n, 3, max(d, 16), max(d, 16)))).astype(np.uint8)
    x[0] = 0
    y[0], y[1] = 0, 1
    return Table(Dataset(x, y, kind=kind, vocabulary=9 if kind == "tokens" else 0))  # type: ignore[arg-type]


def batch_of(table: Table, b: int | None = None) -> Batch:
    """Return the first b rows, or all."""
    return table[torch.arange(table.n if b is None else b)]


def train(model: MultiLabelModel, batch: Batch, steps: int, lr: float = 3e-3, rows: int | None = None) -> None:
    """Take steps on random rows of a batch (all rows by default), as a plain loop does."""
    optimizer, generator = torch.optim.Adam(model.param_groups(lr)), torch.Generator().manual_seed(0)
    model.train()
    for _ in range(steps):
        chosen = torch.randperm(len(batch.x), generator=generator)[:rows]
        loss = model.objective(Batch(batch.rows[chosen], batch.x[chosen], batch.y[chosen])).loss
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()


def logits_of(model: MultiLabelModel, x: Tensor) -> Tensor:
    """Return the logits in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return model(x)  # type: ignore[no-any-return]


def doubled(x: Tensor) -> Tensor:
    """Return features in double precision; tokens stay whole numbers."""
    return x.double() if x.is_floating_point() else x


def check_shapes(make: Subject) -> None:
    """Logits are (b, q) in prediction and training, for one feature or many, one row or many; the loss is a finite scalar."""
    for d, q in ((1, 2), (3, 2), (103, 14)):
        table = make.toy(d=d, q=q)
        model = make(table)
        for b in (1, 2, 7):
            objective = model.train().objective(batch_of(table, b))
            assert objective.loss.shape == ()
            assert bool(objective.loss.isfinite())
            assert objective.logits.shape == (b, q)
            assert logits_of(model, batch_of(table, b).x).shape == (b, q)
            assert not any(part.requires_grad for part in objective.parts.values())


def check_nothing_to_learn(make: Subject) -> None:
    """Data without labels are refused, and so are tables without features; the message says how many came."""
    cases = ([] if make.hierarchical else [(3, 0)]) + ([(0, 3)] if make.kind == "table" else [])  # no hierarchy has no labels
    for d, q in cases:
        try:
            message = f"accepted: {make(make.toy(d=d, q=q))}"
        except DataError as error:
            message = str(error)
        assert f"got {q} labels" in message, f"{q} labels and {d} features were not refused as such, but {message}"


def check_seed(make: Subject) -> None:
    """The same seed gives the same weights, another seed others; the global random state stays as it was."""
    table, state = make.toy(), torch.random.get_rng_state()
    first, again, other = make(table, seed=3).state_dict(), make(table, seed=3).state_dict(), make(table, seed=4).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def check_parameters(make: Subject) -> None:
    """The optimiser's groups hold every trainable parameter once; each gets a finite gradient, and not zero everywhere."""
    table = make.toy()
    model = make(table)
    grouped = [p for group in model.param_groups(0.1) for p in group["params"]]
    assert len({id(p) for p in grouped}) == len(grouped)
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters() if p.requires_grad}
    model.train().objective(batch_of(table)).loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name
            assert bool((parameter.grad != 0).any()), name


def check_training(make: Subject) -> None:
    """Training on data with known truth moves every parameter and beats, on new rows, the untrained network and the label prior."""
    data, truth = make_multilabel(1800, 12, 5, noise=0.1, seed=1)
    scaled = (data.X - data.X.min(axis=0)) / np.ptp(data.X, axis=0) if make.kind != "table" else data.X
    table, valid = make.shown(scaled[:1500], data.Y[:1500]), make.shown(scaled[1500:], data.Y[1500:])
    new, bce = batch_of(valid), BCE()
    model = make(table)
    if make.hierarchical:  # a label holds if it or anything below it was drawn
        below = table.hierarchy.ancestors.toarray().T | np.eye(table.q, dtype=bool)
        truth = 1 - np.exp(np.log1p(-np.minimum(truth, 1 - 1e-9)) @ below.T)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    untrained = logits_of(model, new.x)
    train(model, batch_of(table), make.pace.steps, lr=make.pace.lr, rows=make.pace.rows)
    logits = logits_of(model, new.x)
    prior = torch.logit(batch_of(table).y.mean(dim=0)).expand_as(new.y)
    ideal = torch.logit(torch.as_tensor(truth[1500:], dtype=torch.float32).clamp(1e-6, 1 - 1e-6))
    loss = bce if make.pace.calibrated else _one_minus_auc
    trained, bar = loss(logits, new.y), 0.6 * loss(prior, new.y) + 0.4 * loss(ideal, new.y)
    assert bool(trained < loss(untrained, new.y))
    assert bool(trained < bar), f"a loss of {float(trained):.3f} is hardly better than the label prior (expected below {float(bar):.3f})"
    assert bool((logits.std(dim=0) > 0.1).all()), "the scores are constant"
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad or not torch.equal(parameter, before[name]), f"{name} did not move"


def _one_minus_auc(logits: Tensor, y: Tensor) -> Tensor:
    return torch.tensor(1 - macro_auc(y.numpy(), logits.numpy()))


def check_capacity(make: Subject) -> None:
    """Data with more features than rows are learnt by heart: by default 95 % of the rows with all labels right within 500 steps."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(32, 48)) if make.kind == "table" else rng.uniform(size=(32, 48))
    table = make.shown(x, (rng.random((32, 5)) < 0.4).astype(np.uint8))
    batch, model = batch_of(table), make(table)
    for _ in range(make.pace.capacity_steps // 25):
        train(model, batch, 25, lr=make.pace.capacity_lr)
        right = ((logits_of(model, batch.x) > 0) == (batch.y == 1)).all(dim=1).float().mean()
        if right >= make.pace.capacity:
            return
    raise AssertionError(f"after {make.pace.capacity_steps} steps only {float(right):.0%} of the rows have all labels right")


def check_blind_to_labels(make: Subject) -> None:
    """The logits of a training step do not depend on y, and in evaluation mode they are those of ``forward``."""
    table = make.toy()
    model, batch = make(table).train(), batch_of(table)
    state = deepcopy(model.state_dict())
    logits = []
    for y in (batch.y, 1 - batch.y):
        model.load_state_dict(state)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            logits.append(model.objective(batch._replace(y=y)).logits.detach())
    assert torch.equal(logits[0], logits[1])
    trained, predicted = model.eval().objective(batch).logits.detach(), logits_of(model, batch.x)
    torch.testing.assert_close(trained, predicted)


def check_evaluation(make: Subject) -> None:
    """Prediction is the same each time, for each row alone, with and without gradients, and leaves weights and random state alone."""
    table = make.toy()
    model, x = make(table), batch_of(table).x
    train(model, batch_of(table), 2)
    state, random = deepcopy(model.state_dict()), torch.random.get_rng_state()
    first = logits_of(model, x)
    assert torch.equal(logits_of(model, x), first)
    alone = torch.cat([logits_of(model, row[None]) for row in x])
    torch.testing.assert_close(alone, first, rtol=1e-4, atol=1e-5)  # sums of single precision, in another order
    torch.testing.assert_close(model(x).detach(), first)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def check_state(make: Subject) -> None:
    """``state_dict`` carries everything into a model built from sizes and ``config``; a deep copy of it outlives further training."""
    table = make.toy()
    model, batch = make(table), batch_of(table)
    train(model, batch, 3)
    kept, logits = deepcopy(model.state_dict()), logits_of(model, batch.x)
    train(model, batch, 3)
    assert not torch.equal(logits_of(model, batch.x), logits)
    rebuilt = make(Table(table.dataset.take(np.arange(0))), seed=99, **model.config)
    for target in (model, rebuilt):
        target.load_state_dict(kept)
        assert torch.equal(logits_of(target, batch.x), logits)


def check_degenerate_batches(make: Subject) -> None:
    """Loss and gradients are finite for zero features, empty, full and constant labels, and labels that are unknown (NaN)."""
    table = make.toy()
    model, batch = make(table).train(), batch_of(table)
    for x in (batch.x, torch.zeros_like(batch.x)):
        for y in (batch.y, torch.zeros_like(batch.y), torch.ones_like(batch.y), torch.full_like(batch.y, torch.nan)):
            loss = model.objective(batch._replace(x=x, y=y)).loss
            model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            assert bool(loss.isfinite())
            assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())


def check_unknown_labels(make: Subject) -> None:
    """The labels behind an unknown cell do not matter: the loss with NaN lies strictly between nothing and everything known."""
    table = make.toy()
    model, batch = make(table).eval(), batch_of(table)
    y = batch.y.clone()
    y[::2] = torch.nan
    whole, half = (model.objective(batch._replace(y=labels)) for labels in (batch.y, y))
    bce = BCE()
    assert torch.equal(whole.logits, half.logits)
    torch.testing.assert_close(bce(half.logits, y), bce(whole.logits[1::2], batch.y[1::2]))
    assert bool(half.loss != whole.loss)
    gradient = torch.autograd.grad(half.loss, half.logits, allow_unused=True)[0] if half.logits.requires_grad else None
    if gradient is not None:  # None: the loss is no function of these logits, as where a model is trained on samples of them
        assert bool((gradient[::2] == 0).all())
        assert bool((gradient[1::2] != 0).any(dim=1).all())


def check_weight(make: Subject) -> None:
    """The weights of a batch reach the objective: ones change nothing, it is linear in the others, a row of weight 0 has no say.

    The last two are not asked of a model with parts that belong to the batch as a whole (``BATCH_TERMS``).
    """
    table = make.toy()
    model = make(table).double().eval()
    batch = batch_of(table)
    batch = batch._replace(x=batch.x.double(), y=batch.y.double())
    weight = torch.linspace(0.5, 1.5, len(batch.y), dtype=torch.float64)

    def loss(weight: Tensor | None, y: Tensor = batch.y) -> Tensor:
        return model.objective(batch._replace(y=y, weight=weight)).loss

    ones = torch.ones_like(weight)
    torch.testing.assert_close(loss(ones), loss(None), msg="weights of one change the objective")
    torch.testing.assert_close(loss(ones[:, None].expand_as(batch.y)), loss(None), msg="weights of one a cell change the objective")
    assert not torch.isclose(loss(2 * ones), loss(None)), "the weights do not reach the objective"
    if make.batch_terms:
        return
    torch.testing.assert_close(loss(weight) + loss(2 - weight), 2 * loss(ones), msg="the objective is not linear in the weights")
    flipped = torch.cat([1 - batch.y[:1], batch.y[1:]])
    weight = torch.cat([torch.zeros(1, dtype=torch.float64), ones[1:]])
    torch.testing.assert_close(loss(weight, flipped), loss(weight), msg="the labels of a row of weight 0 change the objective")


def check_precision(make: Subject) -> None:
    """Double precision gives the same loss to 1e-4; bfloat16 gives logits to 5 % and a loss in single precision with finite gradients."""
    table = make.toy()
    model, batch = make(table).eval(), batch_of(table)
    single = model.objective(batch)
    double = deepcopy(model).double().objective(batch._replace(x=doubled(batch.x), y=batch.y.double()))
    torch.testing.assert_close(single.loss.double(), double.loss, rtol=1e-4, atol=0)
    assert double.logits.dtype == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        half = model.train().objective(batch)
        predicted = logits_of(model, batch.x)
    half.loss.backward()  # type: ignore[no-untyped-call]
    assert half.loss.dtype == torch.float32
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
    plain = logits_of(model, batch.x)
    assert bool(((predicted.float() - plain).abs() <= 0.05 * plain.abs().max().clamp(min=0.1)).all())


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_shapes,
    check_nothing_to_learn,
    check_seed,
    check_parameters,
    check_training,
    check_capacity,
    check_blind_to_labels,
    check_evaluation,
    check_state,
    check_degenerate_batches,
    check_unknown_labels,
    check_weight,
    check_precision,
)
"""All checks, in the order in which ``check_model`` runs them."""
