"""Hierarchical metrics written down as their definitions read, with Python sets of labels. Slow on purpose.

Y holds 0, 1 and NaN (unknown), P predicted labels, S scores; ``edges`` are (child, parent) numbers. Unknown cells are in no set.
"""

import math

import numpy as np


def above(q, edges):
    """Return the strict ancestors of each label."""
    parents = {c: {p for child, p in edges if child == c} for c in range(q)}
    found = {}

    def climb(c):
        if c not in found:
            found[c] = set().union(*({p} | climb(p) for p in parents[c])) if parents[c] else set()
        return found[c]

    for c in range(q):
        climb(c)
    return found


def level(q, edges):
    """Return the level of each label: 1 + longest path to the top."""
    parents = {c: [p for child, p in edges if child == c] for c in range(q)}

    def climb(c):
        return 1 + max((climb(p) for p in parents[c]), default=0)

    return [climb(c) for c in range(q)]


def sets(Y, P, edges, close=True):
    """Yield (predicted, true) of each instance of which something is known."""
    q = Y.shape[1]
    ancestors = above(q, edges)
    for y, p in zip(Y, P):
        known = {j for j in range(q) if not math.isnan(y[j])}
        if not known:
            continue
        alpha, beta = {j for j in known if p[j]}, {j for j in known if y[j] == 1}
        if close:
            alpha, beta = (each | set().union(*(ancestors[j] for j in each)) if each else each for each in (alpha, beta))
        yield alpha & known, beta & known


def ratio(a, b, otherwise=0.0):
    return a / b if b else otherwise


def cost(q, edges, siblings):
    """Return what each label costs in the H-loss."""
    if not siblings:
        return [1.0] * q
    levels = level(q, edges)
    tops = [c for c in range(q) if levels[c] == 1]
    found = {c: 1 / len(tops) for c in tops}
    for c in sorted(range(q), key=lambda c: levels[c]):
        if c not in found:
            found[c] = sum(found[p] / sum(1 for _, parent in edges if parent == p) for child, p in edges if child == c)
    return [found[c] for c in range(q)]


def of_sets(Y, P, edges, close=True):
    """Return the metrics that compare true with predicted sets."""
    q = Y.shape[1]
    pairs, ancestors = list(sets(Y, P, edges, close)), above(q, edges)
    right, alpha, beta = (sum(sizes) for sizes in zip(*((len(a & b), len(a), len(b)) for a, b in pairs)))
    both = [1.0 if not a | b else None for a, b in pairs]
    macro = {
        "h_precision_macro": [ratio(len(a & b), len(a)) for a, b in pairs],
        "h_recall_macro": [ratio(len(a & b), len(b)) for a, b in pairs],
        "h_f1_macro": [ratio(2 * len(a & b), len(a) + len(b)) for a, b in pairs],
    }
    precision, recall = ratio(right, alpha), ratio(right, beta)
    found = {"h_precision": precision, "h_recall": recall, "h_f1": ratio(2 * precision * recall, precision + recall)}
    found |= {name: float(np.mean([t if e is None else e for t, e in zip(terms, both)])) for name, terms in macro.items()}
    found["tree_distance"] = float(np.mean([len(a ^ b) for a, b in pairs]))
    found["tree_distance_norm"] = float(np.mean([ratio(len(a ^ b), len(a) + len(b)) for a, b in pairs]))
    found["exact_match"] = float(np.mean([a == b for a, b in pairs]))
    for name, siblings in (("h_loss", False), ("h_loss_siblings", True)):
        price = cost(q, edges, siblings)
        found[name] = float(np.mean([sum(price[j] for j in a ^ b if not ancestors[j] & (a ^ b)) for a, b in pairs]))
    return found


def of_levels(Y, P, edges):
    """Return accuracy and F1 of each level, of the sets as they are."""
    q, found = Y.shape[1], {}
    levels = np.array(level(q, edges))
    for k in range(1, max(levels) + 1):
        here = [j for j in range(q) if levels[j] == k]
        same, counts = [], {j: [0, 0, 0] for j in here}
        for y, p in zip(Y, P):
            known = [j for j in here if not math.isnan(y[j])]
            if known:
                same.append(all(bool(p[j]) == (y[j] == 1) for j in known))
            for j in known:
                counts[j][0] += bool(p[j]) and y[j] == 1
                counts[j][1] += bool(p[j])
                counts[j][2] += y[j] == 1
        r, a, b = (sum(counts[j][part] for j in here) for part in range(3))
        found[f"accuracy_level_{k}"] = float(np.mean(same)) if same else math.nan
        found[f"micro_f1_level_{k}"] = ratio(2 * r, a + b, math.nan)
        terms = [2 * counts[j][0] / (counts[j][1] + counts[j][2]) for j in here if counts[j][1] + counts[j][2]]
        found[f"macro_f1_level_{k}"] = float(np.mean(terms)) if terms else math.nan
    return found


def of_violations(Y, P, S, edges):
    """Return the violation rates; an edge with an unknown end takes no part."""
    levels = level(Y.shape[1], edges)
    rows, orphaned, violated, asked, possible, inverted = [], [], 0, 0, 0, 0
    for y, p, s in zip(Y, P, S):
        known = ~np.isnan(y)
        if not known.any():
            continue
        usable = [(c, a) for c, a in edges if known[c] and known[a]]
        broken = [(c, a) for c, a in usable if p[c] and not p[a]]
        rows.append(bool(broken))
        violated, asked, possible = violated + len(broken), asked + sum(bool(p[c]) for c, _ in usable), possible + len(usable)
        inverted += sum(float(s[c]) > float(s[a]) + 1e-6 for c, a in usable)
        lost = False
        for c in np.flatnonzero(known & (p == 1)):
            near = [a for child, a in edges if child == c and levels[c] - levels[a] == 1]
            lost |= bool(near) and not any(p[a] or not known[a] for a in near)
        orphaned.append(lost)
    return {
        "hvr": float(np.mean(rows)),
        "hvr_levels": float(np.mean(orphaned)),
        "hvr_edge_rate": ratio(violated, asked),
        "hvr_edge_density": ratio(violated, possible),
        "hvr_scores": ratio(inverted, possible),
    }


def interpolated(y, s):
    """Return the area under the Davis-Goadrich curve, one positive after the other."""
    order = sorted({float(v) for v in s}, reverse=True)
    total = int(sum(y))
    area, tp, fp = 0.0, 0, 0
    for cut in order:
        more_tp = sum(1 for a, b in zip(y, s) if b == cut and a)
        more_fp = sum(1 for a, b in zip(y, s) if b == cut and not a)
        for step in range(more_tp):
            before, after = fp + more_fp * step / more_tp, fp + more_fp * (step + 1) / more_tp
            right = (tp + step + 1) / (tp + step + 1 + after)
            left = (tp + step) / (tp + step + before) if tp + step + before else right
            area += (left + right) / 2
        tp, fp = tp + more_tp, fp + more_fp
    return area / total if total else math.nan
