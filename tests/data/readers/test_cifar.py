"""CIFAR in its binary form, from generated files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from polytag.data import Table
from polytag.data.readers import read_cifar
from polytag.errors import ParameterError, ReadError

COARSE, FINE = ("animals", "plants"), ("cat", "dog", "plants", "fern")
PARENT = np.array([0, 0, 1, 1])


def records(rng: np.random.Generator, fine: np.ndarray, coarse: np.ndarray | None = None) -> tuple[bytes, np.ndarray]:
    """Return the bytes of records of these classes, and their pictures."""
    pixels = rng.integers(0, 256, (len(fine), 3, 32, 32), dtype=np.uint8)
    heads = fine[:, None] if coarse is None else np.stack([coarse, fine], axis=1)
    return np.concatenate([heads.astype(np.uint8), pixels.reshape(len(fine), -1)], axis=1).tobytes(), pixels


@pytest.fixture
def hundred(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, np.ndarray, np.ndarray]:
    """A small CIFAR-100: five training rows, which lack the last class, and two test rows."""
    fine = np.array([1, 0, 2, 1, 2, 3, 0])
    (tmp_path / "coarse_label_names.txt").write_text("\n".join(COARSE) + "\n")
    (tmp_path / "fine_label_names.txt").write_text("\n".join(FINE) + "\n\n")
    pictures = []
    for file, rows in (("train.bin", fine[:5]), ("test.bin", fine[5:])):
        raw, pixels = records(rng, rows, PARENT[rows])
        (tmp_path / file).write_bytes(raw)
        pictures.append(pixels)
    return tmp_path, fine, np.concatenate(pictures)


def test_both_classes_are_labels_and_the_records_say_which_is_in_which(hundred):
    folder, fine, pictures = hundred
    data = read_cifar(folder)
    assert (data.name, data.kind, data.X.dtype) == ("cifar-100", "images", np.uint8)
    assert data.label_names == ("animals", "plants", "cat", "dog", "plants (fine)", "fern")
    np.testing.assert_array_equal(data.X, pictures)
    np.testing.assert_array_equal(data.Y[:, 2:].argmax(axis=1), fine)
    np.testing.assert_array_equal(data.Y[:, :2].argmax(axis=1), PARENT[fine])
    assert (data.Y.sum(axis=1) == 2).all()
    assert not data.hierarchy.violations(data.Y).any()
    assert data.hierarchy.edges.tolist() == [[2, 0], [3, 0], [4, 1], [5, 1]]
    assert data.hierarchy.levels.tolist() == [1, 1, 2, 2, 2, 2]
    assert float(Table(data)[torch.arange(2)].x.max()) <= 1


def test_parts_share_one_hierarchy(hundred):
    folder, _, pictures = hundred
    train, test = (read_cifar(folder, part=part) for part in ("train", "test"))
    assert (train.n, test.n) == (5, 2)
    assert train.hierarchy == test.hierarchy == read_cifar(folder).hierarchy
    np.testing.assert_array_equal(test.X, pictures[5:])
    alone = read_cifar([folder / "test.bin"], name="mine")
    assert (alone.name, alone.hierarchy.edges.tolist()) == ("mine", [[2, 0], [5, 1]])  # nothing says where the others belong


def test_ten_classes_without_a_hierarchy(tmp_path, rng):
    (tmp_path / "batches.meta.txt").write_text("ship\ntruck\n")
    pictures = []
    for file, rows in (("data_batch_1.bin", [0, 1]), ("data_batch_2.bin", [1]), ("test_batch.bin", [0])):
        raw, pixels = records(rng, np.array(rows))
        (tmp_path / file).write_bytes(raw)
        pictures.append(pixels)
    data = read_cifar(tmp_path)
    assert (data.name, data.hierarchy, data.label_names) == ("cifar-10", None, ("ship", "truck"))
    assert data.Y.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    np.testing.assert_array_equal(data.X, np.concatenate(pictures))
    assert [read_cifar(tmp_path, part=part).n for part in ("train", "test")] == [3, 1]
    packed = tmp_path / "packed.bin.gz"
    packed.write_bytes(gzip.compress((tmp_path / "data_batch_1.bin").read_bytes()))
    np.testing.assert_array_equal(read_cifar(packed, names=[tmp_path / "batches.meta.txt"]).X, pictures[0])


def test_malformed_files_are_named(hundred, rng):
    folder, fine, _ = hundred
    whole = (folder / "train.bin").read_bytes()

    def said(raw: bytes, message: str) -> None:
        (folder / "train.bin").write_bytes(raw)
        with pytest.raises(ReadError, match=message):
            read_cifar(folder)

    said(whole[:-1], r"train.bin: expected records of 3074 bytes \(CIFAR-100\), but found 15369 bytes$")
    said(b"", "but found 0 bytes")
    said(records(rng, fine)[0], "whole records of CIFAR-10; put the files with its names beside it")
    said(bytes([2]) + whole[1:], "the number of a coarse class from 0 to 1.* but found 2 in record 0")
    said(whole[:1] + bytes([4]) + whole[2:], "the number of a fine class from 0 to 3.* but found 4 in record 0")
    said(bytes([1]) + whole[1:], "expected 'dog' within one coarse class, but found it in 'animals' and 'plants'")


def test_names_are_checked(hundred):
    folder, _, _ = hundred
    names = folder / "fine_label_names.txt"
    for text, message in (("cat\n\ndog\n", "line 2: expected the name of a class"), ("\n", "an empty file"), ("a\nb\na\n", "'a' twice")):
        names.write_text(text)
        with pytest.raises(ReadError, match=message):
            read_cifar(folder)
    names.unlink()
    with pytest.raises(ReadError, match=r"fine_label_names\.txt: expected a file of names beside coarse_label_names\.txt"):
        read_cifar(folder)
    (folder / "coarse_label_names.txt").unlink()
    with pytest.raises(ReadError, match=r"batches.meta.txt: expected a file of that name"):
        read_cifar(folder)


def test_wrong_calls_are_named(tmp_path, hundred):
    folder, _, _ = hundred
    with pytest.raises(ParameterError, match="but got 'valid'"):
        read_cifar(folder, part="valid")
    with pytest.raises(ParameterError, match="but got 3"):
        read_cifar(folder, names=["a", "b", "c"])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ReadError, match="binary version of CIFAR"):
        read_cifar(empty, part="test")


def test_files_have_no_parts_and_there_must_be_one(hundred: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder = hundred[0]
    with pytest.raises(ParameterError, match="got none"):
        read_cifar([])
    for source in (folder / "test.bin", [folder / "test.bin"]):
        with pytest.raises(ParameterError, match="expected no part with files"):
            read_cifar(source, part="train")
