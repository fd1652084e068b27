"""Published numbers, to stand next to ours: one TOML file (the experiment) and one CSV file (the printed values) a paper."""

import csv
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from polytag.errors import DataError, UnknownNameError
from polytag.papers.experiment import PaperGroup, PaperMethod, PaperQuestion, PaperSet, PaperTrial
from polytag.registry import unknown

AVERAGE_RANK = "average rank"
"""Stands in the column of data sets where a paper prints a method's rank averaged over them."""


@dataclass(frozen=True)
class Paper:
    """The experiment of a paper and the values that it prints.

    Attributes:
        key: Name used here.
        title: Title.
        authors: Authors.
        venue: Where it appeared.
        year: When.
        url: Where to read it.
        protocol: The protocol preset that follows its code.
        notes: What to know before comparing.
        datasets: The paper's own names of the data sets, in its order.
        dataset_notes: By the paper's name: how its data differ.
        metrics: Our metric -> its name in the paper.
        methods: What is compared, the paper's and ours beside it.
        sets: The data sets, the paper's and ours beside it.
        groups: What data sets that run under one protocol have in common, by name.
        protocols: Switches of methods that do not run under the protocol of the others, by name.
        questions: The claims to test.
        control: The method that the others are tested against; empty: none.
        trial: A small run; ``None`` if there is none.
        extra_metrics: Metrics of ours to show beside the paper's.
        digits: Digits after the point of the printed values.
        tolerance: Difference from a printed value within which it counts as reached; ``None``: none is named.
    """

    key: str
    title: str
    authors: str
    venue: str
    year: int
    url: str
    protocol: str
    notes: tuple[str, ...]
    datasets: tuple[str, ...]
    dataset_notes: dict[str, str]
    metrics: dict[str, str]
    methods: tuple[PaperMethod, ...]
    sets: tuple[PaperSet, ...]
    groups: dict[str, PaperGroup]
    protocols: dict[str, dict[str, Any]]
    questions: tuple[PaperQuestion, ...]
    control: str
    trial: PaperTrial | None
    extra_metrics: tuple[str, ...]
    digits: int
    tolerance: float | None
    _names: dict[str, dict[str, str]]
    _values: dict[tuple[str, str, str], float]

    @property
    def citation(self) -> str:
        """One line that names the paper."""
        return f"{self.authors}: {self.title}, {self.venue} {self.year}"

    def value(self, model: str, dataset: str, selector: str, metric: str) -> float | None:
        """Return the printed value of a model and a selector, or ``None`` where the paper has none.

        Args:
            model: Our name, or the paper's.
            dataset: Our name, or the paper's.
            selector: Our name, or the paper's.
            metric: Our name, or the paper's.
        """
        return self.printed(f"{self._theirs('models', model)}, {self._theirs('selectors', selector)}", dataset, metric)

    def printed(self, method: str, dataset: str, metric: str) -> float | None:
        """Return the printed value of a row of the paper's tables, or ``None`` where it has none.

        Args:
            method: The paper's name; where its tables are laid out by model and selector, ``"CLIF, Adaptive"``.
            dataset: Our name, or the paper's.
            metric: Our name, or the paper's.
        """
        return self._values.get((method, self._theirs("datasets", dataset), self.metrics.get(metric, metric)))

    def printed_rank(self, method: str, metric: str) -> float | None:
        """Return the rank averaged over its data sets that the paper prints, or ``None``; arguments as in ``printed``."""
        return self._values.get((method, AVERAGE_RANK, self.metrics.get(metric, metric)))

    def dataset_note(self, dataset: str) -> str | None:
        """Say how the paper's data set of this name (ours or theirs) differs from the public file; ``None`` if it does not."""
        return self.dataset_notes.get(self._theirs("datasets", dataset))

    def own_settings(self, one: PaperSet, protocol: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the switches and the values of a data set that count for the methods under one of the ``protocols``.

        What those methods say themselves goes before what the data set says; values that none of them takes do not count.

        Args:
            one: One of ``sets``.
            protocol: Name of the protocol; empty: that of the methods without one of their own.
        """
        taken = {name for method in self.methods if method.protocol == protocol for name in method.gaps}
        said = {name for name, value in self.protocols.get(protocol, {}).items() if not isinstance(value, Mapping)}
        switches = {name: value for name, value in one.protocol.items() if name not in said}
        return switches, {name: value for name, value in one.params.items() if name in taken}

    def _theirs(self, kind: str, name: str) -> str:
        return self._names.get(kind, {}).get(name, name)


def paper_names() -> list[str]:
    """Return the keys of all papers."""
    return sorted(entry.name.removesuffix(".toml") for entry in files("polytag.papers").iterdir() if entry.name.endswith(".toml"))


def load_paper(key: str) -> Paper:
    """Read a paper's experiment and numbers.

    Args:
        key: One of ``paper_names()``, or the path of a TOML file with a CSV file of the same name beside it.

    Raises:
        UnknownNameError: There is no paper of that key; the message names the nearest ones.
        DataError: A field of the file is missing or does not exist, or a value is printed twice with different digits.

    Example:
        >>> load_paper("adaptive-2024").value("clif", "yeast", "adaptive", "macro_auc")
        0.7191
        >>> load_paper("flem-2022").printed("FLEM-D", "Reuters", "hamming_loss")
        0.0041
    """
    path = Path(key)
    if path.suffix == ".toml" and path.is_file():
        return _read(path, path.with_suffix(".csv"))
    if key not in paper_names():
        raise UnknownNameError(unknown("paper", key, paper_names()))
    folder = files("polytag.papers")
    return _read(folder.joinpath(f"{key}.toml"), folder.joinpath(f"{key}.csv"))


def _read(experiment: Traversable, numbers: Traversable) -> Paper:
    try:
        about = tomllib.loads(experiment.read_text(encoding="utf-8"))
        rows = list(csv.DictReader(numbers.read_text(encoding="utf-8").splitlines()))
        values = _values(rows)
        paper = Paper(
            **{name: about[name] for name in ("key", "title", "authors", "venue", "year", "url", "protocol", "metrics")},
            notes=tuple(about["notes"]),
            datasets=tuple(dict.fromkeys(row["dataset"] for row in rows if row["dataset"] != AVERAGE_RANK)),
            dataset_notes=about.get("dataset_notes", {}),
            methods=tuple(PaperMethod(**method) for method in about["methods"]),
            sets=tuple(PaperSet(**one) for one in about["sets"]),
            groups=_groups(about.get("groups", {})),
            protocols=about.get("protocols", {}),
            questions=tuple(PaperQuestion(**question) for question in about.get("questions", [])),
            control=about.get("control", ""),
            trial=PaperTrial(**about["trial"]) if "trial" in about else None,
            extra_metrics=tuple(about.get("extra_metrics", [])),
            digits=about.get("digits", 4),
            tolerance=about.get("tolerance"),
            _names={kind: about.get(kind, {}) for kind in ("models", "datasets", "selectors", "metrics")},
            _values=values,
        )
    except (KeyError, TypeError, tomllib.TOMLDecodeError, OSError) as error:
        raise DataError(
            f"expected a paper's experiment and its numbers beside it, but {experiment.name} has a missing or unknown field, "
            f"or is no TOML: {error}; docs/reproduce.md says what stands there"
        ) from error
    _check(paper)
    return paper


def _check(paper: Paper) -> None:
    """Refuse names that lead nowhere: a group, protocol or method that is not described, a value that a data set does not have.

    Raises:
        DataError: There is one.
    """
    for method in paper.methods:
        if method.protocol and method.protocol not in paper.protocols:
            raise DataError(unknown(f"protocol of {method.name}", method.protocol, list(paper.protocols)))
    names = [method.name for method in paper.methods]
    for group in paper.groups.values():
        for name in group.without:
            if name not in names:
                raise DataError(unknown(f"method left out of group {group.name}", name, names))
    for one in paper.sets:
        if one.group not in paper.groups:
            raise DataError(unknown(f"group of {one.name}", one.group, list(paper.groups)))
        for method in paper.methods:
            if method.name not in paper.groups[one.group].without:
                _filled(method, one)


def _filled(method: PaperMethod, one: PaperSet) -> None:
    try:
        method.filled(one.params)
    except DataError as error:
        raise DataError(f"{one.name}: {error}") from None


def _groups(about: Mapping[str, Mapping[str, Any]]) -> dict[str, PaperGroup]:
    return {name: PaperGroup(name, **about.get(name, {})) for name in dict.fromkeys(["main", *about])}


def _values(rows: Iterable[Mapping[str, str]]) -> dict[tuple[str, str, str], float]:
    """Return (method, data set, metric) -> printed value."""
    found: dict[tuple[str, str, str], float] = {}
    for row in rows:
        method = row["method"] if "method" in row else f"{row['model']}, {row['selector']}"
        place = (method, row["dataset"], row["metric"])
        if found.setdefault(place, float(row["value"])) != float(row["value"]):
            raise DataError(f"expected one printed value of {', '.join(place)}, but got {found[place]} and {row['value']}")
    return found
