"""MPVAE against its authors' numbers, the textbook formulation and hand oracles."""

from pathlib import Path

import pytest
import torch
from tests.models.published import Case, layer, linears
from tests.reference.mpvae import TextbookMPVAE

from polytag.losses.pairwise import pairwise_exponential
from polytag.models import MPVAE
from polytag.models.mpvae import _Noise, _probit_terms
from polytag.testing.models import batch_of, toy
from polytag.types import Batch

CLOSE = {"rtol": 1e-8, "atol": 1e-12}
LOGITS = torch.tensor([[2, -1, 0.5, -3], [-0.5, 1.5, -2, 0], [1, 0.3, -0.7, -1.2]], dtype=torch.float64)
LABELS = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 0, 1]], dtype=torch.float64)


def roles(model: MPVAE) -> dict[str, torch.Tensor]:
    """Name every tensor of MPVAE as the published cases do."""
    found: dict[str, torch.Tensor] = {"R": model.factor}
    for name in ("feature_encoder", "label_encoder", "decoder"):
        found |= linears(getattr(model, name), name)
    for name in ("feature_mean", "feature_logvar", "label_mean", "label_logvar", "label_out", "feature_out"):
        found |= layer(getattr(model, name), name)
    return found


def published(golden: Path, name: str, **params: object) -> tuple[Case, MPVAE]:
    """Return a case and a model with its weights."""
    case = Case(golden, name)
    dims, hyper = case.about["dims"], case.about["hyper"]
    model = MPVAE(
        dims["d"],
        dims["q"],
        **{
            "latent": dims["D"],
            "rank": dims["z"],
            "samples": dims["S"],
            "nll_weight": hyper["lambda1"],
            "rank_weight": hyper["lambda2"],
            "kl_weight": hyper["beta"],
            "dropout": hyper["dropout_encoders"],
            "smoothing": hyper["eps_probit"],
            **params,
        },
    ).double()
    case.fill(roles(model))
    return case, model


