"""FLEM: label distributions that are learnt together with the model that learns from them."""

import warnings
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.data.dataset import Dataset
from polytag.data.table import Table
from polytag.enhance.base import Companion, Enhancer, Guidance, checked, distribution_loss
from polytag.enhance.descent import descend
from polytag.enhance.estimator_losses import interaction_loss, similarity_loss, threshold_loss
from polytag.enhance.residual_estimator import ResidualEstimator
from polytag.errors import DataError, ParameterError
from polytag.losses.base import at_least_float32
from polytag.nn.optimizers import build_optimizer
from polytag.nn.seeding import seeded
from polytag.registry import register
from polytag.types import Array, ArrayLike, Batch

Strategy = Literal["s", "t", "d"]

BIAS_DECAY = 1e-2  # what AdamW does to a group of which nothing is said
MANY_LABELS = 5000


@register("enhancer", "flem")
class FLEM(Enhancer):
    """A second network guesses how much each label describes each row, while the model trains; the two learn from each other.

    The model f gives logits ``s = f(x)``; the estimator g sees features and labels and gives ``z = g(x, y)``, of which
    ``d = softmax(z)`` is the label distribution. f minimises ``beta L_LD + (1 - beta) L_SC``, g ``alpha L_LE + (1 - alpha) L_IN``, in one
    step, and neither sends a gradient to the other:

    - ``L_LD = mean_i KL(d_i || softmax(s_i))``, and ``L_SC`` is the model's own loss, such as binary cross-entropy;
    - ``L_IN = -mean_ij [y (1 - p)^gamma_pos log sigmoid(z) + (1 - y) p^gamma_neg log(1 - sigmoid(z))]`` with ``p = sigmoid(s)``;
    - ``L_LE`` by strategy: ``"s"`` asks rows that are alike to have alike z, ``mean_mn (cos(x_m, x_n) - cos(z_m, z_n))^2``; ``"t"`` asks
      relevant labels to stand above the others, ``mean_i max(0, max_irrelevant z - min_relevant z + epsilon)``, 0 for rows with all or no
      labels; ``"d"`` asks d to follow the model, ``mean_i KL(softmax(s_i) || d_i)``.

    Args:
        strategy: ``"s"``, ``"t"`` or ``"d"``: what makes a label distribution a good one.
        alpha: Weight of ``L_LE``.
        beta: Weight of ``L_LD``.
        gamma_pos: How much less a positive cell counts that the model is sure of.
        gamma_neg: How much less a negative cell counts that the model is sure of. Both 0, plain cross-entropy, is probably what the
            published numbers were made with.
        epsilon: By how much relevant labels shall stand above the others (strategy ``"t"``).
        hidden: Width of the estimator.
        low_rank: Rank of the estimator's largest layer, q x q weights in full (``None``).
        ablation: ``"I"``: the model learns from its labels alone (beta 0); ``"II"``: no interaction loss (alpha 1).
        mimic: What the authors' code does, where it departs from their paper: the default of the next four, which see.
        reduction: Of strategy ``"t"`` over the rows: ``"mean"``, or ``"sum"`` (mimic), so that alpha means b times as much.
        double_norm: Batch norms count each batch twice in the running statistics (mimic).
        decay_biases: Weight decay 0.01 for all biases, those of the model too, and the optimiser's for the weights of batch norm (mimic).
            Otherwise biases and batch norm of the estimator have none, and the model is decayed as it is without FLEM.
        swap: ``alpha`` weighs L_LD and ``beta`` L_LE (mimic).
        epochs: Of ``fit_transform``.
        batch_size: Of ``fit_transform``.
        lr: Of ``fit_transform``.
        weight_decay: Of ``fit_transform``.

    Raises:
        ParameterError: A value makes no sense; from ``companion``, there is one label only, whose softmax is always 1.

    Cost: a step O(b h (width + h + q) + b q^2) on top of the model's, and O(b^2 (width + q)) for strategy ``"s"``; nothing in prediction.

    Reference: Zhao, An, Xu and Geng, "Fusion label enhancement for multi-label learning", IJCAI 2022.

    Differs: equation 9 is printed with a sum where its derivation and the authors' code have the logarithm of a sum of exponentials; ours
        is the latter. Losses are Kullback-Leibler divergences, where the code leaves out the entropy, which changes no gradient. ``L_IN``
        is computed without clamping probabilities. A batch of one row is normalised by the running statistics. Strategy ``"t"`` gives 0
        for a row with all labels, where the code fails. In several processes strategy ``"s"`` sees each slice of a batch.

    Example:
        >>> X, Y = np.eye(4), np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1]])
        >>> D = FLEM(strategy="t", epochs=2).fit_transform(X, Y)
        >>> D.shape, bool(np.allclose(D.sum(axis=1), 1))
        ((4, 3), True)
    """

    def __init__(
        self,
        *,
        strategy: Strategy = "d",
        alpha: float = 0.01,
        beta: float = 0.01,
        gamma_pos: float = 0.0,
        gamma_neg: float = 1.0,
        epsilon: float = 0.0,
        hidden: int = 128,
        low_rank: int | None = None,
        ablation: Literal["I", "II"] | None = None,
        mimic: bool = False,
        reduction: Literal["mean", "sum"] | None = None,
        double_norm: bool | None = None,
        decay_biases: bool | None = None,
        swap: bool | None = None,
        epochs: int = 30,
        batch_size: int = 64,
        lr: float = 1e-3,
        weight_decay: float = 1e-4,
    ) -> None:
        if strategy not in ("s", "t", "d") or ablation not in (None, "I", "II") or reduction not in (None, "mean", "sum"):
            raise ParameterError(
                "expected strategy 's', 't' or 'd', ablation None, 'I' or 'II', and reduction None, 'mean' or 'sum', but got "
                f"{strategy=}, {ablation=}, {reduction=}"
            )
        if not 0 <= alpha <= 1 or min(gamma_pos, gamma_neg) < 0 or hidden < 1 or (low_rank is not None and low_rank < 1):
            raise ParameterError(
                "expected alpha in [0, 1], gamma_pos and gamma_neg >= 0, hidden >= 1 and low_rank >= 1 or None, but got "
                f"{alpha=}, {gamma_pos=}, {gamma_neg=}, {hidden=}, {low_rank=}"
            )
        if min(epochs, batch_size) < 1 or lr <= 0 or weight_decay < 0:
            raise ParameterError(
                "expected epochs and batch_size >= 1, lr > 0 and weight_decay >= 0, but got "
                f"{epochs=}, {batch_size=}, {lr=}, {weight_decay=}"
            )
        super().__init__(beta=beta)
        if mimic if swap is None else swap:
            alpha, self.beta = beta, alpha
        self.alpha = 1.0 if ablation == "II" else alpha
        self.beta = 0.0 if ablation == "I" else self.beta
        self.strategy, self.gamma_pos, self.gamma_neg, self.epsilon = strategy, gamma_pos, gamma_neg, epsilon
        self.hidden, self.low_rank = hidden, low_rank
        self.reduction = reduction or ("sum" if mimic else "mean")
        self.double_norm = mimic if double_norm is None else double_norm
        self.decay_biases = mimic if decay_biases is None else decay_biases
        self.epochs, self.batch_size, self.lr, self.weight_decay = epochs, batch_size, lr, weight_decay

    def fit_transform(self, X: ArrayLike, Y: ArrayLike, *, seed: int = 0) -> Float[Array, "n q"]:
        """Return the label distributions that the estimator arrives at beside a linear model, trained with AdamW (AMSGrad).

        Args:
            X: Features (n, d), dense or sparse.
            Y: Labels (n, q), 0 or 1.
            seed: Decides first weights and the order of rows.

        Raises:
            DataError: Shapes do not fit, a feature is not finite, or a label is not 0 or 1.
            ParameterError: There is one label only.
        """
        table = Table(Dataset(*checked(X, Y)))
        companion = self.companion(table, table.d, seed=seed)
        with seeded(seed):
            model = nn.Linear(table.d, table.q)
            nn.init.kaiming_normal_(model.weight)
            nn.init.zeros_(model.bias)
            self._train(model, companion, table)
        companion.eval()
        with torch.no_grad():
            found = torch.cat([companion.distributions(batch, batch.x) for batch in table.blocks(1024)]).double()
        normed: Array = (found / found.sum(dim=1, keepdim=True)).numpy()
        return normed

    def companion(self, train: Table, width: int, *, seed: int = 0) -> "Estimating":
        """Return the estimator that trains beside a model on these rows.

        Args:
            train: Training rows.
            width: Number of features that it will be shown of each row.
            seed: Decides the first weights.

        Raises:
            DataError: A label is unknown.
            ParameterError: There is one label only.
        """
        if train.q < 2:
            raise ParameterError(
                "expected at least two labels, but got q=1: a distribution over one label is always 1; leave label enhancement out"
            )
        if train.has_unknown_labels:
            raise DataError("expected known labels for label enhancement, but some are unknown (NaN); drop their rows or fill them in")
        if train.q > MANY_LABELS and self.low_rank is None:
            warnings.warn(
                f"FLEM's estimator has a layer of {train.q} x {train.q} weights for {train.q} labels; set low_rank, for example to 64",
                stacklevel=2,
            )
        with seeded(seed):
            network = ResidualEstimator(width, train.q, hidden=self.hidden, low_rank=self.low_rank, double_norm=self.double_norm)
            return Estimating(network, self).to(train.device)

    def _train(self, model: nn.Linear, companion: "Estimating", table: Table) -> None:
        """Train a linear model and the estimator together."""
        own = companion.model_groups(model, [{"params": list(model.parameters()), "lr": self.lr}])
        groups = [*own, *companion.param_groups(self.lr)]
        optimizer = build_optimizer(torch.optim.AdamW, groups, lr=self.lr, weight_decay=self.weight_decay, amsgrad=True)

        def loss(rows: Tensor) -> Tensor:
            batch = table[rows]
            logits = model(batch.x)
            guidance = companion(batch, batch.x, logits.detach())
            divergence = distribution_loss(logits, guidance.distribution).mean()
            classification = functional.binary_cross_entropy_with_logits(logits, batch.y)
            return self.beta * divergence + (1 - self.beta) * classification + guidance.loss

        descend(loss, optimizer, table.n, epochs=self.epochs, batch_size=self.batch_size)


