"""The tables of a reproduction: ours next to printed values, ranks over data sets, and tests of a paper's claims."""

import csv
import io
import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau

from polytag.bench import stats
from polytag.bench.grid import Grid
from polytag.bench.reproduce import Reproduced
from polytag.bench.results import direction
from polytag.bench.tables import arrowed, number

_COUNTED = {1: "one digit", 2: "two digits", 3: "three digits", 4: "four digits"}

Pairs = Sequence[Sequence[str]]
"""Each a method, then those that it is held against."""


def metric_grid(result: Reproduced, metric: str) -> Grid:
    """Return methods by data sets: ours, in brackets what the paper prints, and average ranks at the end.

    Args:
        result: The numbers.
        metric: The metric.
    """
    cases = [case.name for case in result.cases]
    ranks, over = result.ranks(metric)
    printed_ranks = [result.printed_rank(method, metric) for method in result.arms]
    means = result.table(result.arms, cases, metric)
    rows: list[list[str]] = []
    marked: set[tuple[int, int]] = set()
    for r, method in enumerate(result.arms):
        cells = [_beside(means[c, r], result.printed(method, case, metric), result.digits) for c, case in enumerate(cases)]
        marked |= {(r, c + 1) for c in range(len(cases)) if _is_best(means[c], r, metric)}
        rank, theirs = ranks.get(method, math.nan), printed_ranks[r]
        rows.append([method, *cells, number(rank, digits=2), "-" if theirs is None else f"{theirs:g}"])
    if any(printed_ranks):
        last = ["rank printed"]
    else:
        rows, last = [row[:-1] for row in rows], []
    caption = f"Ours (printed); best of ours marked. {_ranked_over(result, over)}"
    return Grid(arrowed(metric), ["method", *cases, "rank here", *last], rows, caption, frozenset(marked))


def side_by_side(result: Reproduced) -> Grid | None:
    """Return one line for each printed value that was measured here too, with the difference; ``None`` if there is none.

    Metrics that the paper does not have stand at the end of the line.
    """
    rows: list[list[str]] = []
    counts = {"here": 0, "published": 0, "equal": 0}
    for case in result.cases:
        for method in result.arms:
            extra = [number(result.mean(method, case.name, metric)) for metric in result.extra]
            for metric in result.metrics:
                theirs, ours = result.printed(method, case.name, metric), result.mean(method, case.name, metric)
                if theirs is None or math.isnan(ours):
                    continue
                better = _better(ours, theirs, metric, result.digits)
                counts[better] += 1
                values = [f"{theirs:.{result.digits}f}", number(ours, result.deviation(method, case.name, metric)), f"{ours - theirs:+.4f}"]
                rows.append([case.name, method, arrowed(metric), *values, better, *extra])
    if not rows:
        return None
    caption = (
        f"Difference: here minus published. Better here in {counts['here']}, in the paper in {counts['published']}, "
        f"equal in {_COUNTED.get(result.digits, f'{result.digits} digits')} in {counts['equal']} of {len(rows)}."
    )
    header = ["data set", "method", "metric", "published", "here", "difference", "better", *map(arrowed, result.extra)]
    return Grid("Published values next to ours", header, rows, caption)


def closeness_grid(result: Reproduced) -> Grid | None:
    """Return on how many data sets each method comes near the printed value; ``None`` if no value is printed or no tolerance is named."""
    if result.tolerance is None:
        return None
    rows = []
    for method in result.arms:
        for metric in result.tested:
            pairs = [(result.printed(method, case.name, metric), result.mean(method, case.name, metric)) for case in result.cases]
            apart = np.array([ours - theirs for theirs, ours in pairs if theirs is not None and not math.isnan(ours)])
            if apart.size:
                near = int((np.abs(apart) <= result.tolerance + 1e-12).sum())
                spread = [f"{apart.mean():+.4f}", f"{np.abs(apart).mean():.4f}", f"{np.abs(apart).max():.4f}"]
                rows.append([method, arrowed(metric), f"{near} of {apart.size}", *spread])
    if not rows:
        return None
    header = ["method", "metric", f"within {result.tolerance:g}", "mean difference", "mean distance", "largest distance"]
    return Grid("How near do we come to the published values?", header, rows, "Difference: here minus published, over data sets.")


