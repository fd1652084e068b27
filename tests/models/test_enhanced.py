"""Any model beside any companion, under any batch selector."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.contracts.settings import SETTINGS, Setting

from polytag import Dataset, DeepMultiLabelClassifier, Table, Trainer, registry
from polytag.enhance import FLEM, Recovered, distribution_loss
from polytag.errors import DataError, ParameterError
from polytag.models import CLIF, DELA, MLP, XMLCNN, Enhanced, Linear, MultiLabelModel, SmallCNN
from polytag.models.enhanced import _described
from polytag.selectors import D2ACE, Adaptive, Random
from polytag.testing import models as contract
from polytag.types import Batch

SIZES: dict[type, dict[str, Any]] = {
    Linear: {},
    MLP: {"hidden": 16, "dropout": 0.3},
    CLIF: {"embedding": 8, "hidden": 16},
    DELA: {"latent": 4},
    SmallCNN: {"widths": (4, 8)},
}
SELECTORS: dict[str, Any] = {
    "random": lambda table: Random(table.labels, 16),
    "adaptive": lambda table: Adaptive(table.labels, 16, x=table.dataset.X.reshape(table.n, -1)),
    "d2ace": lambda table: D2ACE(table.labels, 16, x=table.dataset.X.reshape(table.n, -1)),
}


def toy(images: bool = False, n: int = 49, q: int = 4) -> Table:
    """Return rows of which batches of 16 leave one over."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 48))
    Y = (X @ rng.normal(size=(48, q)) > 0).astype(float)
    Y[0], Y[1] = 0, 1
    return Table(Dataset(X.reshape(n, 3, 4, 4).astype(np.float32), Y, kind="images") if images else Dataset(X, Y))


def built(model: Any, table: Table, seed: int = 0, **params: Any) -> Enhanced:
    own = model.from_data(table, seed=seed, **SIZES[model])
    return Enhanced.around(own, FLEM(**{"hidden": 8, **params}), table, seed=seed)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("model", SIZES)
def test_any_model_under_any_selector(model: Any, selector: str) -> None:
    table = toy(images=model is SmallCNN)
    enhanced = built(model, table, beta=0.2, alpha=0.2)
    before = {name: parameter.detach().clone() for name, parameter in enhanced.named_parameters()}
    run = Trainer(epochs=3, lr=0.01).fit(enhanced, table, SELECTORS[selector](table), valid=table)
    assert len(run.history) == 3
    changed = {name for name, parameter in enhanced.named_parameters() if not torch.equal(parameter, before[name])}
    assert {name.split(".")[0] for name in changed} == {"model", "companion"}
    assert all(parameter.isfinite().all() for parameter in enhanced.parameters())
    enhanced.eval()
    x = table[torch.arange(5)].x
    torch.testing.assert_close(enhanced(x), enhanced.model(x), rtol=0, atol=0)
    found = enhanced.distributions(table[torch.arange(5)])
    torch.testing.assert_close(found.sum(1), torch.ones(5))


READ = [(name, kind) for name in registry.names("model") for kind in registry.get("model", name).INPUTS if kind != "text"]


@pytest.mark.parametrize(("name", "kind"), READ)
def test_every_model_on_all_that_it_reads(name: str, kind: Any) -> None:
    subject = contract.Subject(registry.get("model", name), params=SETTINGS.get(name, Setting()).params)
    subject.kind = kind
    if kind != subject.cls.INPUTS[0] and name in ("chmcnn", "hcal", "local", "role"):
        readers = {"tokens": "xmlcnn", "images": "small_cnn"}  # the settings are those of a network for tables
        subject.params = {"network": readers[kind]} if name == "role" else {}
    table = subject.toy()
    enhanced = Enhanced.around(subject(table), FLEM(hidden=8), table)
    run = Trainer(epochs=1).fit(enhanced, table, Random(table.labels, 8))
    assert np.isfinite(run.history[0].loss)
    assert enhanced.distributions(table[torch.arange(5)]).shape == (5, table.q)


@pytest.mark.parametrize("name", registry.names("selector"))
def test_every_selector_serves_it(name: str) -> None:
    X, Y = toy().dataset.X, toy().dataset.Y
    fitted = DeepMultiLabelClassifier("linear", selector=name, enhance="flem", epochs=2, batch_size=16).fit(X, Y)
    assert np.isfinite([epoch.loss for epoch in fitted.history_.history]).all()


