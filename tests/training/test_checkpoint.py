"""Checkpoints: whole, exact, in one piece."""

from pathlib import Path

import numpy as np
import pytest
import torch

from polytag.errors import ResumeError
from polytag.training import checkpoint


def test_round_trip_keeps_kinds_and_bits(tmp_path: Path) -> None:
    state = {
        "weights": {"a.b": torch.randn(3, 2), "empty": torch.zeros(0)},
        "scores": np.array([1.5, np.nan, np.inf]),
        "numbers": [1, 2.5, None, "text", True, {"deep": torch.tensor(7)}],
        "scalar": np.float32(0.1),
    }
    checkpoint.save(tmp_path / "deep" / "run.safetensors", state)
    back = checkpoint.load(tmp_path / "deep" / "run.safetensors")
    assert torch.equal(back["weights"]["a.b"], state["weights"]["a.b"])
    assert back["weights"]["empty"].shape == (0,)
    np.testing.assert_array_equal(back["scores"], state["scores"])
    assert back["numbers"][:5] == [1, 2.5, None, "text", True]
    assert back["numbers"][5]["deep"].item() == 7
    assert back["scalar"] == pytest.approx(0.1)


def test_views_and_shared_tensors_are_saved(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    checkpoint.save(tmp_path / "x", {"a": base.T, "b": base})
    back = checkpoint.load(tmp_path / "x")
    assert torch.equal(back["a"], base.T)
    assert torch.equal(back["b"], base)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    checkpoint.save(path, {"a": 1})
    with pytest.raises(TypeError):
        checkpoint.save(path, {"a": object()})
    assert checkpoint.load(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ResumeError, match="delete it to start anew"):
        checkpoint.load(path)
