"""A multi-label data set: features, labels, names. Immutable, on the CPU."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from scipy import sparse

from polytag.data.labels import LabelIndex
from polytag.errors import DataError
from polytag.hierarchy import Hierarchy
from polytag.types import Array, ArrayLike


@dataclass(frozen=True)
class Dataset:
    """Features and labels of the same rows.

    Args:
        X: Features, shape (n, d) or (n, ...) for images; NumPy float array or SciPy CSR array. NaN is a missing value. An ``np.memmap``
            stays on disk.
        Y: Labels, shape (n, q); CSR or NumPy array of 0 and 1; a float array may hold NaN for unknown.
        feature_names: d names.
        label_names: q names.
        name: What the set is called.
        hierarchy: Which label implies which, over all labels, or ``None``; pairs of (parent, child) names become a ``Hierarchy``.
        kind: What X holds: ``"table"`` (n, d); ``"text"`` (n, columns) of strings; ``"tokens"`` (n, length) of whole numbers, 0 =
            padding at the right, 1 = unknown word; ``"images"`` (n, channels, height, width), uint8 or float.
        vocabulary: Number of different token numbers, padding and unknown included; 0 where there are no tokens.
        view: What distances between rows are measured in, shape (n, p), such as features of an encoder; ``None``: see ``features``.
            ``Preparation(neighbours=...)`` names other choices.

    Raises:
        DataError: Shapes, names or kind do not fit, a label is not 0, 1 or NaN, or the hierarchy has other labels.

    Example:
        >>> data = Dataset(np.eye(3), np.array([[1, 0], [0, 1], [1, 1]]))
        >>> data.n, data.d, data.q, data.label_names
        (3, 3, 2, ('label_0', 'label_1'))
    """

    X: Any
    Y: Any
    feature_names: Sequence[str] = ()
    label_names: Sequence[str] = ()
    name: str = ""
    hierarchy: Hierarchy | None = None
    kind: Literal["table", "text", "tokens", "images"] = "table"
    vocabulary: int = 0
    view: Any = None
    _index: list[LabelIndex] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        X, Y = _compressed(self.X), _compressed(self.Y)
        if X.ndim < 2 or Y.ndim != 2:
            raise DataError(f"expected X of shape (n, d) and Y of shape (n, q), but got {X.shape} and {Y.shape}")
        if X.shape[0] != Y.shape[0]:
            raise DataError(f"expected as many rows in X as in Y, but got {X.shape[0]} and {Y.shape[0]}")
        _check_kind(self.kind, X, self.vocabulary)
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "Y", Y)
        if self.view is not None:
            object.__setattr__(self, "view", _compressed(self.view))
            if self.view.shape[0] != Y.shape[0]:
                raise DataError(f"expected as many rows in view as in Y, but got {self.view.shape[0]} and {Y.shape[0]}")
        object.__setattr__(self, "feature_names", _names(self.feature_names, X.shape[1], "feature"))
        object.__setattr__(self, "label_names", _names(self.label_names, Y.shape[1], "label"))
        if self.hierarchy is not None:
            object.__setattr__(self, "hierarchy", Hierarchy.of(self.hierarchy, self.label_names))
        object.__setattr__(self, "_index", [])

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def d(self) -> int:
        """Number of features (the first feature axis, for images)."""
        return int(self.X.shape[1])

    @property
    def q(self) -> int:
        """Number of labels."""
        return int(self.Y.shape[1])

    @property
    def features(self) -> Any:
        """What distances between rows are measured in, shape (n, p): the view if there is one, else X.

        Tokens become TF-IDF weights of the words in the row (CSR, rows of length 1; idf from these rows), images their pixels in a row.

        Cost: for tokens O(n length log length), anew at each call.

        Raises:
            DataError: The rows are raw texts.
        """
        if self.view is not None or self.kind == "table":
            return self.X if self.view is None else self.view
        if self.kind == "text":
            raise DataError(
                "expected features, tokens or images, but got raw texts; turn them into numbers first, see Preparation(text=...)"
            )
        return self.X.reshape(self.n, -1) if self.kind == "images" else _tfidf(self.X, self.vocabulary)

    @property
    def labels(self) -> LabelIndex:
        """The positive cells of Y by row and by label; made at the first call, then kept."""
        if not self._index:
            self._index.append(LabelIndex.from_labels(self.Y))
        return self._index[0]

    def take(self, rows: ArrayLike) -> Self:
        """Return the set with these rows only, in this order (numbers or a mask)."""
        rows = np.asarray(rows)
        return replace(self, X=self.X[rows], Y=self.Y[rows], view=None if self.view is None else self.view[rows])

    def with_labels(self, columns: ArrayLike) -> Self:
        """Return the set with these label columns only, in this order (numbers or a mask)."""
        columns = np.arange(self.q)[np.asarray(columns)]
        hierarchy = None if self.hierarchy is None else self.hierarchy.take(columns)
        return replace(self, Y=self.Y[:, columns], label_names=[self.label_names[j] for j in columns], hierarchy=hierarchy)

    def with_features(self, columns: ArrayLike) -> Self:
        """Return the set with these feature columns only, in this order (numbers or a mask)."""
        columns = np.arange(self.d)[np.asarray(columns)]
        return replace(self, X=self.X[:, columns], feature_names=[self.feature_names[j] for j in columns])

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Put parts of one set (train and test, or folds) under each other.

        Raises:
            DataError: The parts have different features or labels.
        """
        first = parts[0]
        for part in parts[1:]:
            if part.feature_names != first.feature_names or part.label_names != first.label_names:
                raise DataError(f"the parts of {first.name!r} have different features or labels; they cannot be joined")
        views = [p.view for p in parts]
        view = None if any(each is None for each in views) else _stack(views)
        return replace(first, X=_stack([p.X for p in parts]), Y=_stack([p.Y for p in parts]), view=view)


