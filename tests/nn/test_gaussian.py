"""Gaussian building blocks against torch.distributions and hand oracles."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from polytag.nn import LOGVAR, clamp_logvar, gaussian_kl, log_normal_cdf, reparameterise


def _four(shape: tuple[int, ...]) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(4)]


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (2, 3, 4)])
def test_kl_and_its_gradients_equal_torch_distributions(shape: tuple[int, ...]) -> None:
    mean_a, logvar_a, mean_b, logvar_b = given = _four(shape)
    mine = gaussian_kl(*given)
    theirs = kl_divergence(Normal(mean_a, (logvar_a / 2).exp()), Normal(mean_b, (logvar_b / 2).exp())).sum(dim=-1)
    assert mine.shape == shape[:-1]
    torch.testing.assert_close(mine, theirs)
    for one, other in zip(torch.autograd.grad(mine.sum(), given), torch.autograd.grad(theirs.sum(), given), strict=True):
        torch.testing.assert_close(one, other)


def test_kl_of_equal_distributions_is_zero() -> None:
    mean, logvar, *_ = _four((3, 4))
    assert torch.equal(gaussian_kl(mean, logvar, mean, logvar), torch.zeros(3, dtype=torch.float64))


def test_eps_goes_below_the_distance_of_the_means_only() -> None:
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    assert gaussian_kl(one, zero, zero, zero, eps=1.0).item() == pytest.approx(0.25)
    assert gaussian_kl(zero, zero, zero, zero, eps=1.0).item() == 0


def test_kl_oracle_of_mpvae() -> None:
    mean = torch.tensor([[0.1, -0.2], [0.0, 0.3], [0.5, 0.5]], dtype=torch.float64)
    logvar = torch.tensor([[0.0, 0.1], [-0.2, 0.3], [0.2, -0.1]], dtype=torch.float64)
    prior = torch.tensor([[0.1, 0.1], [0.0, 0.0], [-0.1, 0.2]], dtype=torch.float64)
    assert gaussian_kl(mean, logvar, torch.zeros_like(mean), prior, 1e-6).mean().item() == pytest.approx(0.13005345, abs=5e-9)


def test_draws_have_the_mean_and_the_variance() -> None:
    torch.manual_seed(0)
    mean, logvar = torch.tensor([1.0, -2.0]), torch.tensor([0.5, -3.0])
    draws = reparameterise(mean, logvar, torch.randn(200_000, 2))
    torch.testing.assert_close(draws.mean(dim=0), mean, atol=0.01, rtol=0)
    torch.testing.assert_close(draws.var(dim=0).log(), logvar, atol=0.02, rtol=0)
    assert torch.equal(reparameterise(mean, logvar, torch.zeros(2)), mean)


def test_clamp_keeps_everything_finite_and_ends_the_gradient() -> None:
    logvar = torch.tensor([[-1e4, -LOGVAR, 0.3, 1e4]], requires_grad=True)
    clamped = clamp_logvar(logvar)
    assert clamped.tolist() == [[-10.0, -10.0, pytest.approx(0.3), 10.0]]
    assert clamp_logvar(logvar, 8.0).abs().max() == 8
    (gaussian_kl(torch.ones(1, 4), clamped, torch.zeros(1, 4), clamped.flip(1)).sum()).backward()
    assert bool(logvar.grad.isfinite().all())
    assert logvar.grad[0, 0] == 0 == logvar.grad[0, 3]
    assert logvar.grad[0, 2] != 0


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 3e-6)])
def test_log_cdf_and_its_gradient_equal_torch_special_in_both_tails(dtype: torch.dtype, rtol: float) -> None:
    t = torch.linspace(-40, 12, 2001, dtype=torch.float64).to(dtype).requires_grad_()
    log, cdf = log_normal_cdf(t)
    expected = torch.special.log_ndtr(t.double())
    torch.testing.assert_close(log.double(), expected, rtol=rtol, atol=1e-7 if dtype == torch.float32 else 1e-15)
    torch.testing.assert_close(cdf.double(), expected.exp(), rtol=1e-4 if dtype == torch.float32 else 1e-10, atol=1e-37)
    mine = torch.autograd.grad(log.sum() + 2 * cdf.sum(), t)[0]
    theirs = torch.autograd.grad(expected.sum() + 2 * expected.exp().sum(), t)[0]
    torch.testing.assert_close(mine, theirs, rtol=1e-4 if dtype == torch.float32 else 1e-9, atol=1e-30)


def test_log_cdf_far_out() -> None:
    t = torch.tensor([-1e4, -1e8, 60.0], requires_grad=True)
    log, cdf = log_normal_cdf(t)
    torch.testing.assert_close(log, torch.tensor([-5e7, -5e15, 0.0]), rtol=1e-5, atol=0)
    (log.sum() + cdf.sum()).backward()
    torch.testing.assert_close(t.grad, torch.tensor([1e4, 1e8, 0.0]))


def test_log_cdf_without_a_tail() -> None:
    t = torch.linspace(-3, 3, 50, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_normal_cdf, (t,))
