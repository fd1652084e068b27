"""LEVI and VLE against their authors' numbers, the written-out formulas and hand oracles."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.models.published import linears
from tests.reference import levi as slow
from torch import Tensor, nn

from polytag.enhance import LEVI
from polytag.enhance.levi import Posterior, VariationalAutoencoder, degrees_to_distribution, normal_divergence
from polytag.errors import DataError, ParameterError

CLOSE = {"rtol": 1e-8, "atol": 1e-12}
QUICK: dict[str, Any] = {"hidden": 8, "latent": 5, "epochs": 3}


def toy(n: int = 30, d: int = 6, q: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features, and labels that depend on them; one row has all labels and one none."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    Y = (X @ rng.normal(size=(d, q)) > 0.3).astype(np.uint8)
    Y[0], Y[-1] = 1, 0
    return X, Y


def published(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor], VariationalAutoencoder, dict[str, Tensor]]:
    """Return a case's description and arrays, the network with its weights, and these by role."""
    about = json.loads((folder / "index.json").read_text())["cases"][name]
    with np.load(folder / about["file"]) as file:
        arrays = {key: torch.as_tensor(file[key]) for key in file.files}
    dims = about["dims"]
    network = VariationalAutoencoder(dims["d"], dims["c"], dims["H"], dims["K"], about["hyper"]["dropout"]).double()
    roles = linears(network.encoder, "encoder") | linears(network.decoder, "decoder")
    assert {f"param/{role}" for role in roles} == {key for key in arrays if key.startswith("param/")}
    with torch.no_grad():
        for role, tensor in roles.items():
            tensor.copy_(arrays[f"param/{role}"])
    for k, layer in enumerate(m for m in network.modules() if isinstance(m, nn.Dropout)):
        layer.register_forward_hook(lambda layer, x, y, mask=arrays[f"dropout/{k}"]: x[0] * mask / 0.9 if layer.training else y)
    return about, arrays, network, roles


@pytest.mark.data
@pytest.mark.parametrize("preset", ["levi", "vle"])
def test_equals_the_published_code(golden: Path, preset: str) -> None:
    about, case, network, roles = published(golden, preset)
    levi, c, hyper = LEVI(preset=preset), about["dims"]["c"], about["hyper"]
    assert (levi.label_weight, levi.kl_weight, levi.feature_weight, levi.dropout) == tuple(
        hyper[name] for name in ("lambda_y", "a", "b", "dropout")
    )
    posterior = network.eval().posterior(case["x"], case["y"])
    torch.testing.assert_close(posterior.mean, case["eval/mean"], **CLOSE)
    torch.testing.assert_close(posterior.deviation, case["eval/sigma"], **CLOSE)
    degrees = posterior.mean[:, -c:].sigmoid()
    torch.testing.assert_close(degrees, case["eval/degrees"], **CLOSE)
    torch.testing.assert_close(degrees_to_distribution(degrees), case["eval/distribution"], **CLOSE)

    posterior = network.train().posterior(case["x"], case["y"])
    torch.testing.assert_close(posterior.mean, case["train/mean"], **CLOSE)
    torch.testing.assert_close(posterior.deviation, case["train/sigma"], **CLOSE)
    code = posterior.mean + posterior.deviation * case["xi"]
    torch.testing.assert_close(code[:, -c:].sigmoid(), case["train/y_hat"], **CLOSE)
    decoded = network.decoder(code)
    torch.testing.assert_close(decoded.sigmoid() if preset == "vle" else decoded, case["train/x_hat"], **CLOSE)

    terms = levi.terms(network, case["x"], case["y"], case["xi"])
    for ours, theirs in (("labels", "y"), ("divergence", "kl"), ("features", "x"), ("total", "total")):
        torch.testing.assert_close(terms[ours], case[f"loss/{theirs}"], **CLOSE)
    terms["total"].backward()
    torch.testing.assert_close(roles["encoder.2.bias"].grad, case["grad/encoder.2.bias"], **CLOSE)
    for role in ("encoder.0.weight", "decoder.1.weight"):
        torch.testing.assert_close(roles[role].grad.norm(), case[f"gradnorm/{role}"], **CLOSE)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("preset", ["levi", "vle"])
