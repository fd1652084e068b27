"""How unequal, how many, how entangled: the measures by which multi-label data sets are described.

Letters: ``C_j`` positives of label j, ``L_i`` the labels of row i, ``m_i`` their number.
"""

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from polytag.data.labels import LabelIndex
from polytag.types import Array, ArrayLike

if TYPE_CHECKING:
    from polytag.data.dataset import Dataset


def imbalance_ratios(counts: ArrayLike) -> Array:
    """Return IRLbl, how many times rarer than the commonest label each label is: ``max(C) / C_j``.

    Args:
        counts: Positives of each label, shape (q,).

    Returns:
        Shape (q,), float64; infinite for a label without positives.

    Reference: Charte et al., "Addressing imbalance in multilabel classification", Neurocomputing 2015.
    """
    counts = np.asarray(counts, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts > 0, (counts.max() if counts.size else 0.0) / counts, np.inf)


def mean_imbalance_ratio(ratios: Array) -> float:
    """Return MeanIR, the mean of the finite imbalance ratios; NaN if no label has a positive."""
    finite = ratios[np.isfinite(ratios)]
    return float(finite.mean()) if finite.size else float("nan")


def minority_labels(counts: ArrayLike) -> Array:
    """Return the columns whose imbalance ratio exceeds the mean ratio; labels without positives are never among them."""
    ratios = imbalance_ratios(counts)
    return np.flatnonzero(np.isfinite(ratios) & (ratios > mean_imbalance_ratio(ratios)))


def conditional_cooccurrence(y: ArrayLike | LabelIndex) -> Array:
    """Return how strongly labels go together: ``A = (P + P.T) / 2`` with ``P[j, k] = P(label k | label j)`` and a zero diagonal.

    Args:
        y: Labels (n, q), or their index.

    Returns:
        Shape (q, q), float64, symmetric, in [0, 1]; 0 for a label without positives.

    Cost: O(sum of squared row sizes + q^2).
    """
    index = _indexed(y)
    together = index.cooccurrence().astype(np.float64)
    given: Array = together / np.maximum(index.counts[:, None], 1)
    np.fill_diagonal(given, 0.0)
    return np.asarray((given + given.T) / 2)


def imbalance_variation(ratios: Array) -> float:
    """Return CVIR, how unequal the imbalance ratios are: their standard deviation (ddof 1) over their mean, infinite ones left out.

    Args:
        ratios: Imbalance ratios, shape (q,).

    Returns:
        0 for a single label; NaN if no label has a positive.

    Reference: Charte et al., "Addressing imbalance in multilabel classification", Neurocomputing 2015.
    """
    finite = ratios[np.isfinite(ratios)]
    return _variation(finite)


def class_imbalance_ratios(y: ArrayLike | LabelIndex) -> Array:
    """Return ImR, for each label how much larger its larger class is: ``max(C_j, n - C_j) / min(C_j, n - C_j)``.

    Args:
        y: Labels (n, q), or their index.

    Returns:
        Shape (q,), float64; infinite for a label that all rows or no rows have.
    """
    index = _indexed(y)
    smaller = np.minimum(index.counts, index.n - index.counts)
    with np.errstate(divide="ignore"):
        return np.where(smaller > 0, (index.n - smaller) / smaller, np.inf)


def labelset_counts(y: ArrayLike | LabelIndex) -> Array:
    """Return how many rows each distinct set of labels has, commonest first; the empty set counts if it is there.

    The number of entries is the diversity of the data, the number of ones among them its unique label sets.

    Args:
        y: Labels (n, q), or their index.

    Returns:
        Shape (distinct sets,), int64.

    Cost: O(positives + n).

    Example:
        >>> labelset_counts(np.array([[1, 0], [1, 0], [0, 0]]))
        array([2, 1])
    """
    index = _indexed(y)
    starts, columns = index.row_starts.tolist(), index.columns
    sets = Counter(columns[start:end].tobytes() for start, end in pairwise(starts))
    return np.sort(np.fromiter(sets.values(), dtype=np.int64, count=len(sets)))[::-1]


def scumble_of_rows(y: ArrayLike | LabelIndex) -> Array:
    """Return SCUMBLE_i, how far rare and frequent labels meet in one row: 1 minus geometric over arithmetic mean of IRLbl in L_i.

    Args:
        y: Labels (n, q), or their index.

    Returns:
        Shape (n,), float64, in [0, 1); 0 for a row with equally frequent labels, with one label, or without any.

    Cost: O(positives).

    Reference: Charte et al., "Dealing with difficult minority labels in imbalanced multilabel data sets", Neurocomputing 2019.

    Differs: The printed formula has the exponent 1/q; here it is 1/m_i over the labels of the row, as in the authors' code.
    """
    index = _indexed(y)
    ratios = imbalance_ratios(index.counts)[index.columns]
    rows = np.repeat(np.arange(index.n), index.sizes)
    sizes = np.maximum(index.sizes, 1)
    mean = np.bincount(rows, weights=ratios, minlength=index.n) / sizes
    log = np.bincount(rows, weights=np.log(ratios), minlength=index.n) / sizes
    level = np.divide(np.exp(log), mean, out=np.ones(index.n), where=mean > 0)
    return np.asarray(np.maximum(1 - level, 0.0))