@pytest.mark.data
@pytest.mark.parametrize("branches", ["shared", "independent", "degenerate"])
@pytest.mark.parametrize("name", ["mpvae", "mpvae_dropout"])
def test_equals_the_published_code(golden: Path, name: str, branches: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, model = published(golden, name, shared_noise=branches != "independent")
    noise = _Noise(case["eps"], case["eps_feature" if branches == "independent" else "eps"], case["w"].transpose(0, 1))
    monkeypatch.setattr(model, "_draw_noise", lambda x: noise)
    if name == "mpvae_dropout":
        dropped = [m for part in (model.label_encoder, model.feature_encoder) for m in part.modules() if isinstance(m, torch.nn.Dropout)]
        case.drop(dropped, 0.5)
    y = case["y_degenerate" if branches == "degenerate" else "y"]
    objective = model.train().objective(Batch(torch.arange(len(y)), case["x"], y))
    for ours, theirs in {
        "nll_label": "nll_e", "nll": "nll_x", "ranking_label": "rank_e", "ranking": "rank_x", "kl": "kl",
    }.items():  # fmt: skip
        torch.testing.assert_close(objective.parts[ours], case[f"{branches}/loss/{theirs}"], **CLOSE)
    torch.testing.assert_close(objective.loss, case[f"{branches}/loss/total_without_l2"], **CLOSE)
    objective.loss.backward()
    checked = 0
    for role, tensor in roles(model).items():
        if f"{branches}/grad/{role}" in case:
            torch.testing.assert_close(tensor.grad, case[f"{branches}/grad/{role}"], **CLOSE)
            checked += 1
        if f"{branches}/gradnorm/{role}" in case:
            torch.testing.assert_close(tensor.grad.norm(), case[f"{branches}/gradnorm/{role}"], **CLOSE)
            checked += 1
        assert bool(tensor.grad.isfinite().all())
    assert checked == (0 if branches == "degenerate" else 6)


@pytest.mark.data
@pytest.mark.parametrize("name", ["mpvae", "mpvae_dropout"])
def test_predicts_as_specified_and_as_published(golden: Path, name: str) -> None:
    case, model = published(golden, name, l2=1e-5)
    model.eval()
    torch.testing.assert_close(model(case["x"]).sigmoid(), case["eval/proba_exact"], **CLOSE)
    logits = model._sampled_logits(case["eval/m_x_sampled"], case["w_test"].transpose(0, 1))
    torch.testing.assert_close(logits.sigmoid(), case["eval/proba_authors"], rtol=0, atol=1e-6)  # ours are not smoothed
    proba = TextbookMPVAE(model).predict(case["x"], case["eps"], case["w_test"])
    torch.testing.assert_close(proba, case["eval/proba_authors"], **CLOSE)
    batch = Batch(torch.arange(len(case["y"])), case["x"], case["y"])
    torch.testing.assert_close(model.objective(batch).parts["l2"], case["loss/l2"], **CLOSE)


def test_oracle_without_covariance() -> None:
    factor, noise = torch.zeros(4, 4, dtype=torch.float64), torch.randn(3, 7, 4, dtype=torch.float64)
    nll, ranking = (terms.mean(dim=1) for terms in _probit_terms(torch.stack([LOGITS, LOGITS]), LABELS, noise, factor, 1e-6))
    torch.testing.assert_close(nll, torch.full((2,), 1.60457325, dtype=torch.float64), rtol=0, atol=5e-9)
    torch.testing.assert_close(ranking, torch.full((2,), 0.05226784, dtype=torch.float64), rtol=0, atol=5e-9)
    total = 0.1 * nll.sum() + 20 * ranking.sum() + 1.1 * 0.13005345
    assert total.item() == pytest.approx(2.55468706, abs=1e-7)


def test_number_of_parameters() -> None:
    assert sum(p.numel() for p in MPVAE(103, 14).parameters()) == 718_248


@pytest.mark.parametrize("smoothing", [0.0, 1e-6])
@pytest.mark.parametrize(("b", "d", "q"), [(1, 3, 1), (7, 5, 4)])
def test_equals_the_textbook_form(b: int, d: int, q: int, smoothing: float) -> None:
    torch.manual_seed(1)
    model = MPVAE(d, q, latent=6, samples=9, dropout=0.0, smoothing=smoothing, shared_noise=False).double()
    batch = Batch(torch.arange(b), torch.randn(b, d).double(), torch.randint(2, (b, q)).double())
    noise = model._draw_noise(batch.x)
    model._draw_noise = lambda x: noise  # type: ignore[method-assign]
    fast, slow = model.objective(batch), TextbookMPVAE(model).objective(batch, *noise)
    torch.testing.assert_close(fast.loss, slow.loss)
    torch.testing.assert_close(fast.logits, slow.logits)
    fast_grads = torch.autograd.grad(fast.loss, list(model.parameters()))
    slow_grads = torch.autograd.grad(slow.loss, list(model.parameters()))
    for mine, theirs in zip(fast_grads, slow_grads, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_ranking_term_is_the_pairwise_exponential_loss() -> None:
    torch.manual_seed(0)
    means, noise, factor = torch.randn(2, 5, 6).double(), torch.randn(5, 8, 3).double(), torch.randn(6, 3).double()
    y = torch.randint(2, (5, 6)).double()
    y[0, :3], y[1], y[2] = torch.nan, 0, 1
    _, ranking = _probit_terms(means, y, noise, factor, 0.0)
    e = torch.special.ndtr(means[:, None] + (noise @ factor.T).transpose(0, 1))
    torch.testing.assert_close(ranking, pairwise_exponential(e, y, 5.0).mean(dim=1) / 5)


def test_blocks_of_instances_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, batch = MPVAE(6, 4, samples=5).double().eval(), batch_of(toy())
    batch = batch._replace(x=batch.x.double(), y=batch.y.double())
    whole = model.objective(batch).loss
    gradients = torch.autograd.grad(whole, list(model.parameters()))
    monkeypatch.setattr("polytag.nn.labelwise._CELLS", 2 * 5 * 4 * 7)
    blocks = model.objective(batch).loss
    torch.testing.assert_close(blocks, whole)
    for mine, theirs in zip(torch.autograd.grad(blocks, list(model.parameters())), gradients, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_never_builds_a_table_of_label_pairs() -> None:
    largest = 0

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    model, b, q = MPVAE(5, 1000, samples=10, rank=20), 32, 1000
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        model.objective(Batch(torch.arange(b), torch.zeros(b, 5), torch.zeros(b, q)))
    assert largest <= 2 * 10 * b * q


def test_exact_marginal_is_the_limit_of_many_draws() -> None:
    torch.manual_seed(0)
    model = MPVAE(6, 5).double().eval()
    m = torch.randn(3, 5).double() * 3
    exact = model._marginal_logits(m).sigmoid()
    sampled = model._sampled_logits(m, torch.randn(3, 20_000, 5).double()).sigmoid()
    torch.testing.assert_close(sampled, exact, rtol=0, atol=0.01)


def test_monte_carlo_prediction_is_repeatable_and_row_by_row() -> None:
    torch.manual_seed(0)
    model = MPVAE(6, 4, monte_carlo=True, test_samples=50).eval()
    x = torch.rand(5, 6)
    logits = model(x)
    assert torch.equal(model(x), logits)
    torch.testing.assert_close(torch.cat([model(row[None]) for row in x]), logits)
    model.monte_carlo = False
    assert not torch.allclose(model(x), logits)


def test_saturated_logits_stay_finite_and_in_order() -> None:
    model = MPVAE(3, 4)
    m = torch.tensor([[-1e4, -30.0, 30.0, 1e4]], requires_grad=True)
    logits = model._marginal_logits(m)
    logits.sum().backward()
    assert bool(logits.isfinite().all())
    assert bool((logits.diff() > 0).all())
    assert bool(m.grad.isfinite().all())


@pytest.mark.parametrize("logvar", [-50.0, 50.0])
def test_finite_when_the_variance_runs_away(logvar: float) -> None:
    model = MPVAE(3, 4)
    for head in (model.label_logvar, model.feature_logvar):
        torch.nn.init.constant_(head.bias, logvar)
    objective = model.objective(Batch(torch.arange(3), torch.zeros(3, 3), torch.tensor([[1.0] * 4, [0.0] * 4, [1.0, 0.0, 1.0, 1.0]])))
    objective.loss.backward()
    assert objective.loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_unknown_labels_enter_the_encoder_as_a_half_and_count_nowhere_else() -> None:
    torch.manual_seed(0)
    model, batch = MPVAE(6, 4, samples=5, rank_weight=0.0, kl_weight=0.0).eval(), batch_of(toy())
    seen = []
    model.label_encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    y = batch.y.clone()
    y[:, 2] = torch.nan
    unknown = model.objective(batch._replace(y=y))
    assert bool((seen[0][:, 6 + 2] == 0.5).all())
    unknown.loss.backward()
    logits = model.feature_out.weight
    assert bool((logits.grad[2] == 0).all())
    assert bool((logits.grad[1] != 0).any())
    model.objective(batch._replace(y=torch.full_like(y, torch.nan))).loss.backward()


def test_label_permutation() -> None:
    order = torch.tensor([2, 0, 3, 1])
    batch = batch_of(toy())
    model, other = MPVAE(6, 4, samples=7).eval(), MPVAE(6, 4, samples=7).eval()
    state = model.state_dict()
    for name in ("factor", "label_out.weight", "label_out.bias", "feature_out.weight", "feature_out.bias"):
        state[name] = state[name][order]
    seen = state["label_encoder.0.weight"]
    state["label_encoder.0.weight"] = torch.cat([seen[:, :6], seen[:, 6:][:, order]], dim=1)
    other.load_state_dict(state)
    first, second = model.objective(batch), other.objective(batch._replace(y=batch.y[:, order]))
    torch.testing.assert_close(second.logits, first.logits[:, order])
    torch.testing.assert_close(second.loss, first.loss)


def test_shared_noise_is_one_draw_for_both_branches() -> None:
    x = torch.zeros(4, 3)
    assert torch.equal(*MPVAE(3, 2)._draw_noise(x)[:2])
    assert not torch.equal(*MPVAE(3, 2, shared_noise=False)._draw_noise(x)[:2])


def test_learns_that_labels_exclude_each_other() -> None:
    """Two labels of which always exactly one is on, whatever x: the learned covariance between them is negative."""
    torch.manual_seed(0)
    model = MPVAE(2, 2, latent=2, samples=30, nll_weight=1.0, rank_weight=0.0, kl_weight=1.0, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        first = torch.randint(2, (64, 1)).float()
        loss = model.objective(Batch(torch.arange(64), torch.ones(64, 2), torch.cat([first, 1 - first], dim=1))).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    covariance = (model.factor @ model.factor.T).detach()
    assert covariance[0, 1] < -0.5
    torch.testing.assert_close(model.eval()(torch.ones(1, 2)).sigmoid(), torch.full((1, 2), 0.5), rtol=0, atol=0.15)


def test_d2ace_copy_has_two_decoders_and_a_shallow_encoder() -> None:
    model = MPVAE(40, 3, **MPVAE.preset_params("d2ace", 40, 3))
    assert (model.latent, model.factor.shape[1], model.rank_weight) == (20, 20, 200.0)
    assert model.factor.abs().max() <= 0.01
    assert len(linears(model.feature_encoder, "")) == 4
    assert model.label_decoder is not None
    assert not any(isinstance(m, torch.nn.Dropout) for m in model.modules())
    assert MPVAE.preset_params("d2ace", 10, 3)["rank"] == 16


@pytest.mark.parametrize(
    ("data", "rate", "epochs", "nll", "rank", "last"),
    [("yeast", 6e-4, 800, 0.1, 20, 0.512), ("bibtex", 2.5e-4, 200, 10, 0.1, 0.512), ("fish", 2.5e-4, 250, 10, 0.1, 0.9**7)],
)
def test_presets_hold_the_authors_choices(data: str, rate: float, epochs: int, nll: float, rank: float, last: float) -> None:
    params, training = MPVAE.preset_params(data, 5, 3), MPVAE.training_defaults(data)
    assert (training["lr"], training["epochs"], training["weight_decay"]) == (rate, epochs, 0.0)
    assert (params["nll_weight"], params["rank_weight"]) == (nll, rank)
    assert training["schedule"](epochs - 1) == pytest.approx(last)
    assert params["l2"] == (1e-7 if data == "fish" else 1e-5)


@pytest.mark.parametrize("bad", [{"latent": 0}, {"samples": 0}, {"rank": 0}, {"kl_weight": -1.0}, {"smoothing": 1.0}])
def test_refuses_senseless_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        MPVAE(3, 2, **bad)
