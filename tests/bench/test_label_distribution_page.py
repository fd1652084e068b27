"""The guide to label enhancement, its example and its benchmark run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from polytag import registry
from polytag.metrics.distribution import MEASURES

ROOT = Path(__file__).parents[2]
GUIDE, OVERVIEW = ROOT / "docs" / "label-enhancement.md", ROOT / "docs" / "methods" / "enhance" / "README.md"


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", [GUIDE, OVERVIEW], ids=["guide", "overview"])
def test_blocks_run(page: Path, tmp_path: Path) -> None:
    run(tmp_path, "-c", "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)))
    written = {"distributions.csv", "degrees.png", "ranks.png"} if page == GUIDE else set()
    assert {path.name for path in tmp_path.iterdir()} == written


def test_the_overview_has_every_method_and_links_lead_somewhere() -> None:
    overview = OVERVIEW.read_text(encoding="utf-8")
    for name in registry.names("enhancer"):
        assert f"[{name}]({name}.md)" in overview
    for page in (GUIDE, OVERVIEW):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), target


def test_the_guide_names_every_measure() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for name, better in MEASURES.items():
        assert re.search(rf"\| `{name}` \|.*\| {'↑' if better == 'max' else '↓'} \|", guide), name


def test_the_example_prints_measures_and_draws(tmp_path: Path) -> None:
    printed = run(tmp_path, str(ROOT / "examples" / "label_distributions.py"), "--rows", "60", "--plot", "degrees.png")
    cosines = {line.split()[0]: float(line.split("cosine ")[1].split()[0]) for line in printed.splitlines() if "cosine" in line}
    assert cosines["glle"] > cosines["labels"]
    assert min(float(auc) for auc in re.findall(r"AUC on new rows ([\d.]+)", printed)) > 0.8
    assert (tmp_path / "degrees.png").read_bytes()[:4] == b"\x89PNG"


def test_the_benchmark_prints_a_table_a_setting(tmp_path: Path) -> None:
    script = str(ROOT / "benchmarks" / "label_recovery.py")
    printed = run(tmp_path, script, "--rows", "40", "--seeds", "1", "--methods", "glle", "--tuned", "")
    assert printed.count("| method |") == 3
    for name in ("labels", "even", "half of each", "glle"):
        assert printed.count(f"\n| {name} |") == 3
    assert all(f" {name} {'↑' if better == 'max' else '↓'} |" in printed for name, better in MEASURES.items())
