"""Training, validation and test rows: stratified by labels, the same for the same seed."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from sklearn.model_selection import BaseCrossValidator

from polytag.data.dataset import Dataset
from polytag.data.duplicates import duplicate_groups
from polytag.data.labels import LabelIndex
from polytag.data.stratify import Items, labels_to_spread, spread
from polytag.errors import DataError, ParameterError
from polytag.types import Array, ArrayLike


class Split(NamedTuple):
    """Row numbers of the three parts of a split, each ascending, int64, without overlap."""

    train: Array
    valid: Array
    test: Array


def stratified_parts(
    Y: ArrayLike | LabelIndex, shares: ArrayLike, *, order: int = 1, groups: ArrayLike | None = None, seed: Any = 0
) -> Array:
    """Say for each row which part it belongs to, so that all parts hold their share of every label.

    Args:
        Y: Labels (n, q), or their index. Unknown labels (NaN) are no positives; where a label's known negatives are scarcer than its
            positives, they are spread too.
        shares: Share of each part, adding up to 1.
        order: 1 balances labels, 2 balances labels and pairs of labels.
        groups: Rows with equal values stay in one part; ``None`` lets each row go on its own.
        seed: Number or generator; ``None`` takes rows in their order and breaks ties by the first part.

    Returns:
        Part of each row, shape (n,), int64. Without groups, part sizes are within one row of ``share * n``.

    Raises:
        ParameterError: ``order`` is not 1 or 2, or the shares are not positive or do not add up to 1.
        DataError: ``groups`` does not have n entries.

    Cost: O(k positives) with k parts and order 1; with order 2 the pairs of labels of each row count as positives.

    Reference: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011; for order 2 Szymański and
        Kajdanowicz, "A network perspective on stratification of multi-label data", LIDTA 2017.

    Differs: Ties that remain after label and size go to the part that lacks the row's other labels most, before chance decides. After the
        greedy pass single rows are moved until the sizes are exact and to give each part a positive of each label that has enough, and a
        few are exchanged where that helps; the papers accept what the greedy pass leaves. Pairs of labels that occur in one row only
        are left out, since they cannot be spread.

    Example:
        >>> stratified_parts(np.array([[1], [0], [1], [0]]), [0.5, 0.5], seed=None)
        array([0, 0, 1, 1])
    """
    shares = np.asarray(shares, dtype=np.float64)
    if order not in (1, 2):
        raise ParameterError(f"expected order 1 (labels) or 2 (labels and pairs), but got order={order!r}")
    if shares.ndim != 1 or (shares <= 0).any() or abs(shares.sum() - 1) > 1e-9:
        raise ParameterError(f"expected positive shares that add up to 1, but got {shares.tolist()}")
    index = Y if isinstance(Y, LabelIndex) else labels_to_spread(Y)
    numbers = None if groups is None else _numbered(groups, index.n)
    items = Items.from_labels(index, order, numbers)
    parts = spread(items, shares, None if seed is None else np.random.default_rng(seed))
    return parts if numbers is None else parts[numbers]


class IterativeStratifiedKFold(BaseCrossValidator):  # type: ignore[misc]
    """Folds in which every label is as frequent as in the whole set; scikit-learn takes it as ``cv=``.

    Args:
        n_splits: Number of folds.
        order: 1 balances labels, 2 balances labels and pairs of labels.
        shuffle: Put rows in random order first and break ties at random.
        random_state: Number, NumPy generator or ``None`` for a new random order at each call; without effect if ``shuffle`` is off.

    Reference, Differs, Cost: see ``stratified_parts``.

    Example:
        >>> Y = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [1, 1]])
        >>> [test.tolist() for _, test in IterativeStratifiedKFold(2, shuffle=False).split(Y, Y)]
        [[0, 2, 4], [1, 3, 5]]
    """

    def __init__(self, n_splits: int = 5, *, order: int = 1, shuffle: bool = True, random_state: Any = 0) -> None:
        self.n_splits, self.order, self.shuffle, self.random_state = n_splits, order, shuffle, random_state

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Array, Array]]:
        """Yield (training rows, test rows) of each fold.

        Args:
            X: Features; only their number of rows is looked at.
            y: Labels (n, q).
            groups: Rows with equal values stay on one side.

        Raises:
            ParameterError: There are fewer rows (or groups) than folds.
            DataError: There are no labels, or their number of rows differs from that of ``X``.
        """
        if y is None:
            raise DataError(
                "expected labels y of shape (n, q) to stratify by, but got None; use sklearn.model_selection.KFold without labels"
            )
        Y = y if sparse.issparse(y) else np.asarray(y)
        Y = Y.reshape(-1, 1) if Y.ndim == 1 else Y
        if X is not None and _row_count(X) != Y.shape[0]:
            raise DataError(f"expected as many rows in X as in y, but got {_row_count(X)} and {Y.shape[0]}")
        parts = _folds(labels_to_spread(Y), self.n_splits, self.order, groups, self._seed())
        for fold in range(self.n_splits):
            yield np.flatnonzero(parts != fold), np.flatnonzero(parts == fold)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds."""
        return self.n_splits

    def _seed(self) -> Any:
        if not self.shuffle:
            return None
        state = self.random_state
        if hasattr(state, "randint"):  # a numpy.random.RandomState, as scikit-learn passes them around
            return int(state.randint(2**31 - 1))
        return np.random.default_rng(state)


