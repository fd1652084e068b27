"""The plain networks: linear and MLP."""

import pytest
import torch

from polytag.errors import ParameterError
from polytag.losses import BCE
from polytag.models import MLP, Linear
from polytag.types import Batch


def test_number_of_parameters_on_bibtex() -> None:
    assert sum(p.numel() for p in MLP(1836, 159).parameters()) == 1_114_271
    assert sum(p.numel() for p in Linear(1836, 159).parameters()) == 1837 * 159


def test_linear_is_a_matrix_product() -> None:
    model, x = Linear(4, 3), torch.randn(5, 4)
    torch.testing.assert_close(model(x), x @ model.output.weight.T + model.output.bias)


def test_mlp_by_hand() -> None:
    model, x = MLP(4, 3, hidden=[6, 5]).eval(), torch.randn(5, 4)
    h = x
    for k in (0, 4):
        fc, norm = model.hidden[k], model.hidden[k + 1]
        h = h @ fc.weight.T + fc.bias
        h = (h - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps) * norm.weight + norm.bias
        h = h.clamp(min=0)
    torch.testing.assert_close(model(x), h @ model.output.weight.T + model.output.bias)


def test_without_hidden_layers_mlp_is_linear() -> None:
    model = MLP(4, 3, hidden=())
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in Linear(4, 3).parameters())
    x = torch.randn(2, 4)
    torch.testing.assert_close(model(2 * x) - model(x), model(x) - model(0 * x))


def test_dropout_only_in_training() -> None:
    model, x = MLP(4, 3, hidden=[64], dropout=0.5, batch_norm=False), torch.randn(5, 4)
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


@pytest.mark.parametrize("model", [Linear, MLP])
def test_another_loss_takes_over(model: type) -> None:
    batch = Batch(torch.arange(4), torch.randn(4, 3), torch.ones(4, 2))
    built = model(3, 2, loss=BCE(pos_weight=7.0)).eval()
    objective = built.objective(batch)
    torch.testing.assert_close(objective.loss, 7 * BCE()(objective.logits, batch.y))


def test_torch_init_starts_as_the_layers_of_pytorch() -> None:
    """Kaiming's weights for a ReLU are larger, uniform up to sqrt(6 / width) instead of sqrt(1 / width)."""
    for init, low, high in (("torch", 0.9, 1.0), ("kaiming", 2.0, 6**0.5)):
        layer = next(m for m in MLP(50, 3, hidden=[80], init=init, batch_norm=False).modules() if isinstance(m, torch.nn.Linear))
        assert low < float(layer.weight.detach().abs().max()) * 50**0.5 <= high
    with pytest.raises(ParameterError, match="init"):
        MLP(5, 3, init="xavier")
