"""Picture encoders: own tiny ones, saved to a folder, so that nothing is downloaded; and features kept on disk."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from polytag.data import Dataset, Table
from polytag.errors import DataError, FetchError, MissingExtraError, ParameterError
from polytag.models import ImageEncoder, Linear, SmallCNN, TextEncoder
from polytag.models.frozen import content_key, frozen_features

transformers = pytest.importorskip("transformers")
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
VIT = {
    "model_type": "vit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "patch_size": 8,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip


@pytest.fixture
def pictures(rng):
    return Dataset(rng.integers(0, 256, size=(10, 3, 32, 24)).astype(np.uint8), np.eye(10, 4), kind="images")


def saved(folder, settings, **more):
    """Save an untrained encoder as people keep pretrained ones."""
    settings = {**settings, **more}
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}))
    return str(folder)


def test_a_saved_resnet_gives_the_features_of_the_library(tmp_path, pictures):
    table = Table(pictures)
    model = ImageEncoder.from_data(table, encoder=saved(tmp_path, RESNET), source="transformers").eval()
    x = table[torch.arange(10)].x
    theirs = transformers.AutoModel.from_pretrained(tmp_path).eval()
    mean, deviation = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    with torch.no_grad():
        expected = theirs(pixel_values=(x - mean) / deviation).pooler_output.flatten(1)
        torch.testing.assert_close(model.features(x), expected)
        torch.testing.assert_close(model(x), expected @ model.output.weight.T + model.output.bias)
    assert sum(p.numel() for p in model.output.parameters()) == 4 * 17


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_saved_vit_is_shown_the_size_that_it_insists_on(tmp_path, pictures, pooling):
    table = Table(pictures)
    folder = saved(tmp_path, VIT, image_size=16)
    model = ImageEncoder.from_data(table, encoder=folder, source="transformers", pooling=pooling).eval()
    assert model.resize == (16, 16)
    x = table[torch.arange(10)].x
    small = nn.functional.interpolate(x, (16, 16), mode="bilinear", antialias=True)
    with torch.no_grad():
        states = (
            transformers.AutoModel.from_pretrained(folder).eval()(pixel_values=(small - model.mean) / model.deviation).last_hidden_state
        )
        torch.testing.assert_close(model.features(x), states[:, 0] if pooling == "cls" else states.mean(dim=1))
    assert all(p.grad is not None for p in _after_a_step(model, table) if p.requires_grad)


def _after_a_step(model, table):
    model.train().objective(table[torch.arange(4)]).loss.backward()
    return list(model.parameters())


def test_untrained_encoders_fit_the_pictures(rng):
    grey = Table(Dataset(rng.integers(0, 256, size=(4, 1, 16, 24)).astype(np.uint8), np.eye(4), kind="images"))
    for settings in (RESNET, VIT):
        model = ImageEncoder.from_data(grey, encoder=settings, head="attention").eval()
        assert model(grey[torch.arange(4)].x).shape == (4, 4)
        assert [group["lr"] for group in model.param_groups(0.5)] == [0.5, 0.5]


def test_a_network_of_ones_own_is_copied(pictures):
    table = Table(pictures)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 6))
    model = ImageEncoder.from_data(table, encoder=network, normalise=((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))).eval()
    x = table[torch.arange(10)].x
    torch.testing.assert_close(model.features(x), network((x - 0.5) / 0.25))
    assert model.encoder is not network


def test_a_frozen_encoder_stays_as_it_is(pictures):
    table = Table(pictures)
    model = ImageEncoder.from_data(table, encoder=RESNET, frozen=True, dropout=0.0)
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}  # statistics of batch norm included
    (group,) = model.param_groups(0.1)
    optimizer = torch.optim.Adam([group])
    for _ in range(3):
        optimizer.zero_grad()
        model.train().objective(table[torch.arange(10)]).loss.backward()
        optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in model.encoder.state_dict().items())


def test_pretrained_encoders_learn_more_slowly(tmp_path, pictures):
    model = ImageEncoder.from_data(Table(pictures), encoder=saved(tmp_path, RESNET), source="transformers")
    assert [group["lr"] for group in model.param_groups(1e-3)] == [1e-3, pytest.approx(1e-4)]


@pytest.mark.parametrize(("source", "library"), [("timm", "timm"), ("torchvision", "torchvision")])
def test_a_library_that_is_not_there_is_named(source, library, pictures):
    try:
        __import__(library)
    except (ImportError, RuntimeError):
        with pytest.raises(MissingExtraError, match=rf"{library}.* cannot be imported .*polytag\[vision\]"):
            ImageEncoder.from_data(Table(pictures), encoder="resnet18", source=source)
    else:
        pytest.skip(f"{library} can be imported here")


@pytest.mark.parametrize("source", ["timm", "torchvision"])
def test_a_pretrained_network_of_a_library(source, pictures):
    try:
        __import__(source)
    except (ImportError, RuntimeError) as problem:
        pytest.skip(f"{source} cannot be imported here: {problem}")
    try:
        model = ImageEncoder.from_data(Table(pictures), encoder="resnet18", source=source).eval()
    except FetchError as problem:
        pytest.skip(f"the weights are not on this machine: {problem}")
    assert model.features(torch.rand(2, 3, 64, 64)).shape == (2, 512)


def test_wrong_parameters_and_data_are_named(tmp_path, monkeypatch, pictures):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    table = Table(pictures)
    for wrong in ({"pooling": "max"}, {"head": "mlp"}, {"source": "hub"}, {"dropout": 1.0}, {"lr_ratio": -1.0}):
        with pytest.raises(ParameterError, match=f"{next(iter(wrong))}="):
            ImageEncoder.from_data(table, encoder=RESNET, **wrong)
    with pytest.raises(ParameterError, match="model_type"):
        ImageEncoder.from_data(table, encoder={"depths": [1]})
    with pytest.raises(ParameterError, match="3 channels"):
        ImageEncoder(3, 2, encoder=RESNET)
    with pytest.raises(ParameterError, match="a name, a configuration"):
        ImageEncoder.from_data(table, encoder=7)
    with pytest.raises(DataError, match="cannot read pictures of shape"):
        ImageEncoder.from_data(table, encoder=nn.Linear(7, 3))
    with pytest.raises(FetchError, match="could not load 'no-such/encoder'"):
        ImageEncoder.from_data(table, encoder="no-such/encoder", source="transformers")


def test_features_are_computed_once_and_continue_where_they_stopped(tmp_path, pictures, monkeypatch):
    model = SmallCNN(3, 4, widths=(8,))
    seen = []
    features = SmallCNN.features

    def counted(self, x):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(len(x))
        return features(self, x)

    monkeypatch.setattr(SmallCNN, "features", counted)
    with pytest.raises(KeyboardInterrupt):
        frozen_features(model, pictures, cache=tmp_path, batch_size=2)
    seen.clear()
    whole = frozen_features(model, pictures, cache=tmp_path, batch_size=2)
    assert seen == [2, 2]  # six of the ten rows were there
    seen[:] = [0, 0, 0]
    again = frozen_features(model, pictures, cache=tmp_path)
    assert isinstance(again.X, np.memmap)
    assert [file.suffix for file in tmp_path.iterdir()] == [".npy"]
    monkeypatch.setattr(SmallCNN, "features", features)
    in_memory = frozen_features(model, pictures, batch_size=3)
    for data in (whole, again):
        assert (data.kind, data.label_names) == ("table", pictures.label_names)
        np.testing.assert_allclose(np.asarray(data.X), in_memory.X, rtol=1e-5, atol=1e-6)
    table = Table(again)
    assert Linear.from_data(table)(table[torch.arange(10)].x).shape == (10, 4)
    assert frozen_features(model, pictures.take(np.arange(0)), cache=tmp_path).X.shape == (0, 8)


def test_the_key_follows_weights_settings_and_rows(pictures):
    model = SmallCNN(3, 4, widths=(8,))
    key = content_key(model, pictures)
    assert content_key(model, pictures) == key
    other = pictures.X.copy()
    other[9, 2, 31, 23] ^= 1
    changed = [content_key(model, Dataset(other, pictures.Y, kind="images")), content_key(model, pictures.take(np.arange(9)))]
    model.output.weight.data += 1
    assert content_key(model, pictures) == key  # the head has no say
    model.grid = 2
    changed.append(content_key(model, pictures))
    model.grid = 1
    model.blocks[0].convolution.weight.data[0, 0, 0, 0] += 1e-4
    changed.append(content_key(model, pictures))
    assert len({key, *changed}) == 5
    with pytest.raises(ParameterError, match="batch_size"):
        frozen_features(model, pictures, batch_size=0)


def test_features_of_texts(tmp_path, rng):
    tokens = Dataset(rng.integers(0, 9, size=(7, 5)).astype(np.int32), np.eye(7, 2), kind="tokens", vocabulary=9)
    tiny = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = TextEncoder.from_data(Table(tokens), encoder=tiny)
    data = frozen_features(model, tokens, cache=tmp_path, batch_size=4)
    with torch.no_grad():
        expected = model.eval().features(Table(tokens)[torch.arange(7)].x).numpy()
    np.testing.assert_allclose(np.asarray(data.X), expected, rtol=1e-4, atol=1e-5)
    raw = Dataset(np.array([["a"]], dtype=object), np.eye(1), kind="text")
    with pytest.raises(DataError, match="raw texts"):
        frozen_features(model, raw)
