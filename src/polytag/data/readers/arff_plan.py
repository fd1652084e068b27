"""How the attributes of a file become columns of X and Y."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from polytag.data.readers.arff_header import Attribute, Header
from polytag.errors import ReadError
from polytag.types import Array

DROPPED, FEATURE, ONE_HOT, LABEL = 0, 1, 2, 3
UNKNOWN = 255
"""What stands for a missing label in the uint8 blocks of Y."""

_PAIRS = (("0", "1"), ("no", "yes"), ("false", "true"), ("n", "y"), ("f", "t"))


class Plan(NamedTuple):
    """For each of m attributes: its role, its first column in X or Y, and what its categories are as numbers.

    Attributes:
        attributes: The m attributes.
        role: ``DROPPED``, ``FEATURE``, ``ONE_HOT`` or ``LABEL``, shape (m,).
        column: Column in X (features) or Y (labels), shape (m,), int32.
        codes: For a nominal attribute, category -> number: 0 or 1 for a two-valued one, else its place in the list. ``None`` for others.
        default: What a cell that a sparse row leaves out means: 0, or the number of the first category. Shape (m,).
        feature_names: d names.
        label_names: q names.
        first: Number that sparse rows give to the first attribute.
    """

    attributes: list[Attribute]
    role: Array
    column: Array
    codes: list[dict[str, float] | None]
    default: Array
    feature_names: list[str]
    label_names: list[str]
    first: int = 0


def make_plan(path: Path, header: Header, labels: Sequence[int], drop: Sequence[str]) -> Plan:
    """Assign columns: numbers and two-valued categories one each, other categories one for each value (``location=HJA``).

    Raises:
        ReadError: A dropped name does not exist or is a label, a label is not binary, or a kept attribute is text or a date.
    """
    m = len(header.attributes)
    role, column, default = [FEATURE] * m, [0] * m, [0.0] * m
    for j in labels:
        role[j] = LABEL
    for j in dropped(path, header, labels, drop):
        role[j] = DROPPED
    codes: list[dict[str, float] | None] = [None] * m
    known: dict[tuple[str, ...], tuple[dict[str, float], bool]] = {}
    feature_names: list[str] = []
    label_names: list[str] = []
    for j, attribute in enumerate(header.attributes):
        if role[j] == DROPPED:
            continue
        if attribute.kind == "nominal":
            if attribute.categories not in known:
                known[attribute.categories] = number_codes(attribute.categories)
            numbers, binary = known[attribute.categories]
            codes[j], default[j] = numbers, numbers[attribute.categories[0]]
            if not binary:
                role[j] = _one_hot(path, attribute, role[j])
        elif attribute.kind != "number":
            refuse(path, attribute)
        into = label_names if role[j] == LABEL else feature_names
        column[j] = len(into)
        if role[j] == ONE_HOT:
            into.extend(f"{attribute.name}={category}" for category in attribute.categories)
        else:
            into.append(attribute.name)
    arrays = np.array(role, np.uint8), np.array(column, np.int32), codes, np.array(default)
    return Plan(header.attributes, *arrays, feature_names, label_names)


def number_codes(categories: tuple[str, ...]) -> tuple[dict[str, float], bool]:
    """Return the numbers of the categories and whether they are 0 and 1 in disguise."""
    lower = [category.lower() for category in categories]
    for pair in _PAIRS:
        if set(lower) <= set(pair) and len(set(lower)) == len(lower):
            return {category: float(pair.index(word)) for category, word in zip(categories, lower)}, True
    if len(categories) <= 2 and set(lower) <= {"0.0", "1.0"}:
        return {category: float(category) for category in categories}, True
    return {category: float(k) for k, category in enumerate(categories)}, False


def _one_hot(path: Path, attribute: Attribute, role: int) -> int:
    if role == LABEL:
        shown = ",".join(attribute.categories)
        raise ReadError(path, attribute.line, f"a binary label {{0,1}} (non-binary label {attribute.name!r})", f"{{{shown[:60]}}}")
    return ONE_HOT


def refuse(path: Path, attribute: Attribute) -> NoReturn:
    """Raise the error about an attribute that is neither a number nor nominal."""
    expected = f"a numeric or nominal attribute (pass drop=[{attribute.name!r}] to leave this one out)"
    raise ReadError(path, attribute.line, expected, f"{attribute.name!r} of type {attribute.kind}")


def dropped(path: Path, header: Header, labels: Sequence[int], drop: Sequence[str]) -> list[int]:
    """Return the numbers of the attributes to leave out.

    Raises:
        ReadError: A name is none of the attributes, or that of a label.
    """
    number = {attribute.name: j for j, attribute in enumerate(header.attributes)} if drop else {}
    labelled = set(labels)
    for name in drop:
        if name not in number:
            raise ReadError(path, None, "the names in drop to be attributes of the file", repr(name))
        if number[name] in labelled:
            raise ReadError(path, header.attributes[number[name]].line, "the names in drop to be features", f"the label {name!r}")
    return [number[name] for name in drop]
