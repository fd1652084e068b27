"""FLEM against its authors' numbers, hand oracles, and the formulas written as loops."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.reference import flem as slow
from torch import Tensor, nn
from torch.nn import functional

from polytag import Dataset, Table
from polytag.enhance import FLEM, distribution_loss
from polytag.enhance.estimator_losses import interaction_loss, similarity_loss, threshold_loss
from polytag.enhance.residual_estimator import ResidualEstimator
from polytag.errors import DataError, ParameterError
from polytag.losses import BCE
from polytag.models import Enhanced, Linear
from polytag.types import Batch

CLOSE = {"rtol": 1e-8, "atol": 1e-12}
PRINTED = {"rtol": 0, "atol": 6e-7}  # six decimals in the specification


class Published:
    """The authors' numbers, and our model filled with their weights."""

    def __init__(self, golden: Path, **params: Any) -> None:
        about = json.loads((golden / "index.json").read_text())["cases"]["flem"]
        with np.load(golden / about["file"]) as file:
            self.arrays = {name: torch.as_tensor(file[name], dtype=torch.float64) for name in file.files}
        hyper = about["hyper"]
        chosen = {"alpha": hyper["alpha_le"], "beta": hyper["beta_ld"], "epsilon": hyper["epsilon_threshold"], "hidden": 12}
        self.x, self.y = self["x"], self["y"]
        table = Table(Dataset(self.x.numpy(), self.y.numpy()))
        self.model = Enhanced.around(Linear.from_data(table), FLEM(**{**chosen, **params}), table).double()
        self.roles = roles(self.model)
        with torch.no_grad():
            for name, parameter in self.roles.items():
                parameter.copy_(self[f"param/{name}"])

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]

    def batch(self, scale: float = 1.0) -> Batch:
        return Batch(torch.arange(len(self.x)), scale * self.x, self.y)


def roles(model: Enhanced) -> dict[str, Tensor]:
    """Name every parameter as the published case does."""
    names = {"model.output": "f", "of_features": "g_F", "of_labels": "g_L", "of_both": "g_D"}
    found = {}
    for name, parameter in model.named_parameters():
        for ours, theirs in names.items():
            name = name.replace(f"companion.network.{ours}", theirs).replace(ours, theirs)
        found[name] = parameter
    return found


@pytest.mark.data
def test_every_loss_equals_the_published_code(golden: Path) -> None:
    case = Published(golden)
    s, z = case["s"].clone().requires_grad_(), case["z"].clone().requires_grad_()
    network = case.model.companion.network.train()
    torch.testing.assert_close(case.model.model(case.x), case["s"], **CLOSE)
    torch.testing.assert_close(network(case.x, case.y), case["z"], **CLOSE)
    torch.testing.assert_close(z.softmax(1), case["d"], **CLOSE)
    losses = {
        "ld_kl": (distribution_loss(s, z.softmax(1)).mean(), "grad_s/ld"),
        "sc": (BCE()(s, case.y), "grad_s/sc"),
        "in": (interaction_loss(z, s, case.y), "grad_z/in"),
        "d_kl": (distribution_loss(z, s.softmax(1)).mean(), "grad_z/d"),
        "t_sum": (threshold_loss(z, case.y, 0.3).sum(), "grad_z/t_sum"),
        "s": (similarity_loss(z, case.x), "grad_z/s"),
    }
    for name, (loss, gradient) in losses.items():
        torch.testing.assert_close(loss.detach(), case[f"loss/{name}"], **CLOSE)
        (found,) = torch.autograd.grad(loss, s if gradient.startswith("grad_s") else z)
        torch.testing.assert_close(found, case[gradient], **CLOSE)
    torch.testing.assert_close(threshold_loss(z, case.y, 0.3).mean().detach(), case["loss/t_mean"], **CLOSE)
    torch.testing.assert_close(case["loss/ld_ce"] - slow.entropy(z), case["loss/ld_kl"], **CLOSE)


