"""What every metric promises, as checks that third parties can run on theirs.

::

    from polytag.testing.metrics import check_metric
    check_metric(my_metric)
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from polytag import metrics, registry
from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.metrics import Metric, Outcome
from polytag.types import Array


def check_metric(metric: "str | Metric[...]") -> None:
    """Run all checks on a registered metric.

    Args:
        metric: Its name, or what ``polytag.metrics.metric`` made of the function.

    Raises:
        AssertionError: A promise is broken.

    Example:
        >>> check_metric("ranking_loss")
    """
    found: Metric[...] = registry.get("metric", metric) if isinstance(metric, str) else metric
    for check in CHECKS:
        check(found)


def toys() -> Iterator[tuple[Array, Array]]:
    """Yield labels and scores within (0, 1): plain, tied, with empty and full rows and labels, sparse, constant, one label, one row."""
    rng = np.random.default_rng(0)
    for shape, density, digits in (
        ((40, 6), 0.3, 9),
        ((30, 7), 0.4, 1),
        ((25, 8), 0.1, 9),
        ((12, 1), 0.5, 9),
        ((1, 9), 0.5, 1),
        ((15, 5), 0.0, 9),
    ):
        labels = (rng.random(shape) < density).astype(np.int8)
        scores = np.round(rng.uniform(0.05, 0.95, shape), digits)
        yield labels, scores
    labels, scores = (rng.random((20, 6)) < 0.4).astype(np.int8), rng.uniform(0.05, 0.95, (20, 6))
    labels[:2], labels[2:4], labels[:, 0], labels[:, 1] = 0, 1, 0, 1
    yield labels, scores
    yield labels, np.full(labels.shape, 0.5)


def cases(metric: "Metric[...]") -> Iterator[tuple[Array, Array, Hierarchy | None]]:
    """Yield what ``toys`` yields; for a metric that needs a hierarchy, with a random one under which the labels are closed."""
    rng = np.random.default_rng(3)
    for labels, scores in toys():
        if not metric.needs_hierarchy:
            yield labels, scores, None
            continue
        q = labels.shape[1]
        edges = [(int(child), int(parent)) for child in range(q) for parent in range(child) if rng.random() < 1.5 / child]
        hierarchy = Hierarchy(tuple(f"label {k}" for k in range(q)), np.array(edges, dtype=np.int64).reshape(-1, 2))
        yield hierarchy.close(labels), scores, hierarchy


def value_of(metric: "Metric[...]", labels: Any, scores: Any, hierarchy: Hierarchy | None = None) -> float:
    """Return the value of a metric; label sets are cut at 0.5."""
    outcome = Outcome(labels, scores, threshold=0.5, hierarchy=hierarchy)
    return metric(outcome)


def same(one: float, other: float) -> bool:
    """Whether two values are equal up to rounding, NaN equal to NaN."""
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))


def check_description(metric: "Metric[...]") -> None:
    """It is registered under its name, and says what it is, what it needs, its range and its better end."""
    assert registry.get("metric", metric.name) is metric
    assert metric.__doc__, f"{metric.name} has no docstring"
    assert metric.needs in ("scores", "labels", "probabilities")
    assert metric.direction in ("min", "max")
    assert metric.range[0] < metric.range[1]


def check_range(metric: "Metric[...]") -> None:
    """Its values lie in its range, or are NaN."""
    low, high = metric.range
    for labels, scores, above in cases(metric):
        value = value_of(metric, labels, scores, above)
        assert math.isnan(value) or low - 1e-12 <= value <= high + 1e-12, f"{metric.name} is {value}, outside of [{low}, {high}]"


def check_direction(metric: "Metric[...]") -> None:
    """The truth as prediction is at least as good as its opposite and as noise, and better than one of them."""
    sign = 1 if metric.direction == "max" else -1
    labels, noise, above = next(cases(metric))
    best = sign * value_of(metric, labels, 0.1 + 0.8 * labels, above)
    others = [sign * value_of(metric, labels, scores, above) for scores in (0.9 - 0.8 * labels, noise)]
    assert best >= max(others) - 1e-12, f"{metric.name} rates the truth {sign * best}, something else {[sign * other for other in others]}"
    assert best > min(others) + 1e-12, f"{metric.name} does not tell the truth from its opposite"


def check_form(metric: "Metric[...]") -> None:
    """Dense, sparse and torch input give the same; arrays given are neither changed nor need to be writable."""
    for labels, scores, above in cases(metric):
        copies = labels.copy(), scores.copy()
        labels.setflags(write=False)
        scores.setflags(write=False)
        expected = value_of(metric, labels, scores, above)
        tensor = torch.tensor(copies[1])
        for y, s in (
            (sp.csr_array(copies[0]), scores),
            (torch.tensor(copies[0]), tensor),
            (labels.astype(bool), np.asfortranarray(scores)),
        ):
            assert same(value_of(metric, y, s, above), expected), f"{metric.name} depends on the form of its input"
        np.testing.assert_array_equal(labels, copies[0])
        np.testing.assert_array_equal(scores, copies[1])


def check_doors(metric: "Metric[...]") -> None:
    """Called with arrays, with an outcome, or by ``evaluate``, it gives the same."""
    for labels, scores, above in cases(metric):
        expected = value_of(metric, labels, scores, above)
        given: dict[str, Any] = {} if above is None else {"hierarchy": above}
        for sets in (scores > 0.5, sp.csr_array(scores > 0.5)):
            direct = metric(labels, sets, **given) if metric.needs == "labels" else metric(labels, scores, **given)
            assert same(direct, expected)
        listed = metrics.evaluate(labels, scores, threshold=0.5, metrics=[metric.name], k=(5,), **given)
        assert same(next(iter(listed.values())), expected)
        assert same(metric.terms(Outcome(labels, scores, threshold=0.5), **given).value, expected)


def check_permutation(metric: "Metric[...]") -> None:
    """The order of instances does not matter, nor that of labels where no scores are tied."""
    rng = np.random.default_rng(1)
    for labels, scores, above in cases(metric):
        rows, columns = rng.permutation(labels.shape[0]), rng.permutation(labels.shape[1])
        expected = value_of(metric, labels, scores, above)
        assert same(value_of(metric, labels[rows], scores[rows], above), expected), f"{metric.name} depends on the order of the instances"
        if len(np.unique(scores)) == scores.size:
            moved = None if above is None else above.take(columns)
            assert same(value_of(metric, labels[:, columns], scores[:, columns], moved), expected), (
                f"{metric.name} depends on the order of the labels"
            )


def check_monotone(metric: "Metric[...]") -> None:
    """A strictly increasing change of the scores, 0.5 kept in its place, changes nothing unless the metric needs probabilities."""
    if metric.needs != "probabilities":
        for labels, scores, above in cases(metric):
            bent = 0.5 + np.sign(scores - 0.5) * np.sqrt(np.abs(scores - 0.5) / 2)
            assert same(value_of(metric, labels, bent, above), value_of(metric, labels, scores, above)), (
                f"{metric.name} sees more than the order of scores"
            )


def check_unknown(metric: "Metric[...]") -> None:
    """What was predicted for unknown cells plays no part."""
    rng = np.random.default_rng(2)
    for labels, scores, above in cases(metric):
        hidden = rng.random(labels.shape) < 0.2
        partly = np.where(hidden, np.nan, labels)
        other = np.where(hidden, rng.uniform(0.05, 0.95, scores.shape), scores)
        if not hidden.all():
            assert same(value_of(metric, partly, scores, above), value_of(metric, partly, other, above)), (
                f"{metric.name} looks at unknown cells"
            )


def check_refusal(metric: "Metric[...]") -> None:
    """NaN scores and missing input are refused, and so is a missing hierarchy where one is needed."""
    labels, scores, above = next(cases(metric))
    broken = scores.copy()
    broken[3, 2] = np.nan
    calls: list[Callable[[], object]] = [lambda: Outcome(labels, broken, threshold=0.5), lambda: metric(Outcome(labels, hierarchy=above))]
    if metric.needs_hierarchy:
        calls += [lambda: metric(Outcome(labels, scores, threshold=0.5))]
        calls += [lambda: metrics.evaluate(labels, scores, threshold=0.5, metrics=[metric.name])]
    for call in calls:
        try:
            call()
        except (DataError, ParameterError):
            continue
        raise AssertionError(f"{metric.name} accepts NaN scores, nothing at all, or no hierarchy where it needs one")


CHECKS = [
    check_description,
    check_range,
    check_direction,
    check_form,
    check_doors,
    check_permutation,
    check_monotone,
    check_unknown,
    check_refusal,
]
