"""BP-MLL: the first neural network for multi-label classification, trained to rank relevant labels above irrelevant ones."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polytag.data.table import Table
from polytag.errors import DataError, ParameterError
from polytag.losses import Loss, instance_weight
from polytag.losses.base import at_least_float32
from polytag.losses.pairwise import number_of_pairs, pairwise_exponential
from polytag.models.base import MultiLabelModel, Objective, Preset
from polytag.registry import register
from polytag.types import Batch

_OUTSIDE = 0.1
"""How far beyond all outputs a threshold lies that no output, or every output, is to pass."""


@register("model", "bpmll")
class BPMLL(MultiLabelModel):
    """A small network whose outputs, between -1 and 1, rank the labels of a row: relevant ones shall come out above irrelevant ones.

    ``c(x) = tanh(W2 tanh(W1 x' + b1) + b2)`` with ``x' = span (2 x - 1)``, and for a row with relevant labels Y and irrelevant ones N::

        1 / (|Y| |N|) sum_{p in Y} sum_{n in N} exp(-(c_p - c_n))

    averaged over the rows that have both. ``sigmoid`` of the logits is ``(c + 1) / 2``: a score in (0, 1), not a calibrated probability.
    How many labels a row has is a question of its own: ``fit_threshold`` learns a threshold ``t(x) = w'c(x) + b`` after training, and
    ``decide`` predicts the labels with ``c_j > t(x)``.

    Args:
        d: Number of features.
        q: Number of labels; at least two, since one label cannot be ranked.
        hidden: Width of the hidden layer; ``None`` is a fifth of the features, at least 1.
        span: Features, which arrive in [0, 1], are stretched to [-span, span]; ``None`` takes them as they are.
        loss: Replaces the ranking loss, on the logits.

    Raises:
        ParameterError: A number makes no sense, or there is one label only.

    Cost: O(b hidden (d + q)) a step and for prediction; the pairs cost O(b q).

    Reference: Zhang and Zhou, "Multilabel neural networks with applications to functional genomics and text categorization", TKDE 2006.

    Differs: batches of 32 rows instead of single ones, and a weight decay of 1e-5. Preset ``paper`` trains row by row, with a weight decay
        that takes 1e-5 of each weight at each update, as Mulan does; the paper adds 0.1 times the squared weights to the sum over all
        rows, which is as much at 1000 rows. Mulan's early stop never fires, so there is none. Preset ``adam``: Adam at 1e-3.

    Example:
        >>> model = BPMLL(10, 3)
        >>> model.outputs(torch.zeros(2, 10)).shape, model.decide(torch.zeros(2, 10)).shape
        (torch.Size([2, 3]), torch.Size([2, 3]))
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "lr": 0.05,
        "weight_decay": 1e-5,
        "batch_size": 32,
        "epochs": 100,
        "optimizer": torch.optim.SGD,
    }
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset({}, {"batch_size": 1, "weight_decay": 2e-4}),  # PyTorch multiplies by the learning rate: 0.05 * 2e-4 = 1e-5
        "adam": Preset({}, {"optimizer": torch.optim.Adam, "lr": 1e-3}),
    }

    threshold_weight: Tensor
    threshold_bias: Tensor

    def __init__(self, d: int, q: int, *, hidden: int | None = None, span: float | None = 0.8, loss: Loss | None = None) -> None:
        super().__init__()
        if q < 2:
            raise ParameterError(f"BP-MLL ranks labels against each other and needs q >= 2, but got {q=}; take model='mlp' for one label")
        if (hidden is not None and hidden < 1) or not (span is None or span > 0):
            raise ParameterError(f"expected hidden >= 1 or None and span > 0 or None, but got {hidden=}, {span=}")
        width = max(1, round(0.2 * d)) if hidden is None else hidden
        self.hidden, self.output = nn.Linear(d, width), nn.Linear(width, q)
        self.span, self.loss = span, loss
        self.register_buffer("threshold_weight", torch.zeros(q))
        self.register_buffer("threshold_bias", torch.zeros(()))

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits ``log((1 + c) / (1 - c))``, which are twice what goes into the last tanh: exact also where c rounds to 1."""
        return 2 * self._raised(x)

    def objective(self, batch: Batch) -> Objective:
        """Return the mean loss of the rows that have relevant and irrelevant labels among the known ones."""
        raised = self._raised(batch.x)
        logits = 2 * raised
        if self.loss is not None:
            return Objective(self.loss(logits, batch.y, batch.weight), logits)
        with torch.autocast(batch.x.device.type, enabled=False):
            values = pairwise_exponential(at_least_float32(raised).tanh(), batch.y)
            if batch.weight is not None:
                values = values * instance_weight(batch.weight).to(values)
            counted = (number_of_pairs(batch.y) > 0).sum().clamp(min=1)
            return Objective(values.sum() / counted, logits)

    def outputs(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the outputs c of the network, between -1 and 1."""
        return at_least_float32(self._raised(x)).tanh()

    def _raised(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return what goes into the last tanh."""
        inputs = x if self.span is None else self.span * (2 * x - 1)
        return self.output(self.hidden(inputs).tanh())  # type: ignore[no-any-return]

    @torch.no_grad()
    def fit_threshold(self, table: Table, *, midpoint: bool = False, batch_size: int = 1024) -> None:
        """Learn the threshold ``t(x) = w'c(x) + b`` by least squares on the training rows; call it once the network is trained.

        Its weights belong to ``state_dict``. Before it is called they are zero, and ``decide`` cuts the scores at one half.

        Args:
            table: The training rows. Unknown labels take no part in a row's target; rows without known labels are left out.
            midpoint: Take Mulan's targets instead, see ``threshold_targets``.
            batch_size: Rows at a time.

        Raises:
            DataError: No row has a known label.

        Cost: O(n (d hidden + q^2)) time, O(n q) memory.
        """
        blocks = list(table.blocks(batch_size))
        outputs = torch.cat([self.outputs(block.x.to(self.hidden.weight.dtype)).double().cpu() for block in blocks])
        y = torch.cat([block.y.double().cpu() for block in blocks])
        known = (~y.isnan()).any(dim=1)
        if not bool(known.any()):
            raise DataError(f"expected rows with known labels to fit a threshold on, but all labels of the {table.n} rows are unknown")
        outputs, targets = outputs[known], threshold_targets(outputs[known], y[known], midpoint=midpoint)
        design = torch.cat([outputs, torch.ones(len(outputs), 1, dtype=outputs.dtype)], dim=1)
        # The driver that takes columns which depend on each other, as with saturated outputs, or with fewer rows than labels.
        solution = torch.linalg.lstsq(design, targets[:, None], driver="gelsd").solution[:, 0]
        self.threshold_weight.copy_(solution[:-1])
        self.threshold_bias.copy_(solution[-1])

    @torch.no_grad()
    def decide(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the predicted labels, 1 where ``c_j > t(x)`` and 0 elsewhere."""
        outputs = self.outputs(x)
        threshold = outputs @ self.threshold_weight.to(outputs) + self.threshold_bias.to(outputs)
        return (outputs > threshold[:, None]).to(outputs.dtype)


def threshold_targets(outputs: Float[Tensor, "n q"], y: Float[Tensor, "n q"], *, midpoint: bool = False) -> Float[Tensor, "n"]:
    """Return, for each row, the threshold that parts its relevant labels from the irrelevant ones with the fewest errors.

    It minimises ``|{p in Y: c_p <= t}| + |{n in N: c_n >= t}|``. The minimum is reached between two neighbouring outputs, of which the
    middle is taken, or beyond all of them, where it stays 0.1 away: so a row without relevant labels gets ``max c + 0.1`` and one without
    irrelevant labels ``min c - 0.1``. Where several gaps are equally good the lowest is taken.

    Args:
        outputs: Outputs c.
        y: Labels 0, 1 or NaN; unknown labels take no part. Each row has a known one.
        midpoint: Take ``(min_Y c + max_N c) / 2`` where there are both, as Mulan does; it is the same as long as no relevant label comes
            out below an irrelevant one.

    Cost: O(n q log q).

    Example:
        >>> c, y = torch.tensor([[0.5, 0.1, -0.3], [0.5, 0.1, -0.3]]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> threshold_targets(c, y)
        tensor([0.3000, 0.6000])
    """
    relevant, irrelevant = y == 1, y == 0
    known = relevant | irrelevant
    rising, order = outputs.masked_fill(~known, torch.inf).sort(dim=1)  # unknown labels last
    count = known.sum(dim=1, keepdim=True)
    lowest, highest = rising[:, :1], rising.gather(1, count - 1)
    if midpoint:
        middle = (outputs.masked_fill(~relevant, torch.inf).amin(dim=1) + outputs.masked_fill(~irrelevant, -torch.inf).amax(dim=1)) / 2
        full, empty = ~irrelevant.any(dim=1), ~relevant.any(dim=1)
        return middle.where(~empty, highest[:, 0] + _OUTSIDE).where(~full, lowest[:, 0] - _OUTSIDE)
    below, above = relevant.gather(1, order).cumsum(dim=1), irrelevant.gather(1, order).cumsum(dim=1)
    missed = torch.cat([torch.zeros_like(count), below], dim=1)
    errors = missed + above[:, -1:] - torch.cat([torch.zeros_like(count), above], dim=1)
    edges = torch.cat([lowest - 2 * _OUTSIDE, rising.where(rising.isfinite(), highest + 2 * _OUTSIDE), highest + 2 * _OUTSIDE], dim=1)
    no_gap = edges[:, 1:] <= edges[:, :-1]  # no threshold passes between equal outputs
    best = errors.masked_fill(no_gap, outputs.shape[1] + 1).argmin(dim=1, keepdim=True)
    return ((edges.gather(1, best) + edges.gather(1, best + 1)) / 2)[:, 0]
