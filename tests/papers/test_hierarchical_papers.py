"""The papers on hierarchies: published numbers, settings of each data set, and a paper without numbers."""

import csv
from importlib.resources import files

import numpy as np
import pytest

from polytag.bench.spec import Protocol
from polytag.bench.stats import average_ranks
from polytag.cli.legs import paper_arm, paper_legs
from polytag.data import catalogue
from polytag.errors import DataError
from polytag.papers import PaperMethod, PaperSet, load_paper

PAPER = load_paper("chmcnn-2020")
HCAL = load_paper("hcal-2025")
COLUMNS = ["C-HMCNN(h)", "HMCN-F", "HMCN-R", "Clus-Ens", "HMC-LMLP"]
BY_NAME = {one.name: one for one in PAPER.sets}


def printed(method: str, dataset: str) -> float | None:
    return PAPER.printed(method, dataset, "micro_ap")


def test_twenty_sets_by_five_methods() -> None:
    rows = list(csv.DictReader(files("polytag.papers").joinpath("chmcnn-2020.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 4 * 20 + 16 + 5  # HMC-LMLP is printed for the yeast sets only; ranks
    assert len(PAPER.datasets) == 20
    assert [name for name in PAPER.datasets if printed("HMC-LMLP", name) is None] == ["diatoms", "enron", "imclef07a", "imclef07d"]


def test_the_printed_ranks_follow_from_the_values() -> None:
    """A digit that is wrong in a way that changes an order would show here; a method without a value is last."""
    values = np.array([[printed(method, name) or 0.0 for method in COLUMNS] for name in PAPER.datasets])
    found = average_ranks(values, "max")
    np.testing.assert_allclose(found, [1.25, 1.90, 2.925, 3.925, 5.0], atol=1e-9)
    np.testing.assert_allclose(found, [PAPER.printed_rank(method, "micro_ap") for method in COLUMNS], atol=1e-9)


def test_the_values_add_up() -> None:
    """Sums over the columns, in thousandths: a digit that is wrong anywhere would show here."""
    sums = [sum(round(1000 * (printed(method, name) or 0)) for name in PAPER.datasets) for method in COLUMNS]
    assert sums == [8869, 8585, 8436, 8067, 4690]


def test_values_are_verbatim() -> None:
    assert [printed(method, "cellcycle_FUN") for method in COLUMNS] == [0.255, 0.252, 0.247, 0.227, 0.207]
    assert [printed(method, "gasch2_GO") for method in COLUMNS] == [0.414, 0.465, 0.463, 0.395, 0.371]
    assert [printed(method, "imclef07a") for method in COLUMNS] == [0.956, 0.950, 0.904, 0.803, None]
    assert PAPER.printed("C-HMCNN(h)", "seq_GO", "AU(PRC)") == 0.446
    assert (PAPER.digits, PAPER.tolerance) == (3, 0.005)


def test_each_set_has_the_published_settings() -> None:
    found = {one.name: (one.params["hidden"], one.protocol["epochs"]) for one in PAPER.sets}
    assert found["cellcycle_FUN"] == (500, 106)
    assert found["seq_GO"] == (9000, 45)
    assert found["imclef07d"] == (1000, 588)
    assert sum(width for name, (width, _) in found.items() if name in PAPER.datasets) == 28_000
    assert sum(epochs for name, (_, epochs) in found.items() if name in PAPER.datasets) == 3_176
    for one in PAPER.sets:
        assert one.protocol["lr"] == (1e-4 if one.name.endswith(("_FUN", "_GO")) else 1e-5), one.name


def test_the_protocol_is_that_of_the_last_training() -> None:
    protocol = Protocol(preset="chmcnn-2020")
    assert (protocol.batch_size, protocol.weight_decay, protocol.optimizer, protocol.keep) == (4, 1e-5, "adam", "last")
    assert (protocol.folds, protocol.split["parts"], protocol.split["valid_from"], protocol.split["valid"]) == (1, "published", "joined", 0)
    assert (protocol.preparation["scale"], protocol.preparation["missing"]) == ("standard", "mean")
    assert not protocol.measure_train_loss
    assert Protocol(preset="chmcnn-2020", split={"valid": 0.0}).split == protocol.split
    folds = Protocol(preset="chmcnn-2020", folds=3)
    assert "parts" not in folds.split
    assert folds.split["valid_from"] == "train"


@pytest.mark.data
def test_what_is_here_runs_under_the_settings_of_each_set(monkeypatch: pytest.MonkeyPatch, real_data: object) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    legs, missing = paper_legs(PAPER, [], None, None, {"seeds": [0, 1]})
    assert set(missing) == {"expr_FUN", "expr_GO", "gasch2_FUN", "gasch2_GO", "diatoms"}
    by_name = {part.name: part for part in legs}
    assert {"cellcycle_FUN", "enron", "main-hmcn", "main-hcal"} < set(by_name)
    assert len(legs) == 15 + 2
    part = by_name["cellcycle_FUN"]
    assert (part.experiment.protocol.epochs, part.experiment.protocol.lr, part.experiment.protocol.seeds) == (106, 1e-4, (0, 1))
    assert part.arms[0].method.model_params == {"hidden": 500, "dropout": 0.7}
    assert part.arms[1].method.model_params == {"hidden": [500, 500], "batch_norm": False, "dropout": 0.7, "init": "torch"}
    assert part.arms[1].method.closure == "up"
    own = by_name["main-hmcn"].experiment.protocol
    assert (own.lr, own.batch_size, own.weight_decay, len(by_name["main-hmcn"].cases)) == (1e-3, 32, 0.0, 15)
    assert by_name["main-hcal"].experiment.protocol.optimizer == "sgd"


@pytest.mark.parametrize("one", PAPER.sets, ids=lambda one: one.name)
def test_sizes_agree_with_the_catalogue(one: PaperSet) -> None:
    if not one.data or not one.size:
        assert one.get or one.optional
        return
    expected = catalogue.entry(one.data).expected
    assert (one.size["train"] + one.size["test"], one.size["q"], one.size["d"]) == (expected.n, expected.q, expected.features)


def test_a_method_takes_values_from_the_data_set() -> None:
    method = PaperMethod("x", "mlp(hidden=[{hidden}, {hidden}], dropout={p})", selector="adaptive")
    assert method.gaps == {"hidden", "p"}
    assert method.filled({"hidden": 8, "p": 0.5, "other": 1}).model == "mlp(hidden=[8, 8], dropout=0.5)"
    assert paper_arm(method, {"hidden": 8, "p": 0.5}).method.model_params == {"hidden": [8, 8], "dropout": 0.5}
    with pytest.raises(DataError, match="a value for p, which x takes"):
        method.filled({"hidden": 8})


def test_what_a_set_says_itself_gives_way_to_what_a_method_says() -> None:
    assert PAPER.own_settings(BY_NAME["seq_FUN"], "") == ({"epochs": 13, "lr": 1e-4}, {"hidden": 2000})
    assert PAPER.own_settings(BY_NAME["seq_FUN"], "hmcn") == ({}, {})


def test_hcal_has_no_published_numbers() -> None:
    assert HCAL.datasets == ()
    assert HCAL.printed("HCAL", "CIFAR-100", "hvr") is None
    assert {one.name for one in HCAL.sets if not one.data} == {"CIFAR-100", "FGVC-Aircraft"}
    assert HCAL.digits == 4
