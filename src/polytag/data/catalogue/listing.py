"""What the catalogue knows: one TOML file a set, read when somebody asks for it."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal, Self

from polytag import registry
from polytag.errors import DataError, UnknownNameError


@dataclass(frozen=True)
class RemoteFile:
    """One file of a set.

    Attributes:
        path: Where it lies below a data folder, for example ``mulan/yeast/yeast.arff.gz``.
        url: Where it is downloaded from, pinned to one commit; empty for a file that can only be provided by hand.
        sha256: Checksum of the content before compression, so that a plain and a compressed copy verify alike.
    """

    path: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Expected:
    """What the set must look like once it is read.

    Attributes:
        n: Rows.
        d: Feature attributes in the file; columns of text, or colours of pictures.
        q: Labels.
        cardinality: Mean number of labels of a row; ``None`` if the labels are unknown.
        mean_ir: Mean imbalance ratio of the labels; ``None`` if the labels are unknown.
        features: Columns of X; differs from d where an attribute has categories, which take one column each.
        levels: Levels of the hierarchy over the labels; 0 where there is none.
        edges: Its pairs of a label and a parent.
    """

    n: int
    d: int
    q: int
    cardinality: float | None = None
    mean_ir: float | None = None
    features: int = 0
    levels: int = 0
    edges: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", self.features or self.d)


@dataclass(frozen=True)
class Entry:
    """One data set of the catalogue.

    Attributes:
        name: What users type.
        title: What tables print.
        family: Sets of one family hold the same data; a rank test counts them once.
        domain: Where the data come from: text, music, biology, ...
        summary: What a row is and what its labels say, in one sentence.
        licence: As stated at the source; often it is not stated for the data.
        citation: The paper that introduced the set.
        expected: Numbers to check a copy by.
        labels: Where the labels are: ``"xml"`` (named by the XML file), k (the first k columns), ``"target"`` (the MATLAB array),
            ``"clus"`` (the hierarchical attribute, see ``read_clus``), ``"reader"`` (the set has a reader of its own).
        repository: GitHub repository of the files; empty for a set that comes with polytag.
        commit: The commit of that repository.
        aliases: Other names that find the set.
        note: What to know before using it.
        loader: ``module:function`` that makes the set, for a set that needs no file.
        kind: What a row is, as in ``Dataset``.
        reader: ``module:function`` that reads the set from part -> path and the name of a part (``None`` for all), for files in a form of
            their own.
        splits: Parts as published, where a reader makes them.
        text_column: The column of texts that is read where none is asked for.
        image_column: What the column of pictures is called, where the rows are pictures.
        structure: What the labels form: ``"tree"`` or ``"graph"`` (a label can have several parents); empty for flat labels. How deep it is
            and how many edges it has says ``expected``.
        files: Part of the set -> file; the label list is the part ``"xml"``.
    """

    name: str
    title: str
    family: str
    domain: str
    summary: str
    licence: str
    citation: str
    expected: Expected
    labels: str | int = "xml"
    repository: str = ""
    commit: str = ""
    aliases: tuple[str, ...] = ()
    note: str = ""
    loader: str = ""
    kind: str = "table"
    reader: str = ""
    splits: tuple[str, ...] = ()
    text_column: str = ""
    image_column: str = ""
    structure: Literal["", "tree", "graph"] = ""
    files: Mapping[str, RemoteFile] = field(default_factory=dict)

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read one catalogue file.

        Raises:
            DataError: A field is missing, or one is there that does not exist.
        """
        sheet: dict[str, Any] = tomllib.loads(text)
        try:
            files = {part: RemoteFile(**file) for part, file in sheet.pop("files", {}).items()}
            lists = {name: tuple(sheet.pop(name, ())) for name in ("aliases", "splits")}
            return cls(**sheet | {"expected": Expected(**sheet["expected"]), "files": MappingProxyType(files), **lists})
        except (TypeError, KeyError) as problem:
            name = sheet.get("name", "?")
            raise DataError(f"the catalogue file of {name!r} has a missing or an unknown field: {problem}; see Entry") from problem

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts with rows: full, train, test, fold1, ..."""
        return self.splits if self.reader else tuple(part for part in self.files if part != "xml")

    @property
    def whole(self) -> tuple[str, ...]:
        """The parts that together are the set: the full file, else train and test, else the folds in order."""
        return ("full",) if "full" in self.files else self.parts

    @property
    def source(self) -> str:
        """Address of the repository at the pinned commit; empty for a set that comes with polytag."""
        return f"https://github.com/{self.repository}/tree/{self.commit}" if self.repository else ""


def names() -> list[str]:
    """Return the names of all sets of the catalogue, in alphabetical order.

    Example:
        >>> "yeast" in names()
        True
    """
    return sorted(_sheets())


def entry(name: str) -> Entry:
    """Return what the catalogue knows about a set.

    Args:
        name: Name or alias; case does not matter, and ``-``, ``_``, ``/`` and blanks are the same.

    Raises:
        UnknownNameError: There is no such set; the message names the nearest ones.

    Example:
        >>> entry("LLOG-F").name
        'llog'
        >>> entry("meka/Yeast").family
        'yeast'
    """
    found = _by_alias().get(_folded(name))
    if found is None:
        raise UnknownNameError(registry.unknown("data set", str(name).lower(), names()) + "; see polytag datasets list")
    return _read(found)


def entries() -> Iterator[Entry]:
    """Walk through the whole catalogue in the order of ``names()``."""
    return (_read(name) for name in names())


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")


@cache
def _sheets() -> Mapping[str, Any]:
    """Return name -> readable catalogue file; the file's name is the set's name."""
    folder = resources.files("polytag.data.catalogue")
    return {file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")}


@cache
def _read(name: str) -> Entry:
    return Entry.from_toml(_sheets()[name].read_text(encoding="utf-8"))


@cache
def _by_alias() -> Mapping[str, str]:
    """Return folded name or alias -> name."""
    return {_folded(alias): name for name in _sheets() for alias in (name, *_read(name).aliases)}
