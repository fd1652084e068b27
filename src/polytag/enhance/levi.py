"""LEVI and VLE: the label distribution is a slice of the latent code from which features and labels can be told."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.enhance.base import Enhancer, checked
from polytag.enhance.descent import BLOCK, ScaledRows, descend
from polytag.errors import ParameterError
from polytag.nn.optimizers import build_optimizer
from polytag.nn.seeding import seeded
from polytag.registry import register
from polytag.types import Array, ArrayLike

LEAST_DEVIATION = 1e-8


class Posterior(NamedTuple):
    """What the encoder believes about the latent code of each row: normal, every coordinate by itself.

    Attributes:
        mean: Shape (b, latent).
        deviation: Standard deviation, positive, same shape.
    """

    mean: Float[Tensor, "b k"]
    deviation: Float[Tensor, "b k"]


@register("enhancer", "levi")
class LEVI(Enhancer):
    """Recovers how much each label describes a row as part of a latent code that explains both its features and its labels.

    A variational autoencoder reads ``[x, y]`` and gives mean and deviation of a code ``z`` of K numbers. The last q of them, through a
    sigmoid, are to be the labels; a decoder tells the features from all K. It minimises

        ``label_weight BCE(sigmoid(z_last), y) + kl_weight KL(N(mean, deviation^2) || N(0, 1)) + feature_weight rec(x)``

    with means over rows and columns everywhere; ``rec`` is the squared error, or BCE where all features are 0 or 1. The distribution of a
    row is the softmax of ``sigmoid(mean_last)``, hence never very uneven: no label gets more than e times another.

    Args:
        preset: ``"levi"``, the settings of the journal's code, or ``"vle"``, those of the conference's: hidden 150, latent 50, both weights
            1, a sigmoid after the decoder, batches of 128, 150 epochs. Whatever is given besides replaces the preset's value.
        hidden: Width of the hidden layers.
        latent: Length K of the latent code; raised to the number of labels where there are more of them.
        label_weight: Weight of the labels.
        kl_weight: Weight of the divergence from the prior (a).
        feature_weight: Weight of the features (b).
        decoder: ``"linear"`` or ``"sigmoid"``, what ends the decoder of the features; where all of them are 0 or 1 it is a sigmoid.
        dropout: Dropout after every hidden layer.
        epochs: Passes over the rows.
        batch_size: Rows a step; 0 takes all rows at once.
        lr: Learning rate of Adam.
        weight_decay: Weight of the squared weights, added to the gradient.
        lr_steps: Epochs after which the learning rate is multiplied by 0.2.
        device: Where the networks train.
        beta: Share of the label-distribution loss, see ``Enhancer``.

    Raises:
        ParameterError: A setting makes no sense.

    Cost: O(epochs n (hidden (d + q + hidden + latent))) with float32; memory of the networks and of 1,024 rows besides the data. With the
        default settings and full batches, 200 steps.

    Reference: Xu, Shu, Liu and Geng, "Variational label enhancement", ICML 2020 (VLE); Xu, Shu, Zheng, Geng, Meng and Zhang, "Variational
        label enhancement", TPAMI 2023 (LEVI).

    Differs: the journal's code has a linear decoder in front of the BCE of binary features, which fails; here a sigmoid stands there. The
        form with a graph of instances is left out, and so is the second stage of the journal, a support vector regression: any model
        learns from the distributions instead.

    Example:
        >>> X, Y = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]]), np.array([[1, 0], [0, 1], [1, 1]])
        >>> found = LEVI(hidden=8, epochs=50, lr=0.05).fit_transform(X, Y)
        >>> found.sum(axis=1).round(6), found.argmax(axis=1)[:2]
        (array([1., 1., 1.]), array([0, 1]))
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "levi": {
            "hidden": 500, "latent": 200, "kl_weight": 0.01, "feature_weight": 0.01, "decoder": "linear",
            "epochs": 200, "batch_size": 0, "lr_steps": (300, 400, 500),
        },
        "vle": {
            "hidden": 150, "latent": 50, "kl_weight": 1.0, "feature_weight": 1.0, "decoder": "sigmoid",
            "epochs": 150, "batch_size": 128, "lr_steps": (500, 800, 900),
        },
    }  # fmt: skip

    def __init__(
        self,
        *,
        preset: str = "levi",
        hidden: int | None = None,
        latent: int | None = None,
        label_weight: float = 1.0,
        kl_weight: float | None = None,
        feature_weight: float | None = None,
        decoder: str | None = None,
        dropout: float = 0.1,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float = 1e-3,
        weight_decay: float = 1e-5,
        lr_steps: tuple[int, ...] | None = None,
        device: str = "cpu",
        beta: float = 0.01,
    ) -> None:
        super().__init__(beta=beta)
        if preset not in self.PRESETS:
            raise ParameterError(f"expected a preset among {', '.join(self.PRESETS)}, but got {preset!r}")
        chosen = self.PRESETS[preset]

        def pick(name: str, given: Any) -> Any:
            return chosen[name] if given is None else given

        self.hidden, self.latent, self.decoder = pick("hidden", hidden), pick("latent", latent), pick("decoder", decoder)
        self.label_weight, self.kl_weight = label_weight, pick("kl_weight", kl_weight)
        self.feature_weight = pick("feature_weight", feature_weight)
        self.epochs, self.batch_size, self.lr_steps = pick("epochs", epochs), pick("batch_size", batch_size), pick("lr_steps", lr_steps)
        self.dropout, self.lr, self.weight_decay, self.device = dropout, lr, weight_decay, device
        self._check()

    def fit_transform(self, X: ArrayLike, Y: ArrayLike, *, seed: int = 0) -> Float[Array, "n q"]:
        """Return the label distribution of each row, shape (n, q)."""
        features, labels = checked(X, Y)
        n, q = labels.shape
        if q == 1:  # all of a row's description falls to its only label
            return np.ones((n, 1))
        shift, span, binary = _range(features)
        rows = ScaledRows(features, shift, span, self.device)
        y = torch.as_tensor(labels, dtype=torch.float32, device=self.device)
        with seeded(seed, self.device):
            network = VariationalAutoencoder(rows.d, q, self.hidden, max(self.latent, q), self.dropout).to(self.device)
            optimizer = build_optimizer(torch.optim.Adam, network.parameters(), lr=self.lr, weight_decay=self.weight_decay)

            def loss(batch: Tensor) -> Tensor:
                x = rows[batch]
                noise = torch.randn(len(batch), network.latent, device=x.device)
                return self.terms(network, x, y[batch.to(y.device)], noise, binary)["total"]

            size = self.batch_size or n
            descend(loss, optimizer, n, epochs=self.epochs, batch_size=size, steps=self.lr_steps, factor=0.2, block=BLOCK)
        network.eval()
        with torch.no_grad():
            blocks = torch.split(torch.arange(n), BLOCK)
            means = torch.cat([network.posterior(rows[block], y[block.to(y.device)]).mean[:, -q:] for block in blocks])
        return degrees_to_distribution(means.double().sigmoid()).cpu().numpy()

    def terms(
        self,
        network: "VariationalAutoencoder",
        x: Float[Tensor, "b d"],
        y: Float[Tensor, "b q"],
        noise: Float[Tensor, "b k"],
        binary: bool = False,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the loss of a batch and its parts: ``"labels"``, ``"divergence"``, ``"features"`` and their weighted sum ``"total"``.

        Args:
            network: What is trained.
            x: Scaled features.
            y: Labels.
            noise: Standard normal, one number for each coordinate of the code.
            binary: Whether all features are 0 or 1.
        """
        posterior = network.posterior(x, y)
        code = posterior.mean + posterior.deviation * noise
        decoded = network.decoder(code)
        if binary:
            features = functional.binary_cross_entropy_with_logits(decoded, x)
        else:
            features = functional.mse_loss(decoded.sigmoid() if self.decoder == "sigmoid" else decoded, x)
        labels = functional.binary_cross_entropy_with_logits(code[:, -y.shape[1] :], y)
        divergence = normal_divergence(posterior).mean()
        total = self.label_weight * labels + self.kl_weight * divergence + self.feature_weight * features
        return {"labels": labels, "divergence": divergence, "features": features, "total": total}

    def _check(self) -> None:
        if self.hidden < 1 or self.latent < 1 or self.epochs < 1 or self.batch_size < 0:
            raise ParameterError(
                "expected hidden >= 1, latent >= 1, epochs >= 1 and batch_size >= 0 (0: all rows), but got "
                f"hidden={self.hidden!r}, latent={self.latent!r}, epochs={self.epochs!r}, batch_size={self.batch_size!r}"
            )
        if min(self.label_weight, self.kl_weight, self.feature_weight, self.weight_decay) < 0 or not self.lr > 0:
            raise ParameterError(
                f"expected lr > 0 and label_weight, kl_weight, feature_weight, weight_decay >= 0, but got lr={self.lr!r}, "
                f"label_weight={self.label_weight!r}, kl_weight={self.kl_weight!r}, feature_weight={self.feature_weight!r}, "
                f"weight_decay={self.weight_decay!r}"
            )
        if not 0 <= self.dropout < 1 or self.decoder not in ("linear", "sigmoid"):
            raise ParameterError(
                f"expected 0 <= dropout < 1 and a decoder linear or sigmoid, but got dropout={self.dropout!r}, decoder={self.decoder!r}"
            )


class VariationalAutoencoder(nn.Module):
    """An encoder of features and labels to a latent code, and a decoder of the features; weights start Xavier-normal, biases at 0.01.

    Args:
        d: Number of features.
        q: Number of labels.
        hidden: Width of the hidden layers.
        latent: Length of the code.
        dropout: Dropout after every hidden layer.
    """

    def __init__(self, d: int, q: int, hidden: int, latent: int, dropout: float) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = _three_layers([d + q, hidden, hidden, 2 * latent], (nn.ELU(), nn.Tanh()), dropout)
        self.decoder = _three_layers([latent, hidden, hidden, d], (nn.Tanh(), nn.ELU()), dropout)

    def posterior(self, x: Float[Tensor, "b d"], y: Float[Tensor, "b q"]) -> Posterior:
        """Return mean and standard deviation of each row's code."""
        mean, raw = self.encoder(torch.cat([x, y], dim=1)).chunk(2, dim=1)
        return Posterior(mean, functional.softplus(raw) + LEAST_DEVIATION)


def normal_divergence(posterior: Posterior) -> Float[Tensor, "b k"]:
    """Return ``KL(N(mean, deviation^2) || N(0, 1))`` of each coordinate, ``(mean^2 + dev^2 - log dev^2 - 1) / 2``.

    Example:
        >>> normal_divergence(Posterior(torch.tensor([[1.0]]), torch.tensor([[0.5]])))
        tensor([[0.8181]])
    """
    mean, deviation = posterior
    return (mean.square() + deviation.square() - 2 * deviation.log() - 1) / 2


def degrees_to_distribution(degrees: Float[Tensor, "n q"]) -> Float[Tensor, "n q"]:
    """Return the softmax of degrees in (0, 1), as the recovery benchmarks of the authors do."""
    return degrees.softmax(dim=1)


def _three_layers(sizes: list[int], activations: tuple[nn.Module, nn.Module], dropout: float) -> nn.Sequential:
    first, second, last = (nn.Linear(a, b) for a, b in pairwise(sizes))
    for layer in (first, second, last):
        nn.init.xavier_normal_(layer.weight)
        nn.init.constant_(layer.bias, 0.01)
    return nn.Sequential(first, activations[0], nn.Dropout(dropout), second, activations[1], nn.Dropout(dropout), last)


def _range(X: Any) -> tuple[float, float, bool]:
    """Return the least feature of all, how far the largest is above it, and whether all are 0 or 1; those are left as they are."""
    values = X.data if hasattr(X, "indptr") else X
    if bool(np.isin(values, (0.0, 1.0)).all()):
        return 0.0, 1.0, True
    low, high = float(X.min()), float(X.max())
    return low, high - low, False
