"""Every stored set, read by name, has the numbers of the index that came with the data."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import data_folder

from polytag import load_dataset, load_parts
from polytag.data import catalogue
from polytag.data.dataset import Dataset
from polytag.data.stats import describe

FOLDER = data_folder()
INDEX = json.loads((FOLDER / "index.json").read_text(encoding="utf-8")) if FOLDER else []
SETS = {
    re.sub(r" \(.*", "", sheet["name"]): sheet for sheet in INDEX if "hierarchical" not in sheet["labels"] and isinstance(sheet["d"], int)
}
IN_PARTS = [name for name, sheet in SETS.items() if "splits" in sheet]
pytestmark = [pytest.mark.data, pytest.mark.usefixtures("catalogue_folders")]


@pytest.mark.parametrize("name", SETS)
def test_set_has_the_numbers_of_the_index(name: str) -> None:
    sheet, data, expected = SETS[name], load_dataset(name), catalogue.entry(name).expected
    measures = describe(data)
    assert (data.n, data.d, data.q) == (sheet["n"], expected.features, sheet["q"])
    assert len(set(data.feature_names)) == data.d
    assert len(set(data.label_names)) == data.q
    assert measures["missing_features"] + measures["missing_labels"] == sheet.get("missing_cells", 0)
    if "cardinality" not in sheet:
        assert measures["missing_labels"] == data.n * data.q
        return
    rounded = {
        "cardinality": round(measures["cardinality"], 3), "density": round(measures["density"], 4),
        "mean_ir": round(measures["mean_ir"], 3), "max_irlbl": round(measures["max_ir"], 3),
        "distinct_labelsets": measures["labelsets"], "empty_labels": measures["empty_labels"],
        "rows_without_label": measures["rows_without_label"], "repeated_feature_rows": measures["repeated_rows"],
    }  # fmt: skip
    assert rounded == pytest.approx({key: sheet[key] for key in rounded}, abs=1e-9)
    if "sparse_rows" in sheet:
        assert hasattr(data.X, "indptr") == sheet["sparse_rows"]


@pytest.mark.parametrize("name", IN_PARTS)
def test_parts_have_the_sizes_of_the_index_and_cover_the_whole(name: str) -> None:
    splits, parts = SETS[name]["splits"], load_parts(name)
    sizes = list(splits.values()) if isinstance(splits, dict) else splits
    assert [part.n for part in parts.values()] == sizes
    positives = sum(len(part.labels.columns) for part in parts.values())
    assert positives / SETS[name]["n"] == pytest.approx(SETS[name]["cardinality"], abs=6e-4)
    assert len({part.feature_names for part in parts.values()}) == len({part.label_names for part in parts.values()}) == 1


@pytest.mark.parametrize(("one", "other"), [("yeast", "meka-yeast"), ("scene", "meka-scene"), ("enron", "meka-enron")])
def test_two_versions_of_a_set_hold_the_same_labels(one: str, other: str) -> None:
    first, second = load_dataset(one), load_dataset(other)
    assert sorted(first.labels.counts.tolist()) == sorted(second.labels.counts.tolist())
    assert sorted(first.labels.sizes.tolist()) == sorted(second.labels.sizes.tolist())


@pytest.mark.parametrize("number", [1, 2, 3])
def test_both_versions_of_an_rcv1_subset_have_the_same_rows_in_the_same_order(number: int) -> None:
    text, arrays = load_dataset(f"rcv1subset{number}500"), load_dataset(f"mat-rcv1s{number}")
    assert np.array_equal(dense_labels(text), dense_labels(arrays))


def test_labels_of_the_language_log_are_its_first_columns() -> None:
    data = load_dataset("LLOG-F")
    assert data.labels.counts.max() == 171
    assert describe(data)["cardinality"] == pytest.approx(1.180, abs=5e-4)


def dense_labels(data: Dataset) -> Any:
    return data.Y.toarray() if hasattr(data.Y, "toarray") else data.Y


def test_real_categories_take_one_column_each(real_data: Path) -> None:
    birds = load_dataset("birds")
    assert birds.d - catalogue.entry("birds").expected.d == sum(name.startswith("location=") for name in birds.feature_names) - 1
    truck = load_dataset("foodtruck")
    assert {"gender=F", "gender=M", "marital.status=single"} <= set(truck.feature_names)
    assert not np.isnan(truck.X).any()