def _check_kind(kind: str, X: Any, vocabulary: int) -> None:
    axes = {"table": None, "text": 2, "tokens": 2, "images": 4}
    if kind not in axes:
        raise DataError(f"expected a kind among {sorted(axes)}, but got {kind!r}")
    if axes[kind] is not None and X.ndim != axes[kind]:
        raise DataError(f"expected {kind} with {axes[kind]} axes, but X has shape {X.shape}")
    if kind == "tokens" and (X.dtype.kind not in "iu" or (X.size and not 0 <= X.min() <= X.max() < vocabulary)):
        raise DataError(f"expected tokens as whole numbers from 0 below vocabulary={vocabulary}, but got {X.dtype} up to {X.max()}")


def _tfidf(tokens: Array, vocabulary: int) -> Any:
    """Return TF-IDF weights, rows of length 1, from padded tokens: count times ``log((1 + n) / (1 + rows with the word)) + 1``."""
    from sklearn.feature_extraction.text import TfidfTransformer

    row, place = np.nonzero(tokens)
    cells = (np.ones(len(row)), (row, tokens[row, place]))
    counts = sparse.csr_array(cells, shape=(len(tokens), vocabulary))
    return sparse.csr_array(TfidfTransformer().fit_transform(counts)) if len(tokens) else counts


def _compressed(matrix: Any) -> Any:
    """Return a NumPy array, or a CSR array if the matrix is sparse; a mapped file is passed on as it is."""
    if sparse.issparse(matrix):
        return sparse.csr_array(matrix)
    return matrix if isinstance(matrix, np.memmap) else np.asarray(matrix)


def _stack(blocks: Sequence[Array]) -> Any:
    if any(sparse.issparse(b) for b in blocks):
        return sparse.csr_array(sparse.vstack([sparse.csr_array(b) for b in blocks], format="csr"))
    return np.concatenate(blocks)


def _names(names: Sequence[str], count: int, what: str) -> tuple[str, ...]:
    if not len(names):
        return tuple(f"{what}_{j}" for j in range(count))
    if len(names) != count:
        raise DataError(f"expected {count} {what} names, one a column, but got {len(names)}")
    return tuple(str(name) for name in names)
