"""One finished training run, as it is kept on disk."""

import hashlib
import json
import math
import os
import platform
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import torch

FORMAT = 1
"""Number of the layout of a record file."""


@dataclass(frozen=True)
class Record:
    """What one cell of an experiment gave, with everything needed to judge it.

    Attributes:
        key: Content hash of data, method, protocol, fold and seed.
        dataset: Name, content hash, and n, d, q before and after the filters.
        method: The method.
        protocol: Every switch of the protocol.
        fold: Number of the fold, from 0.
        seed: Seed.
        metrics: Every metric on the test rows; NaN where undefined.
        history: One entry an epoch, as in ``polytag.training.Epoch``.
        best_epoch: The epoch whose weights were best on the validation rows.
        training: Learning rate and weight decay that were used, where the protocol leaves them to the model, and how many epochs the
            selector's warm-up took.
        prepared: What the preparation did.
        seconds: ``train`` (without evaluation), ``select`` (choosing batches and bookkeeping, part of ``train``), ``setup`` (building the
            selector, such as its imbalance weights), ``total`` (of the process that finished the cell).
        environment: Versions, a hash of the code, hardware, threads, device, and when.
        format: Layout of the file.
    """

    key: str
    dataset: dict[str, Any]
    method: dict[str, Any]
    protocol: dict[str, Any]
    fold: int
    seed: int
    metrics: dict[str, float]
    history: list[dict[str, Any]]
    best_epoch: int | None
    training: dict[str, Any]
    prepared: dict[str, Any]
    seconds: dict[str, float]
    environment: dict[str, Any]
    format: int = FORMAT

    def to_json(self) -> str:
        """Return strict JSON; numbers that are not finite become null."""
        return json.dumps(_strict(asdict(self)), allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild a record.

        Raises:
            ValueError: The text is not a record of this layout.
        """
        values = json.loads(text)
        expected = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != expected or values["format"] != FORMAT:
            raise ValueError(f"expected a record of format {FORMAT}")
        metrics = {name: math.nan if value is None else value for name, value in values["metrics"].items()}
        return cls(**{**values, "metrics": metrics})


def environment(device: str) -> dict[str, Any]:
    """Say what ran here: versions, processor, threads, device."""
    packages = ("polytag", "torch", "numpy", "scipy", "scikit-learn")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "code": code_hash(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
    }


@cache
def code_hash() -> str:
    """Return a hash of the source files that decide numbers, as they were when first asked for.

    The version alone does not tell two states of a checkout apart.
    """
    root = Path(__file__).parents[1]
    parts = ("classical", "data", "enhance", "hierarchy", "losses", "metrics", "models", "nn", "selectors", "training")
    files = sorted([*root.glob("*.py"), *(file for part in parts for file in (root / part).rglob("*.py"))])
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  (a pseudo-file, read line by line)
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") else value
