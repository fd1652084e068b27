"""C-HMCNN(h): any network, trained through the hierarchy of its labels, so that no label is less likely than one below it."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polytag.errors import ParameterError
from polytag.hierarchy import Constraint, Hierarchy
from polytag.losses import BCE, Loss
from polytag.models.base import Objective
from polytag.models.network_inside import NetworkInside, network_or
from polytag.registry import register
from polytag.types import Batch


@register("model", "chmcnn")
class CHMCNN(NetworkInside):
    """Makes the scores of any network coherent, and trains it through that step: a label scores as high as its best descendant.

    A network h gives one logit a label. Prediction is ``max of h_B over B in D(A)``, with D(A) the label A and all below it. The loss is
    the binary cross-entropy of ``t_A``: the same maximum where A is absent; where it is present, that over the present ones of D(A), so
    that a wrong descendant is never rewarded for holding up its ancestor (MCLoss).

    Args:
        d: Number of features.
        q: Number of labels.
        hierarchy: Over the q labels; ``from_data`` takes it from the data.
        hidden: Width of each hidden layer of the authors' network.
        layers: Number of its hidden layers.
        dropout: Dropout after each of them.
        network: What gives the logits instead: the name of a model, or a network (of which a copy is taken) that returns (b, q).
            ``None``: the authors' network; through ``from_data`` ``"xmlcnn"`` for tokens and ``"small_cnn"`` for pictures.
        network_params: Parameters of the named model; they win over the next.
        network_context: What the named model takes from the data; ``from_data`` fills this in.
        loss: Replaces the binary cross-entropy of t.

    Raises:
        ParameterError: A number makes no sense, or there are parameters for no network.
        DataError: The network does not read this kind of data, there is no hierarchy, or a row has a label without a parent of it.

    Cost: that of the network and O(b (q + edges)); nothing of size (b, q, q) exists. Loss and prediction share one sweep.

    Reference: Giunchiglia and Lukasiewicz, "Coherent hierarchical multi-label classification networks", NeurIPS 2020.

    Differs: works on logits, since the maximum commutes with the sigmoid, in single precision; the authors take the logarithm of
        probabilities in double precision, where it cannot fall below -100, a bound that logits do not need. The loss is the mean over
        rows and labels as in their code (a sum over labels in the paper). There are no columns for an artificial root. Of equal
        descendants one passes the gradient on. Unknown labels (NaN) have no loss and support no ancestor that is present. The authors
        choose width and epochs for each data set, 250 to 9000 and 13 to 592; these defaults stop by the validation rows as they did.

    Example:
        >>> h = Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")])
        >>> scores = CHMCNN(4, 3, hierarchy=h).eval()(torch.zeros(2, 4))
        >>> bool((scores[:, :1] >= scores[:, 1:]).all())
        True
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "lr": 1e-4,
        "weight_decay": 1e-5,
        "batch_size": 4,
        "epochs": 200,
        "patience": 20,
        "monitor": "micro_ap",
    }
    NEEDS_HIERARCHY: ClassVar[bool] = True

    def __init__(
        self,
        d: int,
        q: int,
        *,
        hierarchy: Any,
        hidden: int = 500,
        layers: int = 2,
        dropout: float = 0.7,
        network: str | nn.Module | None = None,
        network_params: Mapping[str, Any] | None = None,
        network_context: Mapping[str, Any] | None = None,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        if hidden < 1 or layers < 1 or not 0 <= dropout < 1:
            raise ParameterError(f"expected hidden >= 1, layers >= 1 and 0 <= dropout < 1, but got {hidden=}, {layers=}, {dropout=}")
        labels = Hierarchy.of(hierarchy, q=q)
        self.network = network_or(lambda: _perceptron(d, q, hidden, layers, dropout), network, network_params, network_context, d, q)
        self.constraint = labels.make_constraint()
        self.loss = BCE() if loss is None else loss

    def forward(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b q"]:
        """Return the coherent logits."""
        return self.constraint(self.network(x))  # type: ignore[no-any-return]

    def objective(self, batch: Batch) -> Objective:
        """Return MCLoss and the coherent logits."""
        coherent, supplied = through(self.constraint, self.network(batch.x), batch.y)
        return Objective(self.loss(supplied, batch.y, batch.weight), coherent)


def through(
    constraint: Constraint, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]
) -> tuple[Float[Tensor, "b q"], Float[Tensor, "b q"]]:
    """Return the coherent logits, and those whose binary cross-entropy is MCLoss: a present label takes from present ones only.

    Any other label takes from all its descendants: below a known absent one none can be present, even an unknown one, and what an unknown
    label itself takes is for the loss to leave out.

    Args:
        constraint: Of the hierarchy.
        logits: Of the network.
        y: Labels; NaN, unknown, is not present.

    Cost: O(b (q + edges)); both in one sweep over twice the rows, which on a few rows takes as long as over half of them.
    """
    present = y == 1
    free, among_present = constraint.sources(torch.cat([logits, logits.masked_fill(~present, -torch.inf)])).chunk(2)
    return logits.gather(1, free), logits.gather(1, among_present.where(present, free))


def _perceptron(d: int, q: int, hidden: int, layers: int, dropout: float) -> nn.Sequential:
    """Return the authors' network, with the initial weights that torch gives."""
    stack: list[nn.Module] = []
    for k in range(layers):
        stack += [nn.Linear(hidden if k else d, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return nn.Sequential(*stack, nn.Linear(hidden, q))
