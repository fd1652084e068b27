"""The page on hierarchies keeps its word: every block runs and prints what it says, every link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "hierarchies.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_blocks_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/hierarchies.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"# -> (.*)", block)


def test_every_form_is_shown() -> None:
    for name in ("from_edges", "from_parents", "from_paths", "from_levels", "from_obo", "read_hierarchy", "label_paths", "write_parents"):
        assert f"{name}(" in "\n".join(BLOCKS), name


def test_links_lead_somewhere() -> None:
    for target, place in re.findall(r"\]\((?!http)([^)#]+)(?:#([^)]+))?\)", PAGE):
        page = ROOT / "docs" / target
        assert page.exists(), target
        titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
        places = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not place or place in places, f"{target}#{place}"
