"""TabM: many small networks in one, for tables."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.losses import BCE, Loss, log_odds
from polytag.losses.base import at_least_float32
from polytag.models.base import MultiLabelModel, Objective
from polytag.nn import layer_widths
from polytag.nn.numeric import PiecewiseLinear, QuantileNormal, quantile_knots
from polytag.registry import register
from polytag.types import Batch

Variant = Literal["tabm", "tabm_mini", "packed"]
Inputs = Literal["quantile", "scaled", "piecewise"]


@register("model", "tabm")
class TabM(MultiLabelModel):
    """Trains k small networks at once that share most of their weights, and predicts the mean of their probabilities.

    Layer l of member m is ``relu(s_m * (W (r_m * h)) + c_m)`` with one W for all members; r, s and c are vectors of its own. In the first
    layer r starts with random signs, so that each member sees other features of the data; all other r and s start at 1. Each member has
    an output layer of its own. Members are trained side by side, each on its own loss; the loss of a batch is their mean. The members err
    differently, and the mean over them errs less.

    Args:
        d: Number of features.
        q: Number of labels.
        k: Number of members.
        hidden: Widths of the hidden layers, or the width of a single one.
        dropout: Probability of dropping a hidden unit in training; each member drops its own.
        variant: ``"tabm"``; ``"tabm_mini"``: nothing but the first r and the outputs belongs to a member; ``"packed"``: members share
            nothing.
        inputs: ``"quantile"``: numbers become normal scores of their ranks, flags and sparse features stay (``QuantileNormal``);
            ``"piecewise"``: every feature is cut into ``bins`` pieces (``PiecewiseLinear``); ``"scaled"``: as they come.
        bins: Pieces of a feature.
        prior_bias: Start the outputs at the log-odds of each label in the training rows.
        knots: Quantiles of the training features (d, 64), from ``context``; without them the features are taken to be spread evenly over
            [0, 1].
        prior: Log-odds of the labels (q,), from ``context``.
        loss: What each member minimises; ``None`` is binary cross-entropy.

    Raises:
        ParameterError: A number or a name makes no sense.

    Cost: a step O(k b (d h + h^2 + h q)) with hidden layers of width h; the weights are those of one network and k vectors a layer, but
        for the outputs. The first layer multiplies x with ``W * r_m``, one member at a time, instead of making k copies of the batch, and
        needs no gradient in x.

    Reference: Gorishniy, Kotelnikov and Babenko, "TabM: Advancing tabular deep learning with parameter-efficient ensembling", ICLR 2025;
        the shared layers: Wen, Tran and Ba, "BatchEnsemble: an alternative approach to efficient ensemble and lifelong learning", ICLR
        2020.

    Differs: multi-label: each member has q outputs, and the probability of each label is averaged; k = 16 instead of 32
        and two layers of 256 units are this library's choice; inputs, dropout and learning rate were chosen on inner folds of training
        rows. r, s and biases are not decayed. The quantile map has 64 quantiles, bounded scores and no noise, and leaves 0/1 and sparse
        features alone.

    Example:
        >>> model = TabM(4, 3, k=2, hidden=[8]).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "lr": 2e-3, "weight_decay": 1e-2, "optimizer": torch.optim.AdamW, "batch_size": 128, "epochs": 200, "patience": 16,
        "monitor": "loss",
    }  # fmt: skip

    def __init__(
        self,
        d: int,
        q: int,
        *,
        k: int = 16,
        hidden: int | Sequence[int] = (256, 256),
        dropout: float = 0.5,
        variant: Variant = "tabm",
        inputs: Inputs = "quantile",
        bins: int = 8,
        prior_bias: bool = False,
        knots: Float[Tensor, "d count"] | None = None,
        prior: Float[Tensor, "q"] | None = None,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        widths = layer_widths("hidden", hidden)
        if min(k, bins) < 1 or not widths or not 0 <= dropout < 1:
            raise ParameterError(
                "expected k >= 1, bins >= 1, at least one hidden layer and 0 <= dropout < 1, but got "
                f"{k=}, {bins=}, hidden={widths}, {dropout=}"
            )
        if variant not in get_args(Variant) or inputs not in get_args(Inputs):
            raise ParameterError(
                f"expected a variant of {get_args(Variant)} and inputs of {get_args(Inputs)}, but got {variant=}, {inputs=}"
            )
        knots = torch.linspace(0, 1, 64).repeat(d, 1) if knots is None else knots
        self.inputs: nn.Module = nn.Identity()
        if inputs == "quantile":
            self.inputs = QuantileNormal(knots)
        elif inputs == "piecewise":
            self.inputs = PiecewiseLinear(_spaced(knots, bins + 1))
        group = bins if inputs == "piecewise" else 1
        sizes = [d * group, *widths]
        self.hidden = nn.ModuleList(
            _MemberLinear(k, width, out, variant, first=n == 0, group=group) for n, (width, out) in enumerate(pairwise(sizes))
        )
        self.dropout = nn.Dropout(dropout)
        self.output = _MemberLinear(k, sizes[-1], q, "packed")
        if prior_bias:
            if prior is None:
                raise ParameterError("expected the log-odds of the labels, prior=..., for prior_bias=True; TabM.from_data passes them")
            self.output.start_at(prior)
        self.loss = BCE() if loss is None else loss

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return the quantiles of the features and the log-odds of the labels."""
        return {"knots": quantile_knots(train), "prior": log_odds(train)}

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logit of the probability averaged over the members."""
        return averaged(self.members(x))

    def members(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "k b q"]:
        """Return the logits of each member."""
        h = self.inputs(x)
        for layer in self.hidden:
            h = self.dropout(layer(h).relu())
        return self.output(h)  # type: ignore[no-any-return]

    def objective(self, batch: Batch) -> Objective:
        """Return the mean over the members of their losses, and the logits of the averaged probability."""
        members = self.members(batch.x)
        k = len(members)
        weight = None if batch.weight is None else batch.weight.repeat(k, *[1] * (batch.weight.ndim - 1))
        return Objective(self.loss(members.flatten(0, 1), batch.y.repeat(k, 1), weight), averaged(members))

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return two groups: matrices, which are decayed, and the vectors of the members, which are not."""
        layers = [*self.hidden, self.output]
        matrices = [layer.get_parameter("weight") for layer in layers]
        vectors = [p for p in self.parameters() if not any(p is weight for weight in matrices)]
        return [{"params": matrices, "lr": lr}, {"params": vectors, "lr": lr, "weight_decay": 0.0}]


class _MemberLinear(nn.Module):
    """A linear layer of k members: their own weights (``packed``), or a shared matrix between vectors of their own.

    Args:
        k: Members.
        width: Inputs.
        out: Outputs.
        variant: See ``TabM``.
        first: Whether this is the first layer, in which the members part.
        group: Inputs that belong to one feature and start with the same sign.
    """

    def __init__(self, k: int, width: int, out: int, variant: Variant, first: bool = False, group: int = 1) -> None:
        super().__init__()
        own, bound = variant == "packed", width**-0.5
        self.weight = nn.Parameter(torch.empty(*[k] * own, out, width).uniform_(-bound, bound))
        bias = torch.empty(*[k] * own, out).uniform_(-bound, bound)
        self.bias = nn.Parameter(bias.repeat(k, 1) if variant == "tabm" else bias)
        signs = (torch.randint(2, (k, width // group)) * 2.0 - 1).repeat_interleave(group, dim=1)
        self.r = nn.Parameter(signs if first else torch.ones(k, width)) if variant == "tabm" or (first and not own) else None
        self.s = nn.Parameter(torch.ones(k, out)) if variant == "tabm" else None

    def forward(self, h: Tensor) -> Float[Tensor, "k b out"]:
        """Return the outputs of all members for inputs of their own (k, b, width), or for one input (b, width) that they share."""
        z = self._shared_input(h) if h.ndim == 2 else self._own_input(h)
        bias = self.bias.unsqueeze(-2)
        return z + bias if self.s is None else torch.addcmul(bias, z, self.s.unsqueeze(1))

    def _own_input(self, h: Float[Tensor, "k b width"]) -> Float[Tensor, "k b out"]:
        if self.weight.ndim == 3:
            return torch.bmm(h, self.weight.transpose(1, 2))
        return functional.linear(h if self.r is None else h * self.r.unsqueeze(1), self.weight)

    def _shared_input(self, x: Float[Tensor, "b width"]) -> Float[Tensor, "k b out"]:
        """Move r from the input to the matrix, ``W (r * x) = (W * r) x``, one member after another: no copy of x or W is kept."""
        if self.r is None:
            return torch.matmul(x, self.weight.transpose(1, 2))
        return torch.stack([functional.linear(x, self.weight * r) for r in self.r])

    def start_at(self, bias: Float[Tensor, "out"]) -> None:
        """Start the outputs of all members around these values."""
        with torch.no_grad():
            self.bias.copy_(bias.expand_as(self.bias))


def averaged(members: Float[Tensor, "k b q"]) -> Float[Tensor, "b q"]:
    """Return the logit of the mean over the members of their probabilities, in log space: no probability is rounded to 0 or 1.

    Example:
        >>> averaged(torch.tensor([[[-2.0]], [[2.0]]])).abs().item()
        0.0
        >>> averaged(torch.full((4, 1, 1), 500.0)).item()
        500.0
    """
    with torch.autocast(members.device.type, enabled=False):
        logits = at_least_float32(members)
        return functional.logsigmoid(logits).logsumexp(dim=0) - functional.logsigmoid(-logits).logsumexp(dim=0)


def _spaced(knots: Float[Tensor, "d count"], count: int) -> Float[Tensor, "d edges"]:
    """Return ``count`` of the knots, evenly spaced, the first and the last among them."""
    return knots[:, torch.linspace(0, knots.shape[1] - 1, count).round().long()]
