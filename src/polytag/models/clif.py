"""CLIF: label embeddings from the label graph pick, for each label, the features that concern it."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from polytag.data.stats import conditional_cooccurrence
from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.losses import BCE, Loss
from polytag.models.base import MultiLabelModel, Objective, Preset
from polytag.models.settings import CLIF_BY_DATA
from polytag.nn import LabelwiseLinear, label_blocks, linear, mlp_block
from polytag.nn.perceptron import SLOPE
from polytag.registry import register
from polytag.types import Array, Batch


@register("model", "clif")
class CLIF(MultiLabelModel):
    """Learns what labels mean from who occurs with whom, and looks at the features of an instance through each label's eyes.

    A graph network turns the co-occurrence graph A of the labels into embeddings U (q, embedding). Label j then opens and closes features:
    ``f_j = act(mix(input(x) * sigmoid(gate(U_j))))``, and a linear classifier of its own reads ``f_j``. The loss is
    ``mean BCE + weight * mean_jk (cos(U_j, U_k) - (A + I)_jk)^2``: labels that occur together get similar embeddings.

    Args:
        d: Number of features.
        q: Number of labels; training needs at least two.
        graph: Label graph A, shape (q, q); ``from_data`` measures it on the training rows. ``None`` is a graph without edges.
        embedding: Width of the label embeddings.
        hidden: Width of the label-specific features.
        input_layers: Layers between x and the features.
        weight: Weight (lambda) of the embedding term.
        dropout: Dropout in the graph network and the input layers.
        sigmoid_gate: Squash the gate into [0, 1].
        pre_sigmoid_bias: Probability b at which the authors decide; prediction shifts the logits by ``-log(b / (1 - b))``, so that deciding
            at 0.5 does the same.
        loss: Replaces the binary cross-entropy.

    Raises:
        ParameterError: The graph has another shape than (q, q), a number makes no sense, or one label is to be trained.

    Cost: a step O(b q hidden^2), memory O(b q hidden); prediction embeds the labels once and
        holds a bounded block of labels at a time.

    Reference: Hang and Zhang, "Collaborative learning of label semantics and deep label-specific features for multi-label
        classification", TPAMI 2022.

    Differs: preset ``adabatch`` is the copy in the batch-selection papers' code: the graph is the identity (so the embedding term asks for
        a cosine of 2), the gate has no sigmoid, hidden 768, three input layers, embedding q, dropout 0.2. Presets named after data sets
        are the authors' own choices for them.

    Example:
        >>> model = CLIF(4, 3, embedding=8, hidden=16).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "weight_decay": 1e-5, "batch_size": 128, "epochs": 200}
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "adabatch": Preset(
            {
                "graph": lambda d, q: np.eye(q),
                "embedding": lambda d, q: q,
                "hidden": 768,
                "input_layers": 3,
                "weight": 1e-3,
                "dropout": 0.2,
                "sigmoid_gate": False,
            },
            {"lr": 1e-4, "weight_decay": 1e-4, "epochs": 100},
        ),
        **CLIF_BY_DATA,
    }

    graph: Tensor
    label_nodes: Tensor

    def __init__(
        self,
        d: int,
        q: int,
        *,
        graph: Array | Tensor | None = None,
        embedding: int = 256,
        hidden: int = 512,
        input_layers: int = 1,
        weight: float = 1e-3,
        dropout: float = 0.0,
        sigmoid_gate: bool = True,
        pre_sigmoid_bias: float = 0.5,
        loss: Loss | None = None,
    ) -> None:
        super().__init__()
        if not 0 < pre_sigmoid_bias < 1 or weight < 0 or input_layers < 1 or min(embedding, hidden) < 1:
            raise ParameterError(
                "expected embedding, hidden, input_layers >= 1, weight >= 0 and 0 < pre_sigmoid_bias < 1, but got "
                f"{embedding=}, {hidden=}, {input_layers=}, {weight=}, {pre_sigmoid_bias=}"
            )
        edges = torch.zeros(q, q) if graph is None else torch.as_tensor(graph, dtype=torch.get_default_dtype())
        if edges.shape != (q, q):
            raise ParameterError(f"expected a label graph of shape {(q, q)}, but got {tuple(edges.shape)}")
        self.register_buffer("graph", edges)
        self.register_buffer("label_nodes", torch.randn(q, q))
        sizes = [(q, embedding), (embedding, embedding)]
        self.gin = nn.ModuleList(GraphLayer(*size, hidden=math.ceil(embedding / 2), dropout=dropout) for size in sizes)
        self.input = mlp_block([d] + [hidden] * input_layers, activation="leaky_relu", dropout=dropout)
        self.gate = linear(embedding, hidden, "sigmoid")
        self.mix = linear(hidden, hidden, "leaky_relu")
        self.classifier = LabelwiseLinear(q, hidden)
        self.weight, self.sigmoid_gate = weight, sigmoid_gate
        self.shift = math.log(pre_sigmoid_bias / (1 - pre_sigmoid_bias))
        self.loss = BCE() if loss is None else loss
        self._gates: tuple[Any, Tensor] | None = None

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return the label graph of the training rows."""
        return {"graph": conditional_cooccurrence(train.labels)}

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return the logits, shifted by the authors' decision threshold (``pre_sigmoid_bias``) if there is one."""
        keeps = not (self.training or torch.is_grad_enabled())
        logits = self._logits(self.input(x), self._kept_gates() if keeps else self._gate(self.embeddings()))
        return self._shifted(logits)

    def objective(self, batch: Batch) -> Objective:
        """Return classification loss plus weighted embedding loss; the logits have the shift, which the loss ignores."""
        embeddings = self.embeddings()
        logits = self._logits(self.input(batch.x), self._gate(embeddings))
        classification = self.loss(logits, batch.y, batch.weight)
        likeness = self.embedding_loss(embeddings)
        loss = classification + self.weight * likeness
        return Objective(loss, self._shifted(logits), {"classification": classification.detach(), "embedding": likeness.detach()})

    def embeddings(self) -> Float[Tensor, "q e"]:
        """Return the label embeddings U from the graph network."""
        if self.training and len(self.graph) < 2:
            raise ParameterError("CLIF normalises over the labels and cannot be trained with q=1; use model='mlp' for a single label")
        nodes = self.label_nodes
        with torch.autocast(nodes.device.type, enabled=False):  # q rows: precision costs nothing here
            for layer in self.gin:
                nodes = layer(nodes, self.graph)
        return nodes

    def embedding_loss(self, embeddings: Float[Tensor, "q e"]) -> Float[Tensor, ""]:
        """Return the mean squared difference between the cosines of the embeddings and the graph with self loops."""
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = embeddings / (torch.linalg.vector_norm(embeddings, dim=1, keepdim=True) + 1e-6)
            target = self.graph + torch.eye(len(self.graph), dtype=self.graph.dtype, device=self.graph.device)
            return (unit @ unit.T - target).square().mean()  # type: ignore[no-any-return]

    def _gate(self, embeddings: Tensor) -> Tensor:
        gates = self.gate(embeddings)
        return gates.sigmoid() if self.sigmoid_gate else gates  # type: ignore[no-any-return]

    def _logits(self, features: Float[Tensor, "b h"], gates: Float[Tensor, "q h"]) -> Float[Tensor, "b q"]:
        """Return the logits, a block of labels after the other."""
        logits = []
        for columns in label_blocks(len(gates), features.numel()):
            gated = gates[columns].unsqueeze(1) * features
            mixed = functional.leaky_relu_(self.mix(gated.flatten(0, 1)), SLOPE)
            logits.append(self.classifier(mixed.view(gated.shape), columns))
        return torch.cat(logits).T

    def _shifted(self, logits: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        return logits - self.shift if self.shift else logits

    def _kept_gates(self) -> Tensor:
        """Return the gates of all labels, computed again only when a tensor they depend on has changed."""
        device = self.graph.device.type
        tensors = [self.graph, self.label_nodes, *self.gin.parameters(), *self.gin.buffers(), *self.gate.parameters()]
        version = (torch.is_autocast_enabled(device), *((t.data_ptr(), t._version, t.dtype) for t in tensors if not t.is_inference()))
        if self._gates is None or self._gates[0] != version:
            self._gates = version, self._gate(self.embeddings())
        return self._gates[1]


class GraphLayer(nn.Module):
    """One layer of the graph isomorphism network: ``MLP((1 + eps) h + A h)``, plus h where the widths agree.

    Args:
        width: Features of a node before.
        out: Features of a node after.
        hidden: Width of the layer's hidden layer.
        dropout: Dropout after each of its two linear layers.

    Reference: Xu et al., "How powerful are graph neural networks?", ICLR 2019.
    """

    def __init__(self, width: int, out: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(1))
        self.mlp = mlp_block([width, hidden, out], activation="leaky_relu", batch_norm=True, dropout=dropout)
        self.residual = width == out

    def forward(self, nodes: Float[Tensor, "q k"], graph: Float[Tensor, "q q"]) -> Float[Tensor, "q out"]:
        """Return the new features of the nodes."""
        new = self.mlp((1 + self.eps) * nodes + graph @ nodes)
        return nodes + new if self.residual else new  # type: ignore[no-any-return]