def test_rows_of_tokens_are_described_by_their_mean_token() -> None:
    table = contract.toy(kind="tokens")
    model = registry.get("model", "ctran").from_data(table, width=8, heads=2, layers=1)
    inside = registry.get("model", "role").from_data(table, network="ctran", network_params={"width": 8, "heads": 2, "layers": 1})
    for subject, reader in ((model, model), (inside, inside.network)):
        x = table[torch.arange(6)].x
        tokens, real = reader.eval().tokens(x)
        expected = torch.stack([row[here].mean(0) for row, here in zip(tokens, real, strict=True)])
        torch.testing.assert_close(_described(subject, "tokens", x), expected)


def test_what_cannot_describe_its_rows_says_so() -> None:
    with pytest.raises(DataError, match=r"a model with an encoder.*but got tokens and Silent; give it a method features"):
        _described(Silent(), "tokens", torch.zeros(2, 3))


class Silent(MultiLabelModel):
    """A model in which nothing describes a row."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize("model", SIZES)
def test_objective_is_the_mixture(model: Any) -> None:
    table = toy(images=model is SmallCNN)
    enhanced, batch = built(model, table, beta=0.3), table[torch.arange(16)]
    torch.manual_seed(7)
    objective = enhanced.objective(batch)
    twin = built(model, table, beta=0.3)
    torch.manual_seed(7)
    own = twin.model.objective(batch)
    features = batch.x
    if model is SmallCNN:
        features = twin.model.eval().features(batch.x)  # type: ignore[operator]
    guidance = twin.companion(batch, features, own.logits)
    divergence = distribution_loss(own.logits, guidance.distribution).mean()
    torch.testing.assert_close(objective.loss, 0.3 * divergence + 0.7 * own.loss + guidance.loss)
    torch.testing.assert_close(objective.logits, own.logits)
    assert {"classification", "distribution", "estimator", "enhancement", "interaction"} <= objective.parts.keys()


@pytest.mark.parametrize("strategy", ["s", "t", "d"])
def test_words_are_described_by_their_encoder(strategy: str) -> None:
    rng = np.random.default_rng(0)
    table = Table(Dataset(rng.integers(2, 20, size=(33, 12)), rng.random((33, 3)) < 0.4, kind="tokens", vocabulary=20))
    params = {"filters": 4, "width": 8, "bottleneck": 16, "windows": (2, 3), "form": "ids", "vocabulary": 20}
    enhanced = Enhanced.around(XMLCNN.from_data(table, **params), FLEM(strategy=strategy, hidden=8), table)
    assert enhanced.companion.network.of_features.first.in_features == 16  # type: ignore[union-attr]
    run = Trainer(epochs=2).fit(enhanced, table, Random(table.labels, 16))
    assert np.isfinite([epoch.loss for epoch in run.history]).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("strategy", ["s", "t", "d"])
def test_trains_on_a_gpu(strategy: str, precision: Any) -> None:
    table = Table(toy().dataset, device="cuda")
    enhanced = Enhanced.around(MLP.from_data(table, hidden=16), FLEM(strategy=strategy, alpha=0.2, beta=0.2), table)
    run = Trainer(epochs=3, precision=precision).fit(enhanced, table, Random(table.labels, 16))
    assert np.isfinite([epoch.loss for epoch in run.history]).all()
    assert enhanced.distributions(table[torch.arange(5)]).is_cuda


def test_looking_at_the_encoder_leaves_no_trace() -> None:
    table = toy(images=True)
    one, other = built(SmallCNN, table), built(SmallCNN, table)
    batch = table[torch.arange(16)]
    torch.manual_seed(1)
    one.objective(batch)
    after = torch.rand(1)
    torch.manual_seed(1)
    other.model.objective(batch)
    assert torch.equal(after, torch.rand(1))
    for (name, mine), theirs in zip(one.model.named_buffers(), other.model.buffers(), strict=True):
        assert torch.equal(mine, theirs), name
    assert all(module.training for module in one.model.modules())


def test_known_distributions_need_no_estimator() -> None:
    table = toy()
    D = torch.rand(49, 4).softmax(1)
    enhanced = Enhanced(Linear.from_data(table), Recovered(D), beta=0.4)
    batch = table[torch.tensor([5, 2, 40])]
    own = enhanced.model.objective(batch)
    expected = 0.4 * distribution_loss(own.logits, D[batch.rows]).mean() + 0.6 * own.loss
    torch.testing.assert_close(enhanced.objective(batch).loss, expected)
    assert torch.equal(enhanced.distributions(batch), D[batch.rows])
    assert [len(group["params"]) for group in enhanced.param_groups(0.1)] == [2]
    assert not any(name.startswith("companion") for name in enhanced.state_dict())


@pytest.mark.parametrize("cells", [False, True])
def test_weights_count_in_both_parts_of_the_model(cells: bool) -> None:
    table = toy()
    enhanced = built(Linear, table, beta=0.4)
    batch = table[torch.arange(8)]
    weight = torch.rand(8, 4) if cells else torch.rand(8)
    by_row = weight.mean(1) if cells else weight
    weighted = enhanced.objective(batch._replace(weight=weight))
    guidance = enhanced.companion(batch, batch.x, weighted.logits)
    divergence = (by_row * distribution_loss(weighted.logits, guidance.distribution)).mean()
    own = enhanced.model.objective(batch._replace(weight=weight)).loss
    torch.testing.assert_close(weighted.loss, 0.4 * divergence + 0.6 * own + guidance.loss)
    none = enhanced.objective(batch._replace(weight=torch.zeros(8)))
    torch.testing.assert_close(none.loss, enhanced.companion(batch, batch.x, weighted.logits).loss)


def test_the_seed_decides_and_the_global_state_stays() -> None:
    table, before = toy(), torch.get_rng_state()
    one, same, other = (built(Linear, table, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(mine, theirs) for mine, theirs, _ in pairs)
    assert any(not torch.equal(mine, theirs) for mine, _, theirs in pairs)


def test_the_random_state_of_gpus_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    table, seeds = toy(), []
    model = Linear.from_data(table)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    Enhanced.around(model, FLEM(), table)
    FLEM(epochs=1).fit_transform(table.dataset.X, table.dataset.Y)
    assert not seeds


def test_distributions_are_those_of_evaluation_and_leave_the_mode() -> None:
    table = toy()
    enhanced, batch = built(Linear, table), table[torch.arange(10)]
    buffers = [buffer.clone() for buffer in enhanced.buffers()]
    found = enhanced.distributions(batch)
    assert enhanced.companion.training
    assert not found.requires_grad
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(enhanced.buffers(), buffers, strict=True))
    torch.testing.assert_close(enhanced.distributions(table[torch.arange(1)])[0], found[0])
    torch.testing.assert_close(enhanced.eval().companion(batch, batch.x, torch.zeros(10, 4)).distribution, found)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    table, path = toy(), tmp_path / "run.safetensors"
    whole, parts = (built(MLP, table, beta=0.2) for _ in range(2))
    Trainer(epochs=4).fit(whole, table, Random(table.labels, 16))
    Trainer(epochs=2).fit(parts, table, Random(table.labels, 16), resume=path)
    resumed = built(MLP, table, beta=0.2)
    Trainer(epochs=4).fit(resumed, table, Random(table.labels, 16), resume=path)
    for (name, mine), theirs in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name


def test_half_precision_trains() -> None:
    table = toy()
    enhanced = built(MLP, table, beta=0.2, strategy="s")
    run = Trainer(epochs=3, precision="bfloat16").fit(enhanced, table, Random(table.labels, 16))
    assert np.isfinite([epoch.loss for epoch in run.history]).all()


class Blind(MultiLabelModel):
    """Reads pictures and shows no features."""

    INPUTS = ("images",)

    def __init__(self, d: int, q: int) -> None:
        super().__init__()
        self.output = torch.nn.Linear(48, q)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(x.flatten(1))  # type: ignore[no-any-return]


def test_refuses_what_cannot_be_enhanced() -> None:
    images = toy(images=True)
    with pytest.raises(DataError, match="features"):
        Enhanced.around(Blind(3, 4), FLEM(), images)
    table = toy()
    Y = table.dataset.Y.copy()
    Y[3, 1] = np.nan
    unknown = Table(Dataset(table.dataset.X, Y))
    with pytest.raises(DataError, match="unknown"):
        Enhanced.around(Linear.from_data(unknown), FLEM(), unknown)
    single = toy(q=1)
    with pytest.raises(ParameterError, match="q=1"):
        Enhanced.around(Linear.from_data(single), FLEM(), single)
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        built(Linear, table).objective(Batch(torch.arange(2), torch.zeros(2, 48), torch.full((2, 4), 2.0)))
