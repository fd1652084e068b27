"""Rows become sequences: what is real, what is padding, and that nothing depends on padding."""

import numpy as np
import pytest
import torch
from scipy import sparse

from polytag.data import Dataset, Table
from polytag.errors import DataError, ParameterError
from polytag.nn import ActiveTokens, FeatureTokens, InputTokens, PatchTokens, by_length, token_context
from polytag.nn.tokens import PixelTokens


def table(X: object, **kind: object) -> Table:
    return Table(Dataset(X, np.ones((len(X), 2)), **kind))  # type: ignore[arg-type]


def test_active_features_by_hand() -> None:
    tokens = InputTokens(4, 2, form="active")
    vectors = torch.tensor([[9.0, 9], [1, 2], [3, 4], [5, 6], [7, 8]])
    tokens.read.vectors.weight.data.copy_(vectors)
    found, real = tokens(torch.tensor([[0.0, 1, 0, 0.5], [0, 0, 0, 0], [1, 1, 1, 0]]))
    assert real.tolist() == [[True, True, False], [True, False, False], [True, True, True]]
    expected = [[[3, 4], [3.5, 4], [0, 0]], [[9, 9], [0, 0], [0, 0]], [[1, 2], [3, 4], [5, 6]]]
    torch.testing.assert_close(found, torch.tensor(expected).float())


def test_active_features_beyond_the_limit_are_left_out() -> None:
    ids, real = ActiveTokens(6, 2, max_len=2).ids(torch.tensor([[1.0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1]]))
    assert ids.tolist() == [[1, 3], [6, 0]]
    assert real.tolist() == [[True, True], [True, False]]


def test_ids_end_at_the_last_word_and_an_empty_text_is_one_token() -> None:
    tokens = InputTokens(5, 3, form="ids", vocabulary=8, positions=False)
    found, real = tokens(torch.tensor([[4, 0, 7, 0, 0], [0, 0, 0, 0, 0]]))
    assert real.tolist() == [[True, True, True], [True, False, False]]
    vectors = tokens.read.vectors.weight
    torch.testing.assert_close(found[0], vectors[[4, 0, 7]])
    torch.testing.assert_close(found[1, 0], vectors[0])
    assert not found[1, 1:].any()
    assert tokens(torch.full((1, 400), 3))[0].shape == (1, 300, 3)


@pytest.mark.parametrize("form", ["ids", "active"])
def test_padding_has_no_gradient_and_the_empty_row_has(form: str) -> None:
    tokens = InputTokens(5, 3, form=form, vocabulary=6)
    x = torch.tensor([[1, 2, 0, 0, 0], [3, 0, 0, 0, 0]])
    for rows, learns in ((x, False), (torch.cat([x, torch.zeros_like(x[:1])]), True)):
        tokens.zero_grad()
        found, _ = tokens(rows if form == "ids" else rows.float())
        found.square().sum().backward()
        assert bool(tokens.read.vectors.weight.grad[0].any()) == learns


def test_patches_by_hand() -> None:
    read, x = PatchTokens(5, 3, patch=2), torch.randn(2, 5)
    found, real = read(x)
    assert real.all()
    torch.testing.assert_close(found[:, 1], read.map(x[:, 2:4]))
    torch.testing.assert_close(found[:, 2], read.map(torch.stack([x[:, 4], torch.zeros(2)], dim=1)))


def test_every_feature_a_token_by_hand() -> None:
    read, x = FeatureTokens(3, 4), torch.randn(2, 3)
    found, real = read(x)
    assert real.shape == (2, 3)
    torch.testing.assert_close(found[1, 2], x[1, 2] * read.weight[2] + read.bias[2])


@pytest.mark.parametrize("form", ["patches", "features"])
def test_neither_scale_nor_offset_of_a_feature_matters(form: str) -> None:
    tokens, x = InputTokens(5, 8, form=form), torch.randn(40, 5)
    found, _ = tokens(x)
    again, _ = tokens(x * torch.tensor([1e3, 0.2, 1.0, 7.0, 20.0]) + torch.tensor([1e3, 3.0, 0.0, -5.0, 2.0]))
    torch.testing.assert_close(again, found, atol=5e-3, rtol=0)
    assert found.std(dim=0).mean() > 0.1


def test_a_rare_feature_is_cut_and_a_constant_one_is_zero() -> None:
    tokens = InputTokens(2, 1, form="features", positions=False)
    x = torch.stack([torch.cat([torch.ones(1), torch.zeros(199)]), torch.full((200,), 7.0)], dim=1)
    found, _ = tokens(x)
    weight, bias = tokens.read.weight, tokens.read.bias
    torch.testing.assert_close(found[0, 0], 5 * weight[0] + bias[0])
    torch.testing.assert_close(found[:, 1], bias[1].expand(200, 1), atol=1e-3, rtol=0)


