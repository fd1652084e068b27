"""The experiment of a paper, run again: rows and columns under the paper's names, in one comparison for each protocol."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from polytag.bench import stats
from polytag.bench.method import Method
from polytag.bench.notation import read_call
from polytag.bench.record import Record
from polytag.bench.results import direction
from polytag.bench.spec import Experiment
from polytag.bench.store import Store, cell_key
from polytag.types import Array

Printed: TypeAlias = Callable[[str, str, str], float | None]
"""(method, data set, metric) -> printed value; the ``printed`` method of a ``polytag.papers.Paper``."""

PrintedRank: TypeAlias = Callable[[str, str], float | None]
"""(method, metric) -> printed average rank; the ``printed_rank`` method of a ``polytag.papers.Paper``."""

_NESTED = ("split", "preparation")


class Arm(NamedTuple):
    """A method under the name that the paper gives it."""

    name: str
    method: Method


class Case(NamedTuple):
    """A data set under the name that the paper gives it.

    Attributes:
        name: The paper's name, or one of ours.
        data: What ``load_dataset`` takes.
        family: Cases that share it hold the same data and count once in tests.
    """

    name: str
    data: str
    family: str


@dataclass(frozen=True)
class Leg:
    """The part of a reproduction that runs under one protocol: an ordinary comparison.

    Attributes:
        name: Name of its folder.
        title: What its data sets have in common.
        arms: Methods.
        cases: Data sets.
        experiment: Both, and the protocol.
        group: Name of the group that its data sets are of.
    """

    name: str
    title: str
    arms: tuple[Arm, ...]
    cases: tuple[Case, ...]
    experiment: Experiment
    group: str = ""


def arm(
    name: str,
    model: str,
    selector: str = "random",
    loss: str = "",
    enhance: str = "",
    search: Mapping[str, Any] | None = None,
    closure: str = "",
) -> Arm:
    """Read a method in the notation of tables.

    Args:
        name: What the paper calls it.
        model: Model, deep or classical, such as ``clif(hidden=256)``.
        selector: Batch selector.
        loss: Loss; empty: the model's own.
        enhance: Label enhancement; empty: none.
        search: Switch -> values of which the validation rows choose one.
        closure: How scores are made to agree with the hierarchy of the labels; empty: not at all.

    Raises:
        ParameterError: Something does not exist, or does not fit together.

    Example:
        >>> arm("FL", "linear", loss="focal(gamma=1)").method.loss_params
        {'gamma': 1}
    """
    given: dict[str, Any] = {"search": {key: list(values) for key, values in search.items()}} if search else {}
    given |= {"closure": closure} if closure else {}
    for part, call in (("model", model), ("selector", selector), ("loss", loss), ("enhance", enhance)):
        if call:
            given[part], params = read_call(call)
            given |= {f"{part}_params": params} if params else {}
    return Arm(name, Method(**given))


def leg(
    name: str,
    title: str,
    arms: Sequence[Arm],
    cases: Sequence[Case],
    metrics: Sequence[str],
    *protocol: Mapping[str, Any],
    group: str = "",
) -> Leg:
    """Put together what runs under one protocol.

    Args:
        name: Name of its folder.
        title: What its data sets have in common.
        arms: Methods.
        cases: Data sets.
        metrics: Metrics of the tables.
        *protocol: Switches; later ones count. Those of ``split`` and ``preparation`` are taken one by one.
        group: Name of the group that the data sets are of.

    Raises:
        ParameterError: A switch does not exist or makes no sense.
    """
    switches: dict[str, Any] = {}
    for given in protocol:
        nested = {part: {**switches.get(part, {}), **given[part]} for part in _NESTED if part in given}
        switches |= {**given, **nested}
    content: dict[str, Any] = {"datasets": [case.data for case in cases], "methods": [each.method for each in arms], "protocol": switches}
    experiment = Experiment(**content, metrics=tuple(metrics))
    return Leg(name, title, tuple(arms), tuple(cases), experiment, group)


@dataclass(frozen=True)
class Reproduced:
    """What came out of the legs of a reproduction, by the paper's names.

    Args:
        legs: What was asked for.
        printed: Where to look up printed values.
        printed_rank: Where to look up printed average ranks.
        extra: Metrics that are shown beside those of the paper, and not tested.
        digits: Digits after the point of the printed values.
        tolerance: Difference from a printed value within which it counts as reached; ``None``: none is named.

    Attributes:
        arms: Names of the methods of all legs.
        cases: Data sets of all legs.
        metrics: Metrics of the tables, the paper's and then the extra ones.
    """

    legs: Sequence[Leg]
    printed: Printed
    printed_rank: PrintedRank
    extra: Sequence[str] = ()
    digits: int = 4
    tolerance: float | None = None
    _cells: dict[tuple[str, str], list[Record | None]] = field(default_factory=dict, repr=False)

    def add(self, part: Leg, store: Store, hashes: Mapping[str, str]) -> None:
        """Take up the records of a leg.

        Args:
            part: One of the legs.
            store: Its folder.
            hashes: Content hash of every data set.
        """
        protocol = part.experiment.protocol
        for each in part.arms:
            for case in part.cases:
                places = [(fold, seed) for seed in protocol.seeds for fold in range(protocol.folds)]
                keys = (cell_key(hashes[case.data], each.method, protocol, *place) for place in places)
                self._cells[each.name, case.name] = [store.get(key) for key in keys]

    @property
    def arms(self) -> list[str]:
        """Names of the methods, in the order of the paper."""
        return list(dict.fromkeys(each.name for part in self.legs for each in part.arms))

    @property
    def cases(self) -> list[Case]:
        """The data sets, once each: the methods of one may run in several legs."""
        return list({case.name: case for part in self.legs for case in part.cases}.values())

    @property
    def metrics(self) -> list[str]:
        """Metrics of the tables."""
        return list(self.legs[0].experiment.metrics)

    @property
    def tested(self) -> list[str]:
        """Those metrics that the paper has; tests of further ones would cost its own some of their power."""
        return [metric for metric in self.metrics if metric not in self.extra]

    @property
    def ranked(self) -> list[str]:
        """Methods that take part on every data set; others would cost the ranks the sets that they are left out of."""
        taking_part = {(each.name, case.name) for part in self.legs for each in part.arms for case in part.cases}
        return [name for name in self.arms if all((name, case.name) in taking_part for case in self.cases)]

    def records(self, method: str, case: str) -> list[Record]:
        """Return the finished cells of a method on a data set."""
        return [record for record in self._cells.get((method, case), []) if record is not None]

    def missing(self) -> list[str]:
        """Name the methods and data sets with cells that have no record: a line for all data sets that lack as many of a method."""
        found: dict[tuple[str, str], list[str]] = {}
        for (method, case), cells in self._cells.items():
            if None in cells:
                found.setdefault((method, f"{len(cells) - cells.count(None)} of {len(cells)} cells"), []).append(case)
        return [f"{method} on {', '.join(cases)}: {count}{' each' if len(cases) > 1 else ''}" for (method, count), cases in found.items()]

    def values(self, method: str, case: str, metric: str) -> Array:
        """Return a metric for every finished cell in which it is defined."""
        found = np.array([record.metrics.get(metric, np.nan) for record in self.records(method, case)], dtype=np.float64)
        defined: Array = found[np.isfinite(found)]
        return defined

    def mean(self, method: str, case: str, metric: str) -> float:
        """Return the mean over folds and seeds; NaN if there is nothing."""
        found = self.values(method, case, metric)
        return float(found.mean()) if found.size else float("nan")

    def deviation(self, method: str, case: str, metric: str) -> float:
        """Return the sample standard deviation over folds and seeds; NaN for fewer than two values."""
        found = self.values(method, case, metric)
        return float(found.std(ddof=1)) if found.size > 1 else float("nan")

    def table(self, methods: Sequence[str], cases: Sequence[str], metric: str) -> Array:
        """Return means, shape (cases, methods), NaN where there is nothing."""
        found = [[self.mean(method, case, metric) for method in methods] for case in cases]
        return np.array(found, dtype=np.float64).reshape(len(cases), len(methods))

    def ranks(self, metric: str) -> tuple[dict[str, float], list[str]]:
        """Return the average rank of each of ``ranked`` (1 is best, ties share), and the data sets on which all of them have a value."""
        methods = self.ranked
        table = self.table(methods, [case.name for case in self.cases], metric)
        whole = ~np.isnan(table).any(axis=1)
        if len(methods) < 2 or not whole.any():
            return {}, []
        found = stats.average_ranks(table[whole], direction(metric))
        return dict(zip(methods, found.tolist())), [case.name for case, kept in zip(self.cases, whole) if kept]

    def independent(self) -> list[Case]:
        """Return the first case of each family: what tests run over."""
        first: dict[str, Case] = {}
        for case in self.cases:
            first.setdefault(case.family, case)
        return list(first.values())

    def against(self, method: str, rivals: Sequence[str], metric: str) -> tuple[Array, Array]:
        """Return the values of a method and of the best of its rivals on each independent data set that has both.

        The best rival is chosen on the tested rows themselves, which favours the rivals.
        """
        names = [case.name for case in self.independent()]
        mine = self.table([method], names, metric)[:, 0]
        sign = 1.0 if direction(metric) == "max" else -1.0
        theirs = np.where(np.isnan(found := self.table(rivals, names, metric)), -np.inf, sign * found).max(axis=1, initial=-np.inf) * sign
        both = np.isfinite(mine) & np.isfinite(theirs)
        return mine[both], theirs[both]
