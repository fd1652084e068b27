"""CIFAR-10 and CIFAR-100 in their binary form: small pictures with one class, or a fine class within a coarse one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polytag.data.dataset import Dataset
from polytag.data.readers.source import content, decoded
from polytag.errors import ParameterError, ReadError
from polytag.hierarchy import Hierarchy
from polytag.types import Array

SIDE = 32
_PIXELS = 3 * SIDE * SIDE
_CHANNELS = ("red", "green", "blue")


def read_cifar(
    source: str | Path | Sequence[str | Path], *, part: str | None = None, names: Sequence[str | Path] | None = None, name: str = ""
) -> Dataset:
    """Read pictures of CIFAR-10 or CIFAR-100 from their binary files; for CIFAR-100 both classes are labels, the fine one below the coarse.

    A record is a picture of 3 x 32 x 32 bytes behind the number of its class: one byte (CIFAR-10), or two, coarse and fine (CIFAR-100).
    Which of the two a file has follows from the length of its records and from the files with the names of the classes:
    ``batches.meta.txt``, or ``coarse_label_names.txt`` and ``fine_label_names.txt``, a name a line. No file is unpickled.

    Args:
        source: The folder, as unpacked; or one file; or several, whose rows follow each other. Names are looked for beside the files.
        part: Of a folder: ``"train"`` or ``"test"``; ``None`` reads all, training rows first.
        names: The files with the names of the classes, if they lie elsewhere: one (CIFAR-10), or that of the coarse ones, then that of the
            fine ones.
        name: What to call the set; by default ``"cifar-10"`` or ``"cifar-100"``.

    Returns:
        A set of kind ``"images"``: X of shape (n, 3, 32, 32), uint8. Of CIFAR-100 the first labels are the coarse classes, then come the
        fine ones, a name that both have with ``" (fine)"`` behind it, and ``hierarchy`` says which is in which, as the records of all files
        of the folder do; a fine class without a record has no parent.

    Raises:
        ReadError: A file is missing or cut short, a class has no name, or one fine class stands in two coarse ones.
        ParameterError: There is no such part.

    Cost: O(bytes of the files).

    Reference: Krizhevsky, "Learning multiple layers of features from tiny images", technical report, University of Toronto 2009.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "coarse_label_names.txt").write_text("animal\\n")
        >>> _ = (folder / "fine_label_names.txt").write_text("cat\\ndog\\n")
        >>> _ = (folder / "train.bin").write_bytes(bytes([0, 1]) + bytes(3072))
        >>> data = read_cifar(folder)
        >>> data.X.shape, data.label_names, data.Y.tolist(), data.hierarchy.edges.tolist()
        ((1, 3, 32, 32), ('animal', 'cat', 'dog'), [[1, 0, 1]], [[2, 0]])
    """
    files = _files(source, part)
    lists = [Path(file) for file in names] if names is not None else _beside(files[0].parent)
    if len(lists) not in (1, 2):
        raise ParameterError(f"expected one file of names, or those of the coarse and of the fine classes, but got {len(lists)}")
    classes = [_lines(file) for file in lists]
    heads, pixels = zip(*(_records(file, len(lists), [len(each) for each in classes]) for file in files))
    numbers, X = np.concatenate(heads), np.concatenate(pixels).reshape(-1, 3, SIDE, SIDE)
    if len(classes) == 1:
        return Dataset(X, _one_hot(numbers[:, 0], len(classes[0])), _CHANNELS, classes[0], name or "cifar-10", kind="images")
    coarse, fine = classes
    label_names = [*coarse, *(f"{each} (fine)" if each in coarse else each for each in fine)]
    Y = np.concatenate([_one_hot(numbers[:, 0], len(coarse)), _one_hot(numbers[:, 1], len(fine))], axis=1)
    others = [_records(file, 2, [len(coarse), len(fine)])[0] for file in _files(source, None) if file not in files]
    edges = _edges(np.concatenate([numbers, *others]), fine, coarse, files)
    return Dataset(X, Y, _CHANNELS, label_names, name or "cifar-100", Hierarchy(tuple(label_names), edges), kind="images")


def _files(source: str | Path | Sequence[str | Path], part: str | None) -> list[Path]:
    """Return the files of records, in order."""
    if part not in (None, "train", "test"):
        raise ParameterError(f"expected part 'train', 'test' or None, but got {part!r}")
    files = [Path(source)] if isinstance(source, (str, Path)) else [Path(file) for file in source]
    if not files:
        raise ParameterError("expected a folder, a file or several files of CIFAR, but got none")
    path = files[0]
    if not isinstance(source, (str, Path)) or not path.is_dir():
        if part is not None:
            raise ParameterError(f"expected no part with files, whose rows are all read, but got {part=}; give the folder, or leave it out")
        return files
    train = sorted([*path.glob("data_batch_*.bin"), *path.glob("train.bin")])
    test = [file for file in (path / "test_batch.bin", path / "test.bin") if file.is_file()]
    found = {"train": train, "test": test, None: [*train, *test]}[part]
    if not found:
        wanted = " or ".join({"train": ["train.bin", "data_batch_1.bin"], "test": ["test.bin", "test_batch.bin"]}.get(part or "train", []))
        raise ReadError(path, None, f"a folder with {wanted}", "no such file in it; unpack the binary version of CIFAR, not the Python one")
    return found


def _beside(folder: Path) -> list[Path]:
    """Return the files of names in a folder: of coarse and fine classes, or of the only ones."""
    pair = [folder / "coarse_label_names.txt", folder / "fine_label_names.txt"]
    here = [file.is_file() for file in pair]
    if any(here):
        if not all(here):
            raise ReadError(pair[here.index(False)], None, f"a file of names beside {pair[here.index(True)].name}", "none")
        return pair
    return [folder / "batches.meta.txt"]


def _lines(path: Path) -> list[str]:
    """Return the names in a file, a name a line; empty lines at its end do not count."""
    found = [line.strip() for line in decoded(content(path))[0].rstrip().splitlines()]
    if "" in found or not found:
        raise ReadError(path, found.index("") + 1 if found else None, "the name of a class", "an empty line" if found else "an empty file")
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise ReadError(path, found.index(twice) + 1, "every class once", f"{twice!r} twice")
    return found


def _records(path: Path, head: int, sizes: Sequence[int]) -> tuple[Array, Array]:
    """Return the numbers of the classes (n, head) and the pixels (n, 3072) of a file."""
    raw = np.frombuffer(content(path), np.uint8)
    if len(raw) == 0 or len(raw) % (head + _PIXELS):
        kind, other = ("CIFAR-10", "CIFAR-100") if head == 1 else ("CIFAR-100", "CIFAR-10")
        fits = bool(len(raw)) and not len(raw) % (3 - head + _PIXELS)
        hint = f", whole records of {other}; put the files with its names beside it" if fits else ""
        raise ReadError(path, None, f"records of {head + _PIXELS} bytes ({kind})", f"{len(raw)} bytes{hint}")
    records = raw.reshape(-1, head + _PIXELS)
    for column, size in enumerate(sizes):
        wrong = np.flatnonzero(records[:, column] >= size)
        if len(wrong):
            which = ("coarse class", "fine class")[column] if head == 2 else "class"
            came = f"{records[wrong[0], column]} in record {wrong[0]} (counted from 0)"
            raise ReadError(path, None, f"the number of a {which} from 0 to {size - 1}, as many as have names", came)
    return records[:, :head], records[:, head:]


def _one_hot(numbers: Array, classes: int) -> Array:
    found = np.zeros((len(numbers), classes), np.uint8)
    found[np.arange(len(numbers)), numbers] = 1
    return found


def _edges(numbers: Array, fine: Sequence[str], coarse: Sequence[str], files: Sequence[Path]) -> Array:
    """Return (child, parent) of each fine class that occurs."""
    pairs = np.unique(numbers.astype(np.int64)[:, ::-1], axis=0)
    classes, times = np.unique(pairs[:, 0], return_counts=True)
    if (times > 1).any():
        which = classes[times > 1][0]
        parents = [coarse[parent] for child, parent in pairs if child == which]
        raise ReadError(files[0], None, f"{fine[which]!r} within one coarse class", f"it in {' and '.join(map(repr, parents[:3]))}")
    return np.stack([pairs[:, 0] + len(coarse), pairs[:, 1]], axis=1)
