"""What an import costs: the pieces need torch and NumPy only."""

import subprocess
import sys

import pytest

HEAVY = ("scipy", "sklearn", "pandas", "polars", "matplotlib", "joblib", "pydantic", "typer", "rich")


@pytest.mark.parametrize(
    "module", ["polytag", "polytag.selectors", "polytag.losses", "polytag.registry", "polytag.data.labels", "polytag.data.stats"]
)
def test_pieces_need_torch_and_numpy_only(module: str) -> None:
    code = f"import torch, sys; before = set(sys.modules); import {module}; print(*(m.split('.')[0] for m in set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert not set(done.stdout.split()) & set(HEAVY)


def test_unknown_public_names_are_attribute_errors() -> None:
    import polytag

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = polytag.nothing
    assert set(polytag.__all__) - {"__version__"} <= set(dir(polytag)) | {"__version__"}