def test_squares_of_a_picture_line_by_line() -> None:
    read, x = PixelTokens((1, 3, 4), 5, patch=2), torch.rand(2, 1, 3, 4)
    found, real = read(x)
    assert found.shape == (2, 4, 5)
    assert real.all()
    weight, bias = read.map.weight.flatten(1), read.map.bias
    torch.testing.assert_close(found[0, 1], weight @ x[0, 0, :2, 2:].flatten() + bias)
    torch.testing.assert_close(found[0, 2], weight @ torch.stack([x[0, 0, 2, :2], torch.zeros(2)]).flatten() + bias)


@pytest.mark.parametrize(("form", "count"), [("ids", 300), ("active", 0), ("patches", 2), ("features", 0), ("pixels", 6)])
def test_positions_where_they_say_something(form: str, count: int) -> None:
    tokens = InputTokens(20, 8, form=form, vocabulary=5, shape=(3, 20, 40))
    assert (0 if tokens.positions is None else len(tokens.positions)) == count
    always = InputTokens(20, 8, form=form, vocabulary=5, shape=(3, 20, 40), positions=True)
    assert always.positions is not None


def test_positions_are_added_and_dropout_is_for_training() -> None:
    tokens, x = InputTokens(6, 8, form="patches", patch=2, dropout=0.5), torch.randn(2, 6)
    torch.testing.assert_close(tokens.eval()(x)[0], tokens.read(tokens.norm(x))[0] + tokens.positions)
    dropped = tokens.train()(x)[0]
    assert 0 < int((dropped == 0).sum()) < dropped.numel()


def test_given_vectors_are_the_start() -> None:
    vectors = np.arange(12.0).reshape(4, 3)
    tokens = InputTokens(3, 3, form="active", embeddings=vectors)
    torch.testing.assert_close(tokens(torch.eye(3))[0][:, 0], torch.as_tensor(vectors[1:]).float())
    assert tokens.read.vectors.weight.requires_grad
    with pytest.raises(ParameterError, match=r"\(5, 3\)"):
        InputTokens(4, 3, form="active", embeddings=vectors)
    with pytest.raises(ParameterError, match="patches"):
        InputTokens(3, 3, form="patches", embeddings=vectors)


def test_the_form_follows_the_data(rng: np.random.Generator) -> None:
    binary = (rng.random((30, 8)) < 0.5).astype(np.float32)
    weights = np.where(rng.random((30, 50)) < 0.05, rng.random((30, 50)), 0.0)
    assert token_context(table(binary)) == {"form": "active", "vocabulary": 0, "shape": (8,)}
    for X in (weights, sparse.csr_array(weights)):
        assert token_context(Table(Dataset(X, np.ones((30, 2)))))["form"] == "active"
    assert token_context(table(rng.random((30, 8))))["form"] == "patches"
    assert token_context(Table(Dataset(np.zeros((0, 4)), np.zeros((0, 2)))))["form"] == "patches"
    words = table(np.array([[2, 3, 0], [4, 0, 0]]), kind="tokens", vocabulary=5)
    assert token_context(words) == {"form": "ids", "vocabulary": 5, "shape": (3,)}
    pictures = table(np.zeros((2, 3, 8, 9), dtype=np.uint8), kind="images")
    assert token_context(pictures) == {"form": "pixels", "vocabulary": 0, "shape": (3, 8, 9)}


def test_texts_are_to_be_turned_into_tokens_first() -> None:
    class Texts:
        kind, vocabulary, shape = "text", 0, (1,)

    with pytest.raises(DataError, match="token ids first"):
        token_context(Texts())  # type: ignore[arg-type]


def test_rows_of_similar_length_go_together_and_come_back_in_order() -> None:
    torch.manual_seed(0)
    real = torch.arange(30) < torch.randint(1, 31, (50, 1))
    tokens, seen = torch.randn(50, 30, 2) * real.unsqueeze(2), []

    def network(lot: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(mask.shape))
        return (lot * mask.unsqueeze(2)).sum(dim=1)

    torch.testing.assert_close(by_length(network, tokens, real), tokens.sum(dim=1))
    assert [b for b, _ in seen] == [17, 17, 16]
    assert seen[0][1] < seen[1][1] < seen[2][1] <= 30
    for few in (31, 50):  # too few rows, or rows of one length, go at once
        seen.clear()
        by_length(network, tokens[:few], torch.ones(few, 30, dtype=torch.bool) if few == 50 else real[:few])
        assert len(seen) == 1


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"form": "words"}, "words"),
        ({"form": "ids"}, "vocabulary of at least 2"),
        ({"form": "pixels"}, "shape"),
        ({"form": "pixels", "shape": (20,)}, "picture"),
        ({"form": "active", "max_len": 0}, "max_len"),
        ({"form": "patches", "patch": 0}, "patch"),
        ({"form": "patches", "dropout": 1.0}, "dropout"),
    ],
)
def test_refuses_senseless_numbers(given: dict[str, object], match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        InputTokens(4, 8, **given)  # type: ignore[arg-type]
