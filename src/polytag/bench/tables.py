"""The tables of a comparison: scores, ranks, tests, time, and published values next to ours."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from polytag.bench import stats
from polytag.bench.grid import Grid
from polytag.bench.results import Results, direction

Published: TypeAlias = Callable[[str, str, str, str], float | None]
"""(model, data set, selector, metric) -> printed value; the ``value`` method of a ``polytag.papers.Paper``."""

ARROWS = {"max": "↑", "min": "↓"}

_FEW_MODELS = 2
"""Up to so many models have a table each; more share one table a data set."""


def all_tables(results: Results, published: Published | None = None) -> list[Grid]:
    """Return every table that the results allow.

    Args:
        results: The numbers.
        published: Where to look up printed values.
    """
    tables = score_tables(results) if len(results.backbones) <= _FEW_MODELS else method_tables(results)
    if len(results.backbones) > 1:
        tables.append(method_rank_table(results))
    if results.compared:
        tables += [rank_table(results), *friedman_tables(results), *wilcoxon_tables(results)]
    tables.append(time_table(results))
    if published is not None:
        tables += published_table(results, published)
    return tables


def score_tables(results: Results) -> list[Grid]:
    """Return mean and standard deviation over folds of every metric, one table a data set and model; the best mean is marked."""
    return [
        _scores(results, dataset, [(backbone, strategy) for strategy in results.strategies_of(backbone)], one_model=True)
        for dataset in results.datasets
        for backbone in results.backbones
    ]


def method_tables(results: Results) -> list[Grid]:
    """Return mean and standard deviation over folds of every metric, all models and selectors in one table a data set."""
    methods = [(method.backbone, method.strategy) for method in results.experiment.methods]
    return [_scores(results, dataset, methods, one_model=False) for dataset in results.datasets]


def _scores(results: Results, dataset: str, methods: Sequence[tuple[str, str]], *, one_model: bool) -> Grid:
    names = results.shown(dataset)
    rows: list[list[str]] = []
    marked: set[tuple[int, int]] = set()
    means = np.array([[results.mean(dataset, *method, metric) for metric in names] for method in methods])
    for r, method in enumerate(methods):
        title = [method[1]] if one_model else list(method)
        rows.append([*title, *(number(means[r, c], results.deviation(dataset, *method, metric)) for c, metric in enumerate(names))])
        marked |= {(r, c + len(title)) for c, metric in enumerate(names) if len(means) > 1 and _is_best(means[:, c], r, metric)}
    caption = f"Mean ± standard deviation over {_folds(results, dataset, methods)}; best mean marked."
    header = [*(["strategy"] if one_model else ["model", "strategy"]), *map(arrowed, names)]
    return Grid(f"{dataset}, {methods[0][0]}" if one_model else dataset, header, rows, caption, frozenset(marked))


def method_rank_table(results: Results) -> Grid:
    """Return the average rank of each method, model and selector together, over the data sets."""
    names, methods = results.ranked, results.experiment.methods
    found = [results.method_ranks(metric) for metric in names]
    table = np.array([ranks for ranks, _ in found]).T
    table = np.column_stack([table, table.mean(axis=1)])
    lowest = [np.nanmin(table[:, c], initial=math.inf) for c in range(table.shape[1])]
    rows = [[method.backbone, method.strategy, *(number(rank, digits=2) for rank in table[r])] for r, method in enumerate(methods)]
    marked = {(r, c + 2) for r in range(len(rows)) for c in range(table.shape[1]) if table[r, c] == lowest[c]}
    counted = max(count for _, count in found)
    over = f"{counted} data set{'s' * (counted != 1)}"
    caption = f"Rank of the mean among all {len(methods)} methods (1 is best, ties share), averaged over {over}."
    return Grid("Average ranks of all methods", ["model", "strategy", *map(arrowed, names), "mean"], rows, caption, frozenset(marked))


def rank_table(results: Results) -> Grid:
    """Return the average rank of each strategy over the data sets, for every model and metric."""
    names, counted = results.ranked, 0
    rows: list[list[str]] = []
    marked: set[tuple[int, int]] = set()
    for backbone in results.compared:
        columns = []
        for metric in names:
            ranks, count = results.average_ranks(backbone, metric)
            columns.append(ranks)
            counted = max(counted, count)
        table = np.array(columns).T
        table = np.column_stack([table, table.mean(axis=1)])
        for r, strategy in enumerate(results.strategies_of(backbone)):
            marked |= {(len(rows), c + 2) for c in range(table.shape[1]) if table[r, c] == np.nanmin(table[:, c], initial=math.inf)}
            rows.append([backbone, strategy, *(number(rank, digits=2) for rank in table[r])])
    caption = f"Rank of the mean within each data set (1 is best, ties share), averaged over {counted} data set{'s' * (counted != 1)}."
    return Grid("Average ranks", ["model", "strategy", *map(arrowed, names), "mean"], rows, caption, frozenset(marked))


def friedman_tables(results: Results) -> list[Grid]:
    """Return the Friedman test of all strategies at once, for every model and metric; nothing for fewer than three strategies.

    Cells read ``F p`` in the form of Iman and Davenport; those below 5 % are marked.
    """
    rows: list[list[str]] = []
    marked: set[tuple[int, int]] = set()
    sizes = set()
    for backbone in results.compared:
        row = [backbone]
        for c, metric in enumerate(results.ranked, start=1):
            found = results.friedman(backbone, metric)
            row.append("-" if found is None else f"{found[0].f:.2f} p={found[0].f_p:.2g}")
            if found is not None:
                sizes.add(found[1])
                marked |= {(len(rows), c)} if found[0].f_p < 0.05 else set()
        rows.append(row)
    if not sizes:
        return []
    k, blocks = max(len(results.strategies_of(backbone)) for backbone in results.compared), max(sizes)
    caption = (
        f"F statistic and p over {blocks} {results.blocks().over}; below 0.05 marked. Average ranks over these blocks that differ by less "
        f"than {stats.critical_difference(k, blocks):.2f} cannot be told apart at 5 % (Nemenyi, {k} strategies)."
    )
    header = ["model", *map(arrowed, results.ranked)]
    return [Grid("Do the strategies differ at all? Friedman test", header, rows, caption, frozenset(marked))]


def wilcoxon_tables(results: Results) -> list[Grid]:
    """Return the Wilcoxon test of each strategy against the control, for every model and metric.

    Cells read ``wins-draws-losses p (Holm-adjusted p)``; those significant at 5 % after adjustment are marked.
    """
    names, sizes = results.ranked, set()
    rows: list[list[str]] = []
    marked: set[tuple[int, int]] = set()
    for backbone in results.compared:
        others = [strategy for strategy in results.strategies_of(backbone) if strategy != results.control]
        found = [[results.compare(backbone, strategy, metric) for metric in names] for strategy in others]
        p = np.array([[math.nan if test is None else test.p for test in line] for line in found])
        adjusted = stats.holm(p.ravel()).reshape(p.shape)
        for r, strategy in enumerate(others):
            marked |= {(len(rows), c + 2) for c in range(len(names)) if adjusted[r, c] < 0.05}
            rows.append([backbone, strategy, *(_tested(test, adjusted[r, c]) for c, test in enumerate(found[r]))])
        sizes |= {test.wins + test.draws + test.losses for line in found for test in line if test is not None}
    if not sizes:
        return []
    title = f"Against {results.control}: two-sided Wilcoxon signed-rank test"
    return [
        Grid(title, ["model", "strategy", *map(arrowed, names)], rows, _test_caption(results, max(sizes), len(names)), frozenset(marked))
    ]


def time_table(results: Results) -> Grid:
    """Return what training took, which share of it selection took, and how soon the control's lowest training loss was reached."""
    rows: list[list[str]] = []
    for dataset in results.datasets:
        for backbone in results.backbones:
            for strategy in results.strategies_of(backbone):
                train, select, setup, total = (
                    results.seconds(dataset, backbone, strategy, k) for k in ("train", "select", "setup", "total")
                )
                alone = strategy == results.control or backbone not in results.compared
                gap = None if alone else results.time_to_loss(dataset, backbone, strategy)
                reached = "" if alone else "not reached" if gap is None else f"{100 * gap:+.0f} %"
                share = math.nan if not train > 0 else 100 * select / train
                rows.append(
                    [dataset, backbone, strategy, number(train, digits=1), f"{number(share, digits=1)} %", number(setup, digits=2),
                     number(total, digits=1), reached]
                )  # fmt: skip
    header = ["data set", "model", "strategy", "training s", "selection", "set-up s", "cell s", f"to {results.control}'s loss"]
    caption = (
        "Mean over cells. Training time includes selection and no evaluation; selection is the share of it spent choosing batches and in "
        "update(); set-up builds the selector; cell is everything. Last column: change of the training time until the full training loss "
        f"is as low as {results.control} ever gets it, if every fold gets there."
    )
    return Grid("Time", header, rows, caption)


