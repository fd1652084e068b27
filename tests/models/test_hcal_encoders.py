"""What HCAL reads rows with: encoders for tables, pictures and tokens, a ResNet, and pictures that are moved in training."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from polytag.data import Dataset, Table, load_digits_scenes
from polytag.data.readers import read_cifar
from polytag.errors import DataError, FetchError, MissingExtraError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.models import HCAL, ImageEncoder, row_encoder
from polytag.models.row_encoder import RowEncoder, augmented, resnet
from polytag.testing import models as contract

H = Hierarchy.from_edges([("A", "a1"), ("A", "a2"), ("B", "b1")])
Y = H.close(np.eye(5)[[1, 2, 4, 2, 4, 1, 2, 4]].astype(int))


@pytest.fixture
def pictures(rng):
    return Table(Dataset(rng.integers(0, 256, (8, 3, 32, 32)).astype(np.uint8), Y, label_names=H.names, hierarchy=H, kind="images"))


def all_move(model, table):
    """Take a step; every parameter gets a gradient."""
    model.train().objective(table[torch.arange(table.n)]).loss.backward()
    return all(bool((p.grad != 0).any()) for p in model.parameters())


def test_every_kind_of_data_has_an_encoder(pictures, rng):
    tokens = Table(Dataset(rng.integers(0, 9, (8, 5)).astype(np.int32), Y, label_names=H.names, hierarchy=H, kind="tokens", vocabulary=9))
    table = Table(Dataset(rng.normal(size=(8, 5)), Y, label_names=H.names, hierarchy=H))
    for data, params in ((pictures, {"widths": (8, 16)}), (tokens, {"width": 12}), (table, {"hidden": 16})):
        model = HCAL.from_data(data, encoder_params=params, width=8)
        assert model.encoder.width == (16 if data is pictures else next(iter(params.values())))
        assert all_move(model, data)
        rebuilt = HCAL.from_data(Table(data.dataset.take(np.arange(0))), encoder_params=params, width=8, **model.config)
        rebuilt.load_state_dict(model.state_dict())
        assert torch.equal(rebuilt.eval()(data[torch.arange(8)].x), model.eval()(data[torch.arange(8)].x))


def test_words_are_averaged_without_padding():
    words = RowEncoder("words", {"width": 3}, (4,), vocabulary=6)
    found, vectors = words(torch.tensor([[2, 5, 0, 0], [0, 0, 0, 0]])), words.network.vectors.weight
    torch.testing.assert_close(found, torch.stack([(vectors[2] + vectors[5]) / 2, torch.zeros(3)]))


def test_encoders_of_the_library_and_of_ones_own(pictures):
    x = pictures[torch.arange(8)].x
    network = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.ReLU())
    model = HCAL.from_data(pictures, encoder=network, width=4)
    torch.testing.assert_close(model.encoder(x), network(x).mean(dim=(2, 3)))
    assert model.encoder.network is not network
    places = RowEncoder(nn.Unflatten(1, (3, 2)), {}, (6,))
    torch.testing.assert_close(places(torch.arange(6.0)[None]), torch.tensor([[2.0, 3.0]]))
    inner = HCAL.from_data(pictures, encoder="image_encoder", encoder_params={"encoder": network, "frozen": True}, width=4)
    assert isinstance(inner.encoder.network, ImageEncoder)
    torch.testing.assert_close(inner.encoder(x), network(x).mean(dim=(2, 3)))
    assert not any(p.requires_grad for p in inner.encoder.parameters())


def test_an_encoder_that_cannot_read_the_rows_is_named(pictures, rng):
    table = Table(Dataset(rng.normal(size=(8, 5)), Y, label_names=H.names, hierarchy=H))
    with pytest.raises(DataError, match=r"'small_cnn' reads images, but got rows of shape \(5,\)"):
        HCAL.from_data(table, encoder="small_cnn")
    with pytest.raises(DataError, match=r"'resnet18' reads images, but got rows of shape \(5,\)"):
        HCAL.from_data(table, encoder="resnet18")
    with pytest.raises(DataError, match="'words' reads tokens"):
        HCAL.from_data(table, encoder="words")
    with pytest.raises(DataError, match="'mlp' reads table"):
        HCAL.from_data(pictures, encoder="mlp")
    with pytest.raises(DataError, match="cannot read rows of shape"):
        HCAL.from_data(table, encoder=nn.Linear(7, 3))
    with pytest.raises(ParameterError, match="called 'widht'"):
        HCAL.from_data(table, encoder="words", encoder_params={"widht": 3})
    with pytest.raises(ParameterError, match="did you mean 'widths'"):
        HCAL.from_data(pictures, encoder_params={"width": 3})
    with pytest.raises(ParameterError, match="no encoder called 'hcal'"):
        HCAL.from_data(table, encoder="hcal")


def test_only_encoders_with_tokens_of_their_own_bring_a_tokenizer():
    assert HCAL.tokenizer({}) is None
    assert HCAL.tokenizer({"encoder": "small_cnn"}) is None
    with pytest.raises(FetchError, match="no-such/encoder"):
        HCAL.tokenizer({"encoder": "text_encoder", "encoder_params": {"encoder": "no-such/encoder"}})


# ResNets


class Tiny(nn.Module):
    """What of a ResNet the stems change, and a block."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.block = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.fc = nn.Linear(16, 1000)

    def forward(self, x):
        self.seen = self.maxpool(self.conv1(x))
        return self.fc(self.block(self.seen).mean(dim=(2, 3)))


