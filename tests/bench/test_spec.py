"""Specifications: presets, labels, identities, and every problem at once."""

import json
from typing import Any

import pytest
import torch

from polytag.bench import Experiment, Method, Protocol
from polytag.bench.method import parameters
from polytag.errors import ParameterError, PolytagError
from polytag.models import CLIF, Linear


def test_all_problems_of_an_experiment_come_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        Experiment(
            datasets=["yeasd"],
            methods=[{"model": "cliv", "selector": "adaptiv"}, {"model": "linear", "selector_params": {"presure": 2}}, {"threshold": "f7"}],
            protocol={
                "folds": 1,
                "epochs": 0,
                "preset": "clean",
                "split": {"vlid": 0.1},
                "preparation": {"scale": "log"},
                "monitor": "auc",
            },
            metrics=["macro_acu"],
        )
    text = str(caught.value)
    for expected in (
        "'yeast'",
        "'clif'",
        "'adaptive'",
        "presure",
        "f7",
        "folds: ",
        "epochs: ",
        "vlid",
        "scale='log'",
        "'auc'",
        "'macro_auc'",
    ):
        assert expected in text
    assert len(text.splitlines()) >= 11
    assert isinstance(caught.value, PolytagError)


def test_problems_name_the_parameters_that_exist() -> None:
    with pytest.raises(ParameterError, match="did you mean 'pressure'"):
        Method(model="linear", selector="adaptive", selector_params={"presure": 2})
    with pytest.raises(ParameterError, match="did you mean 'hidden'"):
        Method(model="clif", model_params={"hiden": 2})
    with pytest.raises(ParameterError, match="extra inputs"):
        Protocol(fold=3)
    assert "preset" in parameters("model", "clif")
    assert parameters("selector", "random") >= {"order", "seed"}


def test_presets_fill_what_is_not_given() -> None:
    clean, authors = Protocol(), Protocol(preset="authors-2024", epochs=7, split={"order": 2})
    assert (clean.epochs, clean.keep, clean.split["valid_from"], clean.preparation["scale_on"]) == (100, "best", "train", "train")
    assert (authors.epochs, authors.keep, authors.lr, authors.compat, authors.plain_random) == (7, "last", 1e-4, "authors", True)
    assert (authors.split["valid_from"], authors.split["order"], authors.split["seed"]) == ("test", 2, 42)
    assert (authors.preparation["min_label_count"], authors.preparation["scale_on"]) == (20, "all")


def test_identity_is_json_and_forgets_seeds_and_the_name_of_the_preset() -> None:
    clean = Protocol(seeds=[0])
    assert clean.identity() == Protocol(seeds=[3, 4]).identity()
    assert clean.identity() != Protocol(batch_size=64).identity()
    assert json.loads(json.dumps(clean.identity())) == clean.identity()
    assert Protocol(**clean.identity()).identity() == clean.identity()
    assert Method(model="linear").identity() == {
        "model": "linear", "selector": "random", "threshold": 0.5, "model_params": {}, "selector_params": {}
    }  # fmt: skip


def test_compiling_is_part_of_the_identity_only_when_asked_for() -> None:
    plain, compiled = Protocol(), Protocol(compile=True)
    assert "compile" not in plain.identity()  # cells recorded before there was the choice keep their keys
    assert compiled.identity() == {**plain.identity(), "compile": True}
    assert [each.trainer(CLIF, plain=False).compile for each in (plain, compiled)] == [False, True]


def test_learning_rate_comes_from_the_model_unless_given() -> None:
    assert Protocol().trainer(CLIF, plain=False).weight_decay == CLIF.DEFAULTS["weight_decay"]
    assert Protocol(lr=0.5).trainer(CLIF, plain=True).lr == 0.5
    authors = Protocol(preset="authors-2024")
    adaptive, random = authors.trainer(CLIF, plain=False), authors.trainer(CLIF, plain=True)
    assert (adaptive.weight_decay, adaptive.warmup_epochs) == (1e-4, 3)
    assert (random.weight_decay, random.warmup_epochs, random.lr) == (0.0, 0.0, 1e-4)
    assert Protocol(model_preset="adabatch", lr=None).trainer(Linear, plain=False).lr == Linear.DEFAULTS["lr"]


def test_grid_crosses_models_and_selectors_and_gives_pressure_to_those_that_have_one() -> None:
    grid = Experiment.grid(["digits-scenes"], ["linear", "mlp"], ["random", "adac"], pressure=4, protocol={"folds": 3, "seeds": [0, 1]})
    assert [method.strategy for method in grid.methods] == ["random", "adac(pressure=4)"] * 2
    assert [method.backbone for method in grid.methods] == ["linear", "linear", "mlp", "mlp"]
    cells = list(grid.cells())
    assert len(cells) == len(set(map(str, cells))) == 4 * 3 * 2
    assert [cell.method for cell in cells[:4]] == list(grid.methods)


def test_equal_methods_and_aliases_count_once() -> None:
    experiment = Experiment(datasets=["yeast", "Yeast"], methods=[{"model": "linear"}, {"model": "linear", "threshold": 0.5}])
    assert experiment.datasets == ("yeast",)
    assert len(experiment.methods) == 1


def test_labels_say_what_differs() -> None:
    method = Method(model="clif", loss="bce", threshold="f1", model_params={"hidden": 8}, selector="hard", selector_params={"pressure": 2})
    assert method.backbone == "clif(loss=bce, threshold=f1, hidden=8)"
    assert method.strategy == "hard(pressure=2)"