def published_table(results: Results, published: Published) -> list[Grid]:
    """Return printed values next to ours, with the sign of the difference to the control in both; empty if nothing was printed."""
    agree, compared = 0, 0
    rows: list[list[str]] = []
    for dataset in results.datasets:
        for method in results.experiment.methods:
            for metric in results.shown(dataset):
                theirs = published(method.model, dataset, method.selector, metric)
                if theirs is None:
                    continue
                ours = results.mean(dataset, method.backbone, method.strategy, metric)
                base = published(method.model, dataset, results.control, metric)
                mine = results.mean(dataset, method.backbone, results.control, metric)
                verdict = ""
                if method.strategy != results.control and base is not None and not math.isnan(ours - mine):
                    sign = 1 if direction(metric) == "max" else -1
                    signs = [_sign(sign * (theirs - base)), _sign(sign * (ours - mine))]
                    compared, agree = compared + 1, agree + (signs[0] == signs[1])
                    verdict = f"{signs[0]} / {signs[1]}"
                deviation = results.deviation(dataset, method.backbone, method.strategy, metric)
                rows.append([dataset, method.backbone, method.strategy, arrowed(metric), f"{theirs:.4f}", number(ours, deviation), verdict])
    if not rows:
        return []
    caption = (
        f"Last column: better (+), equal (=) or worse (-) than {results.control}, as printed / here. "
        f"The printed sign holds here in {agree} of {compared} comparisons. "
        "Protocols differ unless the report says otherwise; read the values as orientation."
    )
    header = ["data set", "model", "strategy", "metric", "published", "here", "sign"]
    return [Grid("Published values next to ours", header, rows, caption)]


