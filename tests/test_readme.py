"""The README keeps its word: every block of it is executed."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import data_folder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
SHELL = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)


def title(block: str) -> str:
    return re.sub(r"\W+", "-", block.strip().splitlines()[-1])[:40]


@pytest.mark.parametrize("block", PYTHON, ids=title)
def test_python_blocks_run(block: str, tmp_path: Path) -> None:
    folder = data_folder()
    if 'load_dataset("yeast")' in block and folder is None:
        pytest.skip("needs the real data sets: set POLYTAG_DATA")
    environment = {**os.environ, **({"POLYTAG_DATA": str(folder)} if folder else {})}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for line in re.findall(r"#> (.*)", block):
        assert line in done.stdout


def test_the_readme_has_what_it_promises() -> None:
    text = "\n".join(PYTHON)
    for name in ("load_dataset", "DeepMultiLabelClassifier", "metrics.evaluate", "selectors.Adaptive", "selector.update"):
        assert name in text
    assert "polytag demo" in SHELL[0]
    assert "pytest" in SHELL[1]
    assert len(SHELL[0].strip().splitlines()) == len(SHELL[1].strip().splitlines()) == 1


def test_every_command_named_exists() -> None:
    for arguments in re.findall(r"^polytag ([a-z ]+)", "\n".join(SHELL[2:]), re.M):
        command = [word for word in arguments.split() if word.isalpha()]
        words = command[:2] if command[0] == "datasets" else command[:1]
        done = subprocess.run([sys.executable, "-m", "polytag", *words, "--help"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_the_two_commands_on_a_fresh_machine(tmp_path: Path) -> None:
    """Paste both commands into a fresh clone. The demo must end within two minutes of its own."""
    clone = tmp_path / "polytag"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache", "polytag-demo"))
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    install, _, demo = SHELL[0].strip().rpartition("&&")
    subprocess.run(install, shell=True, cwd=clone, env=environment, check=True, timeout=1200)
    start = time.monotonic()
    subprocess.run(demo, shell=True, cwd=clone, env=environment, check=True, timeout=300)
    assert (clone / "polytag-demo" / "table.md").exists()
    assert list((clone / "polytag-demo").rglob("*.png"))
    print(f"demo: {time.monotonic() - start:.0f} s")
    subprocess.run(SHELL[1], shell=True, cwd=clone, env=environment, check=True, timeout=1800)