def test_the_protocol_of_flem_is_a_preset() -> None:
    flem = Protocol(preset="flem-2022")
    assert (flem.folds, flem.epochs, flem.batch_size, flem.lr, flem.weight_decay) == (1, 30, 64, 1e-3, 1e-4)
    assert (flem.monitor, flem.keep, flem.undefined, flem.preparation["scale"]) == ("hamming_loss", "best", "skip", "none")
    assert flem.split == {"parts": "published", "valid_from": "published", "order": 1, "valid": 0.25}
    trainer = flem.trainer(Linear, plain=True)
    assert trainer.optimizer is torch.optim.AdamW
    assert (trainer.optimizer_params, trainer.schedule, trainer.warmup_epochs, trainer.clip_norm) == ({"amsgrad": True}, None, 0.0, None)
    assert (trainer.lr, trainer.weight_decay, trainer.epochs) == (1e-3, 1e-4, 30)
    assert Protocol(**flem.identity()).identity() == flem.identity()
    crossed = Protocol(preset="flem-2022", folds=5)
    assert (crossed.folds, crossed.epochs) == (5, 30)
    assert crossed.split == {"valid": 0.25, "valid_from": "train", "order": 1, "keep_duplicates_together": False}
    assert Protocol(preset="flem-2022", split={"parts": "folds"}, folds=3).split == crossed.split


def test_a_given_share_for_validation_is_taken_from_the_published_training_part() -> None:
    asked = [Protocol(split={"parts": "published", **more}) for more in ({}, {"valid": None}, {"valid": 0.25}, {"seed": 3})]
    assert [(each.folds, each.split["valid"], each.split["valid_from"]) for each in asked] == [
        (1, 0.1, "published"), (1, 0.1, "published"), (1, 0.25, "train"), (1, 0.1, "published"),
    ]  # fmt: skip
    assert asked[3].split["seed"] == 3
    both = {"parts": "published", "valid": 0.25, "valid_from": "published"}
    assert Protocol(split=both).split == {**both, "order": 1}


def test_training_and_validation_parts_can_be_joined() -> None:
    joined = Protocol(split={"parts": "published", "valid_from": "joined"}, keep="last")
    assert joined.split == {"parts": "published", "valid_from": "joined", "valid": 0.0, "order": 1}
    assert (joined.folds, joined.keep) == (1, "last")
    assert Protocol(**joined.identity()).identity() == joined.identity()
    chosen = Protocol(preset="chmcnn-2020", split={"valid_from": "published"})
    assert chosen.split["valid"] == 0.1
    with pytest.raises(ParameterError, match="expected validation rows to search for"):
        Experiment(datasets=["scene"], methods=[Method(model="mlp", search={"lr": [0.1, 0.2]})], protocol=joined)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folds": 1}, "folds: expected at least 2, or 1 with split"),
        ({"folds": 0}, "folds: "),
        ({"folds": 3, "split": {"parts": "published"}}, "folds: expected 1, where the parts are the published ones, but got 3"),
        ({"split": {"parts": "puplished"}}, "split.parts: expected 'published', or 'folds', but got 'puplished'"),
        ({"split": {"parts": "published", "valid_from": "test"}}, "split.valid_from: expected 'published', 'joined' or 'train'"),
        ({"split": {"parts": "published", "valid_from": "joined"}}, "expected keep='last' with split.valid_from=joined"),
        ({"split": {"parts": "published", "valid_from": "joined", "valid": 0.1}, "keep": "last"}, "split.valid: expected 0 with"),
        ({"split": {"parts": "published", "keep_duplicates_together": True}}, "no switch of the split called 'keep_duplicates_together'"),
        ({"optimizer": "adamv"}, "no optimizer called 'adamv'; did you mean 'adam' or 'adamw'"),
        ({"optimizer": "adamw", "optimizer_params": {"amsgrat": True}}, "parameter of optimizer 'adamw' called 'amsgrat'"),
        ({"optimizer": "adamw", "optimizer_params": {"lr": 1}}, "parameter of optimizer 'adamw' called 'lr'"),
        ({"optimizer_params": {"amsgrad": True}}, "expected optimizer_params together with a known optimizer"),
        ({"clip_norm": 0}, "clip_norm"),
        ({"clip_norm": "adaptiv"}, "clip_norm"),
    ],
)
def test_protocols_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Protocol(**values)


def test_an_optimizer_of_the_protocol_takes_the_place_of_the_models_own() -> None:
    own = CLIF.training_defaults()
    assert Protocol().trainer(CLIF, plain=False).optimizer is own.get("optimizer", torch.optim.Adam)
    trainer = Protocol(optimizer="sgd", optimizer_params={"momentum": 0.9}).trainer(CLIF, plain=False)
    assert trainer.optimizer is torch.optim.SGD
    assert trainer.optimizer_params == {"momentum": 0.9}
    assert Protocol(optimizer="adam").identity() != Protocol().identity()


def test_the_bound_of_the_gradient_may_follow_the_gradient() -> None:
    trainers = [Protocol(clip_norm=bound).trainer(Linear, plain=False) for bound in ("adaptive", 1, None)]
    assert [trainer.clip_norm for trainer in trainers] == ["adaptive", 1.0, Linear.DEFAULTS.get("clip_norm")]
    assert Protocol(clip_norm=1).identity()["clip_norm"] == 1.0
