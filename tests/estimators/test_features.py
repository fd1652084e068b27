"""Features of texts and pictures on disk: from training labels only, continued after a cut, refused when something has changed."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from polytag import load_dataset, load_parts
from polytag.data.pretrained import PretrainedTokenizer
from polytag.data.raw import RawSet, raw_pictures, raw_set
from polytag.errors import DataError, FetchError, ParameterError, ResumeError
from polytag.estimators import encoders
from polytag.estimators.encoders import Pretrained, Trained
from polytag.estimators.features import extract_features
from polytag.models.frozen import encode_rows

QUICK = {"width": 16, "epochs": 3, "batch_size": 8, "lr": 1e-2, "params": {"width": 8, "filters": 4, "windows": (2, 3)}}
WORDS = ["sun", "rain", "wind", "snow", "the", "a", "of"]


@pytest.fixture
def texts(rng):
    """Return sentences whose labels say which of the first four words are in them."""
    rows = [[WORDS[j] for j in rng.choice(len(WORDS), size=rng.integers(2, 6), replace=False)] for _ in range(60)]
    Y = np.array([[word in row for word in WORDS[:4]] for row in rows]).astype(np.uint8)
    X = np.array([" ".join(row) for row in rows], dtype=object)[:, None]
    return RawSet("weather", X, Y, WORDS[:4], {"train": np.arange(40), "test": np.arange(40, 60)})


@pytest.fixture
def pictures(rng):
    X = rng.integers(256, size=(24, 3, 8, 8), dtype=np.uint8)
    return RawSet("dots", X, (rng.random((24, 3)) < 0.5).astype(np.uint8), "abc")


class Colours(nn.Module):
    """The mean of each channel, twice."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        return (x.mean(dim=(2, 3))[:, :, None] * self.scale).flatten(1)


def test_a_trained_encoder_of_texts(texts, tmp_path):
    told = []
    eager = {**QUICK, "epochs": 12, "lr": 3e-2, "params": {**QUICK["params"], "dropout": 0.0, "hidden_dropout": 0.0}}
    encoder = Trained("xmlcnn", **eager)
    record = extract_features(texts, encoder, tmp_path / "out", watch=lambda *news: told.append(news))
    parts = load_parts(tmp_path / "out")
    assert {part: data.X.shape for part, data in parts.items()} == {"train": (30, 16), "valid": (10, 16), "test": (20, 16)}
    np.testing.assert_array_equal(parts["test"].Y.toarray(), texts.Y[40:])
    assert (parts["train"].label_names, parts["train"].name) == (tuple(WORDS[:4]), "weather")
    assert record["training"]["quality"]["train"]["micro_f1"] > 0.8  # words decide the labels
    assert (record["trained_on"], record["width"], record["kept"]) == ("train", 16, False)
    assert [news[1:] for news in told if news[0].startswith("training")][-1] == (12, 12)
    assert {news for news in told if news[1] == news[2]} >= {("encoding train", 30, 30), ("encoding test", 20, 20)}
    assert not (tmp_path / "out" / "work").exists()


def test_labels_of_the_test_part_leave_no_trace(texts, tmp_path):
    encoder = Trained("xmlcnn", **QUICK)
    one = extract_features(texts, encoder, tmp_path / "one")
    Y, X = texts.Y.copy(), texts.X.copy()
    Y[40:] = 1 - Y[40:]
    X[41, 0] = "quite other words"
    two = extract_features(replace(texts, X=X, Y=Y), encoder, tmp_path / "two")
    assert one["weights"] == two["weights"]
    assert one["inputs"]["content"] != two["inputs"]["content"]
    first, second = (load_parts(tmp_path / name) for name in ("one", "two"))
    np.testing.assert_array_equal(first["train"].X, second["train"].X)
    np.testing.assert_array_equal(np.delete(first["test"].X, 1, axis=0), np.delete(second["test"].X, 1, axis=0))
    other = extract_features(texts, replace(encoder, seed=1), tmp_path / "three")
    assert other["weights"] != one["weights"]