def values_csv(results: Results, published: Published | None = None) -> str:
    """Return one line for each data set, model, strategy and metric, for further use."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "model", "strategy", "metric", "direction", "mean", "std", "folds", "published"])
    for dataset in results.datasets:
        for method in results.experiment.methods:
            for metric in _measured(results):
                place = (dataset, method.backbone, method.strategy, metric)
                mean, deviation = results.mean(*place), results.deviation(*place)
                if math.isnan(mean):
                    continue
                theirs = None if published is None else published(method.model, dataset, method.selector, metric)
                count = int(np.isfinite(results.values(*place)).sum())
                writer.writerow([*place, direction(metric), mean, "" if math.isnan(deviation) else deviation, count, theirs])
    return text.getvalue()


def arrowed(metric: str) -> str:
    """Return the name of a metric with the arrow of its good direction.

    Example:
        >>> arrowed("hamming_loss")
        'hamming_loss ↓'
    """
    return f"{metric} {ARROWS[direction(metric)]}"


def number(value: float, deviation: float = math.nan, digits: int = 4) -> str:
    """Write a value, with its deviation if there is one; ``-`` if there is none.

    Example:
        >>> number(0.5), number(0.5, 0.01), number(float("nan"))
        ('0.5000', '0.5000 ± 0.0100', '-')
    """
    if math.isnan(value):
        return "-"
    return f"{value:.{digits}f}" if math.isnan(deviation) else f"{value:.{digits}f} ± {deviation:.{digits}f}"


def _measured(results: Results) -> list[str]:
    """Return all metrics that the records hold, those of the tables first."""
    return list(dict.fromkeys([*results.experiment.metrics, *(name for record in results.records for name in record.metrics)]))


def _folds(results: Results, dataset: str, methods: Sequence[tuple[str, str]]) -> str:
    """Say how many folds are in the means; means over different folds must not be taken for comparable."""
    counts = [len(results.cells(dataset, *method)) for method in methods]
    if len(set(counts)) == 1:
        runs = "test folds" if results.experiment.protocol.folds > 1 else "seeds on the published test part"
        return f"{counts[0]} {runs}"
    one_model = len({backbone for backbone, _ in methods}) == 1
    named = [strategy if one_model else f"{backbone} with {strategy}" for backbone, strategy in methods]
    each = ", ".join(f"{name} {count}" for name, count in zip(named, counts))
    return f"the test folds that are finished (NOT the same for all: {each})"


def _is_best(column: np.ndarray, row: int, metric: str) -> bool:
    if np.isnan(column[row]):
        return False
    best = np.nanmax(column) if direction(metric) == "max" else np.nanmin(column)
    return bool(column[row] == best)


def _tested(test: stats.Wilcoxon | None, adjusted: float) -> str:
    return "-" if test is None else f"{test.wins}-{test.draws}-{test.losses} {test.p:.3g} ({adjusted:.3g})"


def _test_caption(results: Results, pairs: int, metric_count: int) -> str:
    blocks = results.blocks()
    where = f"over {pairs} {blocks.over}"
    if blocks.over == "folds":
        sets = f"{len(blocks.names)} independent data set{'s' * (len(blocks.names) != 1)}"
        where += f" of {sets} (fewer than six, so folds stand in; folds share training rows, which makes p too small)"
    left = f" Left out as other versions of the same data: {', '.join(blocks.left_out)}." if blocks.left_out else ""
    family = (max(len(results.strategies_of(backbone)) for backbone in results.compared) - 1) * metric_count
    return (
        f"Pairs {where}.{left} Cells: wins-draws-losses, p, and in brackets p after Holm's correction for the {family} tests of a model; "
        f"below 0.05 after correction marked. The smallest p that {pairs} pairs can give is {2.0 ** (1 - pairs):.2g}."
    )


def _sign(difference: float) -> str:
    return "=" if abs(difference) < 5e-5 else "+" if difference > 0 else "-"
