"""Published numbers: complete, free of slips, and under names that exist here."""

import csv
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from polytag import metrics
from polytag.bench.spec import Protocol
from polytag.bench.stats import average_ranks
from polytag.cli.legs import paper_arm
from polytag.data import catalogue
from polytag.errors import DataError, UnknownNameError
from polytag.papers import Paper, PaperSet, choose, load_paper, paper_names

FLEM = load_paper("flem-2022")
PRINTED_METHODS = ["ML-kNN", "RAkEL", "FL", "CB", "R-FL", "DB", "BS", "LEVI", "VALEN", "FLEM-S", "FLEM-T", "FLEM-D"]
NOT_RUN_HERE = ["Clus-Ens", "HMC-LMLP"]  # printed for comparison: ensembles of trees, and a network a level
PAPERS = [load_paper(key) for key in paper_names()]

OWN = """
key = "own"
title = "A paper of one's own"
authors = "Somebody"
venue = "Nowhere"
year = 2026
url = "https://example.org"
protocol = "clean"
notes = []
metrics = { hamming_loss = "HL" }
methods = [{ name = "BCE", model = "linear" }]
sets = [{ name = "A", data = "yeast" }]
"""


def own(folder: Path, text: str = OWN, numbers: str = "method,dataset,metric,value\nBCE,A,HL,0.2\nBCE,average rank,HL,1.5\n") -> str:
    (folder / "own.toml").write_text(text, encoding="utf-8")
    (folder / "own.csv").write_text(numbers, encoding="utf-8")
    return str(folder / "own.toml")


def table(metric: str) -> np.ndarray:
    """Return the printed values, shape (data sets, methods)."""
    return np.array([[FLEM.printed(method, name, metric) for method in PRINTED_METHODS] for name in FLEM.datasets], dtype=float)