def order_grid(result: Reproduced) -> Grid | None:
    """Return how far the printed order of the methods holds here, as Kendall's tau; ``None`` if nothing was printed."""
    rows = []
    for case in result.cases:
        cells = []
        for metric in result.tested:
            pairs = [(result.printed(method, case.name, metric), result.mean(method, case.name, metric)) for method in result.arms]
            known = np.array([(theirs, ours) for theirs, ours in pairs if theirs is not None and not math.isnan(ours)])
            enough = len(known) >= 3 and (np.ptp(known, axis=0) > 0).all()
            cells.append(f"{kendalltau(known[:, 0], known[:, 1]).statistic:+.2f} ({len(known)})" if enough else "-")
        if any(cell != "-" for cell in cells):
            rows.append([case.name, *cells])
    if not rows:
        return None
    caption = "Kendall's tau-b between printed and our values; in brackets the number of methods. 1: the same order, 0: none of it."
    return Grid("Does the printed order of the methods hold?", ["data set", *map(arrowed, result.tested)], rows, caption)


def friedman_grid(result: Reproduced) -> Grid | None:
    """Return the Friedman test over data sets for every metric, with Nemenyi's critical difference; ``None`` for too few of either."""
    rows: list[list[str]] = []
    marked: set[tuple[int, int]] = set()
    for metric in result.tested:
        table = independent_table(result, metric)
        blocks, k = table.shape
        if blocks < 2 or k < 3:
            continue
        test = stats.friedman(table, direction(metric))
        marked |= {(len(rows), 2)} if test.f_p < 0.05 else set()
        best = result.ranked[int(np.argmin(test.ranks))]
        difference = stats.critical_difference(k, blocks)
        alike = [name for name, rank in zip(result.ranked, test.ranks) if name != best and rank - test.ranks.min() < difference]
        rows.append(
            [arrowed(metric), f"{test.f:.2f}", f"{test.f_p:.2g}", str(blocks), str(k), f"{difference:.2f}", best, ", ".join(alike) or "-"]
        )
    if not rows:
        return None
    caption = (
        "F in the form of Iman and Davenport over independent data sets; p below 0.05 marked. CD: average ranks that differ by less cannot "
        f"be told apart at 5 % (Nemenyi).{_left_out(result)}"
    )
    header = ["metric", "F", "p", "data sets", "methods", "CD", "best", "not told apart from the best"]
    return Grid("Do the methods differ at all? Friedman test", header, rows, caption, frozenset(marked))


def pairs_grid(result: Reproduced, title: str, pairs: Pairs) -> Grid | None:
    """Return the Wilcoxon test of methods against rivals, with Holm's correction over the table; ``None`` if nothing can be tested.

    Cells read ``wins-draws-losses mean difference p (Holm-adjusted p)``; the difference is positive where the method is better.

    Args:
        result: The numbers.
        title: What is asked.
        pairs: Each a method, then its rivals; on each data set the best of them counts. Names that did not run are passed over.
    """
    ran = set(result.arms)
    asked = [(pair[0], [name for name in pair[1:] if name in ran]) for pair in pairs if pair[0] in ran]
    asked = [(method, rivals) for method, rivals in asked if rivals]
    found = [[result.against(method, rivals, metric) for metric in result.tested] for method, rivals in asked]
    if not any(len(mine) for line in found for mine, _ in line):
        return None
    tests = [
        [stats.wilcoxon(*pair, direction(metric)) if len(pair[0]) else None for pair, metric in zip(line, result.tested)] for line in found
    ]
    p = np.array([[math.nan if test is None else test.p for test in line] for line in tests])
    adjusted = stats.holm(p.ravel()).reshape(p.shape)
    rows: list[list[str]] = []
    for r, (method, rivals) in enumerate(asked):
        cells = []
        for c, (metric, test) in enumerate(zip(result.tested, tests[r])):
            mine, theirs = found[r][c]
            gain = float(np.mean(mine - theirs)) * (1 if direction(metric) == "max" else -1) if len(mine) else math.nan
            score = None if test is None else f"{test.wins}-{test.draws}-{test.losses}"
            cells.append("-" if test is None else f"{score} {gain:+.5f} p={test.p:.2g} ({adjusted[r, c]:.2g})")
        rows.append([method, rivals[0] if len(rivals) == 1 else f"best of {', '.join(rivals)}", *cells])
    rivals_chosen = any(len(rivals) > 1 for _, rivals in asked)
    caption = _pairs_caption(result, max(len(mine) for line in found for mine, _ in line), int(np.isfinite(p).sum()), rivals_chosen)
    marked = frozenset((r, c + 2) for r, c in zip(*np.nonzero(adjusted < 0.05)))
    return Grid(title, ["method", "against", *map(arrowed, result.tested)], rows, caption, marked)