def test_parts_are_taken_as_published_or_cut(texts, pictures):
    encoder = Trained("xmlcnn", valid=0.25)
    parts = encoder.parts(texts)
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 30, "valid": 10, "test": 20}
    assert sorted([*parts["train"], *parts["valid"]]) == list(range(40))
    odd = replace(texts, parts={"train": np.arange(38), "test": np.arange(38, 60)})
    assert len(encoder.parts(odd)["valid"]) == 10  # 9.5 rows
    given = {"train": np.arange(20), "valid": np.arange(20, 25), "test": np.arange(25, 60)}
    assert encoder.parts(replace(texts, parts=given)) == given
    assert {part: len(rows) for part, rows in encoder.parts(replace(texts, parts={"train": np.arange(60)})).items()} == {
        "train": 45, "valid": 15,
    }  # fmt: skip
    with pytest.raises(ParameterError, match=r"expected a part 'train' .*only test"):
        encoder.parts(replace(texts, parts={"test": np.arange(60)}))
    cut = Trained("small_cnn", test=0.5, valid=0.25).parts(pictures)
    assert {part: len(rows) for part, rows in cut.items()} == {"train": 9, "valid": 3, "test": 12}
    assert Pretrained("resnet50").parts(texts) == texts.parts
    assert Pretrained("resnet50").parts(pictures)["full"].tolist() == list(range(24))


@pytest.mark.data
def test_the_split_of_reuters_is_the_papers(real_data, monkeypatch, tmp_path):
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    monkeypatch.setenv("POLYTAG_CACHE", str(tmp_path))
    parts = Trained("xmlcnn", valid=0.25).parts(raw_set("reuters21578", offline=True))
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 5827, "valid": 1943, "test": 3019}


def test_a_finished_folder_is_only_checked(texts, tmp_path, monkeypatch):
    encoder = Trained("xmlcnn", **QUICK)
    first = extract_features(texts, encoder, tmp_path / "out")
    monkeypatch.setattr(encoders.Trainer, "fit", None)  # nothing may be trained
    again = extract_features(texts, encoder, tmp_path / "out")
    assert again.pop("kept") is True
    first.pop("kept")
    assert again == json.loads(json.dumps(first))
    Y = texts.Y.copy()
    Y[0] = 1 - Y[0]
    changes = [
        (texts, replace(encoder, seed=3), r"settings\.seed: there 0, asked for 3"),
        (texts, replace(encoder, valid=0.5), r"settings\.valid"),
        (texts, replace(encoder, text={"max_len": 3}), r"settings\.text"),
        (replace(texts, Y=Y), encoder, r"inputs\.content"),
    ]
    for raw, asked, expected in changes:
        with pytest.raises(ResumeError, match=expected):
            extract_features(raw, asked, tmp_path / "out")
    path = tmp_path / "out" / "test" / "features.npy"
    path.write_bytes(path.read_bytes()[:-4] + b"1234")
    with pytest.raises(ResumeError, match=r"damaged: test/features\.npy"):
        extract_features(texts, encoder, tmp_path / "out")


