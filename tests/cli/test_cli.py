"""The command line: what it prints, what it leaves, and how it fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import polytag
from polytag.cli import main
from polytag.cli.compare import parse_search, parse_switches, seeds
from polytag.errors import ParameterError

TINY = "@relation 'tiny: -C 2'\n@attribute y0 {0,1}\n@attribute y1 {0,1}\n@attribute a numeric\n@attribute b numeric\n@data\n"


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    rows = "".join(f"{i % 2},{(i // 2) % 2},{i % 7},{(i * 5) % 11}\n" for i in range(48))
    path = tmp_path / "tiny.arff"
    path.write_text(TINY + rows, encoding="utf-8")
    return str(path)


def test_compare_prints_tables_and_writes_the_folder(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["compare", "--dataset", tiny, "--model", "linear", "--selector", "random,adaptive", "--folds", "2", "--epochs", "1",
             "--seed", "0,1", "--pressure", "4", "--metric", "macro_auc,hamming_loss", "--set", "split.valid=0.25",
             "--out", str(out)]  # fmt: skip
    assert main(words) == 0
    text = capsys.readouterr().out
    for expected in ("macro_auc ↑", "hamming_loss ↓", "adaptive(pressure=4.0)", "Average ranks", "Wilcoxon", "8/8", "report.md"):
        assert expected in text
    assert len(list((out / "records").iterdir())) == 8
    assert {path.name for path in out.iterdir()} == {"records", "plots", "experiment.json", "report.md", "table.md", "table.csv"}
    assert "split.valid | **0.25**" in (out / "report.md").read_text(encoding="utf-8")
    assert main([*words, "--jobs", "1"]) == 0
    assert "8 cells kept" in capsys.readouterr().out
    (out / "report.md").unlink()
    assert main(["report", str(out)]) == 0
    assert (out / "report.md").exists()


def test_published_values_are_shown_on_request(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["compare", "--dataset", tiny, "--model", "linear", "--selector", "random", "--folds", "2", "--epochs", "1", "--out", str(out)]
    assert main([*words, "--published", "adaptive-2024"]) == 0
    assert "ECML PKDD 2024" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--dataset", "yeasd"], "did you mean 'yeast'"),
        (["--dataset", "yeast", "--model", "cliv"], "did you mean 'clif'"),
        (["--dataset", "yeast", "--selector", "adaptiv"], "did you mean 'adaptive'"),
        (["--dataset", "yeast", "--metric", "macro_acu"], "did you mean 'macro_auc'"),
        (["--dataset", "yeast", "--protocol", "cleen"], "clean"),
        (["--dataset", "yeast", "--published", "adaptiv-2024"], "did you mean 'adaptive-2024'"),
        (["--dataset", "yeast", "--seed", "a"], "--seed"),
        (["--dataset", "yeast", "--folds", "1"], "folds"),
        (["--dataset", "yeast", "--set", "split.vaild=1"], "did you mean 'valid'"),
        (["--dataset", "yeast", "--set", "nonsense"], "NAME=VALUE"),
        (["--dataset", "yeast", "--set", "model.hiden=3"], "did you mean 'hidden'"),
        (["--dataset", "yeast", "--threshold", "f7"], "f7"),
        (["--dataset", "yeast", "--enhance", "flim"], "did you mean 'flem'"),
        (["--dataset", "yeast", "--enhance", "flem", "--set", "enhance.alfa=1"], "did you mean 'alpha'"),
        (["--dataset", "yeast", "--model", "mlknn", "--enhance", "flem"], "expected no label enhancement"),
        (["--dataset", "yeast", "--set", "enhance.alpha=1"], "expected an enhancer"),
        (["--dataset", "yeast", "--search", "enhance.alpha=1,2"], "to search for"),
        (["--dataset", "yeast", "--search", "lr"], "NAME=VALUE,VALUE"),
        (["--dataset", "yeast", "--protocol", "flem-2023"], "flem-2022"),
        (["--dataset", "yeast", "--set", "optimizer.amsgrad=true"], "together with a known optimizer"),
    ],
)
def test_what_does_not_exist_is_said_without_a_traceback(
    words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *words, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert expected in printed.err
    assert "Traceback" not in printed.err
    assert not (tmp_path / "out").exists()


def test_all_problems_are_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--dataset", "yeasd,scen", "--model", "cliv", "--metric", "acu", "--out", str(tmp_path)]) == 2
    errors = capsys.readouterr().err
    assert all(word in errors for word in ("yeasd", "scen", "cliv", "acu"))


def test_usage_errors_have_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare"]) == 2
    assert main(["nosuch"]) == 2
    assert main(["report", "/nosuch"]) == 1
    assert "experiment.json" in capsys.readouterr().err


def test_failing_cells_are_reported_and_the_rest_is_kept(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from polytag.bench import runner

    usual = runner.run_cell

    def breaks(dataset: object, method: object, protocol: object, fold: int, seed: int, **rest: object) -> object:
        if fold == 1:
            raise RuntimeError("broken on purpose")
        return usual(dataset, method, protocol, fold, seed, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "run_cell", breaks)
    out = tmp_path / "out"
    words = [
        "compare",
        "--dataset",
        tiny,
        "--model",
        "linear",
        "--selector",
        "random,hard",
        "--folds",
        "2",
        "--epochs",
        "1",
        "--out",
        str(out),
    ]
    assert main(words) == 1
    printed = capsys.readouterr()
    assert printed.err.count("FAILED") == 2
    assert "RuntimeError: broken on purpose" in printed.err
    assert "2 of 4 cells failed" in printed.err
    assert "macro_auc" in printed.out
    assert len(list((out / "failures").iterdir())) == 2
    assert len(list((out / "records").iterdir())) == 2


def test_datasets(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "list"]) == 0
    text = capsys.readouterr().out
    assert "yeast" in text
    assert "2,417" in text
    assert "embedded" in text
    picture = tmp_path / "labels.png"
    assert main(["datasets", "info", "digits-scenes", "--plot", str(picture)]) == 0
    text = capsys.readouterr().out
    for expected in ("licence", "cardinality", "mean_ir", "scumble"):
        assert expected in text.lower()
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert main(["datasets", "info", tiny]) == 0
    assert main(["datasets", "info", "yeasd"]) == 2
    assert "did you mean 'yeast'" in capsys.readouterr().err


@pytest.mark.data
def test_fetch_says_where_the_files_are(real_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    assert main(["datasets", "fetch", "yeast"]) == 0
    assert "mulan/yeast/yeast.arff.gz" in capsys.readouterr().out


def test_methods_lists_everything_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    text = capsys.readouterr().out
    for name in ("clif", "dela", "random", "adac", "bce", "label enhancements", "flem", "macro_auc ↑", "hamming_loss ↓"):
        assert name in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"polytag {polytag.__version__}"


def test_help_starts_without_torch() -> None:
    code = "import sys; from polytag.cli import main; assert main(['--help']) == 0; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False False")


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "polytag", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("polytag ")


def test_compare_with_and_without_label_enhancement(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["compare", "--dataset", tiny, "--model", "linear", "--selector", "random", "--enhance", "none,flem(strategy=s, hidden=4)",
             "--set", "enhance.beta=0.5", "--search", "enhance.alpha=1e-2,0.5", "--set", "optimizer=adamw",
             "--set", "optimizer.amsgrad=true",
             "--set", "clip_norm=adaptive", "--folds", "2", "--epochs", "1", "--metric", "hamming_loss", "--out", str(out)]  # fmt: skip
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "4/4" in text
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "linear(enhance=flem(beta=0.5, strategy=s, hidden=4), enhance.alpha=[0.01, 0.5])" in report
    assert '| optimizer_params | **{"amsgrad": true}** |' in report
    assert "| clip_norm | **adaptive** |" in report
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "records").iterdir()]
    searched = [record["prepared"]["search"] for record in records if "enhance" in record["method"]]
    assert len(searched) == 2
    assert all(search["tried"] == 2 and search["chosen"]["enhance.alpha"] in (0.01, 0.5) for search in searched)


def test_published_parts_are_wanted_by_name(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "--dataset", tiny, "--model", "linear", "--selector", "random", "--protocol", "flem-2022", "--out", str(tmp_path)]
    assert main(words) == 1
    assert "expected a data set with a published training and test part" in capsys.readouterr().err
    assert main([*words, "--folds", "2", "--epochs", "1", "--metric", "hamming_loss"]) == 0


def test_switches_are_sorted_by_part() -> None:
    found = parse_switches(["keep=last", "model.hidden=64", "selector.warmup=5", "preparation.scale=standard"])
    assert found["protocol"] == {"keep": "last"}
    assert found["model"] == {"hidden": 64}
    assert found["selector"] == {"warmup": 5}
    assert found["preparation"] == {"scale": "standard"}
    with pytest.raises(ParameterError, match="NAME=VALUE"):
        parse_switches(["nosuch.part=1"])
    assert seeds("0, 2") == [0, 2]
    found = parse_switches(["enhance.alpha=0.1", "optimizer=adamw", "optimizer.amsgrad=true"])
    assert (found["enhance"], found["protocol"], found["optimizer"]) == ({"alpha": 0.1}, {"optimizer": "adamw"}, {"amsgrad": True})


def test_what_is_searched_for_is_read_by_name() -> None:
    assert parse_search(["lr=1e-3", "enhance.strategy=s,t", "model.hidden=[8],[8, 4]"]) == {
        "lr": [1e-3], "enhance.strategy": ["s", "t"], "model.hidden": [[8], [8, 4]],
    }  # fmt: skip
    for wrong in (["lr"], ["=1"], ["lr="], ["lr=1", "lr=2"]):
        with pytest.raises(ParameterError, match="--search"):
            parse_search(wrong)
