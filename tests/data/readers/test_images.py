"""Pictures with labels: named by a table, or packed in an archive."""

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from polytag import load_dataset, load_parts
from polytag.data import Table, catalogue
from polytag.data.readers.images import read_images
from polytag.data.readers.msrc import LABELS, read_msrc
from polytag.data.stats import describe
from polytag.errors import FetchError, ParameterError, ReadError


def striped(height: int, width: int) -> np.ndarray:
    """Return a picture whose left third is red, whose middle is green and whose right third is blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for channel, part in enumerate(np.array_split(np.arange(width), 3)):
        pixels[:, part, channel] = 255
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(striped(30, 90)).save(tmp_path / "wide.png")
    Image.fromarray(striped(90, 30)).save(tmp_path / "tall.bmp")
    Image.fromarray(np.full((20, 20), 128, np.uint8)).save(tmp_path / "grey.jpg", quality=95)
    (tmp_path / "set.csv").write_text("file,warm,cold\nwide.png,1,0\ntall.bmp,0,1\ngrey.jpg,1,1\n")
    return tmp_path


def test_pictures_become_pixels_of_one_size(folder):
    data = read_images(folder / "set.csv", image_column="file", size=(12, 8))
    assert (data.kind, data.X.shape, data.X.dtype) == ("images", (3, 3, 12, 8), np.uint8)
    assert (data.label_names, data.Y.tolist()) == (("warm", "cold"), [[1, 0], [0, 1], [1, 1]])
    assert data.name == "set"
    assert abs(data.X[2].astype(int) - 128).max() <= 2
    batch = Table(data)[torch.tensor([0, 2])]
    assert batch.x.shape == (2, 3, 12, 8)
    assert float(batch.x.max()) <= 1


def test_three_ways_to_fit(folder):
    read = {fit: read_images(folder / "set.csv", image_column="file", size=(9, 9), fit=fit).X for fit in ("crop", "pad", "stretch")}
    # The middle square of the wide picture is green, a mixed edge aside; padding leaves black bars; stretching keeps all three colours.
    assert (read["crop"][0][:, :, 1:-1].transpose(1, 2, 0) == (0, 255, 0)).all()
    assert (read["crop"][0].argmax(axis=0) == 1).all()
    assert (read["pad"][0][:, [0, -1]] == 0).all()
    assert read["pad"][0][:, 4, [0, 4, 8]].tolist() == np.diag([255] * 3).tolist()
    assert read["stretch"][0][:, 0, [0, 4, 8]].tolist() == np.diag([255] * 3).tolist()
    assert (read["pad"][1][:, :, [0, -1]] == 0).all()


def test_orientation_palette_and_transparency(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(striped(30, 90)).save(tmp_path / "turned.png", exif=exif)
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "palette.png", transparency=b"\x00\x80")
    (tmp_path / "set.csv").write_text("file,a\nturned.png,1\nclear.png,0\npalette.png,1\n")
    X = read_images(tmp_path / "set.csv", image_column="file", size=(6, 2), fit="stretch").X
    assert X[0, :, [0, -1], 0].tolist() == [[255, 0, 0], [0, 0, 255]]
    assert X[1, :, 0, 0].tolist() == [255, 0, 0]
    assert X[2, :, 0, 0].tolist() == [0, 0, 255]


def test_paths_start_from_the_table_or_from_root(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("tables") / "set.tsv"
    other.write_text(f"picture\ttags\nwide.png\tred|sky\n{folder / 'grey.jpg'}\t\n")
    data = read_images(other, image_column="picture", labels="tags", delimiter="|", root=folder, size=(4, 4))
    assert data.label_names == ("red", "sky")
    assert data.Y.toarray().tolist() == [[1, 1], [0, 0]]
    with pytest.raises(ReadError, match=r"row 0 .*no file"):
        read_images(other, image_column="picture", labels="tags", delimiter="|")


def test_errors_name_column_row_and_file(folder):
    table = folder / "set.csv"
    (folder / "tall.bmp").write_bytes((folder / "tall.bmp").read_bytes()[:200])
    with pytest.raises(ReadError, match=r"picture in the column 'file', row 1 \(counted from 0\), but .*tall\.bmp, which cannot be read"):
        read_images(table, image_column="file")
    (folder / "tall.bmp").unlink()
    with pytest.raises(ReadError, match=r"'file', row 1 .*no file .*tall\.bmp"):
        read_images(table, image_column="file")
    (folder / "tall.bmp").write_text("no picture")
    with pytest.raises(ReadError, match=r"row 1 .*tall\.bmp, which cannot be read \(cannot identify"):
        read_images(table, image_column="file")
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(folder / "tall.bmp", format="png")
    with pytest.raises(ReadError, match=r"row 1 .*more than 8 bits a channel"):
        read_images(table, image_column="file")
    with pytest.raises(ReadError, match=r"expected a column 'picture', but found columns \['file', 'warm', 'cold'\]"):
        read_images(table, image_column="picture")
    for wrong in ({"size": (0, 4)}, {"fit": "squeeze"}):
        with pytest.raises(ParameterError, match=r"(size|fit)="):
            read_images(table, image_column="file", **wrong)


def test_load_dataset_takes_a_table_of_pictures(folder):
    data = load_dataset(folder / "set.csv", image_column="file", image_size=(5, 7))
    assert data.X.shape == (3, 3, 5, 7)
    assert load_dataset(str(folder / "set.csv"), image_column="file", labels=["cold"]).label_names == ("cold",)


@pytest.fixture
def packed(tmp_path: Path) -> dict[str, Path]:
    paths = {"images": tmp_path / "pictures.tar.xz", "labels": tmp_path / "labels.csv", "names": tmp_path / "names.txt"}
    with tarfile.open(paths["images"], "w:xz") as archive:
        for name, colour in (("b.bmp", "blue"), ("a.bmp", "red")):
            stream = io.BytesIO()
            Image.new("RGB", (8, 6), colour).save(stream, "bmp")
            member = tarfile.TarInfo(f"Images/{name}")
            member.size = stream.tell()
            stream.seek(0)
            archive.addfile(member, stream)
    lines = [",".join("1" if j in labels else "0" for j in range(23)) for labels in ((0,), (1, 2), (22,))]
    paths["labels"].write_text("\n".join(lines) + "\n")
    paths["names"].write_text("a.bmp\nmissing.bmp\nb.bmp")
    return paths


def test_pictures_of_an_archive_follow_the_list(packed):
    data = read_msrc(packed, size=(4, 4))
    assert data.X[:, :, 0, 0].tolist() == [[255, 0, 0], [0, 0, 255]]
    assert [np.flatnonzero(row).tolist() for row in data.Y] == [[0], [22]]
    assert data.label_names == LABELS


def test_damaged_archives_and_lists_are_refused(packed):
    packed["names"].write_text("a.bmp\nb.bmp")
    with pytest.raises(ReadError, match="a line for each of the 2 names"):
        read_msrc(packed)
    packed["names"].write_text("a.bmp\nc.bmp\nd.bmp")
    with pytest.raises(ReadError, match=r"also \['b.bmp'\]"):
        read_msrc(packed)
    packed["labels"].write_text("1,0\n")
    with pytest.raises(ReadError, match=r"labels\.csv, line 1: expected 23 values"):
        read_msrc(packed)


def test_archive_that_is_none(packed):
    packed["images"].write_text("no archive")
    with pytest.raises(ReadError, match="a tar archive of pictures"):
        read_msrc(packed)


def test_a_missing_archive_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYTAG_DATA", str(tmp_path))
    monkeypatch.setenv("POLYTAG_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FetchError, match=re.escape("images/msrc_v2/Images_first12.tar.xz")) as caught:
        load_dataset("msrc-v2")
    assert "POLYTAG_DATA" in str(caught.value)


@pytest.mark.data
def test_real_pictures_have_the_published_numbers(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    monkeypatch.setenv("POLYTAG_CACHE", str(tmp_path))
    monkeypatch.setenv("POLYTAG_OFFLINE", "1")
    data, expected = load_dataset("MSRC_v2", image_size=(32, 48)), catalogue.entry("msrc-v2").expected
    assert data.X.shape == (240, 3, 32, 48)
    assert (data.n, data.d, data.q) == (expected.n, expected.d, expected.q) == (240, 3, 23)
    measures = describe(data)
    assert round(measures["cardinality"], 3) == expected.cardinality == 2.608
    assert round(measures["mean_ir"], 3) == expected.mean_ir == 5.001
    assert measures["empty_labels"] == 1
    assert data.X.std(axis=(1, 2, 3)).min() > 5  # no picture is one colour
    # Pictures 2_1 to 2_12 show trees.
    assert data.Y[12:24, LABELS.index("tree")].mean() > 0.9
    assert list(load_parts("msrc-v2")) == ["full"]
