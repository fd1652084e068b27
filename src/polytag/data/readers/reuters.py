"""Reuters-21578: news-wire articles in SGML, with the split of Apté et al. (ModApte)."""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from polytag.data.dataset import Dataset
from polytag.data.readers.source import content
from polytag.errors import ReadError

_DOCUMENT = re.compile(r"<REUTERS ([^>]*)>(.*?)</REUTERS>", re.DOTALL)
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_TEXT = re.compile(r"<TEXT([^>]*)>(.*?)</TEXT>", re.DOTALL)
_TITLE = re.compile(r"<TITLE>(.*?)</TITLE>", re.DOTALL)
_BODY = re.compile(r"<BODY>(.*?)</BODY>", re.DOTALL)
_TOPICS = re.compile(r"<TOPICS>(.*?)</TOPICS>", re.DOTALL)
_TOPIC = re.compile(r"<D>(.*?)</D>", re.DOTALL)


class _Article(NamedTuple):
    part: str
    topics: tuple[str, ...]
    title: str
    body: str


def read_reuters(paths: Mapping[str, Path], part: str | None = None) -> Dataset:
    """Read Reuters-21578 with the ModApte split, restricted to the topics that occur in both its parts.

    Training articles are those marked TRAIN and test articles those marked TEST, both with TOPICS="YES"; articles without one of the
    topics left out. Control characters are removed, nothing else is.

    Args:
        paths: The files ``reut2-*.sgm``, read in the order of their keys; plain or compressed.
        part: ``"train"`` or ``"test"``; ``None`` for both, one after the other.

    Returns:
        A set of kind ``"text"`` with the columns ``title``, ``body`` and ``text`` (both). An unprocessed article (no elements inside its
        text) is all body; a brief one may have no body.

    Raises:
        ReadError: A file holds no articles, or one of them lacks an element.

    Cost: one pass over 28 MB.

    Reference: Apté, Damerau and Weiss, "Automated learning of decision rules for text categorization", ACM TOIS 1994.
    """
    articles = [article for key in sorted(paths) for article in _articles(paths[key])]
    train, test = ([article for article in articles if article.part == which] for which in ("TRAIN", "TEST"))
    topics = sorted({topic for a in train for topic in a.topics} & {topic for a in test for topic in a.topics})
    number = {topic: j for j, topic in enumerate(topics)}
    chosen = {"train": train, "test": test, None: [*train, *test]}[part]
    chosen = [article for article in chosen if any(topic in number for topic in article.topics)]
    X = np.empty((len(chosen), 3), dtype=object)
    for row, article in enumerate(chosen):
        X[row] = article.title, article.body, f"{article.title}\n{article.body}".strip()
    columns = [[number[topic] for topic in article.topics if topic in number] for article in chosen]
    starts = np.cumsum([0, *map(len, columns)])
    flat = np.array([j for row in columns for j in row], dtype=np.int32)
    Y = sparse.csr_array((np.ones(len(flat), np.uint8), flat, starts), shape=(len(chosen), len(topics)))
    return Dataset(X, Y, ("title", "body", "text"), topics, "reuters21578", kind="text")


def _articles(path: Path) -> list[_Article]:
    text = content(path).decode("latin-1")
    found = [_article(path, match) for match in _DOCUMENT.finditer(text)]
    if not found:
        raise ReadError(path, None, "articles in SGML, <REUTERS ...> to </REUTERS>", f"{text[:40]!r}")
    return [article for article in found if article is not None]


def _article(path: Path, match: re.Match[str]) -> _Article | None:
    """Return one article of the split; ``None`` for one that belongs to neither part."""
    head, inside = match.groups()
    marks = dict(_ATTRIBUTE.findall(head))
    text, topics = _TEXT.search(inside), _TOPICS.search(inside)
    if text is None or topics is None or not {"TOPICS", "LEWISSPLIT"} <= marks.keys():
        line = match.string.count("\n", 0, match.start()) + 1
        raise ReadError(path, line, "an article with TOPICS, LEWISSPLIT and the elements TOPICS and TEXT", f"{head[:80]!r}")
    if marks["TOPICS"] != "YES" or marks["LEWISSPLIT"] not in ("TRAIN", "TEST"):
        return None
    title, body = _TITLE.search(text[2]), _BODY.search(text[2])
    words = body[1] if body else text[2] if 'TYPE="UNPROC"' in text[1] else ""
    labels = tuple(dict.fromkeys(_clean(topic) for topic in _TOPIC.findall(topics[1])))
    return _Article(marks["LEWISSPLIT"], tuple(sorted(labels)), _clean(title[1]) if title else "", _clean(words))


def _clean(text: str) -> str:
    """Resolve entities; those of control characters vanish (``html.unescape`` knows them as invalid)."""
    return html.unescape(text).strip()
