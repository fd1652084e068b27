"""MPVAE: ties the labels together by correlated Gaussian thresholds, and learns x and y in one latent space."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from polytag.errors import ParameterError
from polytag.losses import instance_mean
from polytag.models.base import MultiLabelModel, Objective, Preset
from polytag.models.mpvae_settings import MPVAE_BY_DATA
from polytag.models.schedules import staircase
from polytag.nn import clamp_logvar, gaussian_kl, label_blocks, layer_widths, log_normal_cdf, mlp_block, reparameterise
from polytag.registry import register
from polytag.types import Batch

_KL_EPS = 1e-6
_STEEPNESS = 5.0
"""Of the ranking term, by which it is also divided."""


class _Noise(NamedTuple):
    """What is random in a step: latent noise of the label and of the feature branch (b, latent), probit noise (b, samples, rank)."""

    label: Tensor
    feature: Tensor
    probit: Tensor


@register("model", "mpvae")
class MPVAE(MultiLabelModel):
    """Says yes to a label if a Gaussian variable of it is positive; these variables are correlated, which is how labels depend on another.

    One encoder reads x, another one x and y; a decoder that both share turns ``[x, z]`` into the means m of the q variables, whose
    covariance ``R R' + I`` is learned and the same for all instances. Given a draw w of N(0, I) the labels are independent, with
    probabilities ``E = Phi(m + R w)``. Each of the two branches has

    - the likelihood ``-log mean_w prod_j p_j``, where p_j is E_j or 1 - E_j by y,
    - the ranking ``mean_w 1 / (|Y| |N|) sum_{p in Y, n in N} exp(-5 (E_p - E_n)) / 5``,

    and the loss is ``nll_weight (nll_e + nll_x) + rank_weight (rank_e + rank_x) + kl_weight KL(q(z | x, y) || q(z | x))``. Prediction
    needs no draws: on average over w the probability of label j is ``Phi(m_j / sqrt(1 + sum_k R_jk^2))``, at z = the mean of q(z | x).

    Args:
        d: Number of features.
        q: Number of labels.
        latent: Width of z.
        rank: Columns of R; ``None`` is q.
        dropout: Dropout in the encoders.
        samples: Draws of w for each instance in training.
        nll_weight: Weight of the likelihood.
        rank_weight: Weight of the ranking term.
        kl_weight: Weight of the KL term.
        l2: Weight of half the sum of the squared weights of all linear layers; 0 leaves that to the weight decay of the optimiser.
        shared_noise: Whether both branches draw z with the same noise.
        smoothing: Keep E within ``[smoothing / 2, 1 - smoothing / 2]`` in training (published code: 1e-6); 0 is exact.
        monte_carlo: Predict as published: one draw of z, then the mean of E over ``test_samples`` draws of w. The draws are fixed and the
            same for all instances, so that a prediction is repeatable and does not depend on the rest of the batch.
        test_samples: Draws of w in that case.
        shared_decoder: Whether both branches decode by the same layers before their outputs.
        widths: Widths of the feature encoder, or the width of its single layer.
        factor_bound: R starts uniform within this bound; ``None`` is ``sqrt(6 / (q + rank))``.

    Raises:
        ParameterError: A number makes no sense.

    Cost: a step O(b (d h + h^2) + b samples q rank) with h = 256 to 512. The draws go through in blocks of instances that are computed
        again for the gradient when there are several: memory O(b samples rank) plus one block, never O(samples b q^2). Prediction
        O(b (d h + h^2 + h q)).

    Reference: Bai, Kong and Gomes, "Disentangled variational autoencoder based multi-label classification with covariance-aware
        multivariate probit model", IJCAI 2020.

    Differs: from the paper: the label encoder reads x as well, and the two branches have outputs of their own, as in its code. From the
        code: exact marginals at the mean of z instead of draws in prediction; log variances clamped to [-10, 10]; exact logarithms of Phi
        instead of smoothed ones; rows with all or no labels have a ranking term, and gradient, of 0, where the code has a gradient of NaN;
        weight decay instead of an L2 term. An unknown label enters the label encoder as 0.5 and counts neither in the likelihood nor in
        any pair. Weights of the batch multiply whole instances (those of cells by their mean), since the likelihood has no cells. In
        evaluation mode the loss takes z at its mean and the same draws of w each time. Presets named after data sets are the authors'
        choices, ``authors`` their defaults, ``mirflickr_port`` those of the PyTorch port; ``adabatch`` is the common setting of the
        batch-selection papers, ``d2ace`` the copy in D2ACE's code: two decoders, latent d / 2, no dropout, weight of ranking 200.

    Example:
        >>> model = MPVAE(4, 3, latent=8, samples=10).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "lr": 1e-3, "weight_decay": 1e-5, "batch_size": 128, "epochs": 200, "schedule_over": staircase(0.8, 4),
    }  # fmt: skip
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "adabatch": Preset({}, {"lr": 1e-4, "weight_decay": 1e-4, "epochs": 100}),
        "d2ace": Preset(
            {
                "latent": lambda d, q: -(-d // 2),
                "rank": lambda d, q: max(16, -(-d // 2)),
                "dropout": 0.0,
                "rank_weight": 200.0,
                "shared_decoder": False,
                "widths": (256, 256),
                "factor_bound": 0.01,
            },
            {"lr": 1e-4, "epochs": 100},
        ),
        **MPVAE_BY_DATA,
    }

    def __init__(
        self,
        d: int,
        q: int,
        *,
        latent: int = 50,
        rank: int | None = None,
        dropout: float = 0.5,
        samples: int = 100,
        nll_weight: float = 0.1,
        rank_weight: float = 20.0,
        kl_weight: float = 1.1,
        l2: float = 0.0,
        shared_noise: bool = True,
        smoothing: float = 0.0,
        monte_carlo: bool = False,
        test_samples: int = 10_000,
        shared_decoder: bool = True,
        widths: int | Sequence[int] = (256, 512, 256),
        factor_bound: float | None = None,
    ) -> None:
        super().__init__()
        rank = q if rank is None else rank
        factor_bound = math.sqrt(6 / (q + rank)) if factor_bound is None else factor_bound
        if min(latent, rank, samples, test_samples) < 1 or min(nll_weight, rank_weight, kl_weight, l2) < 0 or not 0 <= smoothing < 1:
            raise ParameterError(
                "expected latent, rank, samples and test_samples >= 1, weights >= 0 and smoothing in [0, 1), but got "
                f"{latent=}, {rank=}, {samples=}, {test_samples=}, {nll_weight=}, {rank_weight=}, {kl_weight=}, {l2=}, {smoothing=}"
            )
        self.d, self.latent, self.samples, self.test_samples = d, latent, samples, test_samples
        self.nll_weight, self.rank_weight, self.kl_weight, self.l2 = nll_weight, rank_weight, kl_weight, l2
        self.shared_noise, self.smoothing, self.monte_carlo = shared_noise, smoothing, monte_carlo
        widths = layer_widths("widths", widths)
        self.feature_encoder = mlp_block([d, *widths], dropout=dropout)
        self.feature_mean, self.feature_logvar = nn.Linear(widths[-1], latent), nn.Linear(widths[-1], latent)
        self.label_encoder = mlp_block([d + q, 512, 256], dropout=dropout)
        self.label_mean, self.label_logvar = nn.Linear(256, latent), nn.Linear(256, latent)
        self.decoder = mlp_block([d + latent, 256, 512])
        self.label_decoder = None if shared_decoder else mlp_block([d + latent, 256, 512])
        self.label_out, self.feature_out = nn.Linear(512, q), nn.Linear(512, q)
        for layer in self._linear_layers():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.factor = nn.Parameter(torch.empty(q, rank).uniform_(-factor_bound, factor_bound))

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits of the labels' marginal probabilities."""
        hidden = self.feature_encoder(x)
        z = self.feature_mean(hidden)
        if not self.monte_carlo:
            return self._marginal_logits(self._means(self.decoder, self.feature_out, x, [z])[0])
        generator = torch.Generator().manual_seed(0)
        latent, probit = (self._fixed(size, generator) for size in ((1, self.latent), (1, self.test_samples, self.factor.shape[1])))
        with torch.autocast(x.device.type, enabled=False):
            z = reparameterise(z.to(latent), clamp_logvar(self.feature_logvar(hidden).to(latent)), latent)
        return self._sampled_logits(self._means(self.decoder, self.feature_out, x, [z])[0], probit)

    def objective(self, batch: Batch) -> Objective:
        """Return the weighted sum of likelihood, ranking and KL term, and the L2 term if there is one."""
        x, y, dtype = batch.x, batch.y, self.factor.dtype
        noise = self._draw_noise(x)
        hidden = self.feature_encoder(x)
        mean, logvar = self.feature_mean(hidden), self.feature_logvar(hidden)
        seen = self.label_encoder(torch.cat([x, torch.nan_to_num(y, nan=0.5).to(x)], dim=1))
        label_mean, label_logvar = self.label_mean(seen), self.label_logvar(seen)
        with torch.autocast(x.device.type, enabled=False):
            mean, label_mean = mean.to(dtype), label_mean.to(dtype)
            logvar, label_logvar = clamp_logvar(logvar.to(dtype)), clamp_logvar(label_logvar.to(dtype))
            kl = instance_mean(gaussian_kl(label_mean, label_logvar, mean, logvar, _KL_EPS), batch.weight)
            z, label_z = reparameterise(mean, logvar, noise.feature), reparameterise(label_mean, label_logvar, noise.label)
        m, m_predicted, m_label = self._branches(x, z, mean, label_z)
        with torch.autocast(x.device.type, enabled=False):
            nll, ranking = self._probit(torch.stack([m_label.to(dtype), m.to(dtype)]), y.to(dtype), noise.probit)
            nll_label, nll_feature = (instance_mean(values, batch.weight) for values in nll)
            rank_label, rank_feature = (instance_mean(values, batch.weight) for values in ranking)
            loss = self.nll_weight * (nll_label + nll_feature) + self.rank_weight * (rank_label + rank_feature) + self.kl_weight * kl
        parts = {"nll_label": nll_label, "nll": nll_feature, "ranking_label": rank_label, "ranking": rank_feature, "kl": kl}
        if self.l2:
            parts["l2"] = self.l2 / 2 * torch.stack([layer.weight.square().sum() for layer in self._linear_layers()]).sum()
            loss = loss + parts["l2"]
        return Objective(loss, self._marginal_logits(m_predicted), {name: part.detach() for name, part in parts.items()})

    def _draw_noise(self, x: Tensor) -> _Noise:
        """Draw what is random in a step. In evaluation mode z is at its mean, and the draws of w are the same each time."""
        size, dtype = (len(x), self.samples, self.factor.shape[1]), self.factor.dtype
        if not self.training:
            still = torch.zeros(len(x), self.latent, dtype=dtype, device=x.device)
            return _Noise(still, still, self._fixed(size, torch.Generator().manual_seed(0)))
        label = torch.randn(len(x), self.latent, dtype=dtype, device=x.device)
        feature = label if self.shared_noise else torch.randn_like(label)
        return _Noise(label, feature, torch.randn(size, dtype=dtype, device=x.device))

    def _fixed(self, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return noise that is the same for every type of number and on every device."""
        return torch.randn(size, generator=generator).to(self.factor)

    def _branches(self, x: Tensor, z: Tensor, mean: Tensor, label_z: Tensor) -> list[Tensor]:
        """Return the means m of the feature branch at z and at the mean of z, and of the label branch."""
        if self.label_decoder is not None:
            label = self._means(self.label_decoder, self.label_out, x, [label_z])
            return self._means(self.decoder, self.feature_out, x, [z, mean]) + label
        features = self._decode(self.decoder, x, [z, mean, label_z])
        of_feature = self.feature_out(features[: 2 * len(x)])
        return [*of_feature.split(len(x)), self.label_out(features[2 * len(x) :])]

    def _means(self, decoder: nn.Sequential, out: nn.Linear, x: Tensor, latents: list[Tensor]) -> list[Tensor]:
        """Return m, (b, q), for each of the latent vectors."""
        return list(out(self._decode(decoder, x, latents)).split(len(x)))

    def _decode(self, decoder: nn.Sequential, x: Tensor, latents: list[Tensor]) -> Tensor:
        """Return the decoded ``[x, z]`` for each of the latent vectors below each other; the part of x is computed once."""
        first = cast(nn.Linear, decoder[0])
        from_x = functional.linear(x, first.weight[:, : self.d], first.bias)
        from_z = functional.linear(torch.stack(latents).to(x.dtype), first.weight[:, self.d :])
        decoded: Tensor = decoder[1:]((from_x + from_z).flatten(0, 1))
        return decoded

    def _probit(
        self, means: Float[Tensor, "k b q"], y: Float[Tensor, "b q"], noise: Float[Tensor, "b s z"]
    ) -> tuple[Float[Tensor, "k b"], Float[Tensor, "k b"]]:
        """Return negative log-likelihood and ranking term of each instance in each of k branches, in blocks of instances."""
        blocks = label_blocks(len(y), means.shape[0] * noise.shape[1] * means.shape[2])
        if len(blocks) == 1:
            return _probit_terms(means, y, noise, self.factor, self.smoothing)
        parts = [
            checkpoint(
                _probit_terms, means[:, rows], y[rows], noise[rows], self.factor, self.smoothing,
                use_reentrant=False, preserve_rng_state=False,
            )
            for rows in blocks
        ]  # fmt: skip
        nll, ranking = zip(*parts, strict=True)
        return torch.cat(nll, dim=1), torch.cat(ranking, dim=1)

    def _marginal_logits(self, m: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return ``logit Phi(m_j / sqrt(1 + sum_k R_jk^2))``, finite wherever m is."""
        with torch.autocast(m.device.type, enabled=False):
            score = m.to(self.factor) / (1 + self.factor.square().sum(dim=1)).sqrt()
            return log_normal_cdf(score)[0] - log_normal_cdf(-score)[0]

    def _sampled_logits(self, m: Float[Tensor, "b q"], noise: Float[Tensor, "b s z"]) -> Float[Tensor, "b q"]:
        """Return the logit of the mean over draws of ``Phi(m + R w)``, draws being those of an instance or, (1, s, z), of all."""
        logits = []
        with torch.autocast(m.device.type, enabled=False):
            m = m.to(self.factor)
            for columns in label_blocks(m.shape[1], len(m) * noise.shape[1]):
                t = m[:, None, columns] + noise @ self.factor[columns].T
                log, other = (torch.logsumexp(log_normal_cdf(side)[0], dim=1) for side in (t, -t))
                logits.append(log - other)
        return torch.cat(logits, dim=1)

    def _linear_layers(self) -> list[nn.Linear]:
        return [module for module in self.modules() if isinstance(module, nn.Linear)]


def _probit_terms(
    means: Float[Tensor, "k b q"], y: Float[Tensor, "b q"], noise: Float[Tensor, "b s z"], factor: Float[Tensor, "q z"], smoothing: float
) -> tuple[Float[Tensor, "k b"], Float[Tensor, "k b"]]:
    """Return negative log-likelihood and ranking term of each instance in each branch.

    With P the probability of the label's own value, E of a relevant label is P and of an irrelevant one 1 - P. So one evaluation of Phi
    serves both terms, and ``sum_{p, n} exp(-5 (E_p - E_n)) = e^5 (sum_p exp(-5 P_p)) (sum_n exp(-5 P_n))``.
    """
    sides = torch.stack([y == 1, y == 0], dim=2).to(means)
    sign = sides[:, :, 0] - sides[:, :, 1]
    shared = (noise @ factor.T) * sign[:, None]
    log, own = log_normal_cdf(shared + (means * sign)[:, :, None])
    if smoothing:
        own = own * (1 - smoothing) + smoothing / 2
        log = own.log()
    likelihood = (log @ sides.sum(dim=2, keepdim=True)).squeeze(3)
    nll = math.log(noise.shape[1]) - torch.logsumexp(likelihood, dim=2)
    pairs = sides.sum(dim=1).prod(dim=1)
    sums = (own * -_STEEPNESS).exp() @ sides
    ranking = math.exp(_STEEPNESS) / _STEEPNESS * sums.prod(dim=3).mean(dim=2) / pairs.clamp(min=1)
    return nll, ranking
