"""From a trained method to its metrics on the test rows: what it predicts there, and what making it coherent changed."""

import numpy as np

from polytag.bench.fitting import Fitted
from polytag.bench.method import Method
from polytag.data.prepare import PreparedSplit
from polytag.hierarchy import Hierarchy
from polytag.metrics import evaluate, hvr
from polytag.metrics.spec import Undefined
from polytag.thresholds import Threshold
from polytag.types import Array


def judged(method: Method, fitted: Fitted, parts: PreparedSplit, *, undefined: Undefined = "skip") -> dict[str, float]:
    """Return every metric on the test rows.

    With a closure, probabilities are made coherent before the threshold is fitted and before they are judged. So are the label sets that
    the model decides by itself, or that cuts of different height for parent and child leave incoherent: ``up`` adds the missing parents,
    the others drop the labels that lack one. ``hvr_before_closure`` is the violation rate that the same threshold gives without.

    Args:
        method: What was trained.
        fitted: What came of it.
        parts: Prepared rows; a threshold is fitted on the validation rows, or on the training rows where there are none.
        undefined: What a metric is where it is not defined.

    Returns:
        Name -> value; metrics of a hierarchy among them where the labels have one.
    """
    test, hierarchy = parts.test, parts.test.hierarchy
    raw = fitted.proba(test)
    proba = _coherent(raw, method, hierarchy)
    if fitted.labels is not None and method.threshold == 0.5:
        before = labels = fitted.labels(test)
    else:
        held_out = parts.valid if parts.valid.n else parts.train
        rule = Threshold.named(method.threshold, hierarchy).fit(_coherent(fitted.proba(held_out), method, hierarchy), held_out.Y)
        before, labels = raw > rule.values, rule.predict(proba)
    if method.closure is None or hierarchy is None:
        return evaluate(test.Y, proba, labels, hierarchy=hierarchy, undefined=undefined)
    found = evaluate(test.Y, proba, hierarchy.mend(labels, method.closure), hierarchy=hierarchy, undefined=undefined)
    return {**found, "hvr_before_closure": hvr(test.Y, before, hierarchy=hierarchy)}


def _coherent(scores: Array, method: Method, hierarchy: Hierarchy | None) -> Array:
    """Return scores as the method wants them: coherent, or as they are."""
    return scores if method.closure is None or hierarchy is None else np.asarray(hierarchy.constrain(scores, method.closure))
