"""What neighbours are searched by: TF-IDF, pixels or an encoder, and that selectors see the choice."""

from typing import Any

import numpy as np
import pytest
import torch

from polytag import DeepMultiLabelClassifier
from polytag.bench import Method, Protocol, run_cell
from polytag.bench.cell import derived_seeds
from polytag.bench.store import content_hash
from polytag.data import Dataset, Table
from polytag.data.prepare import Preparation
from polytag.data.splits import Split, kfold
from polytag.errors import DataError, ParameterError
from polytag.models import Linear, SmallCNN
from polytag.models.frozen import with_encoder_view
from polytag.selectors import loss_weighted

WORDS = ["tea", "wine", "milk", "red", "green", "old", "cup", "glass"]
SMALL = {"widths": [4, 8]}


def texts(n: int = 60) -> Dataset:
    rng = np.random.default_rng(0)
    rows = [" ".join(rng.choice(WORDS, 4)) for _ in range(n)]
    labels = np.array([[word in row.split() for word in ("tea", "wine", "milk")] + [row.startswith("old cup")] for row in rows])
    return Dataset(np.array(rows, dtype=object)[:, None], labels.astype(np.uint8), ["text"], ["t", "w", "m", "rare"], "texts", kind="text")


def pictures(n: int = 60) -> Dataset:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)
    return Dataset(X, (rng.random((n, 3)) < (0.5, 0.5, 0.2)).astype(np.uint8), name="pictures", kind="images")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, np.ndarray]]:
    """Keep the features that Adaptive searches its neighbours by, and the weights that come out."""
    kept: list[tuple[Any, np.ndarray]] = []
    usual = loss_weighted.imbalance_weights

    def watched(x: Any, y: Any, neighbours: int) -> np.ndarray:
        kept.append((x, usual(x, y, neighbours)))
        return kept[-1][1]

    monkeypatch.setattr(loss_weighted, "imbalance_weights", watched)
    return kept


def cell(data: Dataset, choice: str | None, **method: Any) -> Any:
    preparation = {} if choice is None else {"neighbours": choice}
    protocol = Protocol(folds=3, epochs=1, batch_size=16, preparation=preparation)
    return run_cell(data, Method(**{"selector": "adaptive", **method}), protocol, 0, 0)


def test_adaptive_sees_tfidf_or_what_the_encoder_makes_of_texts(seen: list[Any]) -> None:
    data, params = texts(), {"bottleneck": 8, "filters": 4}
    records = {choice: cell(data, choice, model="xmlcnn", model_params=params) for choice in (None, "auto", "tfidf", "encoder")}
    (plain, _), (auto, _), (tfidf, by_words), (encoded, by_encoder) = seen
    assert (plain != auto).nnz == (plain != tfidf).nnz == 0
    assert encoded.shape == (tfidf.shape[0], 8)
    assert not np.allclose(by_words, by_encoder)
    assert records[None].key == records["auto"].key
    assert len({record.key for record in records.values()}) == 3
    assert "neighbours" not in records["auto"].prepared
    assert records["encoder"].prepared["neighbours"] == "encoder"


def test_adaptive_sees_pixels_or_what_the_encoder_makes_of_pictures(seen: list[Any]) -> None:
    data = pictures()
    for choice in ("pixels", "encoder"):
        cell(data, choice, model="small_cnn", model_params=SMALL)
    (pixels, by_pixels), (encoded, by_encoder) = seen
    train = Preparation().prepare(data, kfold(data, 3, seed=0, **Protocol().split)[0]).train
    np.testing.assert_array_equal(pixels, train.X.reshape(train.n, -1))
    table = Table(train)
    model = SmallCNN.from_data(table, seed=derived_seeds(0, 0).weights, **SMALL).eval()
    with torch.no_grad():
        expected = model.features(table[torch.arange(train.n)].x).numpy()
    np.testing.assert_allclose(encoded, expected, atol=1e-6)
    assert not np.allclose(by_pixels, by_encoder)


