"""A convolutional network for tables: it learns an order of its own for features that have none, and convolves along it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.losses import BCE, Loss
from polytag.models.base import MultiLabelModel
from polytag.nn import BatchNorm
from polytag.registry import register

_CHANNELS, _LENGTH = 16, 64


@register("model", "cnn")
class CNN(MultiLabelModel):
    """Spreads the features of a table over a short sequence that it learns, and reads that with a convolutional network.

    The features of a table have no order that a convolution could use, so a linear map first turns them into 64 places of 16 channels
    (``order="soft"``). Three blocks of convolution (width 3), batch norm, ReLU and dropout follow, with 64, 128 and 128 channels; the
    first two halve the length. The maxima of four stretches go through a hidden layer to one output per label.

    Args:
        d: Number of features.
        q: Number of labels.
        order: ``"soft"``: the learned sequence. ``"raw"``: convolve along the columns as they stand, which means something only where
            neighbouring columns do, such as in a spectrum or a series of measurements.
        hidden: Width of the hidden layer.
        dropout: Probability of dropping a hidden unit in training.
        block_dropout: Probability of dropping a value behind each convolution in training.
        loss: What to minimise; ``None`` is binary cross-entropy.

    Raises:
        ParameterError: A number makes no sense.

    Cost: O(b (1024 d + 2.4 million)) a step with ``"soft"``, O(b d 15 000) with ``"raw"``.

    Reference: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", Proceedings of the IEEE 1998
        (convolutional networks). The learned order became known through the second place of Kaggle's "Mechanisms of Action", 2020.

    Differs: it is not a paper's network, but a plain one of its kind, to compare the others with.

    Example:
        >>> model = CNN(4, 3).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "lr": 1e-3, "weight_decay": 1e-4, "batch_size": 128, "epochs": 100, "patience": 15, "clip_norm": 5.0,
    }  # fmt: skip

    def __init__(
        self,
        d: int,
        q: int,
        *,
        order: Literal["soft", "raw"] = "soft",
        hidden: int = 512,
        dropout: float = 0.3,
        block_dropout: float = 0.1,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        if order not in ("soft", "raw"):
            raise ParameterError(f"expected order 'soft' or 'raw', but got {order!r}")
        if hidden < 1 or not (0 <= dropout < 1 and 0 <= block_dropout < 1):
            raise ParameterError(f"expected hidden >= 1 and dropouts in [0, 1), but got {hidden=}, {dropout=}, {block_dropout=}")
        self.spread = nn.Linear(d, _CHANNELS * _LENGTH) if order == "soft" else None
        first = 1 if self.spread is None else _CHANNELS
        self.blocks = nn.ModuleList(_Block(width, out, block_dropout) for width, out in ((first, 64), (64, 128), (128, 128)))
        self.head = nn.Sequential(nn.Linear(4 * 128, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.output = nn.Linear(hidden, q)
        self.loss = BCE() if loss is None else loss

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits."""
        h = x.unsqueeze(1) if self.spread is None else functional.leaky_relu(self.spread(x)).reshape(len(x), _CHANNELS, _LENGTH)
        for number, block in enumerate(self.blocks):
            h = block(h)
            if number < 2:
                h = functional.max_pool1d(h, 2, ceil_mode=True)  # upwards, so that a table of one column keeps one place
        h = functional.adaptive_max_pool1d(h, 4)
        return self.output(self.head(h.flatten(1)))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Convolution, batch norm over rows and places, ReLU, dropout."""

    def __init__(self, width: int, out: int, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, out, 3, padding=1)
        self.norm = BatchNorm(out)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Float[Tensor, "b width t"]) -> Float[Tensor, "b out t"]:
        h = self.convolution(h)
        rows = self.norm(h.transpose(1, 2).flatten(0, 1))  # places as rows: the norm pools rows over processes
        h = rows.unflatten(0, (len(h), -1)).transpose(1, 2)
        return self.dropout(functional.relu(h))  # type: ignore[no-any-return]