@pytest.fixture
def stand_in(monkeypatch):
    """A torchvision that knows one network without weights."""
    models = ModuleType("torchvision.models")

    def get_model(name, weights=None):
        if name != "resnet18":
            raise ValueError(f"Unknown model {name}")
        return Tiny()

    models.get_model = get_model
    package = ModuleType("torchvision")
    package.models = models
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


@pytest.mark.parametrize(
    ("stem", "size", "seen"), [("cifar", 32, 32), ("no_pool", 32, 16), ("imagenet", 32, 8), (None, 64, 64), (None, 96, 48)]
)
def test_stems_decide_how_much_is_seen_of_a_picture(stand_in, stem, size, seen):
    found = resnet("resnet18", (3, size, size), stem=stem, pretrained=False)
    assert found.features(torch.rand(2, 3, size, size)).shape == (2, 16)
    assert found.encoder.seen.shape == (2, 8, seen, seen)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_resnet_as_encoder(stand_in, channels, rng):
    X = rng.integers(0, 256, (8, channels, 32, 32)).astype(np.uint8)
    table = Table(Dataset(X, Y, label_names=H.names, hierarchy=H, kind="images"))
    model = HCAL.from_data(table, encoder="resnet18", encoder_params={"stem": "cifar", "pretrained": False}, width=8, augment="crop_flip")
    assert model.encoder.width == 16
    assert all_move(model, table)
    with pytest.raises(ParameterError, match="stem 'cifar', 'no_pool' or 'imagenet', but got 'small'"):
        HCAL.from_data(table, encoder="resnet18", encoder_params={"stem": "small"})
    with pytest.raises(ParameterError, match="but got 'resnet19'"):
        HCAL.from_data(table, encoder="resnet19", encoder_params={"pretrained": False})


