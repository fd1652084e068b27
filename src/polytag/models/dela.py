"""DELA: learns which latent features each label does not need, by disturbing them."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.losses import BCE, Loss, instance_mean, instance_weight
from polytag.models.base import MultiLabelModel, Objective, Preset
from polytag.models.settings import DELA_BY_DATA
from polytag.nn import LabelwiseLinear, clamp_logvar, label_blocks, mlp_block
from polytag.registry import register
from polytag.types import Batch


@register("model", "dela")
class DELA(MultiLabelModel):
    """Finds the features that a label can do without: it adds noise to them in training, and the label must still be recognised.

    An encoder turns x into a latent vector z with log variance v. Each label j has a random gate s_j in (0, 1] per latent feature; the
    decoder reads ``[x, z + s_j * exp(v / 2) * noise]`` and a linear classifier of label j reads the decoder. The loss is
    ``mean_b sum_j BCE + beta * mean_bj KL(N(z, (s_j exp(v / 2))^2) || N(0, 1))``: noise is free, keeping a feature quiet costs. Prediction
    has no noise.

    Args:
        d: Number of features.
        q: Number of labels.
        latent: Width of the latent vector.
        dropout: Dropout in the encoder.
        decoder_dropout: Dropout in the decoder.
        temperature: Softness of the gates.
        beta: Weight of the KL term.
        off_noise: Least noise of a closed gate; ``None`` lets it fall to zero.
        lr_ratio: Learning rate of the gates relative to the rest.
        loss: Replaces the binary cross-entropy.

    Raises:
        ParameterError: A number makes no sense.

    Cost: a step O(b (d h + q (latent h + h^2))) with h = 256 to 512, memory O(b q h): the part of the decoder's first layer that reads x
        is computed once an instance, and the tensor of the concatenated inputs, (b, q, d + latent), is never built. Prediction runs the
        decoder once an instance, O(b h (d + h + q)).

    Reference: Hang and Zhang, "Dual perspective of label-specific feature learning for multi-label classification", ICML 2022.

    Differs: the log variance is clamped to [-10, 10], since it overflows otherwise; beta 1e-3 is a middle of the authors' values, which
        range from 1e-4 to 1 by data set. Preset ``adabatch`` is the copy in the batch-selection papers' code: no floor under the gates,
        latent d / 2, dropout 0.2 in encoder and decoder, beta 1e-4. Presets named after data sets are the authors' own choices for them.

    Example:
        >>> model = DELA(4, 3, latent=8).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "weight_decay": 1e-4, "batch_size": 128, "epochs": 200}
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "adabatch": Preset(
            {"latent": lambda d, q: -(-d // 2), "dropout": 0.2, "decoder_dropout": 0.2, "beta": 1e-4, "off_noise": None},
            {"lr": 1e-4, "epochs": 100},
        ),
        **DELA_BY_DATA,
    }

    def __init__(
        self,
        d: int,
        q: int,
        *,
        latent: int = 50,
        dropout: float = 0.0,
        decoder_dropout: float = 0.0,
        temperature: float = 2 / 3,
        beta: float = 1e-3,
        off_noise: float | None = 0.5,
        lr_ratio: float = 1.0,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        if latent < 1 or temperature <= 0 or beta < 0 or lr_ratio < 0 or not (off_noise is None or 0 <= off_noise <= 1):
            raise ParameterError(
                "expected latent >= 1, temperature > 0, beta >= 0, lr_ratio >= 0 and off_noise in [0, 1] or None, but got "
                f"{latent=}, {temperature=}, {beta=}, {lr_ratio=}, {off_noise=}"
            )
        self.d, self.temperature, self.beta, self.off_noise, self.lr_ratio = d, temperature, beta, off_noise, lr_ratio
        self.encoder = mlp_block([d, 256, 512, 256], dropout=dropout)
        self.mean = nn.Linear(256, latent)
        self.logvar = nn.Linear(256, latent)
        self.gates = nn.Parameter(torch.empty(q, latent).uniform_(-10, 10))
        self.gate_map = nn.Linear(latent, latent)
        nn.init.constant_(self.gate_map.bias, 2.0)
        self.decoder = nn.Sequential(*(mlp_block(sizes, dropout=decoder_dropout) for sizes in ([d + latent, 256], [256, 512])))
        self.classifier = LabelwiseLinear(q, 512)
        self.loss = BCE() if loss is None else loss

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits, without noise: all labels read the same decoded features."""
        features = self.decoder(torch.cat([x, self.mean(self.encoder(x))], dim=1))
        return functional.linear(features, self.classifier.weight, self.classifier.bias)

    def objective(self, batch: Batch) -> Objective:
        """Return classification loss (sum over labels, mean over instances) plus weighted KL term."""
        encoded = self.encoder(batch.x)
        mean, logvar = self.mean(encoded), self.logvar(encoded)
        uniform, noise = self._draw_noise(batch.x)
        with torch.autocast(batch.x.device.type, enabled=False):
            dtype = self.gates.dtype
            mean, logvar = mean.to(dtype), clamp_logvar(logvar.to(dtype))
            gates = self._gate(uniform)
            disturbance = (logvar / 2).exp() * noise
            kl = _divergence(mean, logvar, gates, batch.weight)
        logits = self._decode(batch.x, mean, gates, disturbance)
        classification = self.loss.per_instance(logits, batch.y, batch.weight)
        loss = classification + self.beta * kl
        return Objective(loss, logits, {"classification": classification.detach(), "kl": kl.detach()})

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return two groups: the gates at ``lr * lr_ratio``, everything else at ``lr``."""
        gates = [self.gates, *self.gate_map.parameters()]
        rest = [p for p in self.parameters() if not any(p is gate for gate in gates)]
        return [{"params": rest, "lr": lr}, {"params": gates, "lr": lr * self.lr_ratio}]

    def _draw_noise(self, x: Tensor) -> tuple[Float[Tensor, "q latent"], Float[Tensor, "b latent"]]:
        """Draw what is random in a step: uniforms for the gates, shared by the batch, and noise for each instance, shared by the labels.

        In evaluation mode nothing is random: the gates take their likelier side, and there is no noise.
        """
        if not self.training:
            return torch.full_like(self.gates, 0.5), x.new_zeros(len(x), self.gates.shape[1])
        noise = torch.randn(len(x), self.gates.shape[1], dtype=self.gates.dtype, device=x.device)
        return torch.rand_like(self.gates), noise

    def _gate(self, uniform: Float[Tensor, "q latent"]) -> Float[Tensor, "q latent"]:
        """Return how much noise each label lets into each latent feature: hard values, with the gradient of the soft ones."""
        tiny = torch.finfo(uniform.dtype).eps
        uniform = uniform.clamp(tiny, 1 - tiny)
        soft = ((uniform.logit() + self.gate_map(self.gates)) / self.temperature).sigmoid()
        hard = (soft > 0.5).to(soft.dtype)
        if self.off_noise is not None:
            hard = hard.clamp(min=self.off_noise)
        return hard + (soft - soft.detach())  # type: ignore[no-any-return]

    def _decode(self, x: Tensor, mean: Tensor, gates: Tensor, disturbance: Tensor) -> Float[Tensor, "b q"]:
        """Return ``classifier(decoder([x, mean + gates * disturbance]))`` of every label.

        The decoder's first layer is linear, so it is the sum of a part for each instance, which reads x and the mean, and a part for each
        instance and label, which reads the disturbance alone.
        """
        first, second = cast(list[nn.Sequential], list(self.decoder))
        shared = first[0](torch.cat([x, mean.to(x.dtype)], dim=1))
        weight = first[0].get_parameter("weight")[:, self.d :]
        logits = []
        for columns in label_blocks(len(gates), len(x) * self.classifier.weight.shape[1]):
            disturbed = gates[columns].unsqueeze(1) * disturbance
            hidden = first[1:](functional.linear(disturbed, weight) + shared)
            # Rows of all labels in one matrix: activations in place on a view would cost a copy each.
            features = second(hidden.flatten(0, 1)).view(*hidden.shape[:2], -1)
            logits.append(self.classifier(features, columns))
        return torch.cat(logits).T


def _divergence(
    mean: Float[Tensor, "b k"], logvar: Float[Tensor, "b k"], gates: Float[Tensor, "q k"], weight: Tensor | None = None
) -> Float[Tensor, ""]:
    """Return the KL divergence of ``N(mean_b, gates_j^2 exp(logvar_b))`` from N(0, 1), summed over k and averaged over b and j.

    Cost: O((b + q) k): every term separates into a factor of the instance and one of the label.
    """
    instance = instance_mean((mean.square() - logvar - 1).sum(dim=1), weight)
    label = -2 * (gates + 1e-6).log().sum(dim=1).mean()
    both = (instance_mean(logvar.exp(), weight) * gates.square().mean(dim=0)).sum()
    if weight is not None:
        label = label * instance_weight(weight).to(label).mean()
    return (instance + label + both) / 2
