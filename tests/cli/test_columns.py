"""``polytag compare --text-column`` and ``--image-column``: files and sets of the catalogue, and columns that do not exist."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from polytag import load_dataset
from polytag.cli import main
from polytag.data.catalogue import loading
from polytag.errors import ParameterError, UnknownNameError

Image = pytest.importorskip("PIL.Image")
QUICK = ["--selector", "adaptive", "--folds", "2", "--epochs", "1", "--batch-size", "8"]


@pytest.fixture
def comments(tmp_path: Path) -> str:
    rows = [f"{'tea' if i % 2 else 'wine'} {'red' if i % 3 else 'old'},note {i},{i % 2},{int(i % 3 > 0)}" for i in range(24)]
    path = tmp_path / "comments.csv"
    path.write_text("\n".join(["comment,title,tea,red", *rows, ""]), encoding="utf-8")
    return str(path)


@pytest.fixture
def photos(tmp_path: Path) -> str:
    rows = []
    for i in range(24):
        Image.new("RGB", (12, 10), (200 * (i % 2), 90, 200 * (i % 3 > 0))).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{i % 2},{int(i % 3 > 0)}")
    path = tmp_path / "photos.csv"
    path.write_text("\n".join(["picture,warm,cold", *rows, ""]), encoding="utf-8")
    return str(path)


@pytest.fixture
def msrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put twelve small pictures in the place of the catalogue's files of msrc-v2."""
    rng = np.random.default_rng(0)
    paths = {"images": tmp_path / "pictures.tar", "labels": tmp_path / "labels.csv", "names": tmp_path / "names.txt"}
    with tarfile.open(paths["images"], "w") as archive:
        for i in range(12):
            stream = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(stream, "bmp")
            member = tarfile.TarInfo(f"Images/{i}.bmp")
            member.size = stream.tell()
            stream.seek(0)
            archive.addfile(member, stream)
    paths["labels"].write_text("".join(",".join(str(int(j % 2 == i % 2)) for j in range(23)) + "\n" for i in range(12)))
    paths["names"].write_text("\n".join(f"{i}.bmp" for i in range(12)))
    monkeypatch.setattr(loading, "fetch", lambda name, *_, **__: paths)


def records(out: Path) -> list[dict]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in (out / "records").iterdir()]


def test_texts_of_a_column_are_compared(comments: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["compare", "--dataset", comments, "--text-column", "comment", "--model", "linear", "--out", str(out), *QUICK]
    assert main([*words, "--set", "preparation.neighbours=tfidf"]) == 0
    assert [(record["dataset"]["n"], record["dataset"]["q"]) for record in records(out)] == [(24, 2)] * 2
    assert all(record["protocol"]["preparation"]["neighbours"] == "tfidf" for record in records(out))


def test_pictures_of_a_column_are_compared_by_their_encoder(photos: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["compare", "--dataset", photos, "--image-column", "picture", "--model", "small_cnn", "--out", str(out), *QUICK]
    assert main([*words, "--set", "model.widths=[4,8]", "--set", "preparation.neighbours=encoder"]) == 0
    assert {record["dataset"]["q"] for record in records(out)} == {2}
    assert all(record["prepared"]["neighbours"] == "encoder" for record in records(out))


@pytest.mark.usefixtures("msrc")
def test_pictures_of_the_catalogue_have_a_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.testing.assert_array_equal(load_dataset("msrc-v2", image_column="file").X, load_dataset("msrc-v2").X)
    words = ["compare", "--dataset", "msrc-v2", "--model", "small_cnn", "--set", "model.widths=[4,8]", *QUICK]
    assert main([*words, "--image-column", "file", "--out", str(tmp_path / "out")]) == 0
    assert {record["dataset"]["n"] for record in records(tmp_path / "out")} == {12}
    capsys.readouterr()
    assert main([*words, "--image-column", "fil", "--out", str(tmp_path / "wrong")]) == 2
    printed = capsys.readouterr().err
    assert "there is no picture column of 'msrc-v2' called 'fil'; did you mean 'file'?" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("file", "option", "model", "code", "says"),
    [
        ("comments", ["--text-column", "coment"], "linear", 1, "a column 'coment'"),
        ("photos", ["--image-column", "pictures"], "small_cnn", 1, "a column 'pictures'"),
        ("photos", ["--image-column", "picture", "--text-column", "warm"], "small_cnn", 2, "but got both"),
    ],
)
def test_a_column_that_does_not_exist_is_said(
    file: str,
    option: list[str],
    model: str,
    code: int,
    says: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["compare", "--dataset", request.getfixturevalue(file), *option, "--model", model, "--out", str(tmp_path / "out"), *QUICK]
    assert main(words) == code
    printed = capsys.readouterr().err
    assert says in printed
    assert "Traceback" not in printed


def test_sets_of_the_catalogue_have_the_columns_of_their_kind() -> None:
    with pytest.raises(ParameterError, match="expected no image_column for 'digits-scenes', which holds no pictures, but got 'file'"):
        load_dataset("digits-scenes", image_column="file")
    with pytest.raises(UnknownNameError, match="there is no picture column of 'msrc-v2' called 'path'; known are: file"):
        load_dataset("msrc-v2", image_column="path")
