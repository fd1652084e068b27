"""Pretrained language encoders: own tiny ones, saved to a folder, so that nothing is downloaded."""

import json

import numpy as np
import pytest
import torch

from polytag.data import Dataset, Table
from polytag.data.pretrained import SHIFT, PretrainedTokenizer
from polytag.errors import DataError, FetchError, ParameterError, PolytagError
from polytag.models import TextEncoder
from polytag.nn.label_attention import LabelAttention
from polytag.types import Batch

transformers = pytest.importorskip("transformers")
TINY = {
    "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "dog", "ran", "##s", "on", "mat", "."]
TEXTS = ["The cat sat on the mat.", "dogs ran", "", "the unicorn"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of an encoder with its tokenizer, as people keep them."""
    path = tmp_path_factory.mktemp("tiny-bert")
    (path / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    transformers.BertTokenizerFast(vocab={word: number for number, word in enumerate(WORDS)}, do_lower_case=True).save_pretrained(path)
    torch.manual_seed(0)
    settings = {**TINY, "vocab_size": len(WORDS), "max_position_embeddings": 32}
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    transformers.AutoModel.from_config(config).save_pretrained(path)
    return str(path)


@pytest.fixture
def table(folder):
    tokenizer = PretrainedTokenizer(folder, max_len=12)
    return Table(Dataset(tokenizer.transform(TEXTS), np.eye(4, 3), kind="tokens", vocabulary=tokenizer.vocabulary))


def test_pieces_are_shifted_and_padded_at_the_right(folder):
    tokenizer = PretrainedTokenizer(folder, max_len=6)
    ids = tokenizer.transform(TEXTS)
    number = {word: k + SHIFT for k, word in enumerate(WORDS)}
    start, end, unknown = number["[CLS]"], number["[SEP]"], number["[UNK]"]
    assert ids.dtype == np.int32
    assert ids.tolist() == [
        [start, number["the"], number["cat"], number["sat"], number["on"], end],
        [start, number["dog"], number["##s"], number["ran"], end, 0],
        [start, end, 0, 0, 0, 0],
        [start, number["the"], unknown, end, 0, 0],
    ]
    assert tokenizer.vocabulary == len(WORDS) + 2
    assert tokenizer.transform(np.array(TEXTS, dtype=object)[:, None]).tolist() == ids.tolist()
    assert tokenizer.transform([]).shape == (0, 6)
    again = PretrainedTokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert again.transform(TEXTS).tolist() == ids.tolist()
    with pytest.raises(ParameterError, match="max_len"):
        PretrainedTokenizer(folder, max_len=2)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_features_are_those_of_the_library(folder, table, pooling):
    model = TextEncoder.from_data(table, encoder=folder, pooling=pooling).eval()
    pieces = transformers.AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, truncation=True, max_length=12, return_tensors="pt")
    encoder = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = encoder(**pieces).last_hidden_state
        shown = pieces["attention_mask"].unsqueeze(2)
        expected = states[:, 0] if pooling == "cls" else (states * shown).sum(1) / shown.sum(1)
        x = table[torch.arange(4)].x
        torch.testing.assert_close(model.features(x), expected)
        torch.testing.assert_close(model(x), expected @ model.output.weight.T + model.output.bias)


def test_numbers_of_parameters_leave_the_unused_pooler_out(folder, table):
    model = TextEncoder.from_data(table, encoder=folder)
    whole = transformers.AutoModel.from_pretrained(folder)
    assert sum(p.numel() for p in model.encoder.parameters()) == whole.num_parameters() - (16 * 16 + 16)
    assert sum(p.numel() for p in model.output.parameters()) == 3 * 17


def test_learning_rates_of_encoder_and_head(folder, table):
    head, inner = TextEncoder.from_data(table, encoder=folder).param_groups(1e-3)
    assert (head["lr"], inner["lr"]) == (1e-3, pytest.approx(5e-5))
    assert len(head["params"]) == 2
    assert TextEncoder.from_data(table, encoder=TINY).param_groups(1e-3)[1]["lr"] == 1e-3
    assert TextEncoder.from_data(table, encoder=folder, lr_ratio=0.5).param_groups(1.0)[1]["lr"] == 0.5


def test_a_frozen_encoder_stays_as_it_is(folder, table):
    model = TextEncoder.from_data(table, encoder=folder, frozen=True, dropout=0.0)
    before = {name: p.clone() for name, p in model.encoder.state_dict().items()}
    (group,) = model.param_groups(0.1)
    optimizer = torch.optim.Adam([group])
    batch = table[torch.arange(4)]
    first = float(model.train().objective(batch).loss.detach())
    assert not model.encoder.training
    for _ in range(20):
        optimizer.zero_grad()
        loss = model.train().objective(batch).loss
        loss.backward()
        optimizer.step()
    assert all(torch.equal(before[name], p) for name, p in model.encoder.state_dict().items())
    assert float(loss.detach()) < first


def test_attention_of_labels_by_the_textbook():
    torch.manual_seed(0)
    head = LabelAttention(3, 4)
    tokens, real = torch.randn(2, 5, 4), torch.tensor([[True] * 5, [True, True, False, False, False]])
    for row in range(2):
        seen = tokens[row, real[row]]
        for label in range(3):
            share = (seen @ head.queries[label] / 2).softmax(dim=0)
            expected = head.weight[label] @ (share[:, None] * seen).sum(dim=0) + head.bias[label]
            torch.testing.assert_close(head(tokens, real)[row, label], expected)


def test_both_heads_learn_which_word_matters():
    rng = np.random.default_rng(0)
    x = rng.integers(2, 12, size=(128, 8)).astype(np.int32)
    x[:, 6:] = 0
    y = np.stack([(x == 5).any(axis=1), (x == 7).any(axis=1)], axis=1).astype(np.uint8)
    table = Table(Dataset(x, y, kind="tokens", vocabulary=12))
    batch = table[torch.arange(128)]
    for params in ({"head": "attention"}, {"pooling": "mean"}):
        model = TextEncoder.from_data(table, encoder=TINY, dropout=0.0, **params)
        optimizer = torch.optim.Adam(model.param_groups(1e-2))
        for _ in range(100):
            optimizer.zero_grad()
            model.train().objective(batch).loss.backward()
            optimizer.step()
        assert float(((model.eval()(batch.x) > 0) == batch.y.bool()).float().mean()) > 0.95


def test_padding_never_matters(table, folder):
    model = TextEncoder.from_data(table, encoder=folder, head="attention").eval()
    x = table[torch.arange(4)].x
    with torch.no_grad():
        wider = torch.cat([x, torch.zeros(4, 5, dtype=torch.int64)], dim=1)
        torch.testing.assert_close(model(wider), model(x))
        torch.testing.assert_close(model(x[1:2, :6]), model(x)[1:2])
        assert model(torch.zeros(2, 12, dtype=torch.int64)).isfinite().all()


def test_outputs_start_at_the_log_odds(table):
    model = TextEncoder.from_data(table, encoder=TINY, prior_bias=True)
    torch.testing.assert_close(model.output.bias.detach(), torch.logit(torch.full((3,), 1.5 / 5)))
    assert not torch.allclose(TextEncoder.from_data(table, encoder=TINY).output.bias, model.output.bias)


def test_a_model_is_copied_and_its_ids_can_be_shifted(folder, table):
    whole = transformers.AutoModel.from_pretrained(folder)
    model = TextEncoder.from_data(table, encoder=whole, shift=SHIFT).eval()
    same = TextEncoder.from_data(table, encoder=folder).eval()
    assert whole.pooler is not None
    x = table[torch.arange(4)].x
    torch.testing.assert_close(model.features(x), same.features(x))
    model.encoder.get_input_embeddings().weight.data.zero_()
    assert whole.get_input_embeddings().weight.abs().sum() > 0


def test_the_model_chooses_the_tokenizer(folder):
    tokenizer = TextEncoder.tokenizer({"encoder": folder, "max_len": 7})
    assert isinstance(tokenizer, PretrainedTokenizer)
    assert tokenizer.transform(TEXTS).shape == (4, 7)
    assert TextEncoder.tokenizer({"encoder": TINY}) is None


def test_what_cannot_be_loaded_says_what_to_do(monkeypatch, tmp_path, table):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for load in (lambda: TextEncoder.from_data(table, encoder="no-such/encoder"), lambda: PretrainedTokenizer("no-such/encoder")):
        with pytest.raises(FetchError, match="could not load 'no-such/encoder'") as caught:
            load()
        assert isinstance(caught.value, PolytagError)
        for words in ("hf download no-such/encoder", "download=True", "copy its folder"):
            assert words in str(caught.value)


def test_wrong_parameters_and_tokens_are_named(folder, table):
    for wrong in ({"pooling": "max"}, {"head": "mlp"}, {"dropout": 1.0}, {"lr_ratio": -1.0}, {"shift": -1}, {"max_len": 1}):
        with pytest.raises(ParameterError, match=f"{next(iter(wrong))}="):
            TextEncoder.from_data(table, encoder=TINY, **wrong)
    with pytest.raises(ParameterError, match="model_type"):
        TextEncoder.from_data(table, encoder={"hidden_size": 16})
    with pytest.raises(ParameterError, match="expected encoder to be a name"):
        TextEncoder.from_data(table, encoder=3)
    many = Table(Dataset(np.full((2, 5), 900, np.int32), np.eye(2), kind="tokens", vocabulary=1000))
    with pytest.raises(DataError, match="PretrainedTokenizer"):
        TextEncoder.from_data(many, encoder=folder)
    long = Table(Dataset(np.ones((2, 40), np.int32), np.eye(2), kind="tokens", vocabulary=9))
    with pytest.raises(DataError, match="at most 32 tokens"):
        TextEncoder.from_data(long, encoder=folder)
    with pytest.raises(DataError, match="TextEncoder reads tokens"):
        TextEncoder.from_data(Table(Dataset(np.eye(2), np.eye(2))), encoder=TINY)


def test_unknown_labels_of_the_batch_do_not_count(table):
    model = TextEncoder.from_data(table, encoder=TINY).eval()
    batch = table[torch.arange(4)]
    y = batch.y.clone()
    y[0] = torch.nan
    torch.testing.assert_close(model.objective(batch._replace(y=y)).loss, model.objective(Batch(*(part[1:] for part in batch[:3]))).loss)