@pytest.mark.data
@pytest.mark.parametrize("strategy", ["s", "t", "d"])
def test_totals_and_gradients_equal_the_published_code(golden: Path, strategy: str) -> None:
    case = Published(golden, strategy=strategy, reduction="sum")
    objective = case.model.train().objective(case.batch())
    constant = 0.2 * slow.entropy(case["z"]) + (0.05 * slow.entropy(case["s"]) if strategy == "d" else 0)
    total = f"total/{strategy.upper()}"
    torch.testing.assert_close(objective.loss.detach() + constant, case[total], **CLOSE)
    objective.loss.backward()
    checked = 0
    for name, parameter in case.roles.items():
        if f"{total}/grad/{name}" in case.arrays:
            torch.testing.assert_close(parameter.grad, case[f"{total}/grad/{name}"], **CLOSE)
            checked += 1
        if f"{total}/gradnorm/{name}" in case.arrays:
            torch.testing.assert_close(parameter.grad.norm(), case[f"{total}/gradnorm/{name}"], **CLOSE)
            checked += 1
    assert checked == 6
    torch.testing.assert_close(objective.parts["interaction"], case["loss/in"], **CLOSE)
    torch.testing.assert_close(objective.parts["enhancement"], case[f"loss/{ {'s': 's', 't': 't_sum', 'd': 'd_kl'}[strategy] }"], **CLOSE)


@pytest.mark.data
def test_mean_over_rows_is_the_default(golden: Path) -> None:
    case = Published(golden, strategy="t")
    torch.testing.assert_close(case.model.objective(case.batch()).parts["enhancement"], case["loss/t_mean"], **CLOSE)


@pytest.mark.data
@pytest.mark.parametrize(("steps", "scale"), [("steps", 1.0), ("steps_clipped", 15.0)])
def test_ten_steps_equal_the_published_optimiser_loop(golden: Path, steps: str, scale: float) -> None:
    case = Published(golden, mimic=True, swap=False)
    model = case.model.train()
    optimizer = torch.optim.AdamW(model.param_groups(1e-3), weight_decay=1e-4, amsgrad=True)

    def objective() -> Tensor:
        constant = 0.2 * slow.entropy(model.companion.network(scale * case.x, case.y)) + 0.05 * slow.entropy(model(scale * case.x))
        return model.objective(case.batch(scale)).loss + constant

    seen = slow.clipped_steps(objective, optimizer, list(model.parameters()), 10)
    for name, values in seen.items():
        torch.testing.assert_close(torch.tensor(values, dtype=torch.float64), case[f"{steps}/{name}"], rtol=1e-7, atol=1e-10)
    for name in ("f.weight", "f.bias", "g_D.residual.bias"):
        torch.testing.assert_close(case.roles[name].detach(), case[f"{steps}/{name}"], **CLOSE)


@pytest.mark.data
def test_running_statistics_are_updated_twice_on_demand(golden: Path) -> None:
    case, once = Published(golden, double_norm=True), Published(golden)
    for one in (case, once):
        one.model.train().objective(one.batch())
    for ours, theirs in (("of_features", "g_F"), ("of_labels", "g_L"), ("of_both", "g_D")):
        for name in ("running_mean", "running_var"):
            found = case.model.companion.network.get_buffer(f"{ours}.norm.{name}")
            torch.testing.assert_close(found, case[f"after/{theirs}.norm.{name}"], **CLOSE)
            assert not torch.allclose(once.model.companion.network.get_buffer(f"{ours}.norm.{name}"), found)


S = torch.tensor([[2.0, 0.0, -1.0]], dtype=torch.float64)
Z = torch.tensor([[1.0, 0.0, 0.5]], dtype=torch.float64)
Y = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)


