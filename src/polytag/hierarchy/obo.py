"""Ontologies in the OBO format, such as the Gene Ontology: which term is below which."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from polytag.errors import ParameterError, ReadError
from polytag.hierarchy.edges import Named
from polytag.hierarchy.lines import lines_of


@dataclass(frozen=True)
class Ontology:
    """What an OBO file says about its terms that are in use.

    Attributes:
        titles: For each term, by its id, the title; in the order of the file.
        edges: (child, parent) ids.
        primary: For each alternative id the one to use.
    """

    titles: dict[str, str]
    edges: list[tuple[str, str]]
    primary: dict[str, str]

    @property
    def named(self) -> Named:
        """Ids and edges by number."""
        number = {term: k for k, term in enumerate(self.titles)}
        numbers = [(number[child], number[parent]) for child, parent in self.edges]
        return tuple(self.titles), np.array(numbers, dtype=np.int64).reshape(-1, 2)


@dataclass
class _Term:
    line: int
    name: str = ""
    title: str = ""
    obsolete: bool = False
    alternatives: list[str] = field(default_factory=list)
    parents: list[tuple[int, str]] = field(default_factory=list)


def read_obo(path: str | Path, relations: Sequence[str] = ("is_a",)) -> Ontology:
    """Read the terms of an OBO file; obsolete ones are left out.

    Args:
        path: The file; ``.gz`` is unpacked on the way.
        relations: What counts as below: ``"is_a"``, and names of relationships such as ``"part_of"``.

    Raises:
        ReadError: A term has no id or one that another has, a parent is no term in use, or the file has no term.
        ParameterError: No relation counts.

    Cost: one pass through the file.
    """
    if not relations or isinstance(relations, str):
        raise ParameterError(f"expected relations such as ('is_a', 'part_of'), but got {relations!r}")
    terms: dict[str, _Term] = {}
    for term in _terms(path, relations):
        if not term.name:
            raise ReadError(path, term.line, "an id in every [Term]", "none")
        if term.name in terms:
            raise ReadError(path, term.line, "every id once", f"{term.name!r} again (first in line {terms[term.name].line})")
        terms[term.name] = term
    used = {name: term for name, term in terms.items() if not term.obsolete}
    if not used:
        raise ReadError(path, None, "terms in use", f"{len(terms)} terms, all of them obsolete" if terms else "no [Term] at all")
    primary = {other: name for name, term in used.items() for other in term.alternatives if other not in terms}
    edges = []
    for name, term in used.items():
        for line, above in term.parents:
            parent = primary.get(above, above)
            if parent not in used:
                raise ReadError(path, line, f"a parent of {name!r} that is a term in use", f"{above!r}")
            edges.append((name, parent))
    return Ontology({name: term.title for name, term in used.items()}, edges, primary)


def _terms(path: str | Path, relations: Sequence[str]) -> Iterator[_Term]:
    """Walk through the stanzas that describe terms."""
    term: _Term | None = None
    for number, line in lines_of(path):
        if line.startswith("["):
            if term is not None:
                yield term
            term = _Term(number) if line == "[Term]" else None
        elif term is not None:
            _note(term, number, line, relations)
    if term is not None:
        yield term


def _note(term: _Term, number: int, line: str, relations: Sequence[str]) -> None:
    """Take from a line of a stanza what matters; a comment follows after an exclamation mark, a modifier in braces."""
    tag, _, value = line.partition(":")
    value = value.strip()
    words = value.split()
    if tag == "id" and words:
        term.name = words[0]
    elif tag == "name":
        term.title = value
    elif tag == "alt_id" and words:
        term.alternatives.append(words[0])
    elif tag == "is_obsolete":
        term.obsolete = words[:1] == ["true"]
    elif tag == "is_a" and "is_a" in relations and words:
        term.parents.append((number, words[0]))
    elif tag == "relationship" and len(words) > 1 and words[0] in relations:
        term.parents.append((number, words[1]))
