"""Pictures with labels: a table that names image files, or a matrix of pixels made from them."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from polytag.data.dataset import Dataset
from polytag.data.readers.frame import Backend
from polytag.data.readers.texts import read_labels, texts_of
from polytag.errors import MissingExtraError, ParameterError, ReadError
from polytag.types import Array

Fit = Literal["crop", "pad", "stretch"]
"""How a picture of another shape becomes one of the wanted shape."""

_DEEP = ("I", "F")
"""First letters of Pillow's modes with more than 8 bits a channel, which would lose their values on the way to RGB."""


def read_images(
    source: Any,
    *,
    image_column: str,
    labels: str | Sequence[str] | None = None,
    delimiter: str | None = None,
    size: tuple[int, int] = (96, 96),
    fit: Fit = "crop",
    root: str | Path | None = None,
    backend: Backend | None = None,
    name: str = "",
) -> Dataset:
    """Read pictures with labels from a CSV, TSV or Parquet file, or from a data frame, in which one column names image files.

    Every picture becomes RGB of one size. Its orientation is that of its EXIF note; transparency is dropped.

    Args:
        source: As in ``read_table``.
        image_column: The column with the paths of the files: JPEG, PNG, BMP and whatever else Pillow reads.
        labels: As in ``read_texts``: columns, one column that lists labels, or by default all other columns of only 0 and 1.
        delimiter: What separates the labels within that one column.
        size: Height and width of the result.
        fit: ``"crop"`` fills the size and cuts off what stands out at both ends; ``"pad"`` shows the whole picture with black edges (both
            keep the proportions); ``"stretch"`` does not keep them.
        root: Folder that relative paths start from; by default that of the table (the working folder for a data frame).
        backend: Which library reads the table; by default polars, else pandas.
        name: What to call the set; by default the file's stem.

    Returns:
        A set of kind ``"images"``: X of shape (n, 3, height, width), uint8.

    Raises:
        ReadError: The table is malformed, a column is missing, or a picture cannot be read; the message names column, row and file.
        ParameterError: A size is below 1, or ``fit`` is unknown.
        MissingExtraError: Pillow is missing, ``pip install 'polytag[vision]'``, or what ``read_table`` needs.

    Cost: O(pixels of the files); memory 3 n height width bytes.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (8, 4), "red").save(folder / "a.png")
        >>> _ = (folder / "set.csv").write_text("file,warm,cold\\na.png,1,0\\n")
        >>> data = read_images(folder / "set.csv", image_column="file", size=(2, 2))
        >>> data.X.shape, data.X[0, :, 0, 0].tolist(), data.label_names
        ((1, 3, 2, 2), [255, 0, 0], ('warm', 'cold'))
    """
    check_size(size, fit)
    table = read_labels(source, [image_column], labels, delimiter, backend)
    folder = Path(root) if root is not None else table.path.parent
    paths = [folder / text for text in texts_of(table.path, table.frame[image_column])]
    X = np.zeros((len(paths), 3, *size), dtype=np.uint8)
    for row, path in enumerate(paths):
        X[row] = picture(path, size, fit, partial(_problem, table.path, image_column, row))
    return Dataset(X, table.Y, ("red", "green", "blue"), table.names, name or table.path.stem, kind="images")


def check_size(size: tuple[int, int], fit: str) -> None:
    """Refuse sizes and ways of fitting that make no sense."""
    if len(size) != 2 or min(size) < 1 or fit not in ("crop", "pad", "stretch"):
        raise ParameterError(f"expected size=(height, width) of at least 1 and fit 'crop', 'pad' or 'stretch', but got {size=}, {fit=}")


def picture(source: Path | IO[bytes], size: tuple[int, int], fit: Fit, problem: Callable[[str], Exception]) -> Array:
    """Return one picture as uint8, shape (3, height, width).

    Args:
        source: A path, or an open file.
        size: Height and width.
        fit: As in ``read_images``.
        problem: Makes the error from what was found.

    Raises:
        MissingExtraError: Pillow is missing.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise MissingExtraError("reading pictures needs Pillow: pip install 'polytag[vision]'") from None
    height, width = size
    try:
        with Image.open(source) as opened:
            if opened.mode.startswith(_DEEP):
                raise problem(f"{_named(source)} with more than 8 bits a channel (mode {opened.mode!r})")
            image = ImageOps.exif_transpose(opened)
            image = (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")
    except FileNotFoundError:
        raise problem(f"no file {_named(source)}") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's errors for what is no picture, or half of one
        raise problem(f"{_named(source)}, which cannot be read ({error})") from None
    if fit == "crop":
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    elif fit == "pad":
        image = ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR)
    else:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)


def _named(source: Any) -> str:
    return str(source if isinstance(source, Path) else getattr(source, "name", "the picture"))


def _problem(path: Path, column: str, row: int, came: str) -> ReadError:
    return ReadError(path, None, f"a picture in the column {column!r}, row {row} (counted from 0)", came)
