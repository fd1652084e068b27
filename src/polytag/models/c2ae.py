"""C2AE: features and labels meet in one space, from which the labels are read back."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.losses import instance_weight
from polytag.losses.pairwise import pairwise_exponential
from polytag.models.base import MultiLabelModel, Objective, Preset
from polytag.models.schedules import exponential
from polytag.registry import register
from polytag.types import Batch

_STEEPNESS = 5.0
"""Scale of the pairwise loss, by which the published code also divides it."""


@register("model", "c2ae")
class C2AE(MultiLabelModel):
    """Learns a small space in which a row's features and its label set lie at the same place, and a decoder from there to labels.

    Three networks: A = Fx(x) and E = Fe(y) map features and labels to k = ``reduction * q`` coordinates in (-0.5, 0.5), Fd maps
    coordinates to label scores. In training the decoder sees E, in prediction A::

        |A - E|^2 + orthogonality (|A'A - I|^2 + |E'E - I|^2) + output_weight sum_b PairExp(Fd(E_b), y_b; 5) / 5 + l2 sum_W |W|^2

    with sums over the batch, and ``PairExp`` the mean of ``exp(-5 (s_p - s_n))`` over pairs of a relevant and an irrelevant label.

    Args:
        d: Number of features.
        q: Number of labels.
        hidden: Width of the hidden layers: two in Fx, one in Fe and in Fd.
        reduction: Coordinates of the space as a share of q; at least one.
        output_weight: Weight of the pairwise loss.
        orthogonality: Weight of the constraint that coordinates be orthonormal over the batch.
        l2: Weight of the squared weights (biases are free).
        missing: Labels enter Fe as ``1 / #known positives`` and ``-1 / #known negatives`` instead of 1 and 0, and unknown ones as 0;
            by default this is so where a label of the training rows is unknown.
        compat: ``"authors"``: with ``missing``, a row without a known positive, or without a known negative, enters as zeros only.

    Raises:
        ParameterError: A number makes no sense.

    Cost: a step O(b h (d + h + k + q) + b k^2); the pairs cost O(b q), no table of label pairs is built. Prediction O(b h (d + h + k + q)).

    Reference: Yeh, Wu, Ko and Wang, "Learning deep latent spaces for multi-label classification", AAAI 2017.

    Differs: the orthonormality holds for sums over the batch, so its weight means something else in batches of another size. RMSprop with
        momentum stands for the authors' hand-written optimiser, with momentum 0.9, since 0.99 (preset ``authors``, with their batch of 500)
        is unstable on small data. Rows without relevant or without irrelevant labels have no pairs and cost nothing. The scores are trained
        to rank, not to be probabilities: at 0.5 too many labels are predicted, as in the published results. Under weights of instances
        the rows of A and E are multiplied by their square roots in the orthonormality. Preset ``adabatch``: how the batch-selection
        papers train all models.

    Example:
        >>> model = C2AE(4, 3).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "lr": 1e-4,
        "weight_decay": 0.0,
        "batch_size": 128,
        "epochs": 50,
        "optimizer": torch.optim.RMSprop,
        "optimizer_params": {"alpha": 0.9, "momentum": 0.9},
        "schedule": exponential(0.98),
    }
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "authors": Preset({}, {"batch_size": 500, "optimizer_params": {"alpha": 0.9, "momentum": 0.99}}),
        "adabatch": Preset(
            {}, {"optimizer": torch.optim.Adam, "optimizer_params": {}, "schedule": None, "weight_decay": 1e-4, "epochs": 100}
        ),
    }
    BATCH_TERMS: ClassVar[bool] = True

    def __init__(
        self,
        d: int,
        q: int,
        *,
        hidden: int = 512,
        reduction: float = 0.8,
        output_weight: float = 0.5,
        orthogonality: float = 0.5,
        l2: float = 1e-3,
        missing: bool = False,
        compat: str | None = None,
    ) -> None:
        super().__init__()
        if hidden < 1 or reduction <= 0 or min(output_weight, orthogonality, l2) < 0 or compat not in (None, "authors"):
            raise ParameterError(
                "expected hidden >= 1, reduction > 0, output_weight, orthogonality, l2 >= 0 and compat None or 'authors', but got "
                f"{hidden=}, {reduction=}, {output_weight=}, {orthogonality=}, {l2=}, {compat=}"
            )
        k = max(1, round(reduction * q))
        self.features, self.labels, self.decoder = _network([d, hidden, hidden, k]), _network([q, hidden, k]), _network([k, hidden, q])
        self.output_weight, self.orthogonality, self.l2 = output_weight, orthogonality, l2
        self.missing, self.compat = missing, compat

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Say whether labels of the training rows are unknown."""
        return {"missing": train.has_unknown_labels}

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits, decoded from the features."""
        return self.decoder(self._place(self.features, x))  # type: ignore[no-any-return]

    def objective(self, batch: Batch) -> Objective:
        """Return the loss, summed over the batch; the logits are those of prediction, which the decoder is not trained on."""
        places = self._place(self.features, batch.x)
        of_labels = self._place(self.labels, self.label_input(batch.y).to(batch.x.dtype))
        decoded = self.decoder(of_labels)
        with torch.no_grad():
            logits = self.decoder(places)
        with torch.autocast(batch.x.device.type, enabled=False):
            dtype = torch.promote_types(places.dtype, torch.float32)
            places, of_labels, scores = places.to(dtype), of_labels.to(dtype), decoded.to(dtype).sigmoid()
            weight = None if batch.weight is None else instance_weight(batch.weight).to(dtype)
            embedding = self._embedding(places, of_labels, weight)
            pairs = pairwise_exponential(scores, batch.y, _STEEPNESS) / _STEEPNESS
            output = self.output_weight * (pairs if weight is None else pairs * weight).sum()
            squares = self.l2 * torch.stack([layer.weight.square().sum() for layer in self.modules() if isinstance(layer, nn.Linear)]).sum()
        parts = {"embedding": embedding.detach(), "output": output.detach(), "l2": squares.detach()}
        return Objective(embedding + output + squares, logits, parts)

    def label_input(self, y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return what the label network reads: the labels, unknown ones as 0, or their scaled form if some are ``missing``."""
        if not self.missing:
            return y.nan_to_num()
        relevant, irrelevant = (y == 1).to(y.dtype), (y == 0).to(y.dtype)
        counts = [side.sum(dim=1, keepdim=True) for side in (relevant, irrelevant)]
        scaled = relevant / counts[0].clamp(min=1) - irrelevant / counts[1].clamp(min=1)
        return scaled * ((counts[0] > 0) & (counts[1] > 0)) if self.compat == "authors" else scaled

    def _place(self, network: nn.Module, values: Tensor) -> Float[Tensor, "b k"]:
        """Return coordinates in (-0.5, 0.5)."""
        return network(values).sigmoid() - 0.5  # type: ignore[no-any-return]

    def _embedding(self, places: Tensor, of_labels: Tensor, weight: Tensor | None) -> Float[Tensor, ""]:
        """Return the distance of features and labels, and how far both are from being orthonormal over the batch."""
        if weight is not None:
            root = weight.clamp(min=0).sqrt()[:, None]
            places, of_labels = places * root, of_labels * root
        unit = torch.eye(places.shape[1], dtype=places.dtype, device=places.device)
        apart = (places - of_labels).square().sum()
        crooked = sum(((side.T @ side) - unit).square().sum() for side in (places, of_labels))
        return apart + self.orthogonality * crooked


def _network(sizes: Sequence[int]) -> nn.Sequential:
    """Stack linear layers with leaky ReLUs between them, started as in the published code; the last one is read through a sigmoid."""
    layers: list[nn.Module] = []
    for width, out in pairwise(sizes):
        layer, last = nn.Linear(width, out), len(layers) == 2 * (len(sizes) - 2)
        bound = 4 * math.sqrt(6 / (width + out)) if last else 0.01
        nn.init.uniform_(layer.weight, -bound, bound)
        nn.init.uniform_(layer.bias, 0.0, 0.0 if last else 0.1)
        layers += [layer] if last else [layer, nn.LeakyReLU(0.1, inplace=True)]
    return nn.Sequential(*layers)
