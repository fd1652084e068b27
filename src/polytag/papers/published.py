"""Published numbers, to stand next to ours: one TOML file (the experiment) and one CSV file (the printed values) a paper."""

import csv
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from polytag.errors import UnknownNameError
from polytag.registry import unknown


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
    _names: dict[str, dict[str, str]]
    _values: dict[tuple[str, str, str, str], float]

    @property
    def citation(self) -> str:
        """One line that names the paper."""
        return f"{self.authors}: {self.title}, {self.venue} {self.year}"

    def value(self, model: str, dataset: str, selector: str, metric: str) -> float | None:
        """Return the printed value, or ``None`` where the paper has none.

        Args:
            model: Our name, or the paper's.
            dataset: Our name, or the paper's.
            selector: Our name, or the paper's.
            metric: Our name, or the paper's.
        """
        asked = {"models": model, "datasets": dataset, "selectors": selector, "metrics": metric}
        theirs = tuple(self._names[kind].get(name, name) for kind, name in asked.items())
        return self._values.get(theirs)  # type: ignore[arg-type]  # four names, as the keys of asked

    def dataset_note(self, dataset: str) -> str | None:
        """Say how the paper's data set of this name (ours or theirs) differs from the public file; ``None`` if it does not."""
        return self.dataset_notes.get(self._names["datasets"].get(dataset, dataset))


def paper_names() -> list[str]:
    """Return the keys of all papers."""
    return sorted(entry.name.removesuffix(".toml") for entry in files("polytag.papers").iterdir() if entry.name.endswith(".toml"))


def load_paper(key: str) -> Paper:
    """Read a paper's experiment and numbers.

    Raises:
        UnknownNameError: There is no paper of that key; the message names the nearest ones.

    Example:
        >>> load_paper("adaptive-2024").value("clif", "yeast", "adaptive", "macro_auc")
        0.7191
    """
    if key not in paper_names():
        raise UnknownNameError(unknown("paper", key, paper_names()))
    folder = files("polytag.papers")
    about: dict[str, Any] = tomllib.loads(folder.joinpath(f"{key}.toml").read_text(encoding="utf-8"))
    rows = list(csv.DictReader(folder.joinpath(f"{key}.csv").read_text(encoding="utf-8").splitlines()))
    values = {(row["model"], row["dataset"], row["selector"], row["metric"]): float(row["value"]) for row in rows}
    return Paper(
        **{name: about[name] for name in ("key", "title", "authors", "venue", "year", "url", "protocol", "dataset_notes")},
        notes=tuple(about["notes"]),
        datasets=tuple(dict.fromkeys(row["dataset"] for row in rows)),
        _names={kind: about[kind] for kind in ("models", "datasets", "selectors", "metrics")},
        _values=values,
    )
