"""The multi-layer perceptron: a shared representation, one output per label."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from polytag.errors import ParameterError
from polytag.losses import BCE, Loss
from polytag.models.base import MultiLabelModel
from polytag.nn import layer_widths, linear, mlp_block
from polytag.registry import register


@register("model", "mlp")
class MLP(MultiLabelModel):
    """A few fully connected layers shared by all labels, then one output per label; the plain deep network for tables.

    Each hidden layer is linear, batch norm, ReLU, dropout.

    Args:
        d: Number of features.
        q: Number of labels.
        hidden: Widths of the hidden layers, or the width of a single one.
        dropout: Probability of dropping a hidden unit in training.
        batch_norm: Normalise each hidden unit over the batch.
        loss: What to minimise; ``None`` is binary cross-entropy.
        init: Initial weights: ``"kaiming"``, see ``polytag.nn.mlp_block``, or ``"torch"``, as PyTorch's layers start.

    Raises:
        ParameterError: A value makes no sense.

    Cost: O(b (d h1 + h1 h2 + ... + h q)) a step.

    Reference: Nam et al., "Large-scale multi-label text classification: revisiting neural networks", ECML-PKDD 2014.

    Differs: the widths and the order of the layers are this library's choice; a training batch of one row is normalised by the running
        statistics.

    Example:
        >>> model = MLP(4, 3, hidden=[16]).eval()
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
        hidden: int | Sequence[int] = (512, 256),
        dropout: float = 0.2,
        batch_norm: bool = True,
        loss: Loss | None = None,
        init: Literal["kaiming", "torch"] = "kaiming",
    ) -> None:
        super().__init__()
        if init not in ("kaiming", "torch"):
            raise ParameterError(f"expected init 'kaiming' or 'torch', but got {init!r}")
        widths = [d, *layer_widths("hidden", hidden)]
        self.hidden = mlp_block(widths, batch_norm=batch_norm, dropout=dropout) if len(widths) > 1 else nn.Identity()
        self.output = linear(widths[-1], q, "none")
        self.loss = BCE() if loss is None else loss
        if init == "torch":
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    layer.reset_parameters()

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits."""
        return self.output(self.hidden(x))  # type: ignore[no-any-return]