def printed(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_first_oracle_by_hand() -> None:
    s, z = S.clone().requires_grad_(), Z.clone().requires_grad_()
    divergence = distribution_loss(s, z.softmax(1))
    torch.testing.assert_close(z.softmax(1).detach(), printed(0.506480, 0.186324, 0.307196), **PRINTED)
    torch.testing.assert_close(divergence.detach(), printed(0.443890)[0], **PRINTED)
    torch.testing.assert_close(divergence.detach() + slow.entropy(Z), printed(1.464081)[0], **PRINTED)
    torch.testing.assert_close(torch.autograd.grad(divergence.sum(), s)[0], printed(0.337314, -0.072129, -0.265186), **PRINTED)
    follow = distribution_loss(z, s.softmax(1))
    torch.testing.assert_close(follow.detach(), printed(0.291203)[0], **PRINTED)
    torch.testing.assert_close(torch.autograd.grad(follow.sum(), z)[0], printed(-0.337314, 0.072129, 0.265186), **PRINTED)
    assert float(threshold_loss(Z, Y)) == float(threshold_loss(Z, Y, 0.1)) == 0
    assert float(threshold_loss(Z, Y, 1.0)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("gammas", "value", "gradient"),
    [
        ((0, 1), 0.377971, (-0.089647, 0.083333, -0.125847)),
        ((1, 1), 0.243498, (-0.010686, 0.083333, -0.092001)),
        ((2, 2), 0.143702, (-0.001274, 0.041667, -0.067258)),
    ],
)
def test_interaction_oracle_by_hand(gammas: tuple[int, int], value: float, gradient: tuple[float, ...]) -> None:
    z = Z.clone().requires_grad_()
    loss = interaction_loss(z, S, Y, *gammas)
    assert float(loss.detach()) == pytest.approx(value, abs=6e-7)
    torch.testing.assert_close(torch.autograd.grad(loss, z)[0], printed(*gradient), **PRINTED)


def test_totals_oracle_by_hand() -> None:
    guidance = given(FLEM(alpha=0.01, beta=0.1), Z)(Batch(torch.arange(1), S, Y), S, S)
    assert float(guidance.loss + 0.01 * slow.entropy(S)) == pytest.approx(0.382346, abs=6e-7)
    model = Linear(3, 3).double()
    with torch.no_grad():
        model.output.weight.copy_(torch.eye(3))
        model.output.bias.zero_()
    objective = Enhanced(model, given(FLEM(alpha=0.01, beta=0.1), Z), beta=0.1).objective(Batch(torch.arange(1), S, Y))
    own = objective.loss.detach() - guidance.loss + 0.1 * slow.entropy(Z)
    assert float(own) == pytest.approx(0.786409, abs=6e-7)


def test_second_oracle_by_hand() -> None:
    z, y = printed(0.2, 0.9, -0.3), printed(1, 0, 1)
    assert float(threshold_loss(z, y)) == pytest.approx(1.2)
    assert float(threshold_loss(z, y, 0.1)) == pytest.approx(1.3)
    batch = Batch(torch.arange(2), torch.cat([S, S]), torch.cat([Y, y]))
    both = torch.cat([Z, z])
    for reduction, value in (("mean", 0.6), ("sum", 1.2)):
        guidance = given(FLEM(strategy="t", reduction=reduction), both)(batch, batch.x, both)
        assert float(guidance.parts["enhancement"]) == pytest.approx(value)


def test_third_oracle_by_hand() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    assert float(similarity_loss(torch.cat([Z, printed(0, 1, 0.5)]), x)) == pytest.approx(0.128579, abs=6e-7)


def test_the_unified_loss_is_no_upper_bound() -> None:
    s, y = torch.zeros(1, 4, dtype=torch.float64), printed(1, 1, 0, 0)
    d = y / 2
    ranking = math.log(1 + sum(math.exp(float(s[0, n] - s[0, p])) for n in (2, 3) for p in (0, 1)))
    divergence = float(distribution_loss(s, d))
    assert (ranking, divergence + math.log(2), divergence) == pytest.approx((1.609438, 1.386294, 0.693147), abs=6e-7)


@pytest.mark.parametrize(("b", "q"), [(1, 2), (2, 3), (6, 5)])
def test_losses_equal_the_loops(b: int, q: int) -> None:
    torch.manual_seed(b)
    x, s, z = torch.randn(b, 4).double(), torch.randn(b, q).double(), torch.randn(b, q).double().requires_grad_()
    y = torch.randint(2, (b, q)).double()
    y[0], y[-1] = 1, 0
    pairs = [
        (similarity_loss(z, x), slow.similarity(x, z)),
        (threshold_loss(z, y, 0.4).sum(), slow.threshold(z, y, 0.4).sum()),
        (interaction_loss(z, s, y, 1.5, 0.5), slow.interaction(z, s, y, 1.5, 0.5)),
    ]
    for fast, plain in pairs:
        torch.testing.assert_close(fast, plain)
        torch.testing.assert_close(torch.autograd.grad(fast, z)[0], torch.autograd.grad(plain, z)[0])


def test_the_network_is_that_of_the_paper() -> None:
    network = ResidualEstimator(4, 3, hidden=5).double().train()
    x, y = torch.randn(6, 4).double(), torch.randint(2, (6, 3)).double()
    names = {"of_features": "g_F", "of_labels": "g_L", "of_both": "g_D"}
    by_role = {names[name.split(".")[0]] + "." + name.split(".", 1)[1]: tensor for name, tensor in network.named_parameters()}
    torch.testing.assert_close(network(x, y), slow.estimate(by_role, x, y))


def test_numbers_of_parameters() -> None:
    assert sum(p.numel() for p in ResidualEstimator(2048, 20).parameters()) == 304_096
    assert sum(p.numel() for p in Linear(2048, 20).parameters()) == 40_980
    d, c, h = 7, 5, 3
    formula = (d * h + 3 * h) + (h * h + h) + (c * h + 3 * h) + (h * h + h) + (2 * h * c + 3 * c) + (c * c + c)
    assert sum(p.numel() for p in ResidualEstimator(d, c, hidden=h).parameters()) == formula
    assert sum(p.numel() for p in ResidualEstimator(d, c, hidden=h, low_rank=2).parameters()) == formula - c * c + 2 * 2 * c


def test_first_weights() -> None:
    torch.manual_seed(0)
    for name, parameter in ResidualEstimator(400, 300).named_parameters():
        if parameter.ndim == 2:
            assert float(parameter.detach().std()) == pytest.approx(math.sqrt(2 / parameter.shape[1]), rel=0.03)
        else:
            assert torch.equal(parameter, torch.full_like(parameter, float(name.endswith("norm.weight"))))


class Said(nn.Module):
    """An estimator that returns what it was told."""

    def __init__(self, z: Tensor) -> None:
        super().__init__()
        self.z = z

    def forward(self, features: Tensor, y: Tensor) -> Tensor:
        return self.z


def given(flem: FLEM, z: Tensor) -> Any:
    """Return FLEM's companion with an estimator that returns z."""
    table = Table(Dataset(np.zeros((1, 2)), np.zeros((1, z.shape[1]))))
    companion = flem.companion(table, 2)
    companion.network = Said(z)
    return companion


@pytest.mark.parametrize("strategy", ["s", "t", "d"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_logits_stay_finite(strategy: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    s = (100 * torch.randn(8, 4).sign()).to(dtype).requires_grad_()
    z = (100 * torch.randn(8, 4).sign()).to(dtype).requires_grad_()
    y = torch.randint(2, (8, 4)).to(dtype)
    guidance = given(FLEM(strategy=strategy, alpha=0.5, gamma_pos=2, gamma_neg=2), z)(Batch(torch.arange(8), s, y), s, s)
    loss = guidance.loss + distribution_loss(s, guidance.distribution).mean() + BCE()(s, y)
    loss.backward()
    assert all(value.isfinite().all() for value in (loss, s.grad, z.grad, guidance.distribution))


def test_extreme_cells_still_teach_the_estimator() -> None:
    z = torch.tensor([[40.0, -40.0]], requires_grad=True)
    interaction_loss(z, torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]), 0, 0).backward()
    torch.testing.assert_close(z.grad, torch.tensor([[0.5, -0.5]]))


@pytest.mark.parametrize("strategy", ["s", "t", "d"])
def test_half_precision_computes_logarithms_in_float32(strategy: str) -> None:
    table = toy()
    model = Enhanced.around(Linear.from_data(table), FLEM(strategy=strategy), table)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        objective = model.objective(table[torch.arange(16)])
    assert objective.loss.dtype == torch.float32
    objective.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    exact = model.objective(table[torch.arange(16)])
    torch.testing.assert_close(objective.loss, exact.loss, rtol=0.05, atol=0.05)


def test_similarity_is_not_computed_in_half_precision() -> None:
    z, x = torch.randn(16, 5), torch.randn(16, 8)
    companion = given(FLEM(strategy="s"), z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = companion(Batch(torch.arange(16), x, torch.ones(16, 5)), x, z).parts["enhancement"]
    torch.testing.assert_close(found, similarity_loss(z, x), rtol=1e-6, atol=0)


def toy(n: int = 60, d: int = 6, q: int = 4, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    Y = (X @ rng.normal(size=(d, q)) > 0).astype(float)
    Y[0], Y[1] = 0, 1
    return Table(Dataset(X, Y))


@pytest.mark.parametrize("strategy", ["s", "t", "d"])
def test_recovers_a_distribution_for_every_row(strategy: str) -> None:
    table = toy()
    before = torch.get_rng_state()
    flem = FLEM(strategy=strategy, epochs=10, batch_size=59, hidden=16)  # the last batch has one row
    D = flem.fit_transform(table.dataset.X, table.dataset.Y, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    assert D.shape == (60, 4)
    assert D.dtype == np.float64
    assert (D > 0).all()
    np.testing.assert_allclose(D.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(D, flem.fit_transform(table.dataset.X, table.dataset.Y, seed=3))
    assert np.abs(D - flem.fit_transform(table.dataset.X, table.dataset.Y, seed=4)).max() > 1e-6


def test_relevant_labels_describe_more() -> None:
    table = toy(n=200)
    Y = table.dataset.Y
    D = FLEM(epochs=30, hidden=32).fit_transform(table.dataset.X, Y)
    mixed = (Y.sum(1) > 0) & (Y.sum(1) < 4)
    relevant = (D * Y).sum(1)[mixed] / Y.sum(1)[mixed]
    others = (D * (1 - Y)).sum(1)[mixed] / (1 - Y).sum(1)[mixed]
    assert (relevant > others).mean() > 0.9


def test_sparse_features_give_the_same() -> None:
    from scipy import sparse

    X, Y = toy().dataset.X * (np.random.default_rng(1).random((60, 6)) < 0.5), toy().dataset.Y
    flem = FLEM(epochs=2, hidden=8)
    np.testing.assert_allclose(flem.fit_transform(sparse.csr_array(X), sparse.csr_array(Y)), flem.fit_transform(X, Y), atol=1e-6)


@pytest.mark.parametrize("strategy", ["s", "t", "d"])
@pytest.mark.parametrize("X", [np.zeros((9, 3)), np.ones((9, 3)), np.eye(9)[:, :3]], ids=["zeros", "ones", "few"])
@pytest.mark.parametrize("y", [0.0, 1.0, None])
def test_awkward_tables_give_distributions(strategy: str, X: np.ndarray, y: float | None) -> None:
    Y = (np.arange(27).reshape(9, 3) % 2).astype(float) if y is None else np.full((9, 3), y)
    D = FLEM(strategy=strategy, alpha=0.5, epochs=3, batch_size=4, hidden=4).fit_transform(X, Y)
    assert np.isfinite(D).all()
    np.testing.assert_allclose(D.sum(axis=1), 1, atol=1e-12)


def test_a_zero_row_sends_no_endless_gradient() -> None:
    z = torch.tensor([[0.0, 0.0], [1.0, 2.0]], requires_grad=True)
    similarity_loss(z, torch.tensor([[1.0, 0.0], [1.0, 1.0]])).backward()
    assert z.grad.abs().max() < 1


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_rows(n: int) -> None:
    D = FLEM(epochs=2).fit_transform(np.ones((n, 3)), np.eye(4)[:n])
    assert D.shape == (n, 4)
    assert np.isfinite(D).all()


def test_refuses_what_it_cannot_learn_from() -> None:
    X = np.eye(4)
    with pytest.raises(ParameterError, match="q=1"):
        FLEM().fit_transform(X, np.ones((4, 1)))
    for Y in (np.full((4, 2), 0.5), np.full((4, 2), -1.0), np.full((4, 2), 2.0), np.full((4, 2), np.nan)):
        with pytest.raises(DataError):
            FLEM().fit_transform(X, Y)
    with pytest.raises(DataError, match="finite"):
        FLEM().fit_transform(np.full((4, 3), np.nan), np.ones((4, 2)))
    unknown = Table(Dataset(X, np.array([[1.0, np.nan]] * 4)))
    with pytest.raises(DataError, match="unknown"):
        FLEM().companion(unknown, 4)


@pytest.mark.parametrize("value", [1.5, -0.1, math.nan])
def test_refuses_soft_labels_outside_the_unit_interval(value: float) -> None:
    table = toy()
    companion, batch = FLEM().companion(table, table.d), table[torch.arange(4)]
    batch.y[2, 1] = value
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        companion(batch, batch.x, torch.zeros(4, 4))
    batch.y[2, 1] = 0.7
    assert companion(batch, batch.x, torch.zeros(4, 4)).loss.isfinite()


def test_many_labels_ask_for_a_low_rank() -> None:
    labels = np.zeros((2, 5001))
    labels[:, 0] = 1
    table = Table(Dataset(np.eye(2), labels))
    with pytest.warns(UserWarning, match="low_rank"):
        FLEM(hidden=1).companion(table, 2)
    companion = FLEM(hidden=1, low_rank=2).companion(table, 2)
    assert sum(p.numel() for p in companion.parameters()) < 60_000


@pytest.mark.parametrize(
    "bad",
    [
        {"strategy": "x"},
        {"alpha": 1.5},
        {"beta": -0.1},
        {"gamma_pos": -1.0},
        {"gamma_neg": -1.0},
        {"hidden": 0},
        {"low_rank": 0},
        {"ablation": "III"},
        {"reduction": "max"},
        {"epochs": 0},
        {"batch_size": 0},
        {"lr": 0.0},
        {"weight_decay": -1.0},
    ],
)
def test_refuses_senseless_numbers(bad: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(bad))):
        FLEM(**bad)


def test_functional_form_of_the_divergence() -> None:
    """KL and cross-entropy have one gradient; the KL is 0 where s is z up to a constant, and shifts change nothing."""
    torch.manual_seed(0)
    s, z = torch.randn(5, 4).double().requires_grad_(), torch.randn(5, 4).double()
    kl, ce = distribution_loss(s, z.softmax(1)).mean(), slow.distribution(s, z)
    torch.testing.assert_close(torch.autograd.grad(kl, s)[0], torch.autograd.grad(ce, s)[0])
    assert float(kl.detach()) > 0
    torch.testing.assert_close(distribution_loss(z + 3, z.softmax(1)), torch.zeros(5).double(), rtol=0, atol=1e-14)
    shift = torch.randn(5, 1).double()
    torch.testing.assert_close(distribution_loss(s + shift, z.softmax(1)), distribution_loss(s, z.softmax(1)))
    torch.testing.assert_close(distribution_loss(z, (s + shift).softmax(1)), distribution_loss(z, s.softmax(1)))
    y = torch.ones(5, 4).double()
    assert not torch.isclose(BCE()(s + shift, y), BCE()(s, y))
    assert not torch.isclose(interaction_loss(z, s + shift, 1 - y), interaction_loss(z, s, 1 - y))
    assert torch.isclose(functional.binary_cross_entropy_with_logits(z, y), interaction_loss(z, s, y, 0, 0))
