"""What of a paper's experiment is run on this machine, put into the folders in which it runs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polytag.bench.reproduce import Arm, Leg
    from polytag.papers import Paper, PaperGroup, PaperMethod, PaperSet


def paper_legs(
    paper: "Paper", folders: Sequence[Path], datasets: Sequence[str] | None, methods: Sequence[str] | None, changes: dict[str, Any]
) -> tuple[list["Leg"], dict[str, str]]:
    """Return one leg for all that runs under the same settings, and how to get the data sets that are not here.

    Data sets of a group share a leg, named as the group, unless they have settings of their own; methods with a protocol of their own run
    in legs of their own. The names depend on the paper's file alone, so that a later choice of more continues in the same folders.

    Args:
        paper: The paper.
        folders: Where folders of features are looked for.
        datasets: Names; ``None``: all but the optional ones.
        methods: Names; ``None``: all but the optional ones.
        changes: Switches of the protocol that count most.

    Raises:
        UnknownNameError: There is no such data set or method.
    """
    from polytag.bench.reproduce import Case, leg

    sets = _chosen("data set", datasets, paper.sets, {one.name: [one.data, one.folder] for one in paper.sets})
    rows = _chosen("method", methods, paper.methods, {one.name: [] for one in paper.methods})
    missing: dict[str, str] = {}
    cases: dict[str, Case] = {}
    for one in sets:
        place = one.place(folders)
        if place is None:
            missing[one.name] = one.how_to_get()
        else:
            cases[one.name] = Case(one.name, place, one.same_data())
    legs = []
    for group in paper.groups.values():
        here = [one for one in sets if one.group == group.name and one.name in cases]
        for protocol in ("", *paper.protocols):
            taking_part = [method for method in rows if method.protocol == protocol and method.name not in group.without]
            for name, title, alike in _shared(paper, group, here, protocol, changes) if taking_part else ():
                switches, params = paper.own_settings(alike[0], protocol)
                rules = ({"preset": paper.protocol}, group.protocol, switches, paper.protocols.get(protocol, {}), changes)
                arms = [paper_arm(method, params) for method in taking_part]
                metrics = [*paper.metrics, *paper.extra_metrics]
                legs.append(leg(name, title, arms, [cases[one.name] for one in alike], metrics, *rules, group=group.name))
    return legs, missing


def trial_leg(paper: "Paper", changes: dict[str, Any]) -> "Leg":
    """Return a run of seconds: an embedded data set, the methods that the paper's file names for it, and the ends of every search.

    Raises:
        ParameterError: The paper's file has no such run.
    """
    from polytag.bench.reproduce import Case, leg
    from polytag.errors import ParameterError

    trial = paper.trial
    if trial is None:
        raise ParameterError(f"expected a paper with a [trial] for --short, but {paper.key} has none; name one small data set instead")
    arms = []
    for one in paper.methods:
        if one.name in trial.methods:
            ends = {name: list(dict.fromkeys([values[0], values[-1]])) for name, values in one.search.items()}
            arms.append(paper_arm(one, trial.params, ends))
    rules = ({"preset": paper.protocol}, trial.protocol, changes)
    cases = [Case(trial.data, trial.data, trial.data)]
    return leg("short", "a run of seconds", arms, cases, [*paper.metrics, *paper.extra_metrics], *rules)


def paper_arm(method: "PaperMethod", params: Mapping[str, Any], search: Mapping[str, Sequence[Any]] | None = None) -> "Arm":
    """Return a method of a paper as it runs.

    Args:
        method: The method.
        params: Values that it takes from the data set.
        search: What is searched instead of what the paper's file says.
    """
    from polytag.bench.reproduce import arm

    one = method.filled(params)
    return arm(one.name, one.model, one.selector, one.loss, one.enhance, one.search if search is None else search, one.closure)


def in_words(settings: Mapping[str, Any]) -> str:
    """Write settings in one line.

    Example:
        >>> in_words({"epochs": 106, "lr": 1e-4})
        'epochs 106, lr 0.0001'
    """
    return ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in settings.items())


def _shared(
    paper: "Paper", group: "PaperGroup", sets: Sequence["PaperSet"], protocol: str, changes: Mapping[str, Any]
) -> Iterator[tuple[str, str, list["PaperSet"]]]:
    """Yield folder, title and data sets of each leg of a group: first those that share all settings, then each of the others."""
    from polytag.bench.plots import file_name

    ending = f"-{protocol}" if protocol else ""
    own = {one.name: {key: value for part in paper.own_settings(one, protocol) for key, value in part.items()} for one in sets}
    if alike := [one for one in sets if not own[one.name]]:
        yield group.name + ending, group.title, alike
    for one in sets:
        if own[one.name]:
            settings = {name: changes.get(name, value) for name, value in own[one.name].items()}
            yield file_name(one.name) + ending, f"{one.name} ({in_words(settings)})", [one]


def _chosen(what: str, asked: Sequence[str] | None, known: Sequence[Any], names: dict[str, Sequence[str]]) -> list[Any]:
    """Return those that were asked for, in the paper's order; all but the optional ones if nothing was."""
    from polytag.papers import choose

    if not asked:
        return [one for one in known if not one.optional]
    chosen = set(choose(what, asked, names))
    return [one for one in known if one.name in chosen]
