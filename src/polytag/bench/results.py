"""The records of an experiment, laid out so that tables and plots can ask for numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from polytag import metrics
from polytag.bench import stats
from polytag.bench.method import Method
from polytag.bench.record import Record
from polytag.bench.spec import SHOWN_METRICS, SHOWN_UNDER_A_HIERARCHY, Experiment
from polytag.data import catalogue
from polytag.errors import UnknownNameError
from polytag.types import Array

ENOUGH_FAMILIES = 6
"""Independent data sets from which on tests run over data sets: with five, no two-sided Wilcoxon test can reach p < 0.05."""


@dataclass(frozen=True)
class Blocks:
    """What a test is made over.

    Attributes:
        over: ``"data sets"`` or ``"folds"``.
        names: Data sets that count.
        left_out: Data sets that share their family with one that counts.
    """

    over: Literal["data sets", "folds"]
    names: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """Numbers of an experiment, by data set, backbone (the model) and strategy (the selector; ``"none"`` for classical models).

    Args:
        experiment: What was asked for.
        records: Its finished cells.
    """

    experiment: Experiment
    records: Sequence[Record]
    _found: dict[tuple[str, str, str], dict[tuple[int, int], Record]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for record in self.records:
            method = Method(**record.method)
            place = (record.dataset["name"], method.backbone, method.strategy)
            self._found.setdefault(place, {})[record.seed, record.fold] = record

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets, as asked for."""
        return list(self.experiment.datasets)

    @property
    def backbones(self) -> list[str]:
        """Models, as asked for."""
        return list(dict.fromkeys(method.backbone for method in self.experiment.methods))

    @property
    def strategies(self) -> list[str]:
        """Selectors, as asked for, over all models."""
        return list(dict.fromkeys(method.strategy for method in self.experiment.methods))

    def strategies_of(self, backbone: str) -> list[str]:
        """Selectors that were asked for with this model; a classical model has ``"none"``."""
        return list(dict.fromkeys(method.strategy for method in self.experiment.methods if method.backbone == backbone))

    @property
    def compared(self) -> list[str]:
        """Models with more than one selector, between which selectors can be compared."""
        return [backbone for backbone in self.backbones if len(self.strategies_of(backbone)) > 1]

    @property
    def control(self) -> str:
        """The strategy that the others are compared with: Random, or the first."""
        return next((name for name in self.strategies if name.split("(")[0] == "random"), self.strategies[0])

    @property
    def missing(self) -> int:
        """Number of cells without a record."""
        return len(list(self.experiment.cells())) - len(self.records)

    def shown(self, dataset: str) -> list[str]:
        """Return the metrics of a data set's table: those asked for, or the usual ones, to which a hierarchy over its labels adds some."""
        usual = tuple(self.experiment.metrics) == SHOWN_METRICS
        return [*self.experiment.metrics, *(SHOWN_UNDER_A_HIERARCHY if usual and self._has_hierarchy(dataset) else ())]

    @property
    def ranked(self) -> list[str]:
        """Metrics of the tables over data sets: those that are shown for each of them; but not ``hvr`` unasked, which ignores the truth."""
        each = [self.shown(dataset) for dataset in self.datasets]
        return [name for name in each[0] if all(name in shown for shown in each) and (name != "hvr" or name in self.experiment.metrics)]

    def _has_hierarchy(self, dataset: str) -> bool:
        """Say whether records of the data set hold what only a hierarchy gives."""
        return any("h_f1" in record.metrics for record in self.records if record.dataset["name"] == dataset)

    def cells(self, dataset: str, backbone: str, strategy: str) -> dict[tuple[int, int], Record]:
        """Return the records of one method on one data set by (seed, fold)."""
        return self._found.get((dataset, backbone, strategy), {})

    def values(self, dataset: str, backbone: str, strategy: str, metric: str) -> Array:
        """Return a metric for every fold of every seed, NaN where there is none; shape (seeds * folds,)."""
        protocol = self.experiment.protocol
        found = self.cells(dataset, backbone, strategy)
        places = [(seed, fold) for seed in protocol.seeds for fold in range(protocol.folds)]
        return np.array([found[place].metrics.get(metric, np.nan) if place in found else np.nan for place in places])

    def mean(self, dataset: str, backbone: str, strategy: str, metric: str) -> float:
        """Return the mean over folds and seeds of what is there; NaN if nothing is."""
        values = self.values(dataset, backbone, strategy, metric)
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def deviation(self, dataset: str, backbone: str, strategy: str, metric: str) -> float:
        """Return the sample standard deviation (n - 1) over folds and seeds; NaN for fewer than two values."""
        values = self.values(dataset, backbone, strategy, metric)
        values = values[np.isfinite(values)]
        return float(values.std(ddof=1)) if len(values) > 1 else float("nan")

    def average_ranks(self, backbone: str, metric: str) -> tuple[Array, int]:
        """Return the average rank of each strategy over the data sets on which all have a value, and the number of these data sets."""
        return self._ranks([(backbone, strategy) for strategy in self.strategies_of(backbone)], metric)

    def method_ranks(self, metric: str) -> tuple[Array, int]:
        """Return the average rank of each method (model and selector) over the data sets on which all have a value, and their number."""
        return self._ranks([(method.backbone, method.strategy) for method in self.experiment.methods], metric)

    def _ranks(self, methods: Sequence[tuple[str, str]], metric: str) -> tuple[Array, int]:
        table = np.array([[self.mean(name, *method, metric) for method in methods] for name in self.datasets])
        whole = table[~np.isnan(table).any(axis=1)]
        if not len(whole):
            return np.full(len(methods), np.nan), 0
        return stats.average_ranks(whole, direction(metric)), len(whole)

    def blocks(self) -> Blocks:
        """Choose what tests run over: data sets if at least six are independent (one a family), otherwise folds."""
        first: dict[str, str] = {}
        for name in self.datasets:
            first.setdefault(_family(name), name)
        chosen = tuple(first.values())
        over: Literal["data sets", "folds"] = "data sets" if len(chosen) >= ENOUGH_FAMILIES else "folds"
        return Blocks(over, chosen, tuple(name for name in self.datasets if name not in chosen))

    def compare(self, backbone: str, strategy: str, metric: str) -> stats.Wilcoxon | None:
        """Test a strategy against the control; ``None`` if no pair of values is there."""
        table = self.over_blocks(backbone, (strategy, self.control), metric)
        return stats.wilcoxon(table[:, 0], table[:, 1], direction(metric)) if len(table) else None

    def friedman(self, backbone: str, metric: str) -> tuple[stats.Friedman, int] | None:
        """Test all strategies at once; return the test and its number of blocks, or ``None`` if there are too few of either."""
        strategies = self.strategies_of(backbone)
        table = self.over_blocks(backbone, strategies, metric)
        return (stats.friedman(table, direction(metric)), len(table)) if len(table) >= 2 and len(strategies) >= 3 else None

    def over_blocks(self, backbone: str, strategies: Sequence[str], metric: str) -> Array:
        """Return a metric of some strategies on each block, shape (blocks, strategies); only blocks on which all have a value."""
        blocks = self.blocks()
        rows: list[Sequence[float]] = []
        for name in blocks.names:
            if blocks.over == "data sets":
                rows.append([self.mean(name, backbone, each, metric) for each in strategies])
            else:
                rows += list(zip(*(self.values(name, backbone, each, metric) for each in strategies)))
        table = np.array(rows, dtype=float).reshape(-1, len(strategies))
        whole: Array = table[~np.isnan(table).any(axis=1)]
        return whole

    def histories(self, dataset: str, backbone: str, strategy: str, key: str) -> Array:
        """Return a column of the history, shape (cells, epochs), NaN where a run ended early or has no such value."""
        rows = [[epoch.get(key) for epoch in record.history] for record in self.cells(dataset, backbone, strategy).values()]
        width = max((len(row) for row in rows), default=0)
        padded = [[np.nan if value is None else value for value in row] + [np.nan] * (width - len(row)) for row in rows]
        return np.array(padded, dtype=float).reshape(len(rows), width)

    def seconds(self, dataset: str, backbone: str, strategy: str, kind: str) -> float:
        """Return the mean over cells of a time; NaN if there is none."""
        found = [record.seconds[kind] for record in self.cells(dataset, backbone, strategy).values()]
        return float(np.mean(found)) if found else float("nan")

    def time_to_loss(self, dataset: str, backbone: str, strategy: str) -> float | None:
        """Compare how soon a strategy reaches the lowest training loss that the control ever reaches.

        ``(T_S - T_C) / T_C`` with the training seconds until the full training loss is first at or below the control's lowest one; mean
        over cells. ``None`` when losses were not measured, or a cell never gets there.
        """
        shares = []
        for place, record in self.cells(dataset, backbone, strategy).items():
            control = self.cells(dataset, backbone, self.control).get(place)
            if control is None:
                return None
            goal, needed = _lowest_loss(control)
            mine = _seconds_to(record, goal)
            if goal is None or mine is None or not needed:
                return None
            shares.append((mine - needed) / needed)
        return float(np.mean(shares)) if shares else None


def direction(metric: str) -> Literal["max", "min"]:
    """Return whether a metric is better when it is large or when it is small."""
    return "max" if metrics.direction(metric) == "max" else "min"


def _family(name: str) -> str:
    try:
        return str(catalogue.entry(name).family)
    except UnknownNameError:
        return name


def _lowest_loss(record: Record) -> tuple[float | None, float]:
    losses = [epoch["train_loss"] for epoch in record.history if epoch["train_loss"] is not None]
    if not losses:
        return None, 0.0
    goal: float = min(losses)
    return goal, _seconds_to(record, goal) or 0.0


def _seconds_to(record: Record, goal: float | None) -> float | None:
    elapsed: float = 0.0
    for epoch in record.history:
        elapsed += float(epoch["seconds"])
        if goal is not None and epoch["train_loss"] is not None and epoch["train_loss"] <= goal:
            return elapsed
    return None
