"""HOT-VAE: the parts of its specification, the textbook form of its decoder, and what its latent vectors carry."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from polytag.data.dataset import Dataset
from polytag.data.table import Table
from polytag.losses.pairwise import pairwise_exponential
from polytag.models import HOTVAE
from polytag.testing.models import batch_of, logits_of, toy, train
from polytag.types import Batch


def textbook_decoder(model: HOTVAE, x: Tensor, z: Tensor) -> Tensor:
    """Return the logits of one branch as the description has it: PyTorch's attention, every query projected for every row."""
    tokens = torch.stack([model.token(z[:, j]) + model.position[j] for j in range(z.shape[1])], dim=1)
    if model.x_token is not None:
        tokens = torch.cat([tokens, model.x_token(x)[:, None]], dim=1)
    nodes = model.label_nodes.expand(len(x), -1, -1)
    closed = None if model.label_mask is None else ~model.label_mask
    for one in model.rounds:
        nodes = nodes + one.ask_tokens(one.norms[0](nodes), tokens, tokens, need_weights=False)[0]
        nodes = nodes + one.after_tokens(one.norms[1](nodes))
        v = one.norms[2](nodes)
        nodes = nodes + one.ask_labels(v, v, v, attn_mask=closed, need_weights=False)[0]
        nodes = nodes + one.after_labels(one.norms[3](nodes))
    return (nodes * model.classifier.weight).sum(2) + model.classifier.bias


def textbook_objective(model: HOTVAE, batch: Batch, noise: Tensor) -> Tensor:
    """Return the loss, each branch by itself, with these random numbers."""
    x, y, j = batch.x, batch.y, model.latents
    means, logvars, logits = [], [], []
    for head, draw in (
        (model.feature_head(model.feature_encoder(x)), noise[0]),
        (model.label_head(model.label_encoder(torch.cat([y, x], dim=1) if model.sees_x else y)), noise[1]),
    ):
        head = head.view(len(x), j, -1)
        size = head.shape[2] // 2
        means.append(head[:, :, :size])
        logvars.append(head[:, :, size:])
        logits.append(textbook_decoder(model, x, means[-1] + (logvars[-1] / 2).exp() * draw))
    bce = [functional.binary_cross_entropy_with_logits(scores, y, reduction="none").sum(1).mean() for scores in logits]
    prior, posterior = (Normal(mean, (logvar / 2).exp()) for mean, logvar in zip(means, logvars, strict=True))
    kl = kl_divergence(posterior, prior).sum((1, 2)).mean()
    ranking = sum(pairwise_exponential(scores.sigmoid(), y, 5.0).mean() / 5 for scores in logits)
    return model.x_weight * bce[0] + model.y_weight * bce[1] + model.beta * kl + model.rank_coeff * ranking


def test_number_of_parameters() -> None:
    assert sum(p.numel() for p in HOTVAE(103, 14).parameters()) == 1_243_790
    assert sum(p.numel() for p in HOTVAE(103, 14, x_token=False).parameters()) == 1_230_478


@pytest.mark.parametrize(
    "params", [{}, {"x_token": False, "label_encoder_sees_x": True}, {"rank_coeff": 2.0, "y_weight": 0.5}, {"mask": 1}]
)
@pytest.mark.parametrize(("b", "d", "q"), [(1, 3, 1), (7, 5, 4)])
def test_equals_the_textbook_form(b: int, d: int, q: int, params: dict[str, float]) -> None:
    torch.manual_seed(1)
    if "mask" in params:
        params = {"label_mask": torch.rand(q, q) < 0.4}
    model = HOTVAE(d, q, latents=3, latent=6, width=16, dropout=0.0, **params).double()
    with torch.no_grad():
        for parameter in (model.label_nodes, model.position, *(p for p in model.parameters() if p.ndim == 1)):
            parameter.add_(0.1 * torch.randn_like(parameter))  # they start too small to be seen
    batch = Batch(torch.arange(b), torch.randn(b, d).double(), torch.randint(2, (b, q)).double())
    noise = model._draw_noise(batch.x)
    model._draw_noise = lambda x: noise  # type: ignore[method-assign]
    fast, slow = model.objective(batch).loss, textbook_objective(model, batch, noise)
    torch.testing.assert_close(fast, slow)
    weights = list(model.parameters())
    for mine, theirs in zip(torch.autograd.grad(fast, weights), torch.autograd.grad(slow, weights), strict=True):
        torch.testing.assert_close(mine, theirs)
    mean = model.feature_head(model.feature_encoder(batch.x)).view(b, 3, 12)[:, :, :6]
    torch.testing.assert_close(model.eval()(batch.x), textbook_decoder(model, batch.x, mean))


def test_latent_vectors_do_not_collapse() -> None:
    """What only the labels can tell goes through their latent vectors.

    The labels are linear in x, but a coin that x does not show turns all of them round: y's branch has to know the coin.
    """
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, coin = rng.normal(size=(256, 8)), rng.integers(2, size=(256, 1))
    labels = (x @ rng.normal(size=(8, 5)) > 0) ^ (coin == 1)
    batch = batch_of(Table(Dataset(x, labels.astype(np.uint8))))
    model = HOTVAE(8, 5, width=16, latents=2, rounds=1, heads=2)
    train(model, batch, 200, rows=32)
    parts = model.objective(batch).parts
    assert float(parts["kl"]) > 0.1
    assert float(parts["reconstruction"]) < 0.9 * float(parts["classification"])
    assert {"classification", "reconstruction", "kl"} == parts.keys()


