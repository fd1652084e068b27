"""The catalogue: every file of it is complete, true to the list of checksums, and found by the names that people type."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from polytag import load_dataset, load_parts
from polytag.data import catalogue
from polytag.data.catalogue.listing import Entry
from polytag.data.dataset import Dataset
from polytag.data.stats import describe
from polytag.errors import DataError, FetchError, ParameterError, UnknownNameError
from polytag.hierarchy import Hierarchy

ENTRIES = list(catalogue.entries())
STORED = [entry for entry in ENTRIES if entry.files]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_entry_is_complete(entry: Entry) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.name)
    for text in (entry.title, entry.family, entry.domain, entry.summary, entry.licence):
        assert text
    assert re.search(r"\b(19|20)\d\d\b", entry.citation), "a citation has a year"
    assert entry.expected.n > 0
    assert entry.expected.features >= entry.expected.d
    assert entry.labels in ("xml", "target", "reader", "clus", entry.expected.q)
    assert (entry.labels == "reader") == bool(entry.reader)
    assert entry.structure in ("", "tree", "graph")
    assert bool(entry.structure) == (entry.expected.levels > 1) == (entry.expected.edges > 0)
    assert entry.structure or entry.labels != "clus"
    assert bool(entry.files) != bool(entry.loader)


@pytest.mark.parametrize("entry", STORED, ids=lambda entry: entry.name)
def test_files_are_pinned_and_checked(entry: Entry) -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", entry.commit)
    assert entry.source == f"https://github.com/{entry.repository}/tree/{entry.commit}"
    assert ("xml" in entry.files) == (entry.labels == "xml")
    for file in entry.files.values():
        if file.url or entry.name != "msrc-v2":  # whose pictures are packed from many files
            assert file.url.startswith(f"https://raw.githubusercontent.com/{entry.repository}/{entry.commit}/")
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert not Path(file.path).is_absolute()
        assert ".." not in file.path


def test_names_and_aliases_are_unambiguous() -> None:
    typed = [re.sub(r"[^a-z0-9]+", "-", name.lower()) for entry in ENTRIES for name in {entry.name, *entry.aliases}]
    assert len(typed) == len(set(typed))
    paths = [file.path for entry in STORED for file in entry.files.values()]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("yeast", "yeast"), ("Yeast", "yeast"), ("LLOG-F", "llog"), ("langlog", "llog"), ("llog", "llog"), ("CAL500", "cal500"),
        ("meka/Yeast", "meka-yeast"), ("meka_yeast", "meka-yeast"), ("mat/rcv1s1", "mat-rcv1s1"), ("rcv1s1", "mat-rcv1s1"),
        ("CHD_49", "chd-49"), ("Water-quality", "water-quality"), ("yahoo_arts", "yahoo-arts"), ("stackex_cs", "stackex-cs"),
        ("20NG-F", "20ng-f"), ("Imdb", "imdb"), ("TMC2007", "tmc2007-500"), ("meka/Music_missing_classes", "meka-music-missing-classes"),
        ("cellcycle_FUN", "cellcycle-fun"), ("Enron_corr", "enron-corr"), ("ImCLEF07A", "imclef07a"),
    ],
)  # fmt: skip
def test_sets_are_found_by_the_names_that_people_type(typed: str, name: str) -> None:
    assert catalogue.entry(typed).name == name


def test_two_versions_of_the_same_data_are_one_family() -> None:
    same = [
        ("emotions", "meka-music", "meka-music-missing-classes"),
        ("enron", "meka-enron", "enron-corr"), ("scene", "meka-scene"), ("yeast", "meka-yeast"),
        ("yahoo-arts", "arts1500"), ("yahoo-business", "business1500"), ("corel16k001", "mat-corel16k1"),
        ("rcv1subset1500", "mat-rcv1s1"), ("rcv1subset2500", "mat-rcv1s2"), ("rcv1subset3500", "mat-rcv1s3"),
        ("reuters21578", "reutersk500"), ("imclef07a", "imclef07d"),
        *((f"{genes}-fun", f"{genes}-go") for genes in ("cellcycle", "derisi", "eisen", "gasch1", "pheno", "seq", "spo")),
    ]  # fmt: skip
    families = [{catalogue.entry(name).family for name in names} for names in same]
    assert all(len(family) == 1 for family in families)
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(families, 2))
    together = {name for names in same for name in names}
    alone = [entry.family for entry in ENTRIES if entry.name not in together]
    assert len(alone) == len(set(alone))
    assert set(alone).isdisjoint(set().union(*families))


def test_unknown_names_are_answered_with_near_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"no data set called 'yeats'; did you mean 'yeast'"):
        catalogue.entry("yeats")
    with pytest.raises(UnknownNameError, match=r"no part of 'scene' called 'trian'; did you mean 'train'"):
        catalogue.fetch("scene", ["trian"])
    with pytest.raises(UnknownNameError, match="no file"):
        load_dataset("nowhere/set.arff")
    with pytest.raises(UnknownNameError, match="no data set called 'yeats'"):
        load_dataset("yeats")


def test_catalogue_file_with_a_wrong_field_is_refused() -> None:
    with pytest.raises(DataError, match=r"'x' has a missing or an unknown field.*colour"):
        Entry.from_toml('name = "x"\ncolour = "red"\n[expected]\nn = 1\nd = 1\nq = 1\n')
    with pytest.raises(DataError, match="expected"):
        Entry.from_toml('name = "x"\n')


@pytest.mark.data
def test_checksums_are_those_of_the_data_folder(real_data: Path) -> None:
    sums = {}
    for file in ("SHA256SUMS", "SHA256SUMS.uncompressed"):
        for line in (real_data / file).read_text(encoding="utf-8").splitlines():
            digest, path = line.split(maxsplit=1)
            sums[path] = digest
    for entry in STORED:
        for file in entry.files.values():
            if not file.path.endswith(".xz"):  # listed as it is packed
                assert sums[file.path.removesuffix(".gz")] == file.sha256, file.path


@pytest.mark.data
def test_catalogue_repeats_the_index(real_data: Path) -> None:
    index = {re.sub(r" \(.*", "", sheet["name"]): sheet for sheet in json.loads((real_data / "index.json").read_text(encoding="utf-8"))}
    tables = {name: sheet for name, sheet in index.items() if "hierarchical" not in sheet["labels"] and isinstance(sheet["d"], int)}
    assert len(tables) == len([entry for entry in STORED if not entry.reader and entry.labels != "clus"])
    for name, sheet in tables.items():
        entry = catalogue.entry(name)
        expected = entry.expected
        assert (expected.n, expected.d, expected.q) == (sheet["n"], sheet["d"], sheet["q"])
        assert (expected.cardinality, expected.mean_ir) == (sheet.get("cardinality"), sheet.get("mean_ir"))
        assert {part: file.path for part, file in entry.files.items()} == sheet["files"]
        assert (entry.repository, entry.commit) == (sheet["repository"], sheet["commit"])


@pytest.mark.data
def test_catalogue_repeats_the_index_of_hierarchical_sets(real_data: Path) -> None:
    index = {sheet["name"]: sheet for sheet in json.loads((real_data / "index.json").read_text(encoding="utf-8"))}
    trees = {name: sheet for name, sheet in index.items() if "hierarchical" in sheet["labels"]}
    assert len(trees) == len([entry for entry in STORED if entry.labels == "clus"]) == 18
    for name, sheet in trees.items():
        entry, namespaces = catalogue.entry(name), 3 * name.endswith("_GO")  # which the index counts as labels
        assert (entry.expected.n, entry.expected.d) == (sheet["n"], sheet["d"])
        assert (entry.expected.q, entry.expected.levels) == (sheet["q"] - namespaces, sheet["depth"] - (namespaces > 0))
        assert entry.expected.cardinality == pytest.approx(sheet["cardinality"] - namespaces, abs=6e-4)  # every row has all three
        assert namespaces or entry.expected.mean_ir == sheet["mean_ir"]
        assert entry.structure == ("graph" if namespaces else "tree")
        assert {part: file.path for part, file in entry.files.items()} == sheet["files"]
        assert (entry.repository, entry.commit) == (sheet["repository"], sheet["commit"])


def test_embedded_set_needs_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(tmp_path))
    monkeypatch.setenv("POLYTAG_CACHE", str(tmp_path / "cache"))
    data, expected = load_dataset("digits-scenes", offline=True), catalogue.entry("digits-scenes").expected
    assert (data.n, data.d, data.q) == (expected.n, expected.features, expected.q)
    assert data.labels.sizes.mean() == pytest.approx(expected.cardinality, abs=0.005)
    assert list(load_parts("digits-scenes")) == ["full"]
    assert catalogue.fetch("digits-scenes") == {}
    assert catalogue.missing(catalogue.entry("digits-scenes")) == []
    with pytest.raises(UnknownNameError, match="one piece"):
        load_dataset("digits-scenes", "train")


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "toy.arff"
    path.write_text("@relation 'toy: -C 1'\n@attribute y {0,1}\n@attribute a numeric\n@data\n1,2.5\n0,1\n", encoding="utf-8")
    for spelled in (path, str(path)):
        data = load_dataset(spelled)
        assert data.X.tolist() == [[2.5], [1.0]]
        assert data.Y.tolist() == [[1], [0]]
    with pytest.raises(ParameterError, match="a file has no parts"):
        load_dataset(path, "train")
    table = tmp_path / "toy.csv"
    table.write_text("a,y\n1,0\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="read_table"):
        load_dataset(table)


def test_missing_set_says_how_to_provide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(tmp_path))
    monkeypatch.setenv("POLYTAG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("POLYTAG_OFFLINE", "1")
    assert catalogue.missing(catalogue.entry("yeast")) == ["full", "train", "test", "xml"]
    with pytest.raises(FetchError) as caught:
        load_dataset("yeast")
    for words in (
        "mulan/yeast/yeast.arff.gz",
        "https://raw.githubusercontent.com/tsoumakas/mulan/",
        "POLYTAG_DATA",
        str(tmp_path / "cache"),
    ):
        assert words in str(caught.value)


@pytest.mark.data
@pytest.mark.usefixtures("catalogue_folders")
def test_parts_are_the_published_ones() -> None:
    parts = load_parts("scene")
    assert {name: part.n for name, part in parts.items()} == {"train": 1211, "test": 1196}
    assert parts["train"].name == "scene/train"
    whole = load_dataset("scene")
    assert whole.name == "scene"
    assert np.array_equal(whole.X, np.concatenate([parts["train"].X, parts["test"].X]))
    assert list(load_parts("cal500")) == ["full"]
    assert [part.n for part in load_parts("chd-49").values()] == [111] * 5


def test_the_page_of_data_sets_has_a_true_row_for_each() -> None:
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8").split("## The sets")[1].split("\n## ")[0]
    rows = {
        match[1]: [cell.strip() for cell in match[0].split("|")] for match in re.finditer(r"^\| `([a-z0-9-]+)` \|.*$", page, re.MULTILINE)
    }
    assert set(catalogue.names()) <= set(rows)
    for entry in ENTRIES:
        _, _, domain, n, d, q, card, mean_ir, _, family, _ = rows[entry.name]
        x = entry.expected
        assert (domain, n, d.split()[0], q, family) == (entry.domain, f"{x.n:,}", f"{x.d:,}", f"{x.q:,}", entry.family)
        assert (card, mean_ir) == tuple("-" if value is None else f"{value:.3f}" for value in (x.cardinality, x.mean_ir))


def test_the_measures_of_the_page_are_those_of_describe() -> None:
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8").split("## Measures")[1]
    named = {key for row in re.findall(r"^\| (`[^|]*`) \|", page, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    made = Dataset(np.eye(2), np.eye(2), label_names=["a", "b"], hierarchy=Hierarchy.from_edges([("a", "b")]))
    assert named == set(describe(made))


def test_a_libsvm_file_loads_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "toy.libsvm").write_text("0,2 1:0.5 3:1\n1 2:2\n")
    data = catalogue.load_dataset(str(tmp_path / "toy.libsvm"))
    assert (data.n, data.d, data.q) == (2, 3, 3)