class Estimating(Companion):
    """The estimator of FLEM at work: label distributions for the model, and a loss of its own.

    Args:
        network: Returns z from features and labels.
        settings: The losses and their weights.
    """

    def __init__(self, network: ResidualEstimator, settings: FLEM) -> None:
        super().__init__()
        self.network, self.settings = network, settings

    def forward(self, batch: Batch, features: Tensor, logits: Float[Tensor, "b q"]) -> Guidance:
        """Return ``softmax(z)`` and ``alpha L_LE + (1 - alpha) L_IN``, whose parts are ``enhancement`` and ``interaction``.

        Args:
            batch: Its labels may be soft, in [0, 1]; half and more is relevant to strategy ``"t"``.
            features: Shape (b, width).
            logits: What the model makes of the batch.

        Raises:
            DataError: A label is not in [0, 1].
        """
        if not bool(((batch.y >= 0) & (batch.y <= 1)).all()):
            raise DataError(
                f"expected labels in [0, 1], but got values from {float(batch.y.min())} to {float(batch.y.max())}; FLEM cannot leave "
                "unknown labels (NaN) out: drop their rows or fill them in"
            )
        features, logits = features.detach(), logits.detach()
        z = self.network(features, batch.y)
        with torch.autocast(z.device.type, enabled=False):  # logarithms need the digits
            z, logits, features = at_least_float32(z), at_least_float32(logits), at_least_float32(features)
            alpha = self.settings.alpha
            enhancement = self._enhancement_loss(z, logits, features, batch.y)
            interaction = interaction_loss(z, logits, batch.y, self.settings.gamma_pos, self.settings.gamma_neg)
            loss = alpha * enhancement + (1 - alpha) * interaction
            distribution = z.detach().softmax(dim=1)
        parts = {"estimator": loss.detach(), "enhancement": enhancement.detach(), "interaction": interaction.detach()}
        return Guidance(distribution, loss, parts)

    def distributions(self, batch: Batch, features: Tensor) -> Float[Tensor, "b q"]:
        """Return ``softmax(z)`` of the rows."""
        return at_least_float32(self.network(features.detach(), batch.y)).softmax(dim=1)

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the weights, under the optimiser's weight decay, and biases with batch norm, under none; or as ``decay_biases`` says."""
        if self.settings.decay_biases:
            return _biases_apart(self, [{"params": list(self.parameters()), "lr": lr}])
        decayed = [parameter for parameter in self.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.parameters() if parameter.ndim <= 1]
        return [{"params": decayed, "lr": lr}, {"params": others, "lr": lr, "weight_decay": 0.0}]

    def model_groups(self, model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the model's groups as they are, or, where ``decay_biases`` is set, its biases in groups of their own."""
        return _biases_apart(model, groups) if self.settings.decay_biases else groups

    def _enhancement_loss(self, z: Tensor, logits: Tensor, features: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Return L_LE by the chosen strategy."""
        if self.settings.strategy == "s":
            return similarity_loss(z, features)
        if self.settings.strategy == "t":
            terms = threshold_loss(z, y, self.settings.epsilon)
            return terms.sum() if self.settings.reduction == "sum" else terms.mean()
        return distribution_loss(z, logits.softmax(dim=1)).mean()


def _biases_apart(module: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups, each without its biases and followed by one of them that has the weight decay of the authors' code."""
    biases = {id(parameter) for name, parameter in module.named_parameters() if name.rsplit(".", 1)[-1] == "bias"}
    split = []
    for group in groups:
        parts = [[p for p in group["params"] if (id(p) in biases) == which] for which in (False, True)]
        split.append({**group, "params": parts[0]})
        split.append({**group, "params": parts[1], "weight_decay": BIAS_DECAY})
    return [group for group in split if group["params"]]
