"""PACA as published: each flow evaluated with the (b, q, latent, units) tensors of its sigmoids, and differentiated by autograd."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from polytag.models import PACA, Objective
from polytag.nn import ConditionalFlow
from polytag.types import Batch


def masks(latent: int, hidden: int, slots: int) -> tuple[Tensor, Tensor]:
    """Return which inputs each hidden unit, and which hidden units each output may read, one pair after the other."""
    degree = [k % max(latent - 1, 1) + 1 for k in range(hidden)]
    first = torch.tensor([[float(i + 1 <= degree[k]) for i in range(latent)] for k in range(hidden)])
    second = torch.tensor([[float(degree[k] < i + 1) for k in range(hidden)] for i in range(latent)])
    return first, second.repeat(slots, 1)


class TextbookFlow:
    """The two transforms on the weights of a ``ConditionalFlow``."""

    def __init__(self, flow: ConditionalFlow) -> None:
        self.flow = flow
        self.first, self.second = (mask.to(flow.out.weight) for mask in masks(flow.latent, flow.hidden.out_features, flow.slots))

    def sigmoidal(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return u (b, q, latent) and log-determinant (b, q) of the autoregressive transform."""
        flow, eps = self.flow, 1e-6
        c = torch.eye(flow.condition.in_features).to(z)[None]
        z = z[:, None]
        h = functional.elu(functional.linear(z, flow.hidden.weight * self.first, flow.hidden.bias) + flow.condition(c))
        out = functional.linear(h, flow.out.weight * self.second, flow.out.bias)
        raw = flow.shared(out.view(*out.shape[:2], flow.slots, flow.latent).transpose(2, 3))
        raw_a, b, raw_w = raw.chunk(3, dim=3)
        a, w, log_w = functional.softplus(raw_a), raw_w.softmax(3), raw_w.log_softmax(3)
        t = a * z[..., None] + b
        s = (w * t.sigmoid()).sum(3) * (1 - eps) + eps / 2
        u = torch.log(s) - torch.log(1 - s)
        slope = torch.logsumexp(log_w + functional.logsigmoid(t) + functional.logsigmoid(-t) + torch.log(a), dim=3)
        return u, (slope + math.log(1 - eps) - torch.log(s) - torch.log(1 - s)).sum(2)

    def affine(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return u (b, q, latent) and log-determinant (1, q) of the affine transform."""
        c = torch.eye(self.flow.condition.in_features).to(u)
        scale, shift = (m.second(m.first(c).relu()) + m.direct(c) for m in (self.flow.scale, self.flow.shift))
        scale = functional.softplus(scale)
        return scale[None] * u + shift[None], scale.log().sum(1)[None]

    def __call__(self, z: Tensor) -> Tensor:
        """Return log p(z | j), shape (b, q)."""
        u, first = self.sigmoidal(z)
        u, second = self.affine(u)
        return (-(u**2) / 2 - math.log(2 * math.pi) / 2).sum(2) + first + second


class TextbookPACA:
    """The formulas of the paper on the weights of a ``PACA`` (without dropout)."""

    def __init__(self, model: PACA) -> None:
        self.model = model
        self.positive, self.negative = TextbookFlow(model.positive), TextbookFlow(model.negative)

    def objective(self, batch: Batch, noise_x: Tensor, noise_y: Tensor) -> Objective:
        """Return loss and logits with these random numbers."""
        model, (_, x, y, _) = self.model, batch
        mean, logvar = self.encode(x)
        hidden = model.label_encoder(y)
        label_mean, label_logvar = model.label_mean(hidden), model.label_logvar(hidden)
        kl = label_logvar - logvar - 1 + torch.exp(logvar - label_logvar) + (mean - label_mean) ** 2 / (label_logvar.exp() + 1e-8)
        label_logits = model.label_out(model.label_decoder(label_mean + torch.exp(label_logvar / 2) * noise_y))
        z = model.instance_map(torch.cat([x, mean + torch.exp(logvar / 2) * noise_x], dim=1))
        decoded = model.decoder(z)
        negative, positive = self.negative(z), self.positive(z)
        if model.binary:
            reconstruction = functional.binary_cross_entropy_with_logits(decoded, x, reduction="sum") / len(x)
        else:
            reconstruction = ((decoded.sigmoid() - x) ** 2).sum() / len(x)
        labels = functional.binary_cross_entropy_with_logits(label_logits, y, reduction="sum") / len(x)
        chosen = torch.stack([negative, positive], dim=2).log_softmax(2).gather(2, y.long()[..., None])
        classification = -chosen.sum() / len(x)
        regularisation = kl.sum() / 2 / len(x) + labels
        return Objective(reconstruction + model.gamma * regularisation + model.alpha * classification, positive - negative)

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits without noise."""
        mean, _ = self.encode(x)
        z = self.model.instance_map(torch.cat([x, mean], dim=1))
        return self.positive(z) - self.negative(z)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance."""
        hidden = self.model.encoder(x)
        return self.model.mean(hidden), self.model.logvar(hidden)
