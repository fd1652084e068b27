"""Texts and pictures with their labels and parts; pictures stay in their files; any change changes the digest."""

from dataclasses import replace

import numpy as np
import pytest

from polytag.data.picture_files import PictureFiles
from polytag.data.raw import RawSet, raw_pictures, raw_set, raw_texts
from polytag.data.readers.images import picture
from polytag.errors import ParameterError, ReadError
from polytag.hierarchy import Hierarchy

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def pictures(tmp_path, rng):
    lines = ["file,warm,cold,part"]
    for row, part in enumerate(["train", "train", "test", "train", "Validation", "test"]):
        Image.fromarray(rng.integers(256, size=(20 + row, 30, 3), dtype=np.uint8)).save(tmp_path / f"{row}.png")
        lines.append(f"{row}.png,{row % 2},{(row // 2) % 2},{part}")
    (tmp_path / "set.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_pictures_are_read_when_they_are_asked_for(pictures):
    raw = raw_pictures(pictures, part_column="part", resize=16, crop=12)
    assert {part: rows.tolist() for part, rows in raw.parts.items()} == {"train": [0, 1, 3], "valid": [4], "test": [2, 5]}
    assert (raw.n, raw.kind, raw.name, raw.label_names) == (6, "images", "set", ["warm", "cold"])
    assert raw.Y[:, 0].tolist() == [0, 1, 0, 1, 0, 1]
    whole = picture(pictures / "5.png", (16, 16), "crop", ValueError)
    chosen = raw.X[raw.parts["test"]]
    assert isinstance(chosen, PictureFiles)
    np.testing.assert_array_equal(chosen.pixels(1, 9)[0], whole[:, 2:14, 2:14])
    assert chosen.pixels(2, 4).shape == (0, 3, 12, 12)
    data = raw.dataset(raw.parts["test"])
    assert (data.kind, data.X.shape, data.X.dtype) == ("images", (2, 3, 12, 12), np.uint8)
    assert raw.dataset().n == 6


def test_any_change_of_the_pictures_is_seen(pictures):
    def digest(**view):
        return raw_pictures(pictures, **{"resize": 16, "crop": 12, **view}).digest()

    first = digest()
    assert first == digest()
    assert first != digest(crop=11)
    assert first != digest(part_column="part")
    Image.new("RGB", (30, 20), "red").save(pictures / "3.png")
    changed = digest()
    assert changed != first
    text = (pictures / "set.csv").read_text()
    (pictures / "set.csv").write_text(text.replace("3.png,1", "3.png,0"))
    assert digest() != changed


def test_a_picture_that_is_not_there_is_named(pictures):
    (pictures / "4.png").write_bytes(b"nothing")
    (pictures / "3.png").unlink()
    raw = raw_pictures(pictures, part_column="part", resize=16, crop=12)
    with pytest.raises(ReadError, match=r"column 'file', row 3 .*no file .*3\.png"):
        raw.digest()
    with pytest.raises(ReadError, match=r"row 4 .*4\.png, which cannot be read"):
        raw.X[raw.parts["valid"]].pixels(0, 1)


def test_wrong_folders_and_tables_of_pictures(pictures):
    with pytest.raises(ParameterError, match="no folder"):
        raw_pictures(pictures / "none")
    (pictures / "more.csv").write_text("file,a\n0.png,1\n")
    with pytest.raises(ParameterError, match=r"but found more\.csv, set\.csv"):
        raw_pictures(pictures)
    assert raw_pictures(pictures, pictures / "more.csv").n == 1
    (pictures / "odd.csv").write_text("file,warm,a\n0.png,training,1\n")
    with pytest.raises(ReadError, match="train, valid, test in the column 'warm'"):
        raw_pictures(pictures, pictures / "odd.csv", part_column="warm")
    with pytest.raises(ReadError, match="fil"):
        raw_pictures(pictures, pictures / "set.csv", image_column="fil")
    for view in ({"resize": 10, "crop": 11}, {"crop": 0}):
        with pytest.raises(ParameterError, match="crop"):
            raw_pictures(pictures, pictures / "set.csv", **view)


def test_texts_of_a_table(tmp_path):
    path = tmp_path / "comments.csv"
    path.write_text('text,joy,fear,part\n"Lovely, really",1,0,train\n,0,1,dev\nOh no,0,1,test\n')
    raw = raw_texts(path, part_column="part")
    assert raw.X.tolist() == [["Lovely, really"], [""], ["Oh no"]]
    assert (raw.kind, raw.label_names, {part: rows.tolist() for part, rows in raw.parts.items()}) == (
        "text", ["joy", "fear"], {"train": [0], "valid": [1], "test": [2]},
    )  # fmt: skip
    assert raw.origin["table"] == "comments.csv"
    assert raw.dataset().kind == "text"
    assert raw_texts(path, labels=["joy"]).label_names == ["joy"]
    moved = np.array([["Lovely, reallyO"], [""], ["h no"]], dtype=object)  # the same letters, cut elsewhere
    changes = [{"X": moved}, {"Y": raw.Y[::-1]}, {"label_names": ["joy", "rage"]}, {"parts": {}}]
    digests = {raw.digest(), *(replace(raw, **change).digest() for change in changes)}
    assert len(digests) == 5


def test_tables_of_numbers_need_no_encoder():
    with pytest.raises(ParameterError, match="'yeast' is a table of features already"):
        raw_set("yeast")


@pytest.mark.data
@pytest.mark.usefixtures("catalogue_folders")
def test_published_parts_come_along():
    raw = raw_set("goemotions")
    assert {part: (int(rows[0]), len(rows)) for part, rows in raw.parts.items()} == {
        "train": (0, 43410), "valid": (43410, 5426), "test": (48836, 5427),
    }  # fmt: skip
    assert (raw.kind, raw.X.shape, raw.n) == ("text", (54263, 1), 54263)
    photographs = raw_set("msrc-v2", resize=40, crop=32)
    assert (photographs.X.shape, photographs.parts) == ((240, 3, 32, 32), {})


def test_the_hierarchy_comes_along():
    tree = Hierarchy.from_edges([("x", "y")])
    flat = RawSet("made", np.array([["a"], ["b"]], dtype=object), np.eye(2, dtype=np.uint8), ("x", "y"))
    raw = replace(flat, hierarchy=tree)
    assert raw.dataset().hierarchy == raw.dataset(np.array([1])).hierarchy == tree
    assert flat.dataset().hierarchy is None
    assert raw.digest() != flat.digest()
