"""The code on the pages about large data and about what selectors pick runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["large-data", "selection-plots"])
def test_blocks_run(page: str, tmp_path: Path) -> None:
    if page == "selection-plots":
        pytest.importorskip("matplotlib")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.M | re.S))
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {"large-data": tmp_path / "clicks" / "meta.json", "selection-plots": tmp_path / "picks.png"}[page].exists()