def cut_at(stage, number):
    def watch(name, done, total):
        if name.startswith(stage) and done >= number:
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize("where", [("training", 2), ("encoding train", 16), ("encoding valid", 1), ("encoding test", 20)])
def test_a_run_that_was_cut_off_goes_on(texts, tmp_path, monkeypatch, where):
    encoder = Trained("xmlcnn", **QUICK)
    expected = extract_features(texts, encoder, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        extract_features(texts, encoder, tmp_path / "out", batch_size=8, watch=cut_at(*where))
    with pytest.raises(DataError, match="not finished"):
        load_dataset(tmp_path / "out")
    with pytest.raises(ResumeError, match="asked for 1"):
        extract_features(texts, replace(encoder, seed=1), tmp_path / "out")
    told = []
    found = extract_features(texts, encoder, tmp_path / "out", batch_size=8, watch=lambda *news: told.append(news))
    assert found["weights"] == expected["weights"]
    first = next(news for news in told)
    if where[0] == "training":
        assert first[1] == 3  # two epochs were kept
    elif where[0] == "encoding train":
        assert first == ("encoding train", 16, 30)  # the block that was interrupted is the first that is not kept
    for part, data in load_parts(tmp_path / "out").items():
        np.testing.assert_allclose(data.X, load_dataset(tmp_path / "whole", part).X, atol=1e-6)


KILLED = """
import sys, os, signal, numpy as np
from polytag.data.raw import RawSet
from polytag.estimators.encoders import Trained
from polytag.estimators.features import extract_features
rng = np.random.default_rng(0)
raw = RawSet("dots", rng.integers(256, size=(24, 3, 8, 8), dtype=np.uint8), (rng.random((24, 3)) < 0.5).astype(np.uint8), "abc")
def watch(stage, done, total):
    if stage == "encoding train" and done >= 8 and len(sys.argv) > 2:
        os.kill(os.getpid(), signal.SIGKILL)
extract_features(raw, Trained("small_cnn", width=8, epochs=2), sys.argv[1], batch_size=4, watch=watch)
"""


@pytest.mark.skipif(os.name == "nt", reason="has no SIGKILL")
def test_a_killed_process_leaves_what_another_one_continues(pictures, tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "out"), "die"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # other numbers of threads add up in other orders
    done = subprocess.run(command, timeout=300, capture_output=True, text=True, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    torn = tmp_path / "out" / ".train.torn"  # as a kill within the writing of a part would leave it
    torn.mkdir()
    encoder = Trained("small_cnn", width=8, epochs=2)
    told = []
    raw_parts = encoder.parts(pictures)
    record = extract_features(pictures, encoder, tmp_path / "out", batch_size=4, watch=lambda *news: told.append(news))
    assert told[0][:2] == ("encoding train", 8)  # four rows were kept, and no epoch was trained again
    assert not torn.exists()
    whole = extract_features(pictures, encoder, tmp_path / "whole")
    assert record["weights"] == whole["weights"]
    assert load_dataset(tmp_path / "out", "train").n == len(raw_parts["train"])


def test_a_first_try_that_failed_at_once_does_not_stand_in_the_way(texts, tmp_path):
    with pytest.raises(ParameterError, match="epochs=0"):
        extract_features(texts, Trained("xmlcnn", **{**QUICK, "epochs": 0}), tmp_path / "out")
    assert extract_features(texts, Trained("xmlcnn", **QUICK), tmp_path / "out")["kept"] is False


def test_a_network_of_ones_own_reads_each_picture_once(pictures, tmp_path):
    network = Colours()
    record = extract_features(pictures, Pretrained(network), tmp_path / "out", batch_size=5)
    data = load_dataset(tmp_path / "out")
    means = pictures.X.mean(axis=(2, 3)) / 255
    np.testing.assert_allclose(data.X, np.stack([means, 2 * means], axis=2).reshape(24, 6), rtol=1e-5)
    np.testing.assert_array_equal(data.Y.toarray(), pictures.Y)
    assert (record["trained_on"], record["training"], list(record["parts"])) == (None, None, ["full"])
    assert extract_features(pictures, Pretrained(network), tmp_path / "out")["kept"] is True
    with torch.no_grad():
        network.scale[0] = 3.0
    with pytest.raises(ResumeError, match=r"settings\.weights"):
        extract_features(pictures, Pretrained(network), tmp_path / "out")


def test_pictures_of_files_are_encoded_batch_by_batch(tmp_path, rng):
    image = pytest.importorskip("PIL.Image")
    lines = ["file,a,b"]
    for row in range(5):
        image.fromarray(rng.integers(256, size=(20, 24, 3), dtype=np.uint8)).save(tmp_path / f"{row}.png")
        lines.append(f"{row}.png,{row % 2},1")
    (tmp_path / "set.csv").write_text("\n".join(lines))
    raw = raw_pictures(tmp_path, resize=16, crop=14)
    extract_features(raw, Pretrained(Colours()), tmp_path / "out", batch_size=2)
    expected = raw.X.pixels(0, 5).mean(axis=(2, 3)) / 255
    np.testing.assert_allclose(load_dataset(tmp_path / "out").X[:, ::2], expected, rtol=1e-5)
    small = raw_pictures(tmp_path, resize=8, crop=8)
    assert extract_features(small, Trained("small_cnn", width=8, epochs=1, test=0.4), tmp_path / "cnn")["width"] == 8


def test_encoders_of_transformers_from_their_folders(pictures, texts, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    network = transformers.AutoModel.from_config(transformers.AutoConfig.for_model("resnet", **sizes)).eval()
    network.save_pretrained(tmp_path / "resnet")
    record = extract_features(pictures, Pretrained(str(tmp_path / "resnet")), tmp_path / "seen", batch_size=7)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        expected = network(pixel_values=(torch.from_numpy(pictures.X) / 255 - mean) / deviation).pooler_output.flatten(1)
    np.testing.assert_allclose(load_dataset(tmp_path / "seen").X, expected, rtol=1e-4, atol=1e-5)
    assert record["settings"]["encoder"] == "resnet"
    assert "model.safetensors" in record["settings"]["files"]

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    transformers.BertTokenizerFast(vocab={word: number for number, word in enumerate(vocabulary)}).save_pretrained(tmp_path / "bert")
    settings = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    reader = transformers.AutoModel.from_config(transformers.AutoConfig.for_model("bert", vocab_size=len(vocabulary), **settings)).eval()
    reader.save_pretrained(tmp_path / "bert")
    extract_features(texts, Pretrained(str(tmp_path / "bert"), max_len=9), tmp_path / "read", batch_size=1)
    pieces = PretrainedTokenizer(str(tmp_path / "bert"), max_len=9).transform(texts.X[40:41])[0]
    with torch.no_grad():
        states = reader(input_ids=torch.from_numpy(pieces[pieces > 0] - 2).long()[None]).last_hidden_state
    test = load_dataset(tmp_path / "read", "test")
    np.testing.assert_allclose(test.X[0], states.mean(dim=1)[0], rtol=1e-4, atol=1e-5)
    assert test.n == 20
    with pytest.raises(ParameterError, match="name or folder of an encoder of transformers for texts"):
        extract_features(texts, Pretrained(Colours()), tmp_path / "no")


def test_networks_of_torchvision_have_their_first_weights(pictures, tmp_path, monkeypatch):
    """The library itself may be absent; what it is asked for is checked on a stand-in of its three functions."""
    asked = []

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.fc = Colours(), nn.Linear(6, 10)

        def forward(self, x):
            return self.fc(self.body(x))

    class Weights(dict):
        DEFAULT = SimpleNamespace(url="https://example.org/small-22222222.pth")

    known = Weights(IMAGENET1K_V1=SimpleNamespace(url="https://example.org/small-11111111.pth"), IMAGENET1K_V2=Weights.DEFAULT)
    library = SimpleNamespace(
        get_model_weights=lambda name: known, get_model=lambda name, weights: asked.append((name, weights)) or Small()
    )
    monkeypatch.setitem(sys.modules, "torchvision.models", library)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(FetchError, match=rf"small-11111111\.pth are not on this machine.* save it as {tmp_path / 'hub'}"):
        extract_features(pictures, Pretrained("small"), tmp_path / "out")
    monkeypatch.setattr("polytag.models.image_encoder.weight_file", lambda url, download: asked.append(url))
    record = extract_features(pictures, Pretrained("small"), tmp_path / "out")
    assert asked == ["https://example.org/small-11111111.pth", ("small", known["IMAGENET1K_V1"])]
    assert (record["settings"]["encoder"], record["width"]) == ("small.IMAGENET1K_V1", 6)  # without the classifier on top
    with pytest.raises(ParameterError, match=r"resnet50\.IMAGENET1K_V1.*'small\.V9'"):
        extract_features(pictures, Pretrained("small.V9"), tmp_path / "no")


def test_what_does_not_fit_is_said_before_anything_is_done(texts, pictures, tmp_path):
    out = tmp_path / "out"
    unknown = texts.Y.astype(float)
    unknown[3, 1] = np.nan
    nothing = RawSet("none", texts.X[:0], texts.Y[:0], WORDS[:4])
    encoder = Trained("xmlcnn", **QUICK)
    for raw, asked, expected in (
        (replace(texts, Y=unknown), encoder, "unknown labels"),
        (nothing, encoder, "has 0 rows"),
        (pictures, encoder, "'small-cnn' reads them"),
        (texts, Trained("small_cnn"), "'xml-cnn' reads them"),
        (texts, replace(encoder, params={"loss": object()}), "plain values"),
    ):
        with pytest.raises((DataError, ParameterError), match=expected):
            extract_features(raw, asked, out)
    for wrong in ({"model": "mlp"}, {"width": 4}, {"valid": 1.0}, {"test": 0.0}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            Trained(**{"model": "xmlcnn", **wrong})
    for batch_size in (0, -1):
        with pytest.raises(ParameterError, match="batch_size"):
            extract_features(texts, encoder, out, batch_size=batch_size)
    with pytest.raises(ParameterError, match="batch_size"):
        encode_rows(Colours(), lambda start, stop: torch.zeros(0), 3, batch_size=0)
    assert not out.exists()
    out.mkdir()
    (out / "diary.txt").write_text("mine")
    with pytest.raises(ResumeError, match="holds something else"):
        extract_features(texts, encoder, out)


def test_labels_may_be_sparse(texts, tmp_path):
    dense = extract_features(texts, Trained("xmlcnn", **QUICK), tmp_path / "dense")
    thin = extract_features(replace(texts, Y=sparse.csr_array(texts.Y)), Trained("xmlcnn", **QUICK), tmp_path / "sparse")
    assert dense["weights"] == thin["weights"]
    assert load_dataset(tmp_path / "sparse").labels.counts.tolist() == load_dataset(tmp_path / "dense").labels.counts.tolist()
