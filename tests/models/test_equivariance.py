"""Labels in another order, together with what belongs to them, give the same scores in that order."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytag import registry
from polytag.data.dataset import Dataset
from polytag.data.table import Table
from polytag.testing.models import Subject, batch_of, logits_of, toy

ORDER = torch.tensor([2, 0, 3, 1])
BY_LABEL = {
    "linear": ("output.weight", "output.bias"),
    "mlp": ("output.weight", "output.bias"),
    "clif": ("label_nodes", "classifier.weight", "classifier.bias"),
    "dela": ("gates", "classifier.weight", "classifier.bias"),
    "chmcnn": ("network.6.weight", "network.6.bias"),
}


@pytest.mark.parametrize("name", BY_LABEL)
def test_label_permutation(name: str) -> None:
    table = Subject(registry.get("model", name)).toy()
    shuffled = Table(table.dataset.with_labels(ORDER.numpy()))
    model, other = registry.get("model", name).from_data(table), registry.get("model", name).from_data(shuffled)
    state = {key: value[ORDER] if key in BY_LABEL[name] else value for key, value in model.state_dict().items()}
    if name == "clif":  # the graph has to come out permuted by itself
        torch.testing.assert_close(other.graph, model.graph[ORDER][:, ORDER])
        state["graph"] = other.graph
    other.load_state_dict(state)
    first, second = model.eval().objective(batch_of(table)), other.eval().objective(batch_of(shuffled))
    torch.testing.assert_close(second.logits, first.logits[:, ORDER])
    torch.testing.assert_close(second.loss, first.loss)
    torch.testing.assert_close(logits_of(other, batch_of(table).x), logits_of(model, batch_of(table).x)[:, ORDER])


@pytest.mark.parametrize("name", ["clif", "dela"])
def test_the_classification_term_can_be_replaced(name: str) -> None:
    class Counted(nn.Module):
        """Stands in for a loss: five for everything."""

        def forward(self, logits: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
            return 5 + 0 * logits.sum()

        per_instance = forward

    table = toy()
    model = registry.get("model", name).from_data(table, loss=Counted())
    objective = model.objective(batch_of(table))
    assert float(objective.parts["classification"]) == 5.0
    weight = model.weight if name == "clif" else model.beta
    other = objective.parts["embedding" if name == "clif" else "kl"]
    assert float(objective.loss.detach()) == pytest.approx(5.0 + weight * float(other), rel=1e-6)


def test_label_graph_is_that_of_the_training_rows_only() -> None:
    labels = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 1]])
    graph = registry.get("model", "clif").from_data(Table(Dataset(np.zeros((3, 2)), labels))).graph
    np.testing.assert_allclose(graph, [[0, 0.75, 0.5], [0.75, 0, 0], [0.5, 0, 0]])
