"""``polytag features``: from texts and pictures to a comparison, with honest parts and clear errors."""

import json
from pathlib import Path

import numpy as np
import pytest

from polytag import load_parts
from polytag.cli import main
from polytag.cli.features import _Stages

WORDS = ["sun", "rain", "wind", "snow"]


@pytest.fixture
def comments(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    lines = ["comment,part," + ",".join(WORDS)]
    for row in range(60):
        seen = rng.random(4) < 0.5
        text = " ".join(["the", *np.array(WORDS)[seen]])
        lines.append(f"{text},{'train' if row < 40 else 'test'}," + ",".join(str(int(each)) for each in seen))
    (tmp_path / "comments.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(tmp_path / "comments.csv")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["file,warm,dark"]
    for row in range(16):
        image.fromarray(rng.integers(256, size=(12, 16, 3), dtype=np.uint8)).save(folder / f"{row}.png")
        lines.append(f"{row}.png,{row % 2},{(row // 2) % 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def texts_command(comments: str, out: Path, *more: str) -> list[str]:
    return ["features", "--texts", comments, "--text-column", "comment", "--part-column", "part", "--encoder", "xml-cnn", "--epochs", "2",
            "--width", "16", "--set", "model.width=8", "--set", "model.filters=4", "--set", "text.min_count=1", "--device", "cpu",
            "--out", str(out), *more]  # fmt: skip


def test_from_texts_to_a_comparison(comments: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "features"
    assert main(texts_command(comments, out)) == 0
    printed = capsys.readouterr()
    for expected in ("16 features of xml-cnn, 4 labels; rows: train 30, valid 10, test 20", "valid: macro_auc 0.", "too kind",
                     f"--dataset {out} --folds 1 --set split.parts=published"):  # fmt: skip
        assert expected in printed.out
    assert "training xml-cnn (best on the validation rows is kept): 2 of 2" in printed.err
    assert "encoding test: 20 of 20" in printed.err
    record = json.loads((out / "features.json").read_text(encoding="utf-8"))
    assert (record["trained_on"], record["settings"]["text"], record["inputs"]["table"]) == ("train", {"min_count": 1}, "comments.csv")
    assert len(record["parts"]["test"]["files"]["features.npy"]) == 64

    assert main(texts_command(comments, out)) == 0
    printed = capsys.readouterr()
    assert "nothing to do, checked" in printed.out
    assert not printed.err
    assert main(texts_command(comments, out, "--seed", "1")) == 1
    assert "settings.seed: there 0, asked for 1" in capsys.readouterr().err
    assert main(texts_command(comments, out, "--label-columns", "sun , rain")) == 1

    results = tmp_path / "results"
    assert main(["compare", "--dataset", str(out), "--folds", "1", "--set", "split.parts=published", "--model", "linear", "--selector",
                 "random", "--epochs", "2", "--out", str(results)]) == 0  # fmt: skip
    (found,) = [json.loads(path.read_text(encoding="utf-8")) for path in (results / "records").iterdir()]
    assert found["prepared"]["rows"] == {"train": 30, "valid": 10, "test": 20}  # those of the encoder
    assert "WARNING" not in capsys.readouterr().err

    words = ["compare", "--dataset", str(out), "--folds", "2", "--model", "linear", "--selector", "random", "--epochs", "1"]
    assert main([*words, "--out", str(tmp_path / "folds")]) == 0
    assert f"WARNING the encoder behind {out} was trained with the labels" in capsys.readouterr().err
    assert "not by cross-validation over all rows" in (tmp_path / "folds" / "report.md").read_text(encoding="utf-8")
    assert main(["datasets", "info", str(out)]) == 0


def test_from_pictures_to_a_comparison(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    network = transformers.AutoModel.from_config(transformers.AutoConfig.for_model("resnet", **sizes))
    network.save_pretrained(tmp_path / "tiny")
    words = ["features", "--images", str(photos), "--encoder", str(tmp_path / "tiny"), "--resize", "12", "--crop", "8", "--rows", "5",
             "--threads", "1", "--out", str(tmp_path / "out")]  # fmt: skip
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "16 features of tiny, 2 labels; rows: full 16" in printed
    assert "too kind" not in printed
    assert "published" not in printed
    compared = ["compare", "--dataset", str(tmp_path / "out"), "--folds", "2", "--model", "linear", "--selector", "random", "--epochs", "1"]
    assert main([*compared, "--out", str(tmp_path / "results")]) == 0


def test_a_small_network_gets_a_test_part_of_its_own(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["features", "--images", str(photos), "--encoder", "small_cnn", "--epochs", "1", "--width", "8", "--resize", "8"]
    assert main([*words, "--batch-size", "4", "--patience", "1", "--lr", "0.01", "--test", "0.5"]) == 0
    parts = load_parts("labels-small_cnn")  # named after the table and the encoder
    assert {part: data.n for part, data in parts.items()} == {"train": 6, "valid": 2, "test": 8}
    record = json.loads((tmp_path / "labels-small_cnn" / "features.json").read_text(encoding="utf-8"))
    assert {name: record["settings"][name] for name in ("batch_size", "patience", "lr", "test")} == {
        "batch_size": 4, "patience": 1, "lr": 0.01, "test": 0.5,
    }  # fmt: skip


def test_ctrl_c_keeps_what_is_done(
    comments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    move = _Stages.__call__

    def pressed(self: _Stages, stage: str, done: int, total: int) -> None:
        move(self, stage, done, total)
        if stage == "encoding train":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_Stages, "__call__", pressed)
        assert main(texts_command(comments, tmp_path / "out")) == 130
    assert "the same command continues" in capsys.readouterr().err
    assert main(["compare", "--dataset", str(tmp_path / "out"), "--out", str(tmp_path / "results")]) == 1
    assert "not finished" in capsys.readouterr().err
    assert main(texts_command(comments, tmp_path / "out")) == 0
    assert "training" not in capsys.readouterr().err  # the epochs were kept


def test_the_bars_of_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with _Stages() as bar:
        bar("encoding train", 5, 10)
        bar("encoding train", 10, 10)
    assert "10/10" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ([], 2, "expected one of --dataset, --images and --texts"),
        (["--dataset", "reuters21578", "--texts", "x.csv"], 2, "expected one of"),
        (["--dataset", "reuters2157"], 2, "did you mean 'reuters21578'"),
        (["--dataset", "yeast"], 2, "is a table of features already"),
        (["--dataset", "reuters21578", "--part-column", "part"], 2, "knows its labels and parts"),
        (["--texts", "missing.csv"], 1, "missing.csv"),
        (["--texts", "missing.csv", "--labels", "x.csv"], 2, "--labels together with --images"),
        (["--images", "missing"], 2, "no folder missing"),
        (["--images", ".", "--text-column", "x"], 2, "--text-column"),
    ],
)
def test_what_makes_no_sense_is_said(words: list[str], code: int, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", "--encoder", "xml-cnn", *words]) == code
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "width=3"], "expected model.NAME=VALUE or text.NAME=VALUE"),
        (["--set", "model.fliters=3"], "did you mean 'filters'"),
        (["--set", "text.min_cuont=3"], "min_cuont"),
        (["--epochs", "0"], "epochs=0"),
        (["--monitor", "macro_acu"], "did you mean 'macro_auc'"),
        (["--rows", "0"], "batch_size"),
        (["--threads", "-1"], "threads=-1"),
        (["--crop", "8"], "no --crop for texts"),
        (["--encoder", "resnet50", "--set", "model.x=1"], "no --epochs for the pretrained encoder 'resnet50'"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_settings_that_make_no_sense_are_said(
    comments: str, tmp_path: Path, words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*texts_command(comments, tmp_path / "out"), *words]) == 2
    assert expected in capsys.readouterr().err


def test_an_encoder_that_does_not_fit_or_is_not_here(
    comments: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main(["features", "--texts", comments, "--text-column", "comment", "--encoder", "small-cnn", *out]) == 2
    assert "'xml-cnn' reads them" in capsys.readouterr().err
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    assert main(["features", "--images", str(photos), "--encoder", "resnet50", *out]) == 1
    said = capsys.readouterr().err  # either the library is missing, or its weights are
    assert "torchvision.models cannot be imported" in said or f"save it as {tmp_path / 'hub'}" in said
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert main(["features", "--texts", comments, "--text-column", "comment", "--encoder", "nobody/no-such-encoder", *out]) == 1
    assert "could not load 'nobody/no-such-encoder'" in capsys.readouterr().err