def test_a_local_encoder_of_transformers_gives_the_features(seen: list[Any], tmp_path: Any) -> None:
    transformers = pytest.importorskip("transformers")
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: number for number, word in enumerate([*marks, *WORDS])}
    tokenizer = transformers.BertTokenizerFast(vocab=vocabulary, do_lower_case=True)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    encoder = transformers.BertModel(transformers.BertConfig(vocab_size=len(vocabulary), max_position_embeddings=16, **sizes)).eval()
    tokenizer.save_pretrained(tmp_path / "tiny")
    encoder.save_pretrained(tmp_path / "tiny")
    data, how = texts(), {"encoder": str(tmp_path / "tiny"), "max_len": 8}
    DeepMultiLabelClassifier(
        "text_encoder", epochs=1, selector="adaptive", neighbours="encoder", validation_fraction=0, random_state=0, model_params=how
    ).fit(data.X[:, 0].tolist(), data.Y)
    with torch.no_grad():
        read = encoder(**tokenizer(data.X[:, 0].tolist(), padding=True, return_tensors="pt")).last_hidden_state[:, 0]
    np.testing.assert_allclose(seen[0][0], read.numpy(), atol=1e-5)


def test_label_distributions_are_recovered_by_the_encoder_too() -> None:
    record = cell(pictures(), "encoder", model="small_cnn", model_params=SMALL, selector="random", enhance="glle")
    assert np.isfinite(record.metrics["macro_auc"])
    with pytest.raises(DataError, match="expected a table of features to recover"):
        cell(pictures(), "pixels", model="small_cnn", model_params=SMALL, selector="random", enhance="glle")


def test_the_encoder_is_only_looked_at() -> None:
    table = Table(pictures())
    model = SmallCNN.from_data(table, **SMALL)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    shown = with_encoder_view(table, model, batch_size=7)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert shown.dataset.view.shape == (60, 8)
    assert table.dataset.view is None
    assert torch.equal(shown[torch.arange(5)].x, table[torch.arange(5)].x)


def test_a_view_that_is_given_counts_unless_a_choice_is_named() -> None:
    view = np.arange(60.0)[:, None]
    data, plain = (Dataset(pictures().X, pictures().Y, kind="images", view=each) for each in (view, None))
    split = Split(np.arange(40), np.arange(0), np.arange(40, 60))
    np.testing.assert_array_equal(Preparation().prepare(data, split).train.features, view[:40])
    assert Preparation(neighbours="pixels").prepare(data, split).train.features.shape == (40, 192)
    assert content_hash(data) != content_hash(plain)
    assert content_hash(plain) == content_hash(pictures())


@pytest.mark.parametrize(
    ("data", "model", "choice", "says"),
    [
        (texts(), "xmlcnn", "pixels", "expected neighbours='auto' or 'tfidf' or 'encoder' for tokens, but got 'pixels'"),
        (texts(), "linear", "encoder", "expected neighbours='auto' or 'tfidf' for texts as a table of TF-IDF weights, but got 'encoder'"),
        (texts(), "rnn", "encoder", "a model with an encoder for neighbours='encoder', but got tokens and RNN"),
        (pictures(), "small_cnn", "tfidf", "expected neighbours='auto' or 'pixels' or 'encoder' for images, but got 'tfidf'"),
        (Dataset(np.eye(9), np.eye(9)), "linear", "tfidf", "expected neighbours='auto' for a table of features, but got 'tfidf'"),
    ],
    ids=["texts-pixels", "table-of-words-encoder", "no-encoder", "pictures-tfidf", "table-tfidf"],
)
def test_a_choice_that_does_not_fit_is_refused(data: Dataset, model: str, choice: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        cell(data, choice, model=model)


def test_a_choice_that_does_not_exist_is_refused_and_classical_models_need_none() -> None:
    with pytest.raises(ParameterError, match="neighbours='words'"):
        Preparation(neighbours="words")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="neighbours='words'"):
        DeepMultiLabelClassifier("linear", neighbours="words").fit(np.eye(9), np.eye(9))
    with pytest.raises(DataError, match="expected tokens or images"):
        with_encoder_view(Table(Dataset(np.eye(9), np.eye(9))), Linear(9, 9))
    assert np.isfinite(cell(texts(), "encoder", model="br").metrics["macro_auc"])