def kfold(
    data: Dataset | ArrayLike,
    folds: int = 5,
    *,
    valid: float = 0.1,
    valid_from: Literal["train", "test"] = "train",
    order: int = 1,
    keep_duplicates_together: bool = False,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> list[Split]:
    """Cut the rows into folds; each fold is the test part once, and a validation part is set aside each time.

    Args:
        data: Data set, or labels (n, q).
        folds: Number of folds, at least 2.
        valid: Share of the training folds that becomes the validation part, stratified like the folds; 0 for none.
        valid_from: ``"train"`` takes it from the training folds. ``"test"`` takes a random half of the test fold and tests on the other
            half, as the code published with the adaptive batch selection paper does; ``valid`` has no effect then.
        order: 1 balances labels, 2 balances labels and pairs of labels.
        keep_duplicates_together: Keep rows with equal features in one part (needs a data set).
        groups: Rows with equal values stay in one part; together with ``keep_duplicates_together`` both hold.
        seed: Decides everything that is left to chance.

    Raises:
        ParameterError: A parameter makes no sense, or there are fewer rows (or groups) than folds.
        DataError: ``groups`` does not have n entries, or duplicates are to be kept together but no features were given.

    Cost: ``folds + 1`` times that of ``stratified_parts``; with duplicates one pass over the features.

    Example:
        >>> Y = np.array([[1, 0], [0, 1]] * 10)
        >>> [tuple(map(len, split)) for split in kfold(Y, 2, valid=0.2)]
        [(8, 2, 10), (8, 2, 10)]
    """
    _check_share("valid", valid, zero=True)
    if valid_from not in ("train", "test"):
        raise ParameterError(f"expected valid_from 'train' or 'test', but got {valid_from!r}")
    index, together = _stratified_by(data, groups, keep_duplicates_together)
    parts = _folds(index, folds, order, together, seed)
    return [_with_valid(index, parts == fold, valid, valid_from, order, together, [seed, 1 + fold]) for fold in range(folds)]


def holdout(
    data: Dataset | ArrayLike,
    *,
    test: float = 0.2,
    valid: float = 0.1,
    order: int = 1,
    keep_duplicates_together: bool = False,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Split:
    """Cut the rows once into training, validation and test part, all stratified.

    Args:
        data: Data set, or labels (n, q).
        test: Share of all rows that becomes the test part.
        valid: Share of the remaining rows that becomes the validation part; 0 for none.
        order: As in ``kfold``.
        keep_duplicates_together: As in ``kfold``.
        groups: As in ``kfold``.
        seed: Decides everything that is left to chance.

    Raises:
        ParameterError: A share is not in (0, 1), or a part would be empty.
        DataError: As in ``kfold``.

    Example:
        >>> tuple(map(len, holdout(np.array([[1, 0], [0, 1]] * 10), test=0.3)))
        (13, 1, 6)
    """
    _check_share("test", test)
    _check_share("valid", valid, zero=True)
    index, together = _stratified_by(data, groups, keep_duplicates_together)
    in_test = stratified_parts(index, [1 - test, test], order=order, groups=together, seed=seed) == 1
    if in_test.all() or not in_test.any():
        raise ParameterError(f"expected a test share that leaves rows on both sides, but got test={test} for {index.n} rows")
    return _with_valid(index, in_test, valid, "train", order, together, [seed, 1])


def with_valid(data: Dataset | ArrayLike, train: ArrayLike, test: ArrayLike, *, valid: float = 0.1, order: int = 1, seed: int = 0) -> Split:
    """Set a stratified validation part aside from the training rows of a published split.

    Args:
        data: Data set, or labels (n, q), that the row numbers refer to.
        train: Training rows.
        test: Test rows.
        valid: Share of the training rows.
        order: As in ``kfold``.
        seed: Decides everything that is left to chance.

    Example:
        >>> tuple(map(len, with_valid(np.array([[1, 0], [0, 1]] * 10), np.arange(12), np.arange(12, 20), valid=0.5)))
        (6, 6, 8)
    """
    _check_share("valid", valid, zero=True)
    index, _ = _stratified_by(data, None, False)
    rows = np.sort(np.asarray(train, dtype=np.int64))
    kept, held = _cut(index, rows, valid, order, None, [seed, 1])
    return Split(kept, held, np.sort(np.asarray(test, dtype=np.int64)))


def _folds(index: LabelIndex, folds: int, order: int, groups: ArrayLike | None, seed: Any) -> Array:
    """Return the fold of each row, after checking that there is something for each fold."""
    if not isinstance(folds, int | np.integer) or folds < 2:
        raise ParameterError(f"expected a whole number of folds of at least 2, but got {folds!r}")
    count, what = (index.n, "rows") if groups is None else (len(np.unique(_numbered(groups, index.n))), "groups of rows")
    if folds > count:
        raise ParameterError(f"expected at most as many folds as there are {what} ({count}), but got {folds}; use fewer folds")
    return stratified_parts(index, np.full(folds, 1 / folds), order=order, groups=groups, seed=seed)


def _with_valid(
    index: LabelIndex, in_test: Array, valid: float, valid_from: str, order: int, groups: Array | None, seed: list[int]
) -> Split:
    rest, test = np.flatnonzero(~in_test), np.flatnonzero(in_test)
    if valid_from == "test":
        half, other = _halves(test, groups, seed[0])
        return Split(rest, half, other)
    return Split(*_cut(index, rest, valid, order, groups, seed), test)


def _cut(index: LabelIndex, rows: Array, valid: float, order: int, groups: Array | None, seed: list[int]) -> tuple[Array, Array]:
    """Return (training, validation) rows out of these rows."""
    if valid == 0:
        return rows, rows[:0]
    within = _restricted(index, rows)
    held = stratified_parts(within, [1 - valid, valid], order=order, groups=None if groups is None else groups[rows], seed=seed) == 1
    if not held.any() or held.all():
        raise ParameterError(f"expected a validation share that leaves rows on both sides, but got valid={valid} for {len(rows)} rows")
    return rows[~held], rows[held]


def _halves(rows: Array, groups: Array | None, seed: int) -> tuple[Array, Array]:
    """Return two random halves of the rows, not stratified; groups stay whole."""
    numbers = np.arange(len(rows)) if groups is None else _numbered(groups[rows], len(rows))
    sizes = np.bincount(numbers)
    order = np.random.default_rng(seed).permutation(len(sizes))
    first = np.zeros(len(sizes), dtype=bool)
    first[order[np.cumsum(sizes[order]) <= len(rows) // 2]] = True
    return rows[first[numbers]], rows[~first[numbers]]


def _restricted(index: LabelIndex, rows: Array) -> LabelIndex:
    """Return the index of these rows only (ascending)."""
    Y = sparse.csr_array((np.ones(len(index.columns), dtype=np.uint8), index.columns, index.row_starts), shape=(index.n, index.q))
    return LabelIndex.from_labels(Y[rows])


def _stratified_by(data: Any, groups: ArrayLike | None, keep_duplicates_together: bool) -> tuple[LabelIndex, Array | None]:
    """Return the label index and the group of each row (None: each on its own)."""
    if isinstance(data, Dataset):
        index = labels_to_spread(data.Y, data.labels)
    else:
        index = labels_to_spread(data if hasattr(data, "shape") else np.asarray(data))
    together = None if groups is None else _numbered(groups, index.n)
    if keep_duplicates_together:
        if not isinstance(data, Dataset):
            raise DataError("expected a Dataset to find rows with equal features, but got labels only; pass the Dataset, or groups=")
        same = duplicate_groups(data.X)
        together = same if together is None else _joined(same, together)
    return index, together


def _joined(one: Array, other: Array) -> Array:
    """Return the groups of rows that either grouping connects."""
    links = sparse.coo_array((np.ones(len(one)), (one, one.max() + 1 + other)), shape=(one.max() + other.max() + 2,) * 2)
    return _numbered(csgraph.connected_components(links, directed=False)[1][one], len(one))


def _numbered(groups: ArrayLike, n: int) -> Array:
    """Return group numbers 0, 1, ... without gaps."""
    groups = np.asarray(groups)
    if groups.shape != (n,):
        raise DataError(f"expected one group for each of the {n} rows, but got an array of shape {groups.shape}")
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _row_count(X: Any) -> int:
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)


def _check_share(name: str, value: float, zero: bool = False) -> None:
    if not (0 < value < 1 or (zero and value == 0)):
        raise ParameterError(f"expected {name} to be a share between 0 and 1, but got {name}={value!r}")