def test_torchvision_that_is_not_there_is_named(pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    for pretrained in (True, False):
        with pytest.raises(MissingExtraError, match=r"torchvision.* cannot be imported .*polytag\[vision\]"):
            HCAL.from_data(pictures, encoder="resnet18", encoder_params={"pretrained": pretrained})


def test_the_resnet_of_torchvision(pictures):
    try:
        __import__("torchvision.models")
    except (ImportError, RuntimeError) as problem:
        pytest.skip(f"torchvision cannot be imported here: {problem}")
    model = HCAL.from_data(pictures, encoder="resnet18", encoder_params={"pretrained": False})
    assert (model.encoder.width, model.encoder.network.encoder.conv1.kernel_size) == (512, (3, 3))
    assert all_move(model, pictures)


# Pictures moved in training


def test_pictures_are_cut_out_of_themselves_with_a_black_edge(monkeypatch):
    torch.manual_seed(0)
    x = torch.rand(40, 3, 10, 24)
    moves: list[torch.Tensor] = []
    draw = torch.randint
    monkeypatch.setattr(row_encoder.torch, "randint", lambda *args, **params: moves.append(draw(*args, **params)) or moves[-1])
    found = augmented(x)
    (down, right), mirrored = moves
    assert {int(value) for value in moves[0].flatten()} == set(range(-4, 5))
    assert set(mirrored.tolist()) == {0, 1}
    padded = functional.pad(x, (4, 4, 4, 4))
    for k in range(40):
        cut = padded[k, :, 4 + down[k] : 14 + down[k], 4 + right[k] : 28 + right[k]]
        torch.testing.assert_close(found[k], cut.flip(2) if mirrored[k] else cut, atol=1e-5, rtol=0)


def test_turning_keeps_the_middle_and_the_proportions():
    torch.manual_seed(0)
    places = (torch.arange(20.0)[:, None] - 9.5) ** 2 + (torch.arange(40.0) - 19.5) ** 2
    disc = (places < 64).float().expand(30, 1, 20, 40)
    turned = augmented(disc, pad=0, degrees=15.0)
    assert float((turned - disc).abs().max()) > 0.01
    assert float((turned - disc).abs().mean(dim=(1, 2, 3)).max()) < 0.03  # a disc stays one where height and width differ
    bar = ((torch.arange(41.0)[:, None] - 20).abs() < 2).float().expand(200, 1, 41, 41)
    slopes = augmented(bar, pad=0, degrees=15.0)[:, 0, :, [8, 32]]
    heights = (slopes * torch.arange(41.0)[:, None]).sum(1) / slopes.sum(1)
    angles = torch.rad2deg(torch.atan((heights[:, 1] - heights[:, 0]) / 24))
    assert 12 < float(angles.max()) < 15.5
    assert -12 > float(angles.min()) > -15.5


def test_prediction_sees_pictures_as_they_are(pictures):
    model, batch = HCAL.from_data(pictures, augment="crop_flip_rotate", encoder_params={"widths": 8}, width=8), pictures[torch.arange(8)]
    assert torch.equal(model.eval()(batch.x), model(batch.x))
    model.train()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = model.encoder(batch.x)
        second = model.encoder(batch.x)
        torch.manual_seed(3)
        torch.testing.assert_close(model.encoder(batch.x), first)
    assert not torch.equal(first, second)


def test_generated_cifar_from_files_to_decisions(tmp_path, rng):
    """Bright and dark pictures, in two halves each: 4 fine classes in 2 coarse ones."""
    fine = rng.integers(0, 4, 96)
    pixels = rng.integers(0, 60, (96, 3, 32, 32)) + np.where(fine // 2, 150, 30)[:, None, None, None]
    pixels[np.arange(96)[:, None], :, :, np.where(fine[:, None] % 2, np.arange(16), np.arange(16, 32))] += 45
    heads = np.stack([fine // 2, fine], axis=1)
    raw = np.concatenate([heads, pixels.reshape(96, -1)], axis=1).astype(np.uint8)
    (tmp_path / "train.bin").write_bytes(raw.tobytes())
    (tmp_path / "coarse_label_names.txt").write_text("dark\nbright\n")
    (tmp_path / "fine_label_names.txt").write_text("dark left\ndark right\nbright left\nbright right\n")
    table = Table(read_cifar(tmp_path, part="train"))
    model = HCAL.from_data(table, encoder=nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 32), nn.ReLU()), width=16)
    assert model.per_level == ("one", "one")
    contract.train(model, table[torch.arange(96)], 60, lr=0.002, rows=32)
    for how in ("independent", "top_down", "bottom_up"):
        labels = model.decide(table[torch.arange(96)].x, decode=how)
        assert float((labels == table[torch.arange(96)].y).all(dim=1).float().mean()) > 0.9, how


def test_digits_as_pictures_have_several_classes_a_level():
    table = Table(load_digits_scenes(60, as_image=True))
    model = HCAL.from_data(table, encoder_params={"widths": 8}, width=8)
    assert model.per_level == ("several", "several")
    model.fit_threshold(table)
    assert not table.hierarchy.violations(model.decide(table[torch.arange(60)].x).numpy()).any()
