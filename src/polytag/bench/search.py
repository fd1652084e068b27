"""Choosing among values of parameters by the validation rows."""

import itertools
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

from polytag import metrics
from polytag.bench.fitting import Fitted, Seeds, fit_deep
from polytag.bench.method import RATES, Method
from polytag.bench.spec import Protocol
from polytag.data.prepare import PreparedSplit
from polytag.enhance import Companion
from polytag.errors import DataError, DivergenceError
from polytag.training import Callback, Run


class Candidate(NamedTuple):
    """One combination of the values of a search.

    Attributes:
        values: Name -> value, the names as in ``Method.search``.
        method: The method with these values.
        protocol: The protocol with these values.
    """

    values: dict[str, Any]
    method: Method
    protocol: Protocol


def candidates(method: Method, protocol: Protocol) -> list[Candidate]:
    """Return every combination of what a method searches for, the last name changing fastest.

    Example:
        >>> method = Method(model="linear", search={"lr": [0.1, 0.01], "selector.order": ["shuffled", "sequential"]})
        >>> [each.values["lr"] for each in candidates(method, Protocol())]
        [0.1, 0.1, 0.01, 0.01]
    """
    search = method.search or {}
    return [_candidate(method, protocol, dict(zip(search, values))) for values in itertools.product(*search.values())]


def _candidate(method: Method, protocol: Protocol, values: dict[str, Any]) -> Candidate:
    fields = method.model_dump(exclude={"search"})
    for name, value in values.items():
        if name not in RATES:
            part, _, parameter = name.partition(".")
            fields[f"{part}_params"] = {**(fields[f"{part}_params"] or {}), parameter: value}
    rates = {name: value for name, value in values.items() if name in RATES}
    return Candidate(values, Method(**fields), Protocol(**{**protocol.model_dump(), **rates}))


def fit_best(
    method: Method,
    protocol: Protocol,
    parts: PreparedSplit,
    seeds: Seeds,
    *,
    device: str = "cpu",
    callbacks: tuple[Callback, ...] = (),
    resume: Path | None = None,
) -> Fitted:
    """Train a deep model; where its method searches, train every combination and keep the one that does best on the validation rows.

    All start from the same seeds. What counts is the monitored metric of the weights that are kept; of equals the first wins. A combination
    whose loss becomes NaN or infinite, or whose metric is NaN, loses to any other.

    Args:
        method: What is trained.
        protocol: How.
        parts: Prepared rows; the test rows are not looked at.
        seeds: Seeds of weights, batches and noise.
        device: Where the model lives.
        callbacks: Watchers of each training.
        resume: A checkpoint file, written once a minute; each combination has one of its own, with its number behind the name.

    Raises:
        DataError: There is something to search for, but there are no validation rows.
        DivergenceError: The loss became NaN or infinite, in all combinations.

    Cost: one training for each combination, and one recovery of label distributions for each that asks for others;
        the model of the best one so far is kept in memory.
    """
    if not method.search:
        return fit_deep(method, protocol, parts, seeds, device=device, callbacks=callbacks, resume=resume)
    if not parts.valid.n:
        raise DataError(
            f"expected validation rows to choose {', '.join(method.search)} by, but there are none; set split.valid to a share such as 0.1"
        )
    start = time.perf_counter()
    best: Fitted | None = None
    chosen, highest, tried, diverged = 0, -math.inf, [], None
    recovered: dict[str, Companion] = {}
    sign = -1 if protocol.monitor == "loss" or metrics.direction(protocol.monitor) == "min" else 1
    for number, (values, of_method, of_protocol) in enumerate(candidates(method, protocol)):
        value, file = math.nan, None if resume is None else resume.with_name(f"{resume.name}.{number}")
        try:
            fitted = fit_deep(of_method, of_protocol, parts, seeds, device=device, callbacks=callbacks, recovered=recovered, resume=file)
        except DivergenceError as error:
            diverged = error
        else:
            value = _kept_value(fitted.run, protocol.keep)
            if best is None or sign * value > highest:
                best, chosen = fitted, number
                highest = -math.inf if math.isnan(value) else sign * value
        tried.append({"values": values, "valid": value})
    if best is None:
        raise DivergenceError(f"every combination of {', '.join(method.search)} diverged; the last one said: {diverged}") from diverged
    found = {"chosen": tried[chosen]["values"], "tried": len(tried), "seconds": time.perf_counter() - start, "candidates": tried}
    return best._replace(search=found)


def _kept_value(run: Run, keep: str) -> float:
    """Return the monitored metric of the epoch whose weights the model holds."""
    last = run.history[-1 if keep == "last" or run.best_epoch is None else run.best_epoch].valid
    return math.nan if last is None else last
