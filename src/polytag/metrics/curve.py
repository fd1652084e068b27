"""Areas under precision-recall curves, by the names that hierarchical papers give them, and by both ways to measure them.

``micro_auprc`` is the area under the curve of all cells at once, measured in steps (scikit-learn, C-HMCNN); papers in the line of Clus
interpolate between its points, which gives values that differ by up to some thousandths: ``micro_auprc_interpolated``.
"""

from typing import Any

import numpy as np

from polytag.metrics.label import macro_ap, micro_ap
from polytag.metrics.outcome import Outcome
from polytag.metrics.spec import Detail, Undefined, mean_of, metric, quotient, variant
from polytag.types import ArrayLike

micro_auprc = variant(
    "micro_auprc",
    micro_ap,
    "``micro_ap`` by the name of hierarchical papers: area under the precision-recall steps of all cells at once, labels without positives "
    "included, equal scores forming one step. C-HMCNN's AU(PRC).",
)
macro_auprc = variant("macro_auprc", macro_ap, "``macro_ap`` over the labels that have positives.", undefined="skip")


@metric("weighted_ap", needs="scores")
def weighted_ap(Y: Any, scores: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Average precision of each label; mean over the labels, each weighing as much as it has positives.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        undefined: The value if nothing is true.
    """
    pairs = Outcome.of(Y, scores).by_label
    total = mean_of(quotient(pairs.precision.sum(), pairs.positives.sum()), undefined)
    return Detail(total.value, quotient(pairs.precision, pairs.positives), int(np.count_nonzero(pairs.positives)))


@metric("micro_auprc_interpolated", needs="scores")
def micro_auprc_interpolated(Y: Any, scores: ArrayLike | None = None, *, undefined: Undefined = "skip") -> Detail:
    """Area under the precision-recall curve of all cells at once, interpolated between its points.

    Where a threshold adds several positives, the negatives that it adds are spread evenly over them; between two numbers of positives the
    precision is a straight line. Up to the first positive it is level, unless a negative scores higher.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
        undefined: The value if nothing is true.

    Reference: Davis, Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006.

    Example:
        >>> round(micro_auprc_interpolated([[1, 0, 0, 1], [0, 1, 0, 0]], [[0.5, 0.6, 0.5, 0.2], [0.4, 0.9, 0.1, 0.3]]), 6)
        0.626984
    """
    outcome = Outcome.of(Y, scores)
    below, upto = (each[0][::-1] for each in outcome.places)  # falling scores: the i-th positive makes i true positives i + 1
    known = int(outcome.cells.row_known.sum())
    place = np.arange(len(below))
    _, first, group, sizes = np.unique(-below, return_index=True, return_inverse=True, return_counts=True)
    start, size = first[group], sizes[group]
    above = known - np.minimum(upto, known) - start  # negatives that score higher
    slope = (known - below - start - size - above) / size
    after = (place + 1) / (place + 1 + above + slope * (place + 1 - start))
    reached = place + above + slope * (place - start)
    before = np.where(reached > 0, place / np.maximum(reached, 1e-300), after)
    return mean_of(quotient((before + after).sum() / 2, len(below)), undefined)
