"""Methods as text: ``d2ace(hardness=code, warmup=5)``, the notation in which tables name them."""

import json
from collections.abc import Iterable
from typing import Any

from polytag.errors import ParameterError


def split_names(texts: Iterable[str]) -> list[str]:
    """Split at the commas that stand outside parentheses and brackets.

    Raises:
        ParameterError: They do not match.

    Example:
        >>> split_names(["random, d2ace(hardness=code, schedule=[10, 50])", "hard"])
        ['random', 'd2ace(hardness=code, schedule=[10, 50])', 'hard']
    """
    parts = []
    for text in texts:
        depth, start = 0, 0
        for at, letter in enumerate(text + ","):
            depth += (letter in "([") - (letter in ")]")
            if letter == "," and depth == 0:
                parts.append(text[start:at].strip())
                start = at + 1
            elif depth < 0:
                break
        if depth:
            raise ParameterError(f"expected matching parentheses, but got {text!r}; write for example d2ace(hardness=code)")
    return [part for part in parts if part]


def read_call(text: str) -> tuple[str, dict[str, Any]]:
    """Return name and parameters.

    Raises:
        ParameterError: It is not of the form ``name`` or ``name(parameter=value, ...)``.

    Example:
        >>> read_call("d2ace(hardness=code, warmup=5, label_weights=false)")
        ('d2ace', {'hardness': 'code', 'warmup': 5, 'label_weights': False})
    """
    name, opened, rest = text.strip().partition("(")
    if not opened:
        return name, {}
    pairs = [part.partition("=") for part in split_names([rest.removesuffix(")")])] if rest.endswith(")") else [("", "", "")]
    if not name or not all(equals and key.strip() for key, equals, _ in pairs):
        raise ParameterError(f"expected name or name(parameter=value, ...), but got {text!r}")
    return name.strip(), {key.strip(): read_value(given.strip()) for key, _, given in pairs}


def read_value(text: str) -> Any:
    """Read a JSON value, or one as Python writes it; what is neither is text.

    Example:
        >>> read_value("0.5"), read_value("true"), read_value("None"), read_value("f1")
        (0.5, True, None, 'f1')
    """
    named = {"None": None, "True": True, "False": False}
    if text in named:
        return named[text]
    try:
        return json.loads(text)
    except ValueError:
        return text