def independent_table(result: Reproduced, metric: str) -> np.ndarray:
    """Return means of the ranked methods on the independent data sets on which all have a value, shape (data sets, methods)."""
    table = result.table(result.ranked, [case.name for case in result.independent()], metric)
    whole: np.ndarray = table[~np.isnan(table).any(axis=1)]
    return whole


def reproduction_csv(result: Reproduced) -> str:
    """Return one line for each data set, method and metric, for further use."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "method", "metric", "direction", "mean", "std", "cells", "published", "difference"])
    for case in result.cases:
        for method in result.arms:
            for metric in result.metrics:
                mean, deviation = result.mean(method, case.name, metric), result.deviation(method, case.name, metric)
                if math.isnan(mean):
                    continue
                theirs, count = result.printed(method, case.name, metric), len(result.values(method, case.name, metric))
                apart = "" if theirs is None else mean - theirs
                writer.writerow(
                    [case.name, method, metric, direction(metric), mean, "" if math.isnan(deviation) else deviation, count, theirs, apart]
                )
    return text.getvalue()


def _beside(ours: float, theirs: float | None, digits: int) -> str:
    return number(ours) + ("" if theirs is None else f" ({theirs:.{digits}f})")


def _better(ours: float, theirs: float, metric: str, digits: int) -> str:
    apart = round(ours - theirs, digits) * (1 if direction(metric) == "max" else -1)
    return "equal" if apart == 0 else "here" if apart > 0 else "published"


def _is_best(means: np.ndarray, method: int, metric: str) -> bool:
    if np.isnan(means[method]) or len(means) < 2:
        return False
    return bool(means[method] == (np.nanmax(means) if direction(metric) == "max" else np.nanmin(means)))


def _ranked_over(result: Reproduced, over: Sequence[str]) -> str:
    if not over:
        return "No data set has a value for every method yet, so there are no ranks."
    dropped = [name for name in result.arms if name not in result.ranked]
    text = (
        f"Rank: 1 is best, ties share; averaged over {len(over)} data set{'s' * (len(over) != 1)} among {len(result.ranked)} methods"
        + (f", without {', '.join(dropped)}, which does not run on all of them" if dropped else "")
        + "."
    )
    unfinished = [case.name for case in result.cases if case.name not in over]
    return text + (f" Not in the ranks, since values are missing: {', '.join(unfinished)}." if unfinished else "")


def _pairs_caption(result: Reproduced, pairs: int, tests: int, rivals_chosen: bool) -> str:
    best = " Of several rivals the best on each data set counts, chosen on the test rows, which favours them." * rivals_chosen
    return (
        f"Wins-draws-losses over {pairs} independent data set{'s' * (pairs != 1)}, mean difference (positive: better), p of the two-sided "
        f"Wilcoxon signed-rank test, in brackets after Holm's correction for the {tests} tests; below 0.05 after correction marked. The "
        f"smallest p that this number of data sets can give is {2.0 ** (1 - pairs):.2g}.{best}{_left_out(result)}"
    )


def _left_out(result: Reproduced) -> str:
    kept = {case.name for case in result.independent()}
    left = [case.name for case in result.cases if case.name not in kept]
    return f" Left out as other versions of the same data: {', '.join(left)}." if left else ""
