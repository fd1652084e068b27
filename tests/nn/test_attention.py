"""Attention against PyTorch's own layers and the formula, and what may not matter to it."""

import pytest
import torch
from torch import nn

from polytag.nn import AddNorm, Attention, EncoderLayer, FeedForward, LabelDecoderLayer


def weights_of(ours: Attention, theirs: nn.MultiheadAttention) -> None:
    """Copy our weights into PyTorch's layer, which has a bias on the keys that changes nothing."""
    with torch.no_grad():
        nn.init.normal_(ours.query.bias)
        nn.init.normal_(ours.value.bias)
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, torch.randn(len(ours.query.bias)), ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())


def test_equals_the_layer_of_pytorch() -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(8, 2).double(), nn.MultiheadAttention(8, 2, batch_first=True).double()
    weights_of(ours, theirs)
    queries, memory, values = torch.randn(3, 5, 8).double(), torch.randn(3, 4, 8).double(), torch.randn(3, 4, 8).double()
    real = torch.tensor([[True, True, True, True], [True, False, False, False], [True, True, False, False]])
    torch.testing.assert_close(ours(queries, memory, real=real), theirs(queries, memory, memory, key_padding_mask=~real)[0])
    torch.testing.assert_close(ours(queries, memory, values), theirs(queries, memory, values)[0])
    pairs = torch.rand(5, 5) < 0.3
    pairs.fill_diagonal_(True)
    torch.testing.assert_close(ours(queries, queries, pairs=pairs), theirs(queries, queries, queries, attn_mask=~pairs)[0])


@pytest.mark.parametrize("pre_norm", [False, True])
def test_encoder_equals_the_layer_of_pytorch(pre_norm: bool) -> None:
    torch.manual_seed(0)
    ours = EncoderLayer(8, 2, 12, pre_norm=pre_norm).double()
    theirs = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True, norm_first=pre_norm).double()
    weights_of(ours.attention, theirs.self_attn)
    with torch.no_grad():
        nn.init.normal_(ours.attended.norm.weight)
    theirs.linear1.load_state_dict(ours.feed_forward[0].state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward[3].state_dict())
    theirs.norm1.load_state_dict(ours.attended.norm.state_dict())
    theirs.norm2.load_state_dict(ours.thought.norm.state_dict())
    tokens, real = torch.randn(3, 4, 8).double(), torch.tensor([[True] * 4, [True, False, False, False], [True, True, False, False]])
    expected = theirs(tokens, src_key_padding_mask=~real)
    torch.testing.assert_close(ours(tokens, real)[real], expected[real])


def decode(layer: LabelDecoderLayer, states: torch.Tensor, queries: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The layer as the paper writes it, on its weights, without padding."""

    def attend(part: Attention, asking: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        heads = []
        for h in range(part.heads):
            k = slice(h * 4, h * 4 + 4)
            scores = part.query(asking)[..., k] @ part.key(keys)[..., k].transpose(1, 2) / 2
            heads.append(scores.softmax(dim=2) @ part.value(values)[..., k])
        return part.out(torch.cat(heads, dim=2))

    for step in {"before": "sct", "after": "cst", "never": "ct"}[layer.labels]:
        looking = states + queries
        if step == "s":
            states = layer.agreed.norm(states + attend(layer.among, looking, looking, states))
        elif step == "c":
            states = layer.found.norm(states + attend(layer.across, looking, tokens, tokens))
        else:
            first, second = layer.feed_forward[0], layer.feed_forward[3]
            states = layer.thought.norm(states + second(first(states).clamp(min=0)))
    return states


@pytest.mark.parametrize("labels", ["before", "after", "never"])
def test_label_decoder_by_hand(labels: str) -> None:
    torch.manual_seed(0)
    layer = LabelDecoderLayer(8, 2, 12, labels=labels).double()
    states, queries, tokens = torch.randn(3, 5, 8).double(), torch.randn(1, 5, 8).double(), torch.randn(3, 4, 8).double()
    torch.testing.assert_close(layer(states, queries, tokens), decode(layer, states, queries.expand(3, -1, -1), tokens))


def test_a_start_that_all_rows_share_is_the_same_as_copies_of_it() -> None:
    torch.manual_seed(0)
    layer = LabelDecoderLayer(8, 2, 12, labels="after").double()
    start, queries, tokens = torch.randn(1, 5, 8).double(), torch.randn(1, 5, 8).double(), torch.randn(3, 4, 8).double()
    shared, copied = layer(start, queries, tokens), layer(start.repeat(3, 1, 1), queries, tokens)
    torch.testing.assert_close(shared, copied)
    for one, other in zip(
        torch.autograd.grad(shared.square().sum(), list(layer.parameters())),
        torch.autograd.grad(copied.square().sum(), list(layer.parameters())),
    ):
        torch.testing.assert_close(one, other)


def test_weights_for_all_pairs_are_never_kept() -> None:
    layer, kept = Attention(8, 2), []
    labels = torch.randn(2, 200, 8)

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        layer(labels, labels)
    assert max(kept) == 2 * 200 * 8 < 2 * 200 * 200


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(2, 5, 8)
    for layer in (EncoderLayer(8, 2, 12, 0.5), EncoderLayer(8, 2, 12, attention_dropout=0.5), EncoderLayer(8, 2, 12, 0.5, pre_norm=True)):
        assert not torch.equal(layer(vectors), layer(vectors))
        layer.eval()
        assert torch.equal(layer(vectors), layer(vectors))
    thinking = FeedForward(8, 64, 0.5)
    assert not torch.equal(thinking(vectors), thinking(vectors))
    assert not torch.equal(AddNorm(8, 0.5)(vectors, vectors), AddNorm(8, 0.5)(vectors, vectors))


@pytest.mark.parametrize(("width", "heads", "dropout", "named"), [(8, 3, 0.0, "heads=3"), (8, 0, 0.0, "heads=0"), (8, 2, 1.0, "dropout")])
def test_refuses_senseless_numbers(width: int, heads: int, dropout: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Attention(width, heads, dropout)


def test_refuses_labels_that_look_at_an_unknown_time() -> None:
    with pytest.raises(ValueError, match="never"):
        LabelDecoderLayer(8, 2, 8, labels="sometimes")
