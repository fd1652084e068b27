"""What published evaluation codes compute, under names of their own, for comparing with published tables.

``authors_*`` are the six metrics of the Adaptive batch-selection paper, ``d2ace_*``, ``flem_*`` and ``dela_*`` those of the codes of these
papers. They cut label sets as given by ``labels`` or ``threshold=`` (the codes round probabilities: 0.5 is not predicted, like
``threshold=0.5``). ``evaluate(metrics=[...])`` knows all of them, its default list has none of them.

Reference: Zhou et al., "Multi-label adaptive batch selection by highlighting hard and imbalanced samples", ECML PKDD 2024 (``authors_*``);
    code of D2ACE, arXiv 2605.09400; Zhao et al., "Fusion label enhancement for multi-label learning" (FLEM), IJCAI 2022; Hang, Zhang,
    "Dual perspective of label-specific feature learning for multi-label classification" (DELA), ICML 2022.
"""

from typing import Any

import numpy as np

from polytag.metrics.example import example_precision, example_recall, hamming_loss, jaccard, subset_accuracy
from polytag.metrics.label import (
    accuracy,
    macro_ap,
    macro_auc,
    macro_f1,
    macro_precision,
    macro_recall,
    micro_ap,
    micro_f1,
    micro_precision,
    micro_recall,
)
from polytag.metrics.outcome import Outcome
from polytag.metrics.ranking import coverage_norm, lrap, one_error, ranking_loss
from polytag.metrics.spec import Detail, Metric, mean_of, metric, variant
from polytag.metrics.topk import stable_ranks
from polytag.types import ArrayLike

authors_macro_auc = variant(
    "authors_macro_auc",
    macro_auc,
    "Macro-AUC of the Adaptive paper's code: a tie counts as a win, a label of one class counts 0 in the mean over all labels.",
    ties="full",
    undefined="zero",
)
authors_macro_f1 = variant("authors_macro_f1", macro_f1, "Macro-F1 in which a label neither true nor predicted counts 0.", undefined="zero")
authors_micro_f1 = variant("authors_micro_f1", micro_f1, "Micro-F1, 0 if nothing is true and nothing predicted.", undefined="zero")
authors_ranking_loss = variant(
    "authors_ranking_loss", ranking_loss, "Ranking loss over all n instances: ties are errors, instances without pairs count 0."
)
authors_one_error = variant("authors_one_error", one_error, "One-error over all n instances: an instance without labels is an error.")
authors_hamming_loss = variant("authors_hamming_loss", hamming_loss, "Share of wrong cells.")

_QUOTIENTS: dict[str, Metric[...]] = {
    "jaccard": jaccard,
    "macro_precision": macro_precision,
    "macro_recall": macro_recall,
    "micro_precision": micro_precision,
    "micro_recall": micro_recall,
    "macro_ap": macro_ap,
    "micro_ap": micro_ap,
}
for _name, _general in _QUOTIENTS.items():
    variant(f"d2ace_{_name}", _general, f"``{_name}`` of the D2ACE code: what is 0/0 counts 0.", undefined="zero")
for _name in ("macro_accuracy", "micro_accuracy"):
    variant(f"d2ace_{_name}", accuracy, "Share of right cells; macro and micro are the same number.")
variant("d2ace_macro_auc", macro_auc, "Macro-AUC of the D2ACE code: labels of one class are left out.", undefined="skip")
variant("d2ace_subset_accuracy", subset_accuracy, "Share of instances without any error.")

variant("flem_ranking_loss", ranking_loss, "Ranking loss of the FLEM code: scikit-learn's.")
variant("flem_coverage", coverage_norm, "Coverage of the FLEM code: (scikit-learn's coverage error - 1) / q.")
variant("flem_map", macro_ap, '"Average precision" of the FLEM code: mean over the labels with positives.', undefined="skip")

variant("dela_hamming_loss", hamming_loss, "Share of wrong cells.")
variant("dela_one_error", one_error, "One-error of the DELA code: an instance without labels is an error.")
variant("dela_coverage", coverage_norm, "Coverage of the DELA code: (mean rank of the lowest true label - 1) / q.")
variant("dela_ranking_loss", ranking_loss, "Ranking loss of the DELA code: instances without pairs are left out.", degenerate="skip")
variant("dela_macro_auc", macro_auc, "Macro-AUC of the DELA code: labels of one class are left out.", undefined="skip")


@metric("dela_average_precision", needs="scores")
def dela_average_precision(Y: Any, scores: ArrayLike | None = None) -> Detail:
    """Label-ranking average precision of the DELA code: instances without labels are left out.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
    """
    return lrap.terms(Outcome.of(Y, scores), empty="skip")


@metric("d2ace_average_precision", needs="scores")
def d2ace_average_precision(Y: Any, scores: ArrayLike | None = None) -> Detail:
    """Label-ranking average precision of the D2ACE code: an instance without labels counts 0.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
    """
    return mean_of(lrap.terms(Outcome.of(Y, scores), empty="skip").terms, "zero")


@metric("d2ace_coverage", needs="scores", range=(0.0, np.inf), direction="min")
def d2ace_coverage(Y: Any, scores: ArrayLike | None = None) -> Detail:
    """Coverage of the D2ACE code: rank of the lowest true label from 1, a tie ranked by label number; 0 for an instance without labels.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        scores: Scores (n, q).
    """
    outcome = Outcome.of(Y, scores)
    terms = np.zeros(outcome.cells.n)
    np.maximum.at(terms, outcome.cells.rows, stable_ranks(outcome, outcome.cells.rows, outcome.cells.columns) + 1.0)
    return mean_of(terms)


def _zero_if_none(detail: Detail) -> Detail:
    return detail if detail.used else detail._replace(value=0.0)


@metric("d2ace_example_precision", needs="labels")
def d2ace_example_precision(Y: Any, labels: ArrayLike | None = None) -> Detail:
    """Example-based precision of the D2ACE code: instances with nothing predicted are left out; 0 if that leaves none.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
    """
    return _zero_if_none(example_precision.terms(Outcome.of(Y, labels=labels), undefined="skip"))


@metric("d2ace_example_recall", needs="labels")
def d2ace_example_recall(Y: Any, labels: ArrayLike | None = None) -> Detail:
    """Example-based recall of the D2ACE code: instances without labels are left out; 0 if that leaves none.

    Args:
        Y: Labels (n, q), or an ``Outcome``.
        labels: Predicted label sets (n, q).
    """
    return _zero_if_none(example_recall.terms(Outcome.of(Y, labels=labels), undefined="skip"))


@metric("flem_hamming_loss", needs="scores", direction="min")
def flem_hamming_loss(Y: Any, scores: ArrayLike | None = None) -> Detail:
    """Hamming loss of the FLEM code, which guesses the cut: 0 if any score is negative, otherwise 0.5.

    Args:
        Y: Labels (n, q), or an ``Outcome`` with scores.
        scores: Scores (n, q).
    """
    outcome = Outcome.of(Y, scores)
    return hamming_loss.terms(outcome.cut_at(0.0 if outcome.scores.min() < 0 else 0.5))
