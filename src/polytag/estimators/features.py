"""From texts or pictures to a folder of features on which any model for tables trains in seconds."""

import json
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from polytag import __version__
from polytag.data.catalogue.download import alone
from polytag.data.mapped import open_mapped, write_mapped
from polytag.data.parted import RECORD, damaged, read_record, seal, write_whole
from polytag.data.raw import RawSet
from polytag.errors import DataError, ParameterError, ResumeError
from polytag.estimators.encoders import Pretrained, Trained, Watch
from polytag.models.frozen import encode_rows, weights_key
from polytag.types import Array

_LIBRARIES = ("torch", "numpy", "transformers", "timm", "torchvision", "pillow")


def extract_features(
    raw: RawSet,
    encoder: Pretrained | Trained,
    out: str | Path,
    *,
    batch_size: int = 64,
    device: str = "cpu",
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Write the features of texts or pictures to a folder that ``load_dataset`` and ``load_parts`` open.

    The same call finds a finished folder and only checks it; one that was cut off goes on where it stopped, in the epochs of the encoder
    as in the rows. A folder holds one set with one encoder: other rows, settings or seeds are refused.

    Args:
        raw: The rows, see ``polytag.data.raw``.
        encoder: How they become numbers.
        out: The folder; must be empty, unfinished, finished, or not there.
        batch_size: Rows at a time in the final pass.
        device: Where to compute.
        watch: Told about the progress.

    Returns:
        The record that is kept as ``features.json``: what was asked for, SHA-256 of input, weights and files, versions, parts, and how
        good a trained encoder is. ``"kept"`` says that there was nothing to do.

    Raises:
        ResumeError: The folder holds something else, or is damaged.
        ReadError: A picture cannot be read.
        FetchError: A pretrained encoder is not on this machine.
        ParameterError: Encoder and rows do not fit.
        DataError: There are no rows, or some labels are unknown.

    Cost: one pass over the input to hash it, training if there is any, and one pass of the encoder; twice the features on disk until done.

    Example:
        >>> import tempfile
        >>> rng = np.random.default_rng(0)
        >>> labels = (rng.random((12, 3)) < 0.5).astype(np.uint8)
        >>> pictures = RawSet("toy", rng.integers(256, size=(12, 3, 8, 8), dtype=np.uint8), labels, "abc")
        >>> folder = tempfile.mkdtemp()
        >>> record = extract_features(pictures, Trained("small_cnn", width=16, epochs=1), folder)
        >>> {part: said["rows"] for part, said in record["parts"].items()}, record["width"], record["trained_on"]
        ({'train': 7, 'valid': 2, 'test': 3}, 16, 'train')
        >>> extract_features(pictures, Trained("small_cnn", width=16, epochs=1), folder)["kept"]
        True
    """
    out = Path(out)
    if batch_size < 1:
        raise ParameterError(f"expected batch_size >= 1, but got {batch_size!r}")
    if not raw.n or (not hasattr(raw.Y, "indptr") and np.isnan(raw.Y).any()):
        raise DataError(
            f"expected rows whose labels are all known, but {raw.name!r} has {raw.n} rows" + " and unknown labels" * (raw.n > 0)
        )
    asked = _asked(raw, encoder)
    kept = _finished(out, asked)
    if kept is not None:
        return kept
    work = out / "work"
    _check_free(out)
    work.mkdir(parents=True, exist_ok=True)
    with alone(work / "lock"):
        kept = _finished(out, asked)  # somebody else may have finished while this call waited
        if kept is not None:
            return kept
        _begin(out, asked)
        parts = encoder.parts(raw)
        ready = encoder.ready(raw, parts, work, device, watch)
        key = weights_key(ready.model)
        for part, rows in parts.items():
            _write_part(out, part, raw, rows, ready, work / f"{part}-{key[:16]}", batch_size, device, watch)
        widths = {open_mapped(out / part).d for part in parts}
        record = {
            **asked,
            "name": raw.name,
            "width": widths.pop(),
            "labels": list(raw.label_names),
            "weights": key,
            "trained_on": None if ready.learnt is None else "train",
            "training": ready.learnt,
            "versions": _versions(),
            "parts": {part: len(rows) for part, rows in parts.items()},
        }
        sealed = seal(out, record)
        shutil.rmtree(work)
    return {**sealed, "kept": False}


def _asked(raw: RawSet, encoder: Pretrained | Trained) -> dict[str, Any]:
    """Return what decides the features, as JSON would give it back."""
    settings = encoder.settings(raw)
    asked = {"settings": settings, "inputs": {"kind": raw.kind, "rows": raw.n, **raw.origin, "content": raw.digest()}}
    try:
        plain: dict[str, Any] = json.loads(json.dumps(asked))
    except TypeError as error:
        raise ParameterError(f"expected settings of plain values, which can be written down, but got {settings!r} ({error})") from error
    return plain


def _finished(out: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record of a finished folder, after checking that it is what is asked for and that its files are whole."""
    if not (out / RECORD).is_file():
        return None
    record = read_record(out)
    _check_same(out, record, asked)
    wrong = damaged(out)
    if wrong:
        raise ResumeError(
            f"{out} is damaged: {', '.join(wrong)} differ from the checksums in {RECORD}; delete the folder and run this again"
        )
    shutil.rmtree(out / "work", ignore_errors=True)
    return {**record, "kept": True}


def _check_free(out: Path) -> None:
    """Refuse a folder with things of others."""
    if out.exists() and not (out / "work").is_dir() and (not out.is_dir() or any(out.iterdir())):
        raise ResumeError(f"expected an empty folder, or one of `polytag features`, but {out} holds something else; choose another one")


def _begin(out: Path, asked: dict[str, Any]) -> None:
    """Write down what is asked for, or compare it with what an earlier call was asked for, if that has left anything."""
    note = out / "work" / "asked.json"
    left = {path.name for path in [*out.iterdir(), *note.parent.iterdir()]} - {"work", "lock", note.name}
    if note.is_file() and left:
        _check_same(out, json.loads(note.read_text(encoding="utf-8")), asked)
    else:
        write_whole(note, json.dumps(asked, indent=1))


def _check_same(out: Path, there: dict[str, Any], asked: dict[str, Any]) -> None:
    """Say what differs, if something does."""
    changes = [
        f"{part}.{name}: there {there[part].get(name)!r}, asked for {asked[part].get(name)!r}"
        for part in ("settings", "inputs")
        for name in {**there[part], **asked[part]}
        if there[part].get(name) != asked[part].get(name)
    ]
    if changes:
        raise ResumeError(f"{out} holds other features ({'; '.join(changes)}); choose another folder, or delete this one")


def _write_part(
    out: Path, part: str, raw: RawSet, rows: Array, ready: Any, cache: Path, batch_size: int, device: str, watch: Watch | None
) -> None:
    """Encode the rows of a part and write them to the folder, unless that is done."""
    if (out / part).is_dir():
        return
    for torn in out.glob(f".{part}.*"):  # of a call that was killed while writing
        shutil.rmtree(torn)

    def told(done: int, total: int) -> None:
        if watch is not None:
            watch(f"encoding {part}", done, total)

    X = encode_rows(ready.model, ready.rows(rows), len(rows), cache=cache, batch_size=batch_size, device=device, watch=told)
    Y = raw.Y[rows]
    blocks = ((X[start : start + 4096], Y[start : start + 4096]) for start in range(0, len(rows), 4096))
    write_mapped(out / part, blocks, label_names=raw.label_names, name=raw.name, hierarchy=raw.hierarchy)


def _versions() -> dict[str, str]:
    found = {"polytag": __version__}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