@pytest.mark.parametrize(("b", "d", "q"), [(1, 3, 1), (7, 5, 4)])
def test_equals_the_written_out_form(b: int, d: int, q: int, preset: str, binary: bool) -> None:
    torch.manual_seed(1)
    levi = LEVI(preset=preset, label_weight=0.7, kl_weight=0.3, feature_weight=1.3)
    network = VariationalAutoencoder(d, q, 6, max(q, 3), 0.1).double().eval()
    x = torch.randint(2, (b, d)).double() if binary else torch.randn(b, d).double()
    y, noise = torch.randint(2, (b, q)).double(), torch.randn(b, network.latent).double()
    fast = levi.terms(network, x, y, noise, binary)
    for name, value in slow.terms(levi, network, x.numpy(), y.numpy(), noise.numpy(), binary).items():
        assert fast[name].item() == pytest.approx(value, rel=1e-10)
    found = degrees_to_distribution(network.posterior(x, y).mean[:, -q:].sigmoid())
    for i in range(b):
        np.testing.assert_allclose(found[i].detach(), slow.distribution_of_row(network, x[i].numpy(), y[i].numpy()), rtol=1e-10)


def test_kl_oracle() -> None:
    one = torch.ones(1, 1).double()
    assert float(normal_divergence(Posterior(one, one / 2))) == pytest.approx(0.818147, abs=5e-7)
    assert float(normal_divergence(Posterior(0 * one, one))) == 0


def test_weights_start_as_published() -> None:
    network = VariationalAutoencoder(300, 20, 200, 30, 0.1)
    for layer in (m for m in network.modules() if isinstance(m, nn.Linear)):
        assert (layer.bias == 0.01).all()
        assert layer.weight.std().item() == pytest.approx((2 / sum(layer.weight.shape)) ** 0.5, rel=0.05)


def test_presets_are_the_published_settings() -> None:
    levi, vle = LEVI(), LEVI(preset="vle")
    assert (levi.hidden, levi.latent, levi.epochs, levi.batch_size, levi.decoder) == (500, 200, 200, 0, "linear")
    assert (vle.hidden, vle.latent, vle.epochs, vle.batch_size, vle.decoder) == (150, 50, 150, 128, "sigmoid")
    assert LEVI(preset="vle", kl_weight=0.0, batch_size=0).kl_weight == 0
    assert LEVI(preset="vle", kl_weight=0.0, batch_size=0).batch_size == 0


@pytest.mark.parametrize("preset", ["levi", "vle"])
def test_says_how_much_each_label_describes_a_row(preset: str) -> None:
    X, Y = toy(60)
    found = LEVI(preset=preset, hidden=32, latent=8, epochs=80, lr=0.01, kl_weight=0.01, feature_weight=0.01).fit_transform(X, Y)
    assert found.shape == Y.shape
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    assert (found > 0).all()
    assert found.max() / found.min() < np.e**2
    relevant = (found * Y).sum(axis=1) / np.maximum(Y.sum(axis=1), 1)
    other = (found * (1 - Y)).sum(axis=1) / np.maximum((1 - Y).sum(axis=1), 1)
    assert (relevant - other)[1:-1].mean() > 0.1


def test_code_is_at_least_as_long_as_there_are_labels() -> None:
    X, Y = toy(q=9)
    found = LEVI(**QUICK).fit_transform(X, Y)
    np.testing.assert_array_equal(found, LEVI(**QUICK | {"latent": 9}).fit_transform(X, Y))


