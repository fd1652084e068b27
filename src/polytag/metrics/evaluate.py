"""All metrics in one call, each ranking made once."""

from collections.abc import Sequence
from typing import Any

from polytag.errors import ParameterError
from polytag.metrics.outcome import Outcome
from polytag.metrics.spec import Metric, Undefined, find
from polytag.types import ArrayLike

SETS = [
    "macro_f1",
    "micro_f1",
    "example_f1",
    "subset_accuracy",
    "hamming_loss",
    "jaccard",
    "accuracy",
    "macro_precision",
    "micro_precision",
    "example_precision",
    "macro_recall",
    "micro_recall",
    "example_recall",
]
RANKINGS = [
    "macro_auc",
    "micro_auc",
    "example_auc",
    "ranking_loss",
    "one_error",
    "coverage_error",
    "coverage",
    "coverage_norm",
    "macro_ap",
    "micro_ap",
    "lrap",
]
UNDER_A_HIERARCHY = [
    "hvr",
    "hvr_edge_rate",
    "hvr_edge_density",
    "hvr_levels",
    "h_precision",
    "h_recall",
    "h_f1",
    "h_precision_macro",
    "h_recall_macro",
    "h_f1_macro",
    "tree_distance",
    "tree_distance_norm",
    "h_loss",
    "h_loss_siblings",
    "exact_match",
]
ON_LEVELS = ("accuracy", "micro_f1", "macro_f1")
RANKED_UNDER_A_HIERARCHY = ["hvr_scores", "weighted_ap", "micro_auprc_interpolated"]
AT_K = ("precision", "recall", "ndcg", "psp")
CALIBRATION = ("ece", "ece_macro", "brier")


def evaluate(
    Y: Any,
    scores: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    *,
    threshold: Any = None,
    hierarchy: Any = None,
    undefined: Undefined = "skip",
    k: Sequence[int] = (1, 3, 5),
    metrics: Sequence[str] | None = None,
    train_labels: ArrayLike | None = None,
    bins: int = 15,
) -> dict[str, float]:
    """Judge predictions by every metric at once.

    Metrics of label sets appear if ``labels`` or ``threshold`` is given, ranking metrics if ``scores`` are, calibration if the scores lie
    within [0, 1], hierarchical metrics and those of each level (``micro_f1_level_1``, ...) if there is a ``hierarchy``. A metric that is
    asked for by name and cannot be computed is an error.

    Args:
        Y: True labels (n, q), dense or sparse; NaN is unknown and takes no part.
        scores: Scores or probabilities (n, q), higher is more likely.
        labels: Predicted label sets (n, q).
        threshold: Cut, strict: a label is predicted where ``score > threshold``; a number, one a label, or an object with ``values``.
        hierarchy: Which label implies which, a ``Hierarchy`` over the columns of Y; violations are counted in the label sets as they are.
        undefined: What 0/0 counts for (a label without positives has no AUC, one never true nor predicted no F1): left out of the mean,
            0, 1, or NaN for the whole metric. ``"zero"`` is what scikit-learn does for F1, precision, recall and Jaccard.
        k: The k of ``precision_at_k``, ``recall_at_k``, ``ndcg_at_k``, ``psp_at_k``.
        metrics: Names of the metrics to compute (``precision_at_k`` stands for every k); ``None`` for all that the given arrays allow.
        train_labels: Labels of the training rows, for the label propensities of ``psp_at_k``; ``None`` takes Y.
        bins: Bins of the calibration errors.

    Returns:
        Name -> value.

    Raises:
        ParameterError: A metric was asked for that needs something not given.
        UnknownNameError: There is no such metric.

    Cost: three sorts of n q plain numbers, look-ups for the positives; blocks of 64 MB and lists of the positives besides the inputs.

    Example:
        >>> found = evaluate([[1, 0, 1], [0, 1, 0]], [[0.9, 0.4, 0.6], [0.2, 0.3, 0.7]], threshold=0.5)
        >>> round(found["macro_f1"], 4), found["ranking_loss"], found["precision_at_1"]
        (0.5556, 0.25, 0.5)
    """
    if isinstance(Y, Outcome):
        outcome = Y if hierarchy is None else Y.under(hierarchy)
    else:
        outcome = Outcome(Y, scores, labels, threshold=threshold, hierarchy=hierarchy)
    chosen = _choose(outcome, k) if metrics is None else [find(name) for name in _expand(metrics, k)]
    problems = [problem for problem in (_missing(outcome, one) for one in chosen) if problem]
    if problems:
        raise ParameterError("; ".join(problems))
    outcome.window = max([outcome.window, *(int(size) + 1 for size in k)])
    given = {"undefined": undefined, "train_labels": train_labels, "bins": bins}
    return {one.name: one(outcome, **{key: value for key, value in given.items() if key in one.options}) for one in chosen}


def _choose(outcome: Outcome, k: Sequence[int]) -> list[Metric[...]]:
    names = [*SETS] if outcome.has_sets else []
    if outcome.has_scores:
        names += RANKINGS + [f"{one}_at_{size}" for one in AT_K for size in k]
    if outcome.has_probabilities:
        names += CALIBRATION
    if outcome.has_hierarchy:
        levels = range(1, outcome.hierarchy.depth + 1)
        on_levels = [f"{one}_level_{level}" for level in levels for one in ON_LEVELS]
        names += (UNDER_A_HIERARCHY + on_levels) * outcome.has_sets + RANKED_UNDER_A_HIERARCHY * outcome.has_scores
    return [find(name) for name in names]


def _expand(names: Sequence[str], k: Sequence[int]) -> list[str]:
    """Write out ``precision_at_k`` and its kin for every k."""
    general = {f"{one}_at_k": [f"{one}_at_{size}" for size in k] for one in AT_K}
    return [single for name in names for single in general.get(name, [name])]


def _missing(outcome: Outcome, one: Metric[...]) -> str:
    if one.needs == "labels" and not outcome.has_sets:
        return f"{one.name} compares label sets: pass labels, or threshold= to cut the scores"
    if one.needs != "labels" and not outcome.has_scores:
        return f"{one.name} needs scores, but none were given"
    if one.needs == "probabilities" and not outcome.has_probabilities:
        return f"{one.name} needs probabilities, but the scores lie in [{outcome.scores.min():g}, {outcome.scores.max():g}]"
    if one.needs_hierarchy and not outcome.has_hierarchy:
        return (
            f"{one.name} asks which label implies which: pass hierarchy=, such as that of the data set (dataset.hierarchy) or "
            "Hierarchy.from_edges(edges, names)"
        )
    return ""
