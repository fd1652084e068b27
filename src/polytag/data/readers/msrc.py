"""MSRC version 2: photographs with the things that are seen on them."""

import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from polytag.data.dataset import Dataset
from polytag.data.readers.images import Fit, check_size, picture
from polytag.data.readers.source import content, decoded
from polytag.errors import ReadError

LABELS = (
    "building", "grass", "tree", "cow", "horse", "sheep", "sky", "mountain", "aeroplane", "water", "face", "car",
    "bicycle", "flower", "sign", "bird", "book", "chair", "road", "cat", "dog", "body", "boat",
)  # fmt: skip
"""In the order of the columns; the files do not name them."""


def read_msrc(paths: Mapping[str, Path], part: str | None = None, *, size: tuple[int, int] = (96, 96), fit: Fit = "crop") -> Dataset:
    """Read MSRC version 2: the pictures of a tar archive, in the order of the list of all pictures, with their labels.

    Args:
        paths: Files of the keys ``images`` (the archive), ``labels`` (0 and 1, a line a picture) and ``names`` (the list).
        part: Only ``None``: the set has no published parts.
        size: Height and width.
        fit: As in ``read_images``.

    Returns:
        A set of kind ``"images"``: X of shape (n, 3, height, width), uint8.

    Raises:
        ReadError: A file is malformed, list and labels have different lengths, or a picture is damaged.

    Cost: O(pixels of the archive); memory 3 n height width bytes.

    Reference: Shotton et al., "TextonBoost: joint appearance, shape and context modeling for multi-class object recognition and
        segmentation", ECCV 2006.
    """
    check_size(size, fit)
    names = decoded(content(paths["names"]))[0].split()
    lines = decoded(content(paths["labels"]))[0].split()
    for number, line in enumerate(lines, start=1):
        if line.count(",") != len(LABELS) - 1 or set(line) - set("01,"):
            raise ReadError(paths["labels"], number, f"{len(LABELS)} values 0 or 1", f"{line[:80]!r}")
    if len(names) != len(lines):
        raise ReadError(paths["labels"], None, f"a line for each of the {len(names)} names of {paths['names'].name}", f"{len(lines)} lines")
    pixels = _pictures(paths["images"], size, fit)
    rows = [row for row, name in enumerate(names) if name in pixels]
    if len(rows) < len(pixels):
        raise ReadError(paths["images"], None, f"pictures named in {paths['names'].name}", f"also {sorted(pixels.keys() - set(names))[:3]}")
    X = np.stack([pixels[names[row]] for row in rows]) if rows else np.zeros((0, 3, *size), np.uint8)
    Y = np.array([lines[row].split(",") for row in rows], dtype=np.uint8).reshape(len(rows), len(LABELS))
    return Dataset(X, Y, ("red", "green", "blue"), LABELS, "msrc-v2", kind="images")


def _pictures(path: Path, size: tuple[int, int], fit: Fit) -> dict[str, np.ndarray]:
    """Return name -> pixels of the pictures in an archive, which is read in memory and never unpacked."""
    pixels = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is not None:
                    name = PurePosixPath(member.name).name
                    pixels[name] = picture(stream, size, fit, lambda came: ReadError(path, None, "pictures", came))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ReadError(path, None, "a tar archive of pictures", f"{error}") from None
    return pixels
