"""Words of texts as numbers: one rule for what a word is, and a vocabulary learnt from training rows."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from polytag.errors import DataError, ParameterError
from polytag.types import Array

WORD = r"[^\W_]+(?:'[^\W_]+)*"
"""A word: letters and digits of any script, and apostrophes between them (``don't``, ``B52``, ``naïve``)."""

PADDING, UNKNOWN = 0, 1
"""Token numbers with a meaning of their own; the first word has number 2."""

_words = re.compile(WORD).findall


def words_of(text: str, lower: bool = True) -> list[str]:
    """Cut a text into words, see ``WORD``; the typographic apostrophe counts as the plain one. Cost: O(characters).

    Example:
        >>> words_of("Don’t buy 25 B-52s!")
        ["don't", 'buy', '25', 'b', '52s']
    """
    text = text.replace("’", "'")
    found: list[str] = _words(text.lower() if lower else text)
    return found


def as_texts(texts: Any) -> list[str]:
    """Return texts as a list: from a sequence of str, an array (n,), or an array (n, columns), whose columns are joined by line breaks.

    Raises:
        DataError: A row is not a text.
    """
    if isinstance(texts, str):
        raise DataError(f"expected several texts, but got one: {texts[:40]!r}; put it into a list")
    if isinstance(texts, np.ndarray) and texts.ndim != 1:
        columns = [as_texts(column) for column in texts.T] if texts.ndim == 2 else []
        if not columns:
            raise DataError(f"expected texts of shape (n,) or (n, columns), but got {texts.shape}")
        return columns[0] if len(columns) == 1 else ["\n".join(row) for row in zip(*columns)]
    rows = list(texts)
    for row, text in enumerate(rows):
        if not isinstance(text, str):
            raise DataError(f"expected a text in row {row} (counted from 0), but got {text!r}; an empty text is ''")
    return rows


@dataclass(frozen=True)
class Tokenizer:
    """Turns texts into rows of word numbers: 0 fills up at the right, 1 is any unknown word, 2 the commonest word, and so on.

    Words are those of ``words_of``. Of a long text the beginning is kept.

    Attributes:
        words: The known words, commonest first.
        length: Tokens a row.
        lower: Whether upper and lower case are the same.

    Cost: ``fit`` and ``transform`` O(characters); memory of the words, and of n * length numbers of four bytes.

    Example:
        >>> tokenizer = Tokenizer.fit(["the cat sat", "the cat ran"], min_count=1)
        >>> tokenizer.vocabulary, tokenizer.transform(["The dog ran.", "cat"]).tolist()
        (6, [[3, 1, 4], [2, 0, 0]])
    """

    words: tuple[str, ...]
    length: int
    lower: bool = True
    _number: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", tuple(self.words))
        object.__setattr__(self, "_number", {word: number for number, word in enumerate(self.words, start=UNKNOWN + 1)})

    @classmethod
    def fit(
        cls, texts: Sequence[str] | Array, *, max_words: int = 30000, min_count: int = 2, max_len: int = 500, lower: bool = True
    ) -> Self:
        """Learn the vocabulary from training texts.

        Args:
            texts: One text a row.
            max_words: Keep so many of the commonest words; of equally common ones the first in the alphabet.
            min_count: Keep words that occur at least so often.
            max_len: Most tokens a row; rows are shorter if all training texts are.
            lower: Whether upper and lower case are the same.

        Raises:
            ParameterError: A number is below 1.
            DataError: A row is not a text.
        """
        if min(max_words, min_count, max_len) < 1:
            raise ParameterError(f"expected max_words, min_count and max_len >= 1, but got {max_words=}, {min_count=}, {max_len=}")
        counts: Counter[str] = Counter()
        longest = 1
        for text in as_texts(texts):
            words = words_of(text, lower)
            counts.update(words)
            longest = max(longest, len(words))
        kept = sorted((word for word, count in counts.items() if count >= min_count), key=lambda word: (-counts[word], word))
        return cls(tuple(kept[:max_words]), min(longest, max_len), lower)

    @property
    def vocabulary(self) -> int:
        """Number of token numbers, padding and unknown included."""
        return len(self.words) + 2

    def transform(self, texts: Sequence[str] | Array) -> Array:
        """Return the token numbers, int32, shape (n, length).

        Raises:
            DataError: A row is not a text.
        """
        rows = as_texts(texts)
        ids = np.zeros((len(rows), self.length), dtype=np.int32)
        number = self._number.get
        for row, text in enumerate(rows):
            found = [number(word, UNKNOWN) for word in words_of(text, self.lower)[: self.length]]
            ids[row, : len(found)] = found
        return ids

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return {"words": list(self.words), "length": self.length, "lower": self.lower}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Return the tokenizer whose ``to_dict`` this is."""
        return cls(tuple(state["words"]), int(state["length"]), bool(state["lower"]))
