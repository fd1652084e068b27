"""C-HMCNN at work: other networks inside, selected batches, labels that do not fit, memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from polytag import load_parts
from polytag.data.dataset import Dataset
from polytag.data.prepare import Preparation
from polytag.data.splits import Split
from polytag.data.table import Table
from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.losses import BCE
from polytag.models import CHMCNN, TextEncoder
from polytag.models.chmcnn import through
from polytag.registry import get
from polytag.selectors import Random
from polytag.testing.models import Subject, batch_of, in_pairs, logits_of, toy, train
from polytag.training import Trainer
from polytag.training.predict import score

T4 = Hierarchy.from_edges([("A", "a1"), ("A", "a2")], names=["A", "B", "a1", "a2"])


def test_labels_that_are_not_closed_are_refused_and_flipped_ones_stay_finite() -> None:
    table = Subject(CHMCNN).toy()
    Y = table.dataset.Y.copy()
    Y[:5, 0], Y[:5, 1] = 0, 1
    broken = Dataset(table.dataset.X, Y, label_names=table.dataset.label_names, hierarchy=table.hierarchy)
    with pytest.raises(DataError, match="5 of 24 rows have a label without a parent"):
        CHMCNN.from_data(Table(broken))
    with pytest.raises(DataError, match="the data set has none"):
        CHMCNN.from_data(toy())
    objective = CHMCNN.from_data(table, hidden=8).objective(batch_of(Table(broken)))
    objective.loss.backward()
    assert bool(objective.loss.isfinite())


@pytest.mark.parametrize(
    ("kind", "params", "name"),
    [
        ("table", {"network": "tabm", "network_params": {"k": 2, "hidden": 8}}, "TabM"),
        ("table", {"network": nn.Linear(6, 4)}, "Linear"),
        ("tokens", {}, "XMLCNN"),
        ("images", {}, "SmallCNN"),
    ],
)
def test_any_network_can_stand_inside(kind: str, params, name: str) -> None:
    table = Table(in_pairs(toy(kind=kind).dataset))
    batch, model = batch_of(table), CHMCNN.from_data(table, **params)
    assert type(model.network).__name__ == name
    assert model.network is not params.get("network")
    logits = logits_of(model, batch.x)
    assert bool((logits[:, :1] >= logits[:, 1:]).all())
    train(model, batch, 3)
    trained = logits_of(model, batch.x)
    assert not torch.equal(trained, logits)
    again = CHMCNN.from_data(Table(table.dataset.take(np.arange(0))), **params)
    again.load_state_dict(model.state_dict())
    assert torch.equal(logits_of(again, batch.x), trained)


def test_named_networks_keep_their_own_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(in_pairs(toy().dataset))
    groups = CHMCNN.from_data(table, network="dela", network_params={"lr_ratio": 3.0}).param_groups(0.1)
    assert [group["lr"] for group in groups] == pytest.approx([0.1, 0.3])
    with pytest.raises(ParameterError, match="no parameter of MLP called 'hiden'"):
        CHMCNN.from_data(table, network="mlp", network_params={"hiden": 8})
    with pytest.raises(DataError, match="TextEncoder reads tokens, but got table"):
        CHMCNN.from_data(table, network="text_encoder")
    monkeypatch.setattr(TextEncoder, "tokenizer", lambda params: f"words of {params['encoder']}")
    assert CHMCNN.tokenizer({"network": "text_encoder", "network_params": {"encoder": "bert"}}) == "words of bert"
    assert CHMCNN.tokenizer({}) is None


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"hidden": 0}, "hidden=0"),
        ({"layers": 0}, "layers=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"network_params": {"k": 2}}, "network=None"),
    ],
)
def test_refuses_what_makes_no_sense(bad, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        CHMCNN(3, 4, **{"hierarchy": T4, **bad})
    with pytest.raises(DataError, match="over the 4 labels of Y, but got one over 2"):
        CHMCNN(3, 4, hierarchy=[("A", "B")])


@pytest.mark.parametrize("selector", ["adaptive", "d2ace"])
def test_trains_with_selected_batches_and_predicts_coherently(selector: str) -> None:
    table = Table(in_pairs(toy(n=200, q=7).dataset))
    model = CHMCNN.from_data(table, hidden=32, dropout=0.2)
    chooser = get("selector", selector)(table.targets, 16, x=table.dataset.features, seed=0)
    run = Trainer(epochs=15, lr=3e-3).fit(model, table, chooser)
    assert run.history[-1].loss < 0.9 * run.history[0].loss
    predicted = (logits_of(model, batch_of(table).x) > 0).numpy().astype(np.uint8)
    assert predicted.any()
    assert not table.hierarchy.violations(predicted).any()


def test_default_training_is_that_of_plain_adam_and_resumes(tmp_path: Path) -> None:
    table = Subject(CHMCNN).toy()
    rules = CHMCNN.training_defaults()
    assert (rules.pop("batch_size"), rules["lr"], rules["weight_decay"]) == (4, 1e-4, 1e-5)

    def weights(*stages: int, **changes: Any) -> Tensor:
        for epochs in stages:
            model = CHMCNN.from_data(table, hidden=16)
            trainer = Trainer(**{**rules, "epochs": epochs, **changes})
            trainer.fit(model, table, Random(table.labels, 4, seed=0), resume=tmp_path / "run" if len(stages) > 1 else None)
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    straight = weights(4)
    torch.testing.assert_close(straight, weights(4, optimizer_params={"fused": False}), rtol=0, atol=1e-6)
    assert torch.equal(straight, weights(2, 4))


def test_step_on_many_labels_takes_less_than_a_gigabyte() -> None:
    """The dense form would hold (256, 4130, 4130): 17 gigabytes."""
    b, q = 256, 4130
    children = np.arange(1, q)
    hierarchy = Hierarchy(tuple(map(str, range(q))), np.stack([children, (children - 1) // 3], axis=1))
    logits, constraint = torch.randn(b, q, requires_grad=True), hierarchy.make_constraint()
    y = torch.from_numpy(hierarchy.close((np.random.default_rng(0).random((b, q)) < 1e-3).astype(np.float32)))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        _, supplied = through(constraint, logits, y)
        BCE()(supplied, y).backward()
    held = np.cumsum([event.nbytes() for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"])
    assert logits.nbytes < held.max() < 2**30


@pytest.mark.slow
@pytest.mark.data
def test_one_seed_reaches_the_published_value(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """derisi_FUN, width 500, 67 epochs on training and validation rows: the authors report .195 as a mean of ten seeds. Some minutes."""
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    parts = load_parts("derisi-fun", offline=True)
    data = Dataset.join([parts[name] for name in ("train", "valid", "test")])
    known = parts["train"].n + parts["valid"].n
    split = Split(np.arange(known), np.arange(0), np.arange(known, data.n))
    prepared = Preparation(scale="standard", missing="mean").prepare(data, split)
    train, test = Table(prepared.train), Table(prepared.test)
    model = CHMCNN.from_data(train, seed=0, hidden=500)
    rules = {name: value for name, value in CHMCNN.training_defaults().items() if name not in ("batch_size", "epochs")}
    Trainer(**rules, epochs=67).fit(model, train, Random(train.labels, 4, seed=0))
    found = score(model, test, "micro_ap")
    assert 0.192 <= found <= 0.198, f"an average precision of {found:.4f}"
