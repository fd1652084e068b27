"""``digits-scenes``: a small multi-label data set that needs no download, for demonstrations and tests."""

from functools import cache
from typing import Any

import numpy as np

from polytag.data.dataset import Dataset
from polytag.errors import ParameterError
from polytag.hierarchy import Hierarchy
from polytag.types import Array

NAME = "digits-scenes"
HEIGHT, WIDTH = 10, 24
_SIDE = 8
_SHARES = np.array([4.0, 30.0, 14.0, 12.0, 2.0, 9.0, 1.4, 7.0, 5.0, 3.0]) / 87.4  # how often each digit is drawn: few are common
_COUNTS = np.array([0.30, 0.38, 0.22, 0.10])  # scenes of one, two, three and four digits

LABEL_NAMES = (
    *(f"digit {digit}" for digit in range(10)),
    "even digit",
    "odd digit",
    "same parity",
    "repeated digit",
    "three or more digits",
    "four digits",
    "sum above 10",
    "sum above 15",
)
HIERARCHY = (
    *(("even digit" if digit % 2 == 0 else "odd digit", f"digit {digit}") for digit in range(10)),
    ("three or more digits", "four digits"),
    ("sum above 10", "sum above 15"),
)
"""Pairs (parent, child): a scene with the child label has the parent label too."""


def load_digits_scenes(n: int = 2000, *, seed: int = 0, noise: float = 0.15, as_image: bool = False) -> Dataset:
    """Compose scenes of one to four overlapping handwritten digits; the labels say what is in them.

    The digits are the 1,797 pictures of 8 x 8 pixels that scikit-learn brings along, put on a canvas of 10 x 24 pixels at a random height,
    side by side with overlap, with random brightness and pixel noise. Digits are drawn from a skewed distribution, so that some labels are
    common and some are rare (MeanIR 7.5 with the defaults). The 18 labels are the ten digits and properties of the set of digits; a small
    hierarchy connects them (``even digit`` > ``digit 4``). One picture may stand in several scenes, as one writer does in many collections.

    Args:
        n: Number of scenes.
        seed: The same number gives the same scenes; a smaller n gives the first of them.
        noise: Standard deviation of the pixel noise (pixels go from 0 to 1).
        as_image: Give X as (n, 1, 10, 24) instead of a table (n, 240).

    Returns:
        Data set with its ``hierarchy``.

    Raises:
        ParameterError: ``n`` or ``noise`` makes no sense.

    Cost: about 0.1 ms a scene.

    Example:
        >>> data = load_digits_scenes(100)
        >>> data.n, data.d, data.q, data.label_names[10]
        (100, 240, 18, 'even digit')
        >>> load_digits_scenes(100, as_image=True).X.shape
        (100, 1, 10, 24)
    """
    if not (isinstance(n, int | np.integer) and n >= 1):
        raise ParameterError(f"expected a whole number of scenes of at least 1, but got n={n!r}")
    if not noise >= 0:
        raise ParameterError(f"expected noise of at least 0, but got {noise!r}")
    rng = np.random.default_rng(seed)
    scenes = [_scene(rng, noise) for _ in range(n)]
    X = np.stack([canvas for canvas, _ in scenes]).astype(np.float32)
    Y = np.stack([_labels(digits) for _, digits in scenes])
    hierarchy = Hierarchy.from_edges(HIERARCHY, LABEL_NAMES)
    if as_image:
        return Dataset(X[:, None], Y, label_names=LABEL_NAMES, name=NAME, hierarchy=hierarchy, kind="images")
    pixels = [f"pixel {row},{column}" for row in range(HEIGHT) for column in range(WIDTH)]
    return Dataset(X.reshape(n, -1), Y, pixels, LABEL_NAMES, NAME, hierarchy)


@cache
def _pictures() -> tuple[Array, ...]:
    """Return the pictures of each digit, values in [0, 1]."""
    from sklearn.datasets import load_digits

    bundled: Any = load_digits()
    return tuple(bundled.images[bundled.target == digit] / 16.0 for digit in range(10))


def _scene(rng: np.random.Generator, noise: float) -> tuple[Array, Array]:
    """Return one canvas and the digits on it, from left to right."""
    digits = rng.choice(10, size=1 + rng.choice(4, p=_COUNTS), p=_SHARES)
    canvas = np.zeros((HEIGHT, WIDTH))
    places = np.array([0, 5, 11, 16])  # four slots of 8 columns: neighbours overlap by a third
    slots = np.sort(rng.choice(4, size=len(digits), replace=False))
    for digit, slot in zip(digits, slots):
        pictures = _pictures()[digit]
        top = int(rng.integers(0, HEIGHT - _SIDE + 1))
        left = int(np.clip(places[slot] + rng.integers(-1, 2), 0, WIDTH - _SIDE))
        part = canvas[top : top + _SIDE, left : left + _SIDE]
        np.maximum(part, pictures[rng.integers(len(pictures))] * rng.uniform(0.6, 1.0), out=part)
    return np.clip(canvas + noise * rng.standard_normal(canvas.shape), 0.0, 1.0), digits


def _labels(digits: Array) -> Array:
    """Return the 0/1 labels of a set of digits, in the order of ``LABEL_NAMES``."""
    odd = digits % 2 == 1
    present = np.isin(np.arange(10), digits)
    properties = [
        bool((~odd).any()),
        bool(odd.any()),
        bool(odd.all() or not odd.any()),
        present.sum() < len(digits),
        len(digits) >= 3,
        len(digits) == 4,
        digits.sum() > 10,
        digits.sum() > 15,
    ]
    return np.concatenate([present, properties]).astype(np.uint8)
