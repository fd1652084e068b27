"""Texts as a table: one weighted column for each common word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from polytag.data.tokenizer import as_texts, words_of
from polytag.errors import DataError, ParameterError
from polytag.types import Array


@dataclass(frozen=True)
class TfidfFeatures:
    """Turns texts into rows of word weights: how often a word occurs in the text, times how rare it is, each row of length one.

    The weights are those of scikit-learn's ``TfidfVectorizer``: ``tf * (ln((1 + n) / (1 + df)) + 1)``, rows divided by their Euclidean
    length, with ``1 + ln(tf)`` for tf if ``sublinear``. Words are those of ``words_of``.

    Attributes:
        names: The words of the columns, in alphabetical order.
        idf: How rare each word is.
        lower: Whether upper and lower case are the same.
        sublinear: Whether a word that occurs often in one text counts by the logarithm.

    Cost: O(characters); the result is sparse.

    Example:
        >>> features = TfidfFeatures.fit(["the cat sat", "the cat ran"], min_count=1)
        >>> features.names, features.transform(["A cat!"]).toarray().round(2).tolist()
        (('cat', 'ran', 'sat', 'the'), [[1.0, 0.0, 0.0, 0.0]])
    """

    names: tuple[str, ...]
    idf: Array
    lower: bool = True
    sublinear: bool = False
    _vectorizer: list[TfidfVectorizer] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "idf", np.asarray(self.idf, dtype=np.float64))
        vectorizer = _vectorizer(self.lower, self.sublinear, vocabulary={name: j for j, name in enumerate(self.names)})
        vectorizer.idf_ = self.idf
        object.__setattr__(self, "_vectorizer", [vectorizer])

    @classmethod
    def fit(
        cls,
        texts: Sequence[str] | Array,
        *,
        max_words: int = 30000,
        min_count: int = 2,
        lower: bool = True,
        sublinear: bool = False,
    ) -> Self:
        """Learn words and weights from training texts.

        Args:
            texts: One text a row.
            max_words: Keep so many of the commonest words.
            min_count: Keep words that occur in at least so many texts.
            lower: Whether upper and lower case are the same.
            sublinear: Whether a word that occurs often in one text counts by the logarithm.

        Raises:
            ParameterError: A number is below 1.
            DataError: A row is not a text, or no word is left.
        """
        if min(max_words, min_count) < 1:
            raise ParameterError(f"expected max_words and min_count >= 1, but got {max_words=}, {min_count=}")
        rows = as_texts(texts)
        fitted = _vectorizer(lower, sublinear, max_features=max_words, min_df=min_count)
        try:
            fitted.fit(rows)
        except ValueError as problem:  # scikit-learn's word for an empty vocabulary
            raise DataError(f"expected words that occur in at least {min_count} texts, but got none ({problem}); lower min_count") from None
        return cls(tuple(fitted.get_feature_names_out().tolist()), fitted.idf_, lower, sublinear)

    def transform(self, texts: Sequence[str] | Array) -> sparse.csr_array:
        """Return the weights, float32, CSR, shape (n, d).

        Raises:
            DataError: A row is not a text.
        """
        rows = as_texts(texts)
        if not rows:
            return sparse.csr_array((0, len(self.names)), dtype=np.float32)
        return sparse.csr_array(self._vectorizer[0].transform(rows), dtype=np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain values and the array of weights."""
        return {"names": list(self.names), "idf": self.idf, "lower": self.lower, "sublinear": self.sublinear}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Return the object whose ``to_dict`` this is; the weights may be a list."""
        return cls(tuple(state["names"]), np.asarray(state["idf"]), bool(state["lower"]), bool(state["sublinear"]))


def _vectorizer(lower: bool, sublinear: bool, **options: Any) -> TfidfVectorizer:
    return TfidfVectorizer(analyzer=partial(words_of, lower=lower), lowercase=False, sublinear_tf=sublinear, dtype=np.float64, **options)