def test_flem_prints_eight_sets_by_twelve_methods() -> None:
    assert FLEM.datasets == ("AAPD", "Reuters", "VOC07", "VOC12", "COCO14", "COCO17", "CUB", "NUS")
    for metric in FLEM.metrics:
        values = table(metric)
        assert values.shape == (8, 12)
        assert ((values > 0) & (values < 1)).all()
    rows = list(csv.DictReader(files("polytag.papers").joinpath("flem-2022.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 4 * 12 * 9 + 3 * 4  # values and average ranks; the ablation


@pytest.mark.parametrize("metric", FLEM.metrics)
def test_the_printed_ranks_of_flem_follow_from_its_values(metric: str) -> None:
    """Ties get the best of their ranks in the paper; a digit that was wrong anywhere would show here."""
    better = "max" if metrics.direction(metric) == "max" else "min"
    found = average_ranks(table(metric), better, "min")
    printed = np.array([FLEM.printed_rank(method, metric) for method in PRINTED_METHODS], dtype=float)
    assert np.abs(found - printed).max() <= 0.05 + 1e-9


def test_flem_is_first_in_31_of_32_cases() -> None:
    first = {}
    for metric in FLEM.metrics:
        values = table(metric) * (1 if metrics.direction(metric) == "max" else -1)
        for name, row in zip(FLEM.datasets, values):
            first[name, metric] = row[9:].max() >= row[:9].max()
    assert sum(first.values()) == 31
    assert not first["CUB", "coverage_norm"]


def test_numbers_of_flem_are_verbatim() -> None:
    assert FLEM.printed("ML-kNN", "AAPD", "hamming_loss") == 0.0448
    assert FLEM.printed("RAkEL", "CUB", "coverage_norm") == 0.6889
    assert FLEM.printed("LEVI", "NUS", "ranking_loss") == 0.0210
    assert FLEM.printed("FLEM-D", "NUS", "macro_ap") == FLEM.printed("FLEM-D", "NUS", "Average precision") == 0.5143
    assert [FLEM.printed("FLEM-I", "VOC07", metric) for metric in FLEM.metrics] == [0.0242, 0.0210, 0.0492, 0.8441]
    assert [FLEM.printed("FLEM-II", "VOC07", metric) for metric in FLEM.metrics] == [0.0241, 0.0198, 0.0472, 0.8444]
    assert FLEM.printed("BCE", "VOC07", "hamming_loss") is None
    assert FLEM.printed_rank("FLEM-T", "coverage_norm") == 2.3
    assert FLEM.printed_rank("BCE", "coverage_norm") is None


def test_sizes_of_the_sets_of_flem() -> None:
    sizes = {one.name: one.size for one in FLEM.sets if one.size}
    assert list(sizes) == list(FLEM.datasets)
    assert sizes["Reuters"] == {"train": 5827, "valid": 1943, "test": 3019, "d": 512, "q": 90}
    rows = {name: size["train"] + size["valid"] for name, size in sizes.items()}
    assert (rows["Reuters"], rows["COCO14"], rows["COCO17"], rows["NUS"]) == (7770, 82081, 117266, 150000)
    assert sum(sizes["AAPD"][part] for part in ("train", "valid", "test")) == 55840
    assert sum(sizes["VOC07"][part] for part in ("train", "valid", "test")) == 9963
    assert {size["d"] for name, size in sizes.items() if name not in ("AAPD", "Reuters")} == {2048}


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.key)
def test_every_method_of_a_paper_can_be_built(paper: Paper) -> None:
    arms = [paper_arm(one, paper.sets[0].params) for one in paper.methods]
    assert len({str(each.method.identity()) for each in arms}) == len(arms)
    assert len({each.name for each in arms}) == len(arms)


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.key)
def test_what_a_paper_names_exists(paper: Paper) -> None:
    names, sets = {one.name for one in paper.methods}, {one.name for one in paper.sets}
    assert len(sets) == len(paper.sets)
    assert set(paper.datasets) <= sets
    assert {name for question in paper.questions for pair in question.pairs for name in pair} <= names
    assert {name for group in paper.groups.values() for name in group.without} <= names
    assert {one.group for one in paper.sets} <= set(paper.groups)
    assert {one.protocol for one in paper.methods} <= {"", *paper.protocols}
    Protocol(preset=paper.protocol)
    assert paper.control in {"", *names}
    assert paper.trial is not None
    assert set(paper.trial.methods) <= names
    assert not catalogue.missing(catalogue.entry(paper.trial.data))
    assert {metrics.direction(metric) for metric in paper.metrics} <= {"min", "max"}
    assert not {metrics.direction(metric) for metric in paper.extra_metrics} - {"min", "max"}
    assert not set(paper.extra_metrics) & set(paper.metrics)
    for one in paper.sets:
        assert bool(one.data) != bool(one.get)
        assert one.get or not one.folder
        assert one.same_data()
    values = [paper.printed(method, name, metric) for method in names for name in paper.datasets for metric in paper.metrics]
    places = [place for place in paper._values if place[1] != "average rank" and not place[0].endswith("?")]  # one value has no clear row
    assert sum(value is not None for value in values) == len([place for place in places if place[0] not in NOT_RUN_HERE])


def test_sets_without_published_parts_of_flem_are_cut_into_folds() -> None:
    for one in FLEM.sets:
        if one.data:
            parts = catalogue.entry(one.data).parts
            assert ({"train", "test"} <= set(parts)) == (one.group != "five-folds"), one.name


def test_a_set_is_found_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(tmp_path))
    monkeypatch.setenv("POLYTAG_CACHE", str(tmp_path / "cache"))
    features = PaperSet("Reuters", folder="reuters", get="polytag features ...")
    assert features.place([tmp_path]) is None
    (tmp_path / "reuters" / "work").mkdir(parents=True)
    assert features.place([tmp_path]) is None  # not finished
    (tmp_path / "reuters" / "features.json").touch()
    assert features.place([tmp_path / "nowhere", tmp_path]) == str(tmp_path / "reuters")
    assert features.how_to_get() == "polytag features ..."
    assert PaperSet("y", data="meka/Yeast").place([]) is None
    assert PaperSet("y", data="yeast").how_to_get() == "polytag datasets fetch yeast"
    assert PaperSet("d", data="digits-scenes").place([]) == "digits-scenes"
    assert PaperSet("x").how_to_get() == "no public data are known to us"
    assert PaperSet("a", data="meka-yeast").same_data() == PaperSet("b", data="yeast").same_data() == "yeast"
    assert PaperSet("a", folder="x", family="f").same_data() == "f"


def test_a_paper_of_ones_own(tmp_path: Path) -> None:
    paper = load_paper(own(tmp_path))
    assert paper.printed("BCE", "A", "hamming_loss") == 0.2
    assert paper.printed_rank("BCE", "hamming_loss") == 1.5
    assert (paper.datasets, paper.trial, paper.control, list(paper.groups)) == (("A",), None, "", ["main"])


def test_slips_in_a_file_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="protocol"):
        load_paper(own(tmp_path, OWN.replace("protocol", "protocoll")))
    with pytest.raises(DataError, match="lose"):
        load_paper(own(tmp_path, OWN.replace('model = "linear"', 'model = "linear", lose = "bce"')))
    with pytest.raises(DataError, match=r"one printed value of BCE, A, HL, but got 0\.2 and 0\.3"):
        load_paper(own(tmp_path, numbers="method,dataset,metric,value\nBCE,A,HL,0.2\nBCE,A,HL,0.3\n"))
    (tmp_path / "own.csv").unlink()
    with pytest.raises(DataError, match=r"own\.csv"):
        load_paper(str(tmp_path / "own.toml"))


def test_names_are_found_as_users_write_them() -> None:
    known = {"CLIF, Random": [], "CLIF, Adaptive": [], "tmc2007": ["tmc2007-500", ""]}
    assert choose("method", ["clif,adaptive , TMC2007-500", "CLIF, Random"], known) == ["CLIF, Adaptive", "tmc2007", "CLIF, Random"]
    with pytest.raises(UnknownNameError) as raised:
        choose("method", ["tmc2008,clif, random,fleem"], known)
    assert "did you mean 'tmc2007'" in str(raised.value)
    assert "fleem" in str(raised.value)
