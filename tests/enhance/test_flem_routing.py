"""Who learns from which of FLEM's losses, and at what pace: gradients, optimiser groups, switches."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polytag import Dataset, Table, Trainer
from polytag.enhance import FLEM, distribution_loss
from polytag.models import MLP, Enhanced, Linear, SmallCNN
from polytag.selectors import Random
from polytag.types import Batch

STRATEGIES = pytest.mark.parametrize("strategy", ["s", "t", "d"])
ADAMW = {"optimizer": torch.optim.AdamW, "optimizer_params": {"amsgrad": True}, "weight_decay": 1e-4}


def toy(n: int = 60, d: int = 6, q: int = 4) -> Table:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    Y = (X @ rng.normal(size=(d, q)) > 0).astype(float)
    Y[0], Y[1] = 0, 1
    return Table(Dataset(X, Y))


def enhanced(table: Table, model: Any = Linear, **params: Any) -> Enhanced:
    return Enhanced.around(model.from_data(table), FLEM(**{"hidden": 8, **params}), table)


def grads(loss: Tensor, parameters: Any) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, list(parameters), allow_unused=True, retain_graph=True))


@STRATEGIES
def test_no_loss_reaches_the_other_network(strategy: str) -> None:
    table = toy()
    model = enhanced(table, strategy=strategy, epsilon=0.5)
    f, g = list(model.model.parameters()), list(model.companion.parameters())
    batch = table[torch.arange(16)]
    x = batch.x.clone().requires_grad_()
    logits = model.model(x)
    guidance = model.companion(batch._replace(x=x), x, logits)  # attached on purpose
    assert grads(guidance.loss, [*f, x]) == [None] * (len(f) + 1)
    for alpha in (1.0, 0.0):  # L_LE alone, L_IN alone
        alone = enhanced(table, strategy=strategy, epsilon=0.5, alpha=alpha)
        found = grads(alone.companion(batch, x, logits).loss, [*alone.companion.parameters(), *f, x])
        assert all(grad is None for grad in found[-len(f) - 1 :])
        assert all(grad is not None and grad.abs().sum() > 0 for grad in found[: -len(f) - 1])
    assert not guidance.distribution.requires_grad
    for loss in (distribution_loss(logits, guidance.distribution).mean(), model.model.objective(batch._replace(x=x)).loss):
        assert grads(loss, g) == [None] * len(g)
        assert all(grad is not None and grad.abs().sum() > 0 for grad in grads(loss, f))


@STRATEGIES
def test_the_estimator_does_not_reach_an_encoder(strategy: str) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((8, 3, 8, 8)).astype(np.float32)
    table = Table(Dataset(images, rng.random((8, 3)) < 0.5, kind="images"))
    model = enhanced(table, SmallCNN, strategy=strategy, beta=0.3).eval()  # no dropout, so that two passes agree
    batch = table[torch.arange(8)]
    logits = model(batch.x)
    distribution = model.companion(batch, model.model.features(batch.x), logits).distribution
    expected = 0.3 * distribution_loss(logits, distribution).mean() + 0.7 * model.model.objective(batch).loss
    wanted = grads(expected, model.model.parameters())
    for mine, theirs in zip(grads(model.objective(batch).loss, model.model.parameters()), wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


@STRATEGIES
def test_loss_of_the_estimator_without_interaction_depends_on_the_model_in_strategy_d_only(strategy: str) -> None:
    table = toy()
    companion, batch = enhanced(table, strategy=strategy, ablation="II", epsilon=1.0).companion, table[torch.arange(20)]
    losses = [float(companion(batch, batch.x, logits).loss.detach()) for logits in torch.randn(2, 20, 4)]
    assert (losses[0] == losses[1]) == (strategy != "d")


@STRATEGIES
def test_without_unified_loss_the_model_is_plain_cross_entropy(strategy: str) -> None:
    table, plain = toy(), Linear.from_data(toy(), seed=5)
    trainer = Trainer(epochs=5, lr=0.01, **ADAMW)
    trainer.fit(plain, table, Random(table.labels, 16))
    for params in ({"beta": 0.0}, {"ablation": "I", "beta": 0.5}, {"beta": 0.0, "hidden": 3, "alpha": 0.9}):
        model = Enhanced.around(Linear.from_data(table, seed=5), FLEM(strategy=strategy, **params), table)
        trainer.fit(model, table, Random(table.labels, 16))
        for mine, theirs in zip(model.model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    model = Enhanced.around(Linear.from_data(table, seed=5), FLEM(strategy=strategy, beta=0.5), table)
    trainer.fit(model, table, Random(table.labels, 16))
    assert not torch.allclose(model.model.output.weight, plain.output.weight)


def test_ablations_are_ends_of_the_two_weights() -> None:
    first, second, whole = FLEM(ablation="I", alpha=0.2), FLEM(ablation="II", beta=0.3), FLEM(alpha=0.2, beta=0.3)
    assert (first.alpha, first.beta) == (0.2, 0.0)
    assert (second.alpha, second.beta) == (1.0, 0.3)
    assert (whole.alpha, whole.beta) == (0.2, 0.3)
    assert (FLEM(mimic=True, ablation="I", beta=0.3).alpha, FLEM(mimic=True, ablation="I").beta) == (0.3, 0.0)


@STRATEGIES
def test_one_optimiser_is_two(strategy: str) -> None:
    table = toy()
    joint, apart = (enhanced(table, strategy=strategy, alpha=0.1, beta=0.2) for _ in range(2))

    def adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, weight_decay=1e-4, amsgrad=True)

    one = [adamw(joint.param_groups(0.01))]
    two = [adamw(apart.model.param_groups(0.01)), adamw(apart.companion.param_groups(0.01))]
    for step in range(20):
        for model, optimizers in ((joint, one), (apart, two)):
            batch = table[(torch.arange(16) + 7 * step) % 60]
            model.zero_grad()
            model.objective(batch).loss.backward()
            for optimizer in optimizers:
                optimizer.step()
    for mine, theirs in zip(joint.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_swapped_weights_matter_where_they_differ() -> None:
    table = toy()
    batch = table[torch.arange(20)]
    losses = [float(enhanced(table, alpha=0.4, beta=0.1, swap=swap).objective(batch).loss.detach()) for swap in (False, True)]
    same = [float(enhanced(table, alpha=0.4, beta=0.4, swap=swap).objective(batch).loss.detach()) for swap in (False, True)]
    assert losses[0] != losses[1]
    assert same[0] == same[1]
    swapped = FLEM(alpha=0.4, beta=0.1, swap=True)
    assert (swapped.alpha, swapped.beta) == (0.1, 0.4)


def test_mimic_sets_the_switches_that_are_left_open() -> None:
    def switches(flem: FLEM) -> tuple[Any, ...]:
        return flem.reduction, flem.double_norm, flem.decay_biases, flem.alpha, flem.beta

    assert switches(FLEM(alpha=0.1, beta=0.2)) == ("mean", False, False, 0.1, 0.2)
    assert switches(FLEM(alpha=0.1, beta=0.2, mimic=True)) == ("sum", True, True, 0.2, 0.1)
    opened = FLEM(alpha=0.1, beta=0.2, mimic=True, reduction="mean", double_norm=False, decay_biases=False, swap=False)
    assert switches(opened) == ("mean", False, False, 0.1, 0.2)


def decays(model: Enhanced) -> dict[str, float]:
    """Return the weight decay of every parameter under an optimiser whose own is 1e-4."""
    optimizer = torch.optim.AdamW(model.param_groups(1e-3), weight_decay=1e-4)
    by_id = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: by_id.pop(id(p)) for name, p in model.named_parameters()}
    assert not by_id
    return found


@pytest.mark.parametrize("model", [Linear, MLP])
def test_weight_decay_spares_biases_and_norms_of_the_estimator(model: type) -> None:
    for name, decay in decays(enhanced(toy(), model)).items():
        spared = name.startswith("companion") and ("bias" in name or "norm" in name)
        assert decay == (0.0 if spared else 1e-4), name


@pytest.mark.parametrize("model", [Linear, MLP])
def test_weight_decay_of_the_published_code(model: type) -> None:
    for name, decay in decays(enhanced(toy(), model, decay_biases=True)).items():
        assert decay == (1e-2 if name.endswith("bias") else 1e-4), name


def test_a_lone_row_leaves_the_statistics_and_still_learns() -> None:
    table = toy()
    model = enhanced(table)
    model.objective(table[torch.arange(16)])
    before = {name: buffer.clone() for name, buffer in model.companion.named_buffers()}
    objective = model.objective(table[torch.tensor([3])])
    assert objective.loss.isfinite()
    assert all(grad is not None and grad.isfinite().all() for grad in grads(objective.loss, model.parameters()))
    for name, buffer in model.companion.named_buffers():
        assert torch.equal(buffer, before[name]), name
    model.eval()
    expected = model.objective(table[torch.tensor([3])]).loss
    torch.testing.assert_close(objective.loss, expected)


@STRATEGIES
@pytest.mark.parametrize("rows", [[0, 0], [1, 1], [0, 1], [2, 3]], ids=["none", "all", "both", "some"])
def test_rows_with_all_or_no_labels(strategy: str, rows: list[int]) -> None:
    table = toy()
    model = enhanced(table, strategy=strategy, epsilon=1.0)
    objective = model.objective(table[torch.tensor(rows)])
    assert all(grad is not None and grad.isfinite().all() for grad in grads(objective.loss, model.parameters()))
    if strategy == "t" and max(rows) < 2:
        assert float(objective.parts["enhancement"]) == 0


def test_features_of_another_width_are_what_it_reads() -> None:
    table = toy()
    companion = FLEM(hidden=8).companion(table, 11)
    batch = table[torch.arange(5)]
    assert companion(batch, torch.randn(5, 11), torch.randn(5, 4)).distribution.shape == (5, 4)
    assert companion.distributions(Batch(batch.rows, batch.x, batch.y), torch.randn(5, 11)).shape == (5, 4)
