"""Label enhancement: from labels that are there or not to how much each of them describes a row."""

import abc
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.data.table import Table
from polytag.data.targets import complete_labels
from polytag.errors import DataError, ParameterError
from polytag.losses.base import at_least_float32
from polytag.types import Array, ArrayLike, Batch


class Guidance(NamedTuple):
    """What a companion has to say about one batch.

    Attributes:
        distribution: Label distributions that the model shall learn, shape (b, q), rows sum to 1; detached.
        loss: What the companion itself minimises; no gradient of it reaches the model. 0 where nothing is learnt beside the model.
        parts: Named parts of that loss, detached.
    """

    distribution: Float[Tensor, "b q"]
    loss: Float[Tensor, ""]
    parts: dict[str, Tensor] = {}  # noqa: RUF012  (never written to)


class Companion(nn.Module, abc.ABC):
    """What stands beside a model while it trains, and says of each batch how much each label describes each row.

    It sees labels and is never asked in prediction.
    """

    @abc.abstractmethod
    def forward(self, batch: Batch, features: Tensor, logits: Float[Tensor, "b q"]) -> Guidance:
        """Return the label distributions of a batch.

        Args:
            batch: Its rows and labels.
            features: What describes each row, shape (b, p): the features of a table, or what the model's encoder makes of it; detached.
            logits: What the model makes of the batch; detached.
        """

    @abc.abstractmethod
    def distributions(self, batch: Batch, features: Tensor) -> Float[Tensor, "b q"]:
        """Return the label distributions of a batch as they are now, for export and plots."""

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups; by default one with all parameters at ``lr``."""
        parameters = list(self.parameters())
        return [{"params": parameters, "lr": lr}] if parameters else []

    def model_groups(self, model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the optimiser's groups of the model beside it, for a method whose authors decay its parameters in a way of their own.

        Args:
            model: What predicts.
            groups: Its own groups; by default they stay as they are.
        """
        return groups

    def __call__(self, *args: Any, **kwargs: Any) -> Guidance:
        """Typed door to ``forward``."""
        return cast(Guidance, super().__call__(*args, **kwargs))


class Enhancer(abc.ABC):
    """A way to recover label distributions from features and labels.

    A two-stage method defines ``fit_transform``, and a model then learns its labels and the recovered distributions. A one-stage method,
    which learns together with the model, defines ``companion`` as well.

    Args:
        beta: Share of the label-distribution loss in what the model minimises, ``beta * distribution + (1 - beta) * its own loss``.

    Raises:
        ParameterError: ``beta`` is not in [0, 1].
    """

    def __init__(self, *, beta: float = 0.01) -> None:
        if not 0 <= beta <= 1:
            raise ParameterError(f"expected 0 <= beta <= 1, but got {beta!r}")
        self.beta = beta

    @abc.abstractmethod
    def fit_transform(self, X: ArrayLike, Y: ArrayLike, *, seed: int = 0) -> Float[Array, "n q"]:
        """Return the label distribution of each row, shape (n, q), float64, rows sum to 1.

        Args:
            X: Features (n, d), dense or sparse.
            Y: Labels (n, q), 0 or 1.
            seed: Decides what is left to chance.

        Raises:
            DataError: Shapes do not fit, a feature is not finite, or a label is not 0 or 1.
        """

    def companion(self, train: Table, width: int, *, seed: int = 0) -> Companion:
        """Return what guides a model that trains on these rows; by default the distributions recovered beforehand.

        Args:
            train: Training rows.
            width: Number of features that the companion will be shown of each row.
            seed: Decides what is left to chance.

        Raises:
            DataError: The rows have no fixed features to recover distributions from.
        """
        if train.kind != "table" and train.dataset.view is None:
            raise DataError(
                f"expected a table of features to recover label distributions from, but got {train.kind}; turn the rows into features "
                "first (polytag features), or give the data set a view"
            )
        found = self.fit_transform(train.dataset.features, train.dataset.Y, seed=seed)
        return Recovered(torch.as_tensor(found, dtype=torch.float32, device=train.device))


class Recovered(Companion):
    """Label distributions that are known before training.

    Args:
        distributions: Those of all training rows, shape (n, q).
    """

    def __init__(self, distributions: Float[Tensor, "n q"]) -> None:
        super().__init__()
        self.known: Tensor
        self.register_buffer("known", distributions, persistent=False)

    def forward(self, batch: Batch, features: Tensor, logits: Float[Tensor, "b q"]) -> Guidance:
        """Return the distributions of the batch's rows, and nothing to minimise."""
        return Guidance(self.distributions(batch, features), logits.new_zeros(()))

    def distributions(self, batch: Batch, features: Tensor) -> Float[Tensor, "b q"]:
        """Return the distributions of the batch's rows."""
        return self.known[batch.rows]


def distribution_loss(logits: Float[Tensor, "b q"], distribution: Float[Tensor, "b q"]) -> Float[Tensor, "b"]:
    """Return how far ``softmax(logits)`` is from each row's label distribution, as the Kullback-Leibler divergence; shape (b,).

    ``sum_j d_j (log d_j - log softmax(s)_j)``: 0 where they agree, the same gradient in the logits as
    the cross-entropy, ``softmax(s) - d``.
    No gradient reaches the distributions.

    Args:
        logits: Shape (b, q); adding a number to a row changes nothing.
        distribution: Rows sum to 1.
    """
    wide = at_least_float32(logits)
    target = distribution.detach().to(wide)
    return functional.kl_div(functional.log_softmax(wide, dim=1), target, reduction="none").sum(dim=1)


def checked(X: ArrayLike, Y: ArrayLike) -> tuple[Any, Array]:
    """Return features (dense or CSR, float64) and labels (dense, float64, shape (n, q)) after checking them.

    Raises:
        DataError: Shapes do not fit, there are no rows, features or labels, a feature is not finite, or a label is not 0 or 1.
    """
    Y = complete_labels(Y)
    X = X.tocsr().astype(np.float64) if hasattr(X, "tocsr") else np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or Y.ndim != 2 or X.shape[0] != Y.shape[0] or 0 in (*X.shape, *Y.shape):
        raise DataError(f"expected X of shape (n, d) and Y of shape (n, q) with n, d, q >= 1, but got {X.shape} and {Y.shape}")
    if not np.isfinite(X.data if hasattr(X, "indptr") else X).all():
        raise DataError("expected finite features, but some are NaN or infinite; fill them in first, for example with Preparation(...)")
    return X, np.asarray(Y, dtype=np.float64)
