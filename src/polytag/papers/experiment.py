"""What a paper compares, as its TOML file says it: methods in our notation, data sets and how to get them, questions to answer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polytag import registry
from polytag.data import catalogue
from polytag.data.parted import RECORD, is_folder_of_features
from polytag.errors import DataError, UnknownNameError

_GAP = re.compile(r"\{(\w+)\}")
"""Where a value of the data set stands in a method: ``chmcnn(hidden={hidden})``."""

_CALLS = ("model", "selector", "loss", "enhance")


@dataclass(frozen=True)
class PaperMethod:
    """One row of the paper's tables.

    Attributes:
        name: As the paper prints it; a name of ours where it prints none.
        model: Model, deep or classical, in the notation of tables: ``clif(hidden=256)``. What stands in braces, here and in the next three,
            is a value of the data set: ``chmcnn(hidden={hidden})``.
        selector: Batch selector, the same.
        loss: Loss, the same; empty: the model's own.
        enhance: Label enhancement, the same; empty: none.
        closure: How scores are made to agree with the hierarchy of the labels after training; empty: not at all.
        protocol: Name of the switches that it runs under instead of those of the others, one of the paper's ``protocols``; empty: none.
        search: Switch -> values of which the validation rows choose one.
        optional: Run only if it is named.
        note: What to know about it.
    """

    name: str
    model: str
    selector: str = "random"
    loss: str = ""
    enhance: str = ""
    closure: str = ""
    protocol: str = ""
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    optional: bool = False
    note: str = ""

    @property
    def gaps(self) -> set[str]:
        """Names of the values that it takes from the data set."""
        return {name for part in _CALLS for name in _GAP.findall(getattr(self, part))}

    def filled(self, params: Mapping[str, Any]) -> "PaperMethod":
        """Return the method with the values of a data set in place of their names.

        Args:
            params: Name -> value.

        Raises:
            DataError: A value is missing.

        Example:
            >>> PaperMethod("C-HMCNN(h)", "chmcnn(hidden={hidden})").filled({"hidden": 500}).model
            'chmcnn(hidden=500)'
        """
        missing = sorted(self.gaps - set(params))
        if missing:
            raise DataError(
                f"expected a value for {', '.join(missing)}, which {self.name} takes from the data set, but got "
                f"{', '.join(params) or 'none'}; write params = {{ {missing[0]} = ... }} where the data set stands"
            )
        texts: dict[str, Any] = {part: _GAP.sub(lambda gap: str(params[gap[1]]), getattr(self, part)) for part in _CALLS}
        return replace(self, **texts)


@dataclass(frozen=True)
class PaperSet:
    """One data set: of the paper, or one of ours beside it.

    Attributes:
        name: As the paper prints it; a name of ours where it has no such set.
        data: Name in the catalogue; empty for features that have to be extracted first.
        folder: Name of the folder that such features are kept in.
        get: How to get it where it is not on this machine.
        group: The group that it runs in.
        family: Sets of one family hold the same data and count once in tests; empty: what the catalogue says.
        optional: Run only if it is named.
        note: What to know about it.
        size: What the paper says of its size: ``train``, ``valid``, ``test``, ``d``, ``q``.
        protocol: Switches of its own, besides the preset and those of its group.
        params: Values of its own that methods take: ``{"hidden": 500}``.
    """

    name: str
    data: str = ""
    folder: str = ""
    get: str = ""
    group: str = "main"
    family: str = ""
    optional: bool = False
    note: str = ""
    size: Mapping[str, int] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)

    def place(self, folders: Sequence[Path]) -> str | None:
        """Return the name or path that ``load_dataset`` takes, or ``None`` where the set is not on this machine, or not finished.

        Args:
            folders: Where folders of features are looked for.
        """
        if self.data:
            if Path(self.data).is_file():
                return self.data
            sheet = catalogue.entry(self.data)
            return None if catalogue.missing(sheet) else sheet.name
        return next((str(path) for folder in folders if self.folder and _is_finished(path := folder / self.folder)), None)

    def how_to_get(self) -> str:
        """Say what to do to have it here."""
        return self.get or (f"polytag datasets fetch {self.data}" if self.data else "no public data are known to us")

    def same_data(self) -> str:
        """Return the family: sets that share it hold the same data."""
        if self.family or not self.data or Path(self.data).is_file():
            return self.family or self.name
        return str(catalogue.entry(self.data).family)


@dataclass(frozen=True)
class PaperGroup:
    """Data sets that run under one protocol, with the same methods.

    Attributes:
        name: Name of its folder.
        title: What they have in common.
        protocol: Switches besides the paper's preset.
        without: Method -> why it does not run here.
    """

    name: str
    title: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    without: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PaperQuestion:
    """A claim to test: a method against others, of which on each data set the best one counts.

    Attributes:
        title: The question.
        pairs: The method, then those it is held against.
    """

    title: str
    pairs: Sequence[Sequence[str]]


@dataclass(frozen=True)
class PaperTrial:
    """A small run that shows in seconds that everything works.

    Attributes:
        data: A data set of the catalogue.
        methods: Their names.
        protocol: Switches besides the paper's preset.
        params: Values that methods take from the data set.
    """

    data: str
    methods: Sequence[str]
    protocol: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)


def choose(what: str, asked: Sequence[str], known: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names that were asked for, as the paper writes them; upper and lower case are the same.

    Args:
        what: What they are names of.
        asked: Names, separated by commas; a name may hold a comma itself.
        known: Name -> other names that find it.

    Raises:
        UnknownNameError: There is no such name; the message names the nearest ones, of all that are wrong.

    Example:
        >>> choose("method", ["clif, random,dela"], {"DELA": [], "CLIF, Random": []})
        ['CLIF, Random', 'DELA']
    """
    finds = {_folded(other): name for name, others in known.items() for other in others if other}
    finds |= {_folded(name): name for name in known}
    found, wrong = [], []
    for text in asked:
        words = [word for word in text.split(",") if word.strip()]
        while words:
            length = next((size for size in range(len(words), 0, -1) if _folded(",".join(words[:size])) in finds), 0)
            if length:
                found.append(finds[_folded(",".join(words[:length]))])
            else:
                wrong.append(registry.unknown(what, words[0].strip(), list(known)))
            words = words[max(length, 1) :]
    if wrong:
        raise UnknownNameError("\n".join(wrong))
    return list(dict.fromkeys(found))


def _is_finished(folder: Path) -> bool:
    """Say whether a folder holds features, all of them: while they are written there is no record."""
    return is_folder_of_features(folder) and ((folder / RECORD).is_file() or not (folder / "work").is_dir())


def _folded(name: str) -> str:
    return ",".join(word.strip() for word in name.casefold().split(","))
