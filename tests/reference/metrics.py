"""Every metric written down as its definition reads, with loops over labels, instances and pairs. Slow on purpose.

Y holds 0, 1 and NaN (unknown); S scores; P predicted labels. Undefined terms are NaN; ``mean`` decides what becomes of them.
"""

import math

import numpy as np


def mean(terms, undefined="skip"):
    """Average; undefined terms are left out, filled, or spoil the mean."""
    terms = [float(t) for t in terms]
    if undefined == "skip":
        terms = [t for t in terms if not math.isnan(t)]
    elif undefined != "nan":
        terms = [{"zero": 0.0, "one": 1.0}[undefined] if math.isnan(t) else t for t in terms]
    return sum(terms) / len(terms) if terms else math.nan


def ratio(a, b):
    return a / b if b else math.nan


def groups(Y, A, by):
    """Yield (truth, other) of each label or instance, or of everything, known cells only."""
    parts = {"label": list(zip(Y.T, A.T)), "row": list(zip(Y, A)), "all": [(Y.ravel(), A.ravel())]}[by]
    for y, a in parts:
        known = ~np.isnan(y)
        yield y[known], a[known]


def auc(y, s, tie=0.5):
    pairs = [(p, n) for p in s[y == 1] for n in s[y == 0]]
    return ratio(sum(1.0 if p > n else tie if p == n else 0.0 for p, n in pairs), len(pairs))


def ap(y, s):
    """Mean over positives of the precision among all that score at least as high."""
    return ratio(sum(np.sum((s >= t) & (y == 1)) / np.sum(s >= t) for t in s[y == 1]), np.sum(y == 1))


def depth(y, s):
    return int(np.sum(s >= s[y == 1].min())) if (y == 1).any() else 0


def ranked(s):
    """Return label numbers by falling score, the lower number first in a tie."""
    return sorted(range(len(s)), key=lambda j: (-s[j], j))


def aucs(Y, S, by, undefined):
    return mean([auc(y, s) for y, s in groups(Y, S, by)], undefined)


def aps(Y, S, by, undefined):
    return mean([ap(y, s) for y, s in groups(Y, S, by)], undefined)


def rows(Y, S, value, undefined="skip"):
    """Mean over instances of which something is known."""
    return mean([value(y, s) for y, s in groups(Y, S, "row") if len(y)], undefined)


def sets(Y, P, by, kind, undefined):
    def one(y, p):
        tp, true, predicted = np.sum((y == 1) & (p == 1)), np.sum(y == 1), np.sum(p == 1)
        return {
            "f1": ratio(2 * tp, true + predicted),
            "precision": ratio(tp, predicted),
            "recall": ratio(tp, true),
            "jaccard": ratio(tp, true + predicted - tp),
        }[kind]

    return mean([one(y, p) for y, p in groups(Y, P, by)], undefined)


def propensity_weights(Y, a=0.55, b=1.5):
    n = len(Y)
    c = max(math.log(n) - 1, 0) * (b + 1) ** a
    return np.array([1 + c * (np.sum(column == 1) + b) ** -a for column in Y.T])


def psp(Y, S, k, undefined):
    weights, gain, best = propensity_weights(Y), 0.0, 0.0
    for y, s in zip(Y, S):
        known = np.flatnonzero(~np.isnan(y))
        top = known[ranked(s[known])[:k]]
        gain += sum(weights[j] for j in top if y[j] == 1)
        best += sum(sorted((weights[j] for j in known if y[j] == 1), reverse=True)[:k])
    return mean([ratio(gain, best)], undefined)


def ndcg(y, s, k):
    gain = sum(1 / math.log2(rank + 2) for rank, j in enumerate(ranked(s)[:k]) if y[j] == 1)
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, int((y == 1).sum()))))
    return gain / ideal if ideal else 0.0


def top_hits(y, s, k):
    return sum(y[j] == 1 for j in ranked(s)[:k])


def calibration(y, s, bins=15):
    """Sum over bins of |sum of probabilities - positives|."""
    place = [min(math.floor(p * bins), bins - 1) for p in s.astype(float).tolist()]
    return sum(abs(sum(float(s[i]) - y[i] for i in range(len(s)) if place[i] == m)) for m in set(place))


def every(Y, S, P, undefined="skip", ks=(1, 3, 5)):
    """Return all metrics that ``evaluate`` lists, name -> value."""
    known = ~np.isnan(Y)
    wrong = (Y != P) & known
    found = {}
    for kind in ("f1", "precision", "recall"):
        for name, by in (("macro", "label"), ("micro", "all"), ("example", "row")):
            found[f"{name}_{kind}"] = sets(Y, P, by, kind, undefined)
    found["jaccard"] = sets(Y, P, "row", "jaccard", undefined)
    found["subset_accuracy"] = rows(Y, P, lambda y, p: float((y == p).all()))
    found["hamming_loss"] = wrong.sum() / known.sum()
    found["accuracy"] = mean([ratio(np.sum(y == p), len(y)) for y, p in groups(Y, P, "label")])
    for name, by in (("macro", "label"), ("micro", "all"), ("example", "row")):
        found[f"{name}_auc"] = aucs(Y, S, by, undefined)
    found["macro_ap"], found["micro_ap"] = aps(Y, S, "label", undefined), aps(Y, S, "all", undefined)
    found["lrap"] = rows(Y, S, lambda y, s: ap(y, s) if (y == 1).any() else 1.0)
    found["ranking_loss"] = rows(Y, S, lambda y, s: 0.0 if math.isnan(auc(y, s)) else 1 - auc(y, s, tie=0.0))
    found["one_error"] = rows(Y, S, lambda y, s: float(y[ranked(s)[0]] != 1))
    found["coverage_error"] = rows(Y, S, depth)
    found["coverage"] = rows(Y, S, lambda y, s: depth(y, s) - 1)
    found["coverage_norm"] = found["coverage"] / Y.shape[1]
    for k in ks:
        found[f"precision_at_{k}"] = rows(Y, S, lambda y, s, k=k: top_hits(y, s, k) / k)
        found[f"recall_at_{k}"] = mean([ratio(top_hits(y, s, k), np.sum(y == 1)) for y, s in groups(Y, S, "row")], undefined)
        found[f"ndcg_at_{k}"] = rows(Y, S, lambda y, s, k=k: ndcg(y, s, k))
        found[f"psp_at_{k}"] = psp(Y, S, k, undefined)
    found["ece"] = calibration(Y[known], S[known]) / known.sum()
    found["ece_macro"] = mean([ratio(calibration(y, s), len(y)) for y, s in groups(Y, S, "label")])
    found["brier"] = float(np.mean((S[known].astype(float) - Y[known]) ** 2))
    return found
