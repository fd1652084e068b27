"""PACA: two densities for each label, of instances that have it and of instances that do not, over a latent space learnt with them."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.losses import BCE, Loss, instance_mean
from polytag.models.base import MultiLabelModel, Objective, Preset
from polytag.nn import ConditionalFlow, clamp_logvar, gaussian_kl, linear, mlp_block, reparameterise
from polytag.registry import register
from polytag.types import Batch


@register("model", "paca")
class PACA(MultiLabelModel):
    """Asks of each instance and label which fits better: the density of instances with the label, or that of instances without it.

    An encoder turns x into a Gaussian q(z | x); a map of x and a draw z gives z', on which two conditional flows put the densities
    p(z' | P_j) and p(z' | N_j) of label j. The logit is ``log p(z' | P_j) - log p(z' | N_j)``. The loss is ``reconstruction of x from z'
    + gamma (KL(q(z | x) || q(z | y)) + BCE of y decoded from a draw of q(z | y)) + alpha BCE of the logits``, where q(z | y) comes from
    an encoder of the labels; each part is summed over features or labels and averaged over instances. Prediction takes the mean of
    q(z | x).

    Args:
        d: Number of features.
        q: Number of labels.
        latent: Width D of z and z'; ``None`` is ``min(50, ceil(d / 2))``.
        dropout: Dropout in the two encoders.
        decoder_dropout: Dropout in the label decoder, the map to z' and the feature decoder.
        alpha: Weight of the classification.
        gamma: Weight of KL term and label decoder.
        binary: The features are all 0 or 1 and are reconstructed by cross-entropy, otherwise by the squared error of a sigmoid, for which
            they should lie between 0 and 1. ``from_data`` looks at the training rows.
        loss: Replaces the binary cross-entropy of the logits.

    Raises:
        ParameterError: A number makes no sense.

    Cost: a step O(b (d h + q (latent h P / 2 + 48 P latent))) with h = 256 to 512 and P = 3 max(1, 256 // latent), memory O(b q latent);
        prediction about a quarter of that time. See ``ConditionalFlow``.

    Reference: Hang, Zhang, Feng and Song, "End-to-end probabilistic label-specific feature learning for multi-label classification", AAAI
        2022.

    Differs: log variances are clamped to [-10, 10]. The published code has a latent width of d / 2 (presets ``adabatch`` and ``d2ace``),
        and beyond 256 its flows do not see the instance; the width is at most 50 here, and the flows keep their outputs at any width. An
        unknown label enters the label encoder as 0.5. Presets ``adabatch`` and ``d2ace`` are the copies in the batch-selection papers'
        code, with dropout 0.2 in the decoders; what those papers take for the prediction in training has seen the labels, ours has not.

    Example:
        >>> model = PACA(4, 3).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"lr": 1e-4, "weight_decay": 1e-5, "batch_size": 128, "epochs": 100}
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "adabatch": Preset({"latent": lambda d, q: -(-d // 2), "decoder_dropout": 0.2}, {"weight_decay": 1e-4}),
        "d2ace": Preset({"latent": lambda d, q: -(-d // 2), "decoder_dropout": 0.2}),
    }

    def __init__(
        self,
        d: int,
        q: int,
        *,
        latent: int | None = None,
        dropout: float = 0.1,
        decoder_dropout: float = 0.0,
        alpha: float = 2.0,
        gamma: float = 10.0,
        binary: bool = False,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        latent = min(50, -(-d // 2)) if latent is None else latent
        if latent < 1 or alpha < 0 or gamma < 0:
            raise ParameterError(f"expected latent >= 1, alpha >= 0 and gamma >= 0, but got {latent=}, {alpha=}, {gamma=}")
        self.latent, self.alpha, self.gamma, self.binary = latent, alpha, gamma, binary
        self.encoder = mlp_block([d, 256, 512, 256], dropout=dropout)
        self.mean, self.logvar = nn.Linear(256, latent), nn.Linear(256, latent)
        self.label_encoder = mlp_block([q, 512, 256], dropout=dropout)
        self.label_mean, self.label_logvar = nn.Linear(256, latent), nn.Linear(256, latent)
        self.label_decoder = mlp_block([latent, 256, 512], dropout=decoder_dropout)
        self.label_out = nn.Linear(512, q)
        self.instance_map = nn.Sequential(mlp_block([d + latent, 256, 256], dropout=decoder_dropout), linear(256, latent, "relu"))
        self.decoder = nn.Sequential(mlp_block([latent, 256, 512, 256], dropout=decoder_dropout), linear(256, d, "relu"))
        self.positive, self.negative = ConditionalFlow(latent, q), ConditionalFlow(latent, q)
        self.loss = BCE() if loss is None else loss
        self.label_loss = BCE()

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Say whether all features of the training rows are 0 or 1."""
        return {"binary": all(bool(((block.x == 0) | (block.x == 1)).all()) for block in train.blocks(4096))}

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits from the mean of q(z | x), without noise."""
        return self._logits(self._map(x, self.mean(self.encoder(x))))

    def objective(self, batch: Batch) -> Objective:
        """Return the weighted sum of reconstruction, regularisation (KL term and label decoder) and classification."""
        x, y, weight = batch.x, batch.y, batch.weight
        noise_x, noise_y = self._draw_noise(x)
        mean, logvar = self._gaussian(self.encoder(x), self.mean, self.logvar)
        encoded = self.label_encoder(y.to(x.dtype).nan_to_num(0.5))
        label_mean, label_logvar = self._gaussian(encoded, self.label_mean, self.label_logvar)
        with torch.autocast(x.device.type, enabled=False):
            kl = instance_mean(gaussian_kl(mean, logvar, label_mean, label_logvar, eps=1e-8), weight)
            z = reparameterise(mean, logvar, noise_x)
            label_z = reparameterise(label_mean, label_logvar, noise_y)
        labels = self.label_loss.per_instance(self.label_out(self.label_decoder(label_z)), y, weight)
        mapped = self._map(x, z)
        reconstruction = instance_mean(self._reconstruction(self.decoder(mapped), x), weight)
        logits = self._logits(mapped)
        classification = self.loss.per_instance(logits, y, weight)
        loss = reconstruction + self.gamma * (kl + labels) + self.alpha * classification
        parts = {"reconstruction": reconstruction, "kl": kl, "labels": labels, "classification": classification}
        return Objective(loss, logits, {name: part.detach() for name, part in parts.items()})

    def _map(self, x: Tensor, z: Tensor) -> Float[Tensor, "b k"]:
        """Return z', on which the densities lie."""
        return self.instance_map(torch.cat([x, z.to(x.dtype)], dim=1))  # type: ignore[no-any-return]

    def _logits(self, mapped: Tensor) -> Float[Tensor, "b q"]:
        return self.positive(mapped) - self.negative(mapped)  # type: ignore[no-any-return]

    def _gaussian(self, hidden: Tensor, mean: nn.Linear, logvar: nn.Linear) -> tuple[Tensor, Tensor]:
        """Return mean and clamped log variance, in the precision of the weights."""
        dtype = self.mean.weight.dtype
        return mean(hidden).to(dtype), clamp_logvar(logvar(hidden).to(dtype))

    def _reconstruction(self, decoded: Tensor, x: Tensor) -> Float[Tensor, "b"]:
        with torch.autocast(x.device.type, enabled=False):
            decoded = decoded.to(x.dtype)
            if self.binary:
                return functional.binary_cross_entropy_with_logits(decoded, x, reduction="none").sum(dim=1)
            return (decoded.sigmoid() - x).square().sum(dim=1)

    def _draw_noise(self, x: Tensor) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        """Draw the noise of z for features and labels; zeros in evaluation mode."""
        shape, like = (len(x), self.latent), self.mean.weight
        if not self.training:
            return like.new_zeros(shape), like.new_zeros(shape)
        return torch.randn(shape, dtype=like.dtype, device=x.device), torch.randn(shape, dtype=like.dtype, device=x.device)
