"""The stored hierarchical sets have the counts that are known of them, and stay hierarchical on their way to a model."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import data_folder

from polytag import load_dataset, load_parts
from polytag.bench.parts import published_parts, published_split
from polytag.bench.spec import Protocol
from polytag.data import Preparation, kfold, read_clus
from polytag.data.catalogue import entry
from polytag.data.stats import describe

FOLDER = data_folder()
INDEX = json.loads((FOLDER / "index.json").read_text(encoding="utf-8")) if FOLDER else []
SETS = {sheet["name"]: sheet for sheet in INDEX if "hierarchical" in sheet["labels"]}
pytestmark = [pytest.mark.data, pytest.mark.usefixtures("catalogue_folders")]

FUN = "18,80,178,142,77,4"
# columns, labels, labels on each level or edges of the file, labels without children, labels of a training row closed and written, share of
# unknown cells in the training part, labels without a row in training and validation, and without one in the test
COUNTS = {
    "cellcycle_FUN": (77, 499, FUN, 324, 8.72, 3.23, 6.0, 24, 59),
    "derisi_FUN": (63, 499, FUN, 324, 8.76, 3.25, 0.0, 24, 61),
    "eisen_FUN": (79, 461, "18,76,165,131,67,4", 296, 9.21, 3.42, 2.0, 15, 71),
    "gasch1_FUN": (173, 499, FUN, 324, 8.70, 3.23, 2.7, 24, 59),
    "seq_FUN": (529, 499, FUN, 324, 8.54, 3.19, 0.0, 24, 58),
    "spo_FUN": (86, 499, FUN, 324, 8.74, 3.24, 0.0, 24, 61),
    "church_FUN": (31, 499, FUN, 324, None, None, None, None, None),
    "pheno_FUN": (276, 455, None, None, None, None, 0.0, None, None),
    "cellcycle_GO": (77, 4122, 5827, 2041, 31.7, 4.9, 6.1, 431, 1284),
    "derisi_GO": (63, 4116, 5821, 2037, 31.8, 4.9, 0.0, 429, 1284),
    "eisen_GO": (79, 3570, 5037, 1707, 34.9, 5.1, 2.0, 398, 1131),
    "gasch1_GO": (173, 4122, 5827, 2041, 31.6, 4.9, 2.7, 428, 1284),
    "seq_GO": (529, 4130, 5839, 2044, 31.4, 4.9, 0.0, 430, 1281),
    "spo_GO": (86, 4116, 5821, 2037, 31.7, 4.9, 0.0, 429, 1284),
    "pheno_GO": (276, 3124, None, None, None, None, 0.0, None, None),
    "Enron_corr": (1001, 56, "3,40,13", 52, 5.11, 2.74, 0.0, 2, 0),
    "ImCLEF07A": (80, 96, "8,25,63", 63, 3.00, 3.00, 0.0, 0, 0),
    "ImCLEF07D": (80, 46, "4,16,26", 26, 3.00, 3.00, 0.0, 0, 0),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_known_ones(name: str) -> None:
    columns, q, shape, ends, closed, written, unknown, unseen, untested = COUNTS[name]
    sheet, parts = SETS[name], load_parts(name)
    assert {part: data.n for part, data in parts.items()} == sheet["splits"]
    train, tree = parts["train"], parts["train"].hierarchy
    as_written = read_clus(FOLDER / sheet["files"]["train"], entry(name).structure, roots=(), close=False)
    assert (train.d, train.q) == (columns, q)
    if isinstance(shape, str):
        assert ",".join(map(str, np.bincount(tree.levels)[1:])) == shape
    elif shape is not None:
        assert len(as_written.hierarchy.edges) == shape
    assert ends is None or len(tree.ends) == ends
    if closed is not None:
        digits = 1 if "GO" in name else 2
        assert round(train.Y.sum() / train.n, digits) == closed
        assert round(as_written.Y.sum() / train.n, digits) == written
    assert unknown is None or round(100 * np.isnan(train.X).mean(), 1) == unknown
    if unseen is not None:
        seen = sum(parts[part].labels.counts for part in parts if part != "test")
        assert (int((seen == 0).sum()), int((parts["test"].labels.counts == 0).sum())) == (unseen, untested)
    assert all(data.hierarchy == tree and not tree.violations(data.Y).any() for data in parts.values())


@pytest.mark.parametrize("name", SETS)
def test_the_whole_set_is_as_the_catalogue_and_the_index_say(name: str) -> None:
    sheet, expected, data = SETS[name], entry(name).expected, load_dataset(name)
    measures = describe(data)
    assert (data.n, data.d, data.q, measures["levels"], measures["edges"]) == (
        expected.n, expected.features, expected.q, expected.levels, expected.edges,
    )  # fmt: skip
    assert (round(measures["cardinality"], 3), round(measures["mean_ir"], 3)) == (expected.cardinality, expected.mean_ir)
    assert len(set(data.feature_names)) == data.d
    assert (measures["several_parents"], measures["violations"], measures["empty_labels"]) == (sheet["nodes_with_several_parents"], 0, 0)
    assert data.hierarchy.is_tree == (entry(name).structure == "tree")
    nominal = {"spo_FUN", "spo_GO", "seq_FUN", "seq_GO"}  # whose missing categories are zeros
    assert measures["missing_features"] == (sheet["missing_cells"] if name not in nominal else 30 * name.startswith("seq"))


@pytest.mark.parametrize("name", ["cellcycle_GO", "pheno_GO"])
def test_with_its_namespaces_a_graph_has_the_numbers_of_the_index(name: str) -> None:
    sheet = SETS[name]
    parts = [read_clus(FOLDER / file, roots=("root",)) for file in sheet["files"].values()]
    counts = sum(part.labels.counts for part in parts)
    assert (parts[0].q, parts[0].hierarchy.depth, len(parts[0].hierarchy.tops)) == (sheet["q"], sheet["depth"], 3)
    assert round(counts.sum() / sheet["n"], 3) == sheet["cardinality"]
    assert round(float(np.mean(counts.max() / counts)), 3) == sheet["mean_ir"]
    namespaces = [parts[0].label_names.index(top) for top in ("GO0003674", "GO0005575", "GO0008150")]
    assert (counts[namespaces] == sheet["n"]).all()


def test_levels_are_longest_paths_since_shortest_ones_would_lead_astray() -> None:
    for name, astray in (("cellcycle_GO", 860), ("eisen_GO", 743)):
        tree = read_clus(FOLDER / SETS[name]["files"]["test"], roots=()).hierarchy
        children, near = tree.children, np.full(tree.q, -1)
        found = [tree.names.index("root")]
        near[found] = 0
        for node in found:
            for child in children.indices[children.indptr[node] : children.indptr[node + 1]]:
                if near[child] < 0:
                    near[child] = near[node] + 1
                    found.append(child)
        child, parent = tree.edges.T
        assert (near[parent] >= near[child]).sum() == astray
        assert (tree.levels[parent] < tree.levels[child]).all()


def test_columns_are_in_the_order_of_the_literature() -> None:
    genes = load_dataset("cellcycle-fun", "test").label_names
    assert list(genes) == sorted(genes, key=lambda name: (name.count("/"), name))
    terms = load_dataset("cellcycle-go", "test")
    assert list(terms.label_names[:33]) == sorted(terms.hierarchy.tops)
    assert sum(np.diff(terms.hierarchy.parents.indptr) > 1) == 1477
    assert np.diff(terms.hierarchy.parents.indptr).max() <= 5


def test_rows_may_stop_above_the_last_level() -> None:
    written = read_clus(FOLDER / SETS["cellcycle_FUN"]["files"]["train"], close=False)
    inner = ~np.isin(written.label_names, written.hierarchy.ends)
    assert (written.Y.toarray()[:, inner].any(axis=1)).sum() == 1102
    assert (load_dataset("cellcycle-go").labels.sizes == 0).sum() == 71


def test_training_and_validation_parts_are_joined_for_the_last_training() -> None:
    switches = Protocol(preset="chmcnn-2020").split
    for name, sizes in (("cellcycle-fun", (2476, 0, 1281)), ("enron-corr", (988, 0, 660))):
        data = load_dataset(name)
        split = published_split(published_parts(name, data), data, switches)
        assert tuple(map(len, split)) == sizes
        assert np.array_equal(np.concatenate(split), np.arange(data.n))


@pytest.mark.parametrize("name", ["spo-fun", "eisen-go"])
def test_a_preparation_fills_in_and_keeps_the_hierarchy(name: str) -> None:
    data = load_dataset(name)
    split = kfold(data, 3)[0]
    parts = Preparation(scale="standard").prepare(data, split)
    for part in (parts.train, parts.valid, parts.test):
        assert np.isfinite(part.X).all()
        assert part.hierarchy == data.hierarchy
        assert not part.hierarchy.violations(part.Y).any()
    unknown = np.isnan(data.X[split.train])
    assert (parts.train.X[unknown] == 0).all()  # the mean
    deviation = np.ma.masked_array(parts.train.X, unknown).std(axis=0).filled(0)
    assert np.allclose(deviation[deviation > 0], 1)
    assert np.allclose(parts.train.X.mean(axis=0), 0, atol=1e-9)
    fewer = Preparation(min_label_count=20).prepare(data, split).train
    assert fewer.q < data.q
    assert fewer.hierarchy.names == fewer.label_names
    assert not fewer.hierarchy.violations(fewer.Y).any()


def test_a_set_is_known_by_its_file(real_data: Path) -> None:
    data = load_dataset(real_data / SETS["ImCLEF07D"]["files"]["test"])
    assert (data.q, data.hierarchy.depth, data.name) == (46, 3, "ImCLEF07D_Test")
