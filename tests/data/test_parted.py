"""A folder of features opens as a data set, whole or by its parts, and says when it is unfinished, damaged or leaky."""

import json

import numpy as np
import pytest

from polytag import load_dataset, load_parts
from polytag.data.mapped import write_mapped
from polytag.data.parted import RECORD, damaged, open_folder, open_parts, read_record, seal, seen_in_training
from polytag.errors import DataError, ParameterError, UnknownNameError


def block(rows, start=0):
    X = np.arange(start, start + 3 * rows, dtype=np.float32).reshape(rows, 3)
    return X, (X[:, :2] % 2).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "made"
    for part, rows in {"train": 6, "valid": 2, "test": 3}.items():
        write_mapped(path / part, [block(rows, start=rows)], label_names="ab", name="toy")
    seal(path, {"parts": {"train": 6, "valid": 2, "test": 3}, "trained_on": "train"})
    return path


def test_all_rows_are_the_parts_one_after_the_other(folder):
    parts = load_parts(str(folder))
    assert {part: data.n for part, data in parts.items()} == {"train": 6, "valid": 2, "test": 3}
    for given in (folder, str(folder)):
        data = load_dataset(given)
        np.testing.assert_array_equal(data.X, np.concatenate([block(rows, start=rows)[0] for rows in (6, 2, 3)]))
        np.testing.assert_array_equal(data.Y.toarray(), np.concatenate([block(rows, start=rows)[1] for rows in (6, 2, 3)]))
        assert (data.name, data.label_names) == ("toy", ("a", "b"))


def test_a_part_stays_on_disk_with_its_index(folder):
    test = load_dataset(folder, "test")
    assert isinstance(test.X, np.memmap)
    assert (test.name, test.n) == ("toy/test", 3)
    assert isinstance(test.labels.rows.base, np.memmap)  # the index was opened, not made anew
    assert test.labels.counts.tolist() == block(3, start=3)[1].sum(axis=0).tolist()
    with pytest.raises(UnknownNameError, match="did you mean 'train'"):
        load_dataset(folder, "trains")


def test_a_set_in_one_piece(tmp_path):
    write_mapped(tmp_path / "plain", [block(5)], name="toy")
    assert load_parts(tmp_path / "plain")["full"].n == load_dataset(str(tmp_path / "plain")).n == 5
    write_mapped(tmp_path / "one" / "full", [block(4)], name="toy")
    seal(tmp_path / "one", {"parts": {"full": 4}, "trained_on": None})
    data = load_dataset(tmp_path / "one", "full")
    assert (data.n, data.name, type(data.X)) == (4, "toy", np.memmap)
    assert type(load_dataset(tmp_path / "one").X) is np.memmap
    assert seen_in_training(tmp_path / "one") is None
    assert seen_in_training("yeast") is None


def test_a_path_is_a_folder_and_a_bare_name_a_set(tmp_path, monkeypatch):
    write_mapped(tmp_path / "digits-scenes", [block(4)])
    write_mapped(tmp_path / "mine", [block(5)])
    monkeypatch.chdir(tmp_path)
    assert load_dataset("./digits-scenes").n == 4
    assert load_dataset("digits-scenes").n > 100
    assert load_dataset("mine").n == 5
    assert load_parts("mine")["full"].n == 5


def test_an_encoder_that_has_seen_labels_is_pointed_out(folder):
    assert "not by cross-validation" in seen_in_training(folder)


def test_damage_is_found_by_checksums(folder):
    assert damaged(folder) == []
    path = folder / "valid" / "features.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (folder / "test" / "ones.npy").unlink()
    assert damaged(folder) == ["valid/features.npy", "test/ones.npy"]
    with pytest.raises(DataError, match="test"):
        open_parts(folder)


def test_a_folder_that_is_not_finished_is_not_opened(folder):
    (folder / RECORD).unlink()
    with pytest.raises(UnknownNameError, match="there is no data set called"):
        load_dataset(str(folder / "nothing"))
    (folder / "work").mkdir()
    for load in (load_dataset, load_parts):
        with pytest.raises(DataError, match="not finished"):
            load(str(folder))
    (folder / "work").rmdir()
    with pytest.raises(DataError, match="has none"):
        read_record(folder)
    with pytest.raises(UnknownNameError, match="has no parts"):
        load_parts(folder)


def test_records_that_say_something_else(folder):
    record = json.loads((folder / RECORD).read_text())
    for change, expected in (
        ({"format": 9}, "format 1"),
        ({"parts": {**record["parts"], "valid": {"rows": 7, "files": {}}}}, "7 rows"),
        ({"parts": None}, "cannot be read"),
    ):
        (folder / RECORD).write_text(json.dumps({**record, **change}))
        with pytest.raises(DataError, match=expected):
            open_folder(folder)
    (folder / RECORD).write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        open_folder(folder)


def test_a_folder_knows_its_labels(folder):
    for options in ({"text_column": "a"}, {"image_column": "a"}, {"labels": "a"}):
        with pytest.raises(ParameterError, match="knows its labels"):
            load_dataset(folder, **options)