def scumble_of_labels(y: ArrayLike | LabelIndex) -> Array:
    """Return for each label the mean SCUMBLE_i of the rows that have it; 0 for a label without positives. Shape (q,), float64."""
    index = _indexed(y)
    of_rows = np.repeat(scumble_of_rows(index), index.sizes)
    return np.asarray(np.bincount(index.columns, weights=of_rows, minlength=index.q) / np.maximum(index.counts, 1))


def complexity(d: int, q: int, labelsets: int) -> float:
    """Return TCS, the theoretical complexity of a data set: ``ln(d q labelsets)``.

    Reference: Charte et al., "On the impact of dataset complexity and sampling strategy in multilabel classifiers performance", HAIS 2016.
    """
    return float(np.log(float(d) * q * labelsets))


def describe(dataset: "Dataset") -> dict[str, float | int]:
    """Measure a data set: size, labels, imbalance, entanglement, and what is missing or repeated.

    Args:
        dataset: Data set, dense or sparse.

    Returns:
        ``n d q``; ``cardinality density`` (mean number of labels of a row; that over q); ``labelsets labelsets_share labelsets_once``
        (distinct sets of labels; over n; seen in one row); ``mean_ir max_ir cvir`` (IRLbl of the labels that occur); ``minority_labels``
        (IRLbl above MeanIR); ``min_positives max_positives`` (rarest and commonest label that occurs); ``scumble scumble_cv``; ``tcs``;
        ``rows_without_label empty_labels`` (labels that never occur); ``repeated_rows`` (rows whose features equal those of an earlier
        row); ``missing_features missing_labels`` (unknown cells). Unknown labels count neither as present nor as absent,
        and d is the number of columns of X, also where a nominal attribute has several.

        With a hierarchy also ``levels edges`` (of it); ``tops ends`` (labels without a parent; without children); ``several_parents``
        (labels with more than one); ``declared`` (mean number of most specific labels of a row); ``violations`` (pairs of a row's label and
        a parent of it that the row lacks).

    Cost: O(stored values); sparse features stay sparse.

    Example:
        >>> from polytag.data.dataset import Dataset
        >>> describe(Dataset(np.eye(3), np.array([[1, 0], [1, 1], [1, 0]])))["mean_ir"]
        2.0
    """
    from polytag.data.duplicates import duplicate_groups

    index = dataset.labels
    counts, labelsets, scumble = index.counts, labelset_counts(index), scumble_of_rows(index)
    ratios, occurring = imbalance_ratios(counts), counts[counts > 0]
    missing_labels = _missing(dataset.Y)
    known = index.n * index.q - missing_labels
    cardinality = len(index.columns) / (known / index.q) if known else float("nan")
    return {
        "n": dataset.n,
        "d": dataset.d,
        "q": dataset.q,
        "cardinality": cardinality,
        "density": cardinality / max(index.q, 1),
        "labelsets": len(labelsets),
        "labelsets_share": len(labelsets) / max(index.n, 1),
        "labelsets_once": int((labelsets == 1).sum()),
        "mean_ir": mean_imbalance_ratio(ratios),
        "max_ir": float(ratios[counts > 0].max()) if occurring.size else float("nan"),
        "cvir": imbalance_variation(ratios),
        "minority_labels": len(minority_labels(counts)),
        "min_positives": int(occurring.min()) if occurring.size else 0,
        "max_positives": int(counts.max(initial=0)),
        "scumble": float(scumble.mean()) if index.n else float("nan"),
        "scumble_cv": _variation(scumble),
        "tcs": complexity(dataset.d, dataset.q, max(len(labelsets), 1)),
        "rows_without_label": int(_without_label(dataset).sum()),
        "empty_labels": int((counts == 0).sum()),
        "repeated_rows": dataset.n - len(np.unique(duplicate_groups(dataset.X))),
        "missing_features": _missing(dataset.X),
        "missing_labels": missing_labels,
        **_of_hierarchy(dataset),
    }


def _of_hierarchy(dataset: "Dataset") -> dict[str, float | int]:
    """Return the measures of the hierarchy; none where there is none."""
    tree = dataset.hierarchy
    if tree is None:
        return {}
    declared = tree.leaves(dataset.Y) == 1
    return {
        "levels": tree.depth,
        "edges": len(tree.edges),
        "tops": len(tree.tops),
        "ends": len(tree.ends),
        "several_parents": int((np.diff(tree.parents.indptr) > 1).sum()),
        "declared": float(declared.sum()) / max(dataset.n, 1),
        "violations": int(tree.violations(dataset.Y).sum()),
    }


def _indexed(y: ArrayLike | LabelIndex) -> LabelIndex:
    return y if isinstance(y, LabelIndex) else LabelIndex.from_labels(y)


def _variation(values: Array) -> float:
    """Return the standard deviation (ddof 1) over the mean; 0 where there is no variation, NaN for nothing."""
    if not values.size:
        return float("nan")
    mean = float(values.mean())
    return float(values.std(ddof=1)) / mean if values.size > 1 and mean else 0.0


def _missing(matrix: Any) -> int:
    values = matrix.data if hasattr(matrix, "indptr") else matrix
    return int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0


def _without_label(dataset: "Dataset") -> Array:
    """Return which rows are known to have no label at all: none is positive, none is unknown."""
    none: Array = dataset.labels.sizes == 0
    if not _missing(dataset.Y) or hasattr(dataset.Y, "indptr"):
        return none
    return np.asarray(none & ~np.isnan(dataset.Y).any(axis=1))
