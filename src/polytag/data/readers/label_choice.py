"""Which columns of a file are its labels: by name, by MEKA's count, or by what the file itself says. Never by a rule of thumb."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from polytag.data.readers.arff_header import Header, unescape
from polytag.data.readers.xml_labels import read_xml_labels
from polytag.errors import ParameterError, ReadError

LabelChoice: TypeAlias = str | Path | int | Sequence[str] | None

_OPTION = re.compile(r"(?:^|[\s:])-[Cc]\s+(-?\d{1,9})(?=\s|$)")
_PACKED = (".gz", ".xz", ".bz2")


def label_columns(path: Path, header: Header, labels: LabelChoice) -> list[int]:
    """Return the attribute numbers of the labels, ascending.

    Args:
        path: The ARFF file, for messages and for finding the XML beside it.
        header: Its header.
        labels: As in ``read_arff``.

    Raises:
        ReadError: A label is not among the attributes, there are too few attributes, or nothing says which columns are labels.
    """
    if labels is None:
        return _from_file(path, header)
    if isinstance(labels, (str, Path)):
        return _by_name(Path(labels), header, read_xml_labels(Path(labels)))
    if isinstance(labels, int) and not isinstance(labels, bool):
        if labels == 0:
            raise ParameterError("expected labels to be k > 0 (first k columns) or -k (last k columns), but got 0")
        return _by_count(path, None, header, labels)
    if isinstance(labels, Sequence) and all(isinstance(name, str) for name in labels) and len(labels):
        return _by_name(path, header, list(labels))
    raise ParameterError(f"expected labels to be an XML file, a number of columns, label names or None, but got {labels!r}")


def sibling_xml(path: Path) -> Path | None:
    """Return the XML file that belongs to an ARFF file: ``yeast-train.arff.gz`` finds ``yeast-train.xml``, then ``yeast.xml``."""
    name = path.name.lower()
    name = name.removesuffix(next((s for s in _PACKED if name.endswith(s)), "")).removesuffix(".arff")
    if not path.parent.is_dir():
        return None
    around = {other.name.lower(): other for other in sorted(path.parent.iterdir()) if ".xml" in other.name.lower()}
    while name:
        for ending in ("", *_PACKED):
            if f"{name}.xml{ending}" in around:
                return around[f"{name}.xml{ending}"]
        cut = max(name.rfind(mark) for mark in "-_. ")
        name = name[: max(cut, 0)]
    return None


def _from_file(path: Path, header: Header) -> list[int]:
    option = _OPTION.search(header.relation)
    if option:
        return _by_count(path, header.relation_line, header, int(option[1]))
    xml = sibling_xml(path)
    if xml is None:
        raise ReadError(
            path,
            header.relation_line or None,
            "-C n in the relation name or an XML file of the same name beside it (or pass labels=XML file, k, -k or names)",
            f"the relation name {header.relation[:60]!r} and no such XML file",
        )
    return _by_name(xml, header, read_xml_labels(xml))


def _by_count(path: Path, line: int | None, header: Header, count: int) -> list[int]:
    m = len(header.attributes)
    if not 0 < abs(count) < m:
        raise ReadError(path, line, f"a number of labels between 1 and {m - 1} (there are {m} attributes)", f"{count}")
    return list(range(count) if count > 0 else range(m + count, m))


def _by_name(where: Path, header: Header, names: list[str]) -> list[int]:
    number = {attribute.name: j for j, attribute in enumerate(header.attributes)}
    columns = []
    for name in names:
        known = name if name in number else unescape(name)
        if known not in number:
            raise ReadError(where, None, "labels that are attributes of the ARFF file", _unknown(name, list(number)))
        columns.append(number[known])
    if len(set(columns)) < len(columns):
        raise ReadError(where, None, "label names that differ", f"a repeated one among {names[:20]!r}")
    if len(columns) == len(number):
        raise ReadError(where, None, "at least one attribute that is not a label", f"all {len(columns)} named as labels")
    return sorted(columns)


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name[:80], [other for other in known[:4000] if len(other) < 80], n=3, cutoff=0.5)
    return repr(name[:80]) + (f" (near ones are {', '.join(map(repr, near))})" if near else "")
