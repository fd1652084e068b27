"""DELA as the paper writes it: every label has its own decoder input [x, z_j], in training and in prediction."""

import torch
from torch import Tensor
from torch.nn import functional

from polytag.models import DELA, Objective
from polytag.types import Batch


class TextbookDELA:
    """The formulas of the paper on the weights of a ``DELA`` (without dropout)."""

    def __init__(self, model: DELA) -> None:
        self.model = model

    def objective(self, batch: Batch, uniform: Tensor, noise: Tensor) -> Objective:
        """Return loss and logits with these random numbers."""
        model, x = self.model, batch.x
        z, logvar = self.encode(x)
        soft = torch.sigmoid((torch.log(uniform) - torch.log(1 - uniform) + model.gate_map(model.gates)) / model.temperature)
        hard = (soft > 0.5).to(soft.dtype)
        floor = hard if model.off_noise is None else hard.clamp(min=model.off_noise)
        s = floor.detach() - soft.detach() + soft
        z_all = z[:, None] + s[None] * torch.exp(logvar / 2)[:, None] * noise[:, None]
        logits = self.decode(x, z_all)
        classification = functional.binary_cross_entropy_with_logits(logits, batch.y, reduction="none").sum(1).mean()
        variance = logvar.exp()[:, None] * s[None] ** 2
        kl = 0.5 * (-logvar[:, None] - 2 * torch.log(s + 1e-6)[None] - 1 + variance + (z**2)[:, None]).sum(2).mean()
        return Objective(classification + model.beta * kl, logits)

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits without noise, decoding once for every label."""
        z, _ = self.encode(x)
        return self.decode(x, z[:, None].expand(-1, len(self.model.gates), -1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance."""
        hidden = self.model.encoder(x)
        return self.model.mean(hidden), self.model.logvar(hidden)

    def decode(self, x: Tensor, z_all: Tensor) -> Tensor:
        """Return the logits of all labels from the (b, q, d + latent) tensor."""
        inputs = torch.cat([x[:, None].expand(-1, z_all.shape[1], -1), z_all], dim=2)
        features = self.model.decoder(inputs)
        return (features * self.model.classifier.weight).sum(2) + self.model.classifier.bias
