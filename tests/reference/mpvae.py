"""MPVAE as the paper writes it: a loop over draws with every pair of labels, and prediction by the mean over many draws."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from polytag.models import MPVAE, Objective
from polytag.types import Batch


class TextbookMPVAE:
    """The formulas of the paper and its code on the weights of an ``MPVAE`` (without dropout, both branches with one decoder)."""

    def __init__(self, model: MPVAE) -> None:
        self.model = model

    def objective(self, batch: Batch, label_noise: Tensor, feature_noise: Tensor, probit_noise: Tensor) -> Objective:
        """Return loss and logits with these random numbers; the probit noise has the shape (b, samples, rank)."""
        model, x, y = self.model, batch.x, batch.y
        mean, logvar = self.encode(x)
        hidden = model.label_encoder(torch.cat([x, y], dim=1))
        label_mean, label_logvar = model.label_mean(hidden), model.label_logvar(hidden)
        m_label = model.label_out(self.decode(x, label_mean + torch.exp(0.5 * label_logvar) * label_noise))
        m = model.feature_out(self.decode(x, mean + torch.exp(0.5 * logvar) * feature_noise))
        quotient = torch.exp(label_logvar) / torch.exp(logvar)
        distance = (mean - label_mean) ** 2 / (torch.exp(logvar) + 1e-6)
        kl = 0.5 * (logvar - label_logvar - 1 + quotient + distance).sum(1).mean()
        branches = [self.branch(scores, y, probit_noise) for scores in (m_label, m)]
        nll, ranking = (sum(values) for values in zip(*branches, strict=True))
        loss = model.nll_weight * nll + model.rank_weight * ranking + model.kl_weight * kl
        return Objective(loss, torch.logit(self.exact(x)))

    def branch(self, m: Tensor, y: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return likelihood and ranking term of a branch: one draw at a time, all pairs of labels at once."""
        likelihoods, rankings = [], []
        positive, negative = y == 1, y == 0
        pairs = positive[:, :, None] & negative[:, None, :]
        count = pairs.sum((1, 2))
        for s in range(noise.shape[1]):
            e = self.probability(m, noise[:, s])
            likelihoods.append((y * torch.log(e) + (1 - y) * torch.log(1 - e)).sum(1))
            differences = torch.exp(-5 * (e[:, :, None] - e[:, None, :]))
            rankings.append((differences * pairs).sum((1, 2)) / count.clamp(min=1) / 5)
        nll = math.log(noise.shape[1]) - torch.logsumexp(torch.stack(likelihoods), dim=0)
        return nll.mean(), torch.stack(rankings).mean()

    def probability(self, m: Tensor, w: Tensor) -> Tensor:
        """Return E for one draw of w."""
        e = torch.special.ndtr(m + w @ self.model.factor.T)
        return e * (1 - self.model.smoothing) + self.model.smoothing / 2

    def predict(self, x: Tensor, latent_noise: Tensor | None = None, probit_noise: Tensor | None = None) -> Tensor:
        """Return the mean of E over ``test_samples`` draws, or over those given, shape (samples, b, rank); z is drawn once."""
        mean, logvar = self.encode(x)
        latent_noise = torch.randn_like(mean) if latent_noise is None else latent_noise
        m = self.model.feature_out(self.decode(x, mean + torch.exp(0.5 * logvar) * latent_noise))
        rank = self.model.factor.shape[1]
        draws = torch.randn(self.model.test_samples, len(x), rank).to(m) if probit_noise is None else probit_noise
        return torch.stack([self.probability(m, w) for w in draws]).mean(0)

    def exact(self, x: Tensor) -> Tensor:
        """Return the marginal probabilities at the mean of z."""
        m = self.model.feature_out(self.decode(x, self.encode(x)[0]))
        total = self.model.factor @ self.model.factor.T + torch.eye(m.shape[1]).to(m)
        return torch.special.ndtr(m / total.diagonal().sqrt())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of q(z | x)."""
        hidden = self.model.feature_encoder(x)
        return self.model.feature_mean(hidden), self.model.feature_logvar(hidden)

    def decode(self, x: Tensor, z: Tensor) -> Tensor:
        """Return what both output layers read."""
        decoded: Tensor = functional.relu(self.model.decoder(torch.cat([x, z], dim=1)))
        return decoded