def test_label_permutation() -> None:
    order = torch.tensor([2, 0, 3, 1])
    table = toy()
    shuffled = Table(Dataset(table.dataset.X, table.dataset.Y[:, order.numpy()]))
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    model = HOTVAE.from_data(table, label_mask=mask)
    other = HOTVAE.from_data(shuffled, label_mask=mask[order][:, order])
    state = model.state_dict()
    for name in ("label_nodes", "classifier.weight", "classifier.bias"):
        state[name] = state[name][order]
    state["label_encoder.0.weight"] = state["label_encoder.0.weight"][:, order]
    assert torch.equal(other.label_mask, state["label_mask"][order][:, order])
    state["label_mask"] = other.label_mask
    other.load_state_dict(state)
    first, second = model.eval().objective(batch_of(table)), other.eval().objective(batch_of(shuffled))
    torch.testing.assert_close(second.logits, first.logits[:, order])
    torch.testing.assert_close(second.loss, first.loss)
    torch.testing.assert_close(logits_of(other, batch_of(table).x), logits_of(model, batch_of(table).x)[:, order])


def test_mask_keeps_messages_out() -> None:
    """A label that may ask nobody but itself does not feel the others; with the full graph it does."""
    torch.manual_seed(0)
    x = torch.randn(2, 5)
    for mask, feels in ((torch.zeros(4, 4), False), (None, True)):
        model = HOTVAE(5, 4, label_mask=mask).eval()
        before = model(x)
        with torch.no_grad():
            model.label_nodes[3] += torch.randn(128)
        assert torch.allclose(model(x)[:, :3], before[:, :3]) != feels


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, batch = HOTVAE(6, 4, width=16).double(), batch_of(toy())
    batch = batch._replace(x=batch.x.double(), y=batch.y.double())
    for block in model.modules():
        if isinstance(block, nn.Dropout):
            block.p = 0.0

    def gradients() -> list[Tensor]:
        torch.manual_seed(1)
        return list(torch.autograd.grad(model.objective(batch).loss, list(model.parameters())))

    whole = gradients()
    monkeypatch.setattr("polytag.models.hotvae._NODES", 7 * 4 * 16)
    for mine, theirs in zip(gradients(), whole, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_dropout_in_blocks_is_the_same_when_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of a block belongs to the dropout masks of its own forward pass."""
    monkeypatch.setattr("polytag.models.hotvae._NODES", 7 * 4 * 16)
    model, batch = HOTVAE(6, 4, width=16).double(), batch_of(toy())
    batch = batch._replace(x=batch.x.double(), y=batch.y.double())

    def loss(shift: float = 0.0) -> Tensor:
        torch.manual_seed(1)
        moved = deepcopy(model)
        with torch.no_grad():
            moved.classifier.weight[2, 3] += shift
        return moved.objective(batch).loss

    torch.manual_seed(1)
    (gradient,) = torch.autograd.grad(model.objective(batch).loss, [model.classifier.weight])
    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    torch.testing.assert_close(gradient[2, 3], slope.detach(), rtol=1e-6, atol=1e-9)


def test_unknown_labels_enter_the_encoder_as_a_half() -> None:
    model, batch = HOTVAE(6, 4, width=16).eval(), batch_of(toy())
    y = batch.y.clone()
    y[:, 1] = torch.nan
    seen = []
    model.label_encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.objective(batch._replace(y=y))
    assert bool((seen[0][:, 1] == 0.5).all())
    assert torch.equal(seen[0][:, 2], batch.y[:, 2])


@pytest.mark.parametrize("shift", [-50.0, 50.0])
def test_finite_when_the_variance_runs_away(shift: float) -> None:
    model = HOTVAE(3, 4, rank_coeff=1.0)
    for head in (model.feature_head, model.label_head):
        nn.init.constant_(head.bias, shift)
    objective = model.objective(Batch(torch.arange(2), torch.zeros(2, 3), torch.ones(2, 4)))
    objective.loss.backward()
    assert objective.loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_noise_is_drawn_for_each_branch() -> None:
    model = HOTVAE(3, 2)
    noise, label_noise = model._draw_noise(torch.zeros(4, 3))
    assert noise.shape == (4, 8, 32)
    assert not torch.equal(noise, label_noise)
    assert not model.eval()._draw_noise(torch.zeros(4, 3)).any()


@pytest.mark.parametrize("bad", [{"latents": 0}, {"heads": 3}, {"beta": -1.0}, {"rank_coeff": -1.0}])
def test_refuses_senseless_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        HOTVAE(3, 2, **bad)


def test_refuses_a_mask_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(3, 3\)"):
        HOTVAE(3, 2, label_mask=np.ones((3, 3)))
