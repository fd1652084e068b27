"""Pictures that stay in their files until a batch of them is asked for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from polytag.data.parted import sha256
from polytag.data.readers.images import _problem, check_size, picture
from polytag.errors import ParameterError
from polytag.types import Array, ArrayLike


@dataclass(frozen=True)
class PictureFiles:
    """The pictures that a column of a table names: square, from the middle of each picture, read when asked for.

    The shorter side is brought to ``resize`` pixels and the middle ``crop`` x ``crop`` of it are kept; the usual view of encoders trained
    on ImageNet is 256 and 224.

    Args:
        paths: The files.
        table: The table that names them, for messages.
        column: Its column, for messages.
        resize: Pixels of the shorter side.
        crop: Pixels of each side of what is kept.
        numbers: Row of each file in the table; by default 0, 1, ...

    Raises:
        ParameterError: The sizes make no sense.

    Cost: reading one picture at a time; memory of those that were asked for.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.new("RGB", (40, 20), "red").save(file)
        >>> PictureFiles([file], table=file, column="file", resize=16, crop=14).pixels(0, 1).shape
        (1, 3, 14, 14)
    """

    paths: Sequence[Path]
    table: Path
    column: str
    resize: int = 256
    crop: int = 224
    numbers: Sequence[int] = ()

    def __post_init__(self) -> None:
        check_view(self.resize, self.crop)
        object.__setattr__(self, "numbers", self.numbers or range(len(self.paths)))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: ArrayLike) -> Self:
        """Return the pictures of these rows; they stay in their files."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        return replace(self, paths=[self.paths[row] for row in chosen], numbers=[self.numbers[row] for row in chosen])

    def pixels(self, start: int, stop: int) -> Array:
        """Return the pixels of some rows, uint8, shape (rows, 3, crop, crop).

        Raises:
            ReadError: A file is missing or damaged; the message names table, column, row and file.
        """
        X = np.zeros((max(min(stop, len(self)) - start, 0), 3, self.crop, self.crop), dtype=np.uint8)
        for place in range(len(X)):
            row = start + place
            problem = partial(_problem, self.table, self.column, self.numbers[row])
            X[place] = middle(picture(self.paths[row], (self.resize, self.resize), "crop", problem), self.crop)
        return X

    def digest(self) -> str:
        """Return a SHA-256 of the files' contents, in order, and of the sizes. Cost: one pass over the files.

        Raises:
            ReadError: A file is missing.
        """
        digest = hashlib.sha256(f"{self.resize} {self.crop}".encode())
        for path, row in zip(self.paths, self.numbers):
            if not path.is_file():
                raise _problem(self.table, self.column, row, f"no file {path}")
            digest.update(bytes.fromhex(sha256(path)))
        return digest.hexdigest()


def middle(pixels: Array, crop: int) -> Array:
    """Return the middle ``crop`` x ``crop`` of the last two axes."""
    top, left = ((size - crop) // 2 for size in pixels.shape[-2:])
    return pixels[..., top : top + crop, left : left + crop]


def check_view(resize: int, crop: int) -> None:
    """Refuse a crop that is larger than the picture."""
    check_size((resize, resize), "crop")
    if not 1 <= crop <= resize:
        raise ParameterError(f"expected 1 <= crop <= resize, but got {crop=} and {resize=}")
