"""What pretrained encoders need from this machine or the network: their tokens, their networks, and checked files of weights."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from polytag.data.parted import sha256
from polytag.data.tokenizer import PADDING, as_texts
from polytag.errors import FetchError, MissingExtraError, ParameterError
from polytag.types import Array

SHIFT = 2
"""What is added to the encoder's own token numbers, so that 0 is free for padding and 1 for an unknown word."""


class PretrainedTokenizer:
    """Cuts texts into the word pieces of a pretrained encoder, in the form of ``Tokenizer``: 0 fills up at the right.

    A piece that the encoder numbers k has the number ``k + shift``. Number 1 never occurs: an unknown piece has the encoder's own number
    for it. Special tokens, such as the one at the start whose output stands for the text, are put in. Of a long text the beginning is kept.

    Args:
        name_or_path: Name of an encoder of the Hugging Face hub, or a folder.
        max_len: Tokens a row, special ones included.
        download: Fetch what is not on this machine; otherwise only the folder, or the hub's cache, is looked at.

    Attributes:
        vocabulary: Number of token numbers.
        shift: See above.

    Raises:
        ParameterError: ``max_len`` is below 3.
        FetchError: The tokenizer is not there.
        MissingExtraError: transformers is missing; ``pip install 'polytag[text]'``.

    Cost: ``transform`` is linear in the characters; memory n * max_len numbers of four bytes.
    """

    def __init__(self, name_or_path: str | os.PathLike[str], max_len: int = 256, *, download: bool = False) -> None:
        if max_len < 3:
            raise ParameterError(f"expected max_len >= 3, which leaves a place between the special tokens, but got {max_len!r}")
        self.name_or_path, self.max_len, self.shift = os.fspath(name_or_path), max_len, SHIFT
        self._pieces = pretrained("AutoTokenizer", self.name_or_path, download=download)
        self.vocabulary = len(self._pieces) + SHIFT

    def transform(self, texts: Sequence[str] | Array) -> Array:
        """Return the token numbers, int32, shape (n, max_len).

        Raises:
            DataError: A row is not a text.
        """
        rows = as_texts(texts)
        ids = np.full((len(rows), self.max_len), PADDING, dtype=np.int32)
        for start in range(0, len(rows), 1000):  # the library holds what it returns as lists
            found = self._pieces(rows[start : start + 1000], truncation=True, max_length=self.max_len)["input_ids"] if rows else []
            for row, pieces in enumerate(found, start=start):
                ids[row, : len(pieces)] = np.asarray(pieces, dtype=np.int32) + SHIFT
        return ids

    def to_dict(self) -> dict[str, Any]:
        """Return where the tokenizer is, as plain values; its words stay there."""
        return {"name_or_path": self.name_or_path, "max_len": self.max_len}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Return the tokenizer whose ``to_dict`` this is, loaded anew."""
        return cls(str(state["name_or_path"]), int(state["max_len"]))


def pretrained(kind: str, name_or_path: str, *, download: bool = False) -> Any:
    """Load something pretrained with transformers.

    Args:
        kind: ``"AutoModel"`` or ``"AutoTokenizer"``.
        name_or_path: Name on the hub, or a folder.
        download: Whether the network may be used.

    Raises:
        FetchError: It is not on this machine (and may not, or cannot, be downloaded).
        MissingExtraError: transformers is missing.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtraError("pretrained encoders need transformers: pip install 'polytag[text]'") from None
    try:
        return getattr(transformers, kind).from_pretrained(name_or_path, local_files_only=not download)
    except (OSError, ValueError) as problem:
        tried = "nor could it be downloaded" if download else "and nothing was downloaded, since download=False"
        raise FetchError(
            f"could not load {name_or_path!r} ({kind}): it is neither the folder of an encoder nor in this machine's Hugging Face cache, "
            f"{tried}. With a network, download=True or `hf download {name_or_path}` gets it; without one, copy its folder here and "
            f"say where it is. ({str(problem).splitlines()[0]})"
        ) from problem


def weight_file(url: str, *, download: bool = False) -> Path:
    """Return the file of a network's weights in torch's folder for them; get it if that is allowed, and check it.

    Such files carry the first digits of their SHA-256 in the name: ``resnet50-0676ba61.pth``.

    Args:
        url: Where the file is on the network.
        download: Whether the network may be used.

    Raises:
        FetchError: The file is not here (and may not, or cannot, be downloaded), or has another content; the message says where to put it.

    Cost: one pass over the file.
    """
    import torch

    name = url.rsplit("/", 1)[1]
    target = Path(torch.hub.get_dir()) / "checkpoints" / name
    digits = re.search(r"-([0-9a-f]{8,64})\.", name)
    if not target.is_file():
        by_hand = f"To provide it by hand, get {url} and save it as {target} (the environment variable TORCH_HOME moves that folder)"
        if not download:
            raise FetchError(f"the weights {name} are not on this machine, and nothing was downloaded, since download=False. {by_hand}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(target), digits[1] if digits else None, progress=True)
        except (OSError, RuntimeError) as problem:  # torch raises a RuntimeError for a wrong checksum
            raise FetchError(f"could not download {url}: {problem}. {by_hand}") from problem
    elif digits and not (came := sha256(target)).startswith(digits[1]):
        raise FetchError(f"{target} is damaged: its sha256 should begin with {digits[1]}, as its name says, but is {came}; delete it")
    return target