@pytest.mark.parametrize("preset", ["levi", "vle"])
def test_same_seed_same_answer_and_the_global_state_stays(preset: str) -> None:
    X, Y = toy()
    levi = LEVI(preset=preset, **QUICK)
    before = torch.random.get_rng_state()
    first = levi.fit_transform(X, Y, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    np.testing.assert_array_equal(first, levi.fit_transform(X, Y, seed=3))
    assert not np.array_equal(first, levi.fit_transform(X, Y, seed=4))


@pytest.mark.parametrize("make", [lambda X: X * (np.abs(X) > 0.8), lambda X: (X > 1).astype(float), lambda X: np.full_like(X, 7.0)])
def test_sparse_features_mean_the_same(make: Any) -> None:
    X, Y = toy()
    dense = LEVI(preset="vle", **QUICK).fit_transform(make(X), Y)
    for kind in (sparse.csr_array, sparse.csc_matrix):
        np.testing.assert_allclose(LEVI(preset="vle", **QUICK).fit_transform(kind(make(X)), kind(Y)), dense, rtol=1e-6)


def test_whole_table_is_scaled_at_once() -> None:
    X, Y = toy()
    found = LEVI(**QUICK).fit_transform(X, Y)
    np.testing.assert_allclose(LEVI(**QUICK).fit_transform(100 * X - 7, Y), found, rtol=1e-5)
    assert not np.allclose(LEVI(**QUICK).fit_transform(X * np.arange(1, 7), Y), found, rtol=1e-4)


def test_features_of_zeros_and_ones_are_counted_as_binary() -> None:
    X, Y = toy()
    ones = (X > 0).astype(float)
    linear, sigmoid = (LEVI(**QUICK, feature_weight=1.0, decoder=decoder).fit_transform(ones, Y) for decoder in ("linear", "sigmoid"))
    np.testing.assert_array_equal(linear, sigmoid)  # both are the cross-entropy of a sigmoid
    linear, sigmoid = (LEVI(**QUICK, feature_weight=1.0, decoder=decoder).fit_transform(X, Y) for decoder in ("linear", "sigmoid"))
    assert not np.array_equal(linear, sigmoid)


def test_learning_rate_falls_at_its_steps() -> None:
    X, Y = toy()
    plain = LEVI(**QUICK).fit_transform(X, Y)
    np.testing.assert_array_equal(LEVI(**QUICK, lr_steps=(3,)).fit_transform(X, Y), plain)
    assert not np.array_equal(LEVI(**QUICK, lr_steps=(1,)).fit_transform(X, Y), plain)


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("preset", ["levi", "vle"])
def test_all_or_no_labels_and_constant_features(preset: str, value: int) -> None:
    found = LEVI(preset=preset, **QUICK).fit_transform(np.full((5, 3), 2.5), np.full((5, 4), value))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found, np.broadcast_to(found[:1], found.shape), rtol=1e-6)


def test_one_row_one_label_and_a_last_batch_of_one() -> None:
    X, Y = toy()
    assert LEVI(**QUICK).fit_transform(X[:1], Y[:1]).shape == (1, 4)
    np.testing.assert_array_equal(LEVI(**QUICK).fit_transform(X, Y[:, :1]), np.ones((30, 1)))
    assert np.isfinite(LEVI(**QUICK, batch_size=29).fit_transform(X, Y)).all()


def test_refuses_what_it_cannot_read() -> None:
    X, Y = toy()
    with pytest.raises(DataError, match="finite features"):
        LEVI(**QUICK).fit_transform(np.where(X > 1, np.nan, X), Y)
    with pytest.raises(DataError, match="NaN"):
        LEVI(**QUICK).fit_transform(X, np.where(Y == 1, np.nan, 0.0))
    with pytest.raises(DataError, match="0, 1 or NaN"):
        LEVI(**QUICK).fit_transform(X, Y * 0.5)
    with pytest.raises(DataError, match="shape"):
        LEVI(**QUICK).fit_transform(X[:-1], Y)


@pytest.mark.parametrize(
    "bad",
    [
        {"preset": "gcn"}, {"hidden": 0}, {"latent": 0}, {"epochs": 0}, {"batch_size": -1}, {"lr": 0.0}, {"kl_weight": -1.0},
        {"feature_weight": -1.0}, {"label_weight": -1.0}, {"weight_decay": -1.0}, {"dropout": 1.0}, {"decoder": "relu"}, {"beta": 1.5},
    ],
)  # fmt: skip
def test_refuses_senseless_numbers(bad: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(bad))):
        LEVI(**bad)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("preset", ["levi", "vle"])
def test_trains_on_a_gpu(preset: str) -> None:
    X, Y = toy()
    before = torch.cuda.get_rng_state()
    found = [LEVI(preset=preset, device="cuda", **QUICK).fit_transform(X, Y, seed=3) for _ in range(2)]
    assert torch.equal(torch.cuda.get_rng_state(), before)
    np.testing.assert_allclose(found[0].sum(axis=1), 1)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
