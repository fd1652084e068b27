"""``polytag compare``: methods on data sets under one protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

_MODELS = ["clif"]
_SELECTORS = ["random,hard,adaptive,adac"]

Losses = Annotated[list[str] | None, typer.Option(help="Losses, such as `bce,asl(detach_focal_weight=true)`. [default: the model's own]")]
Enhancers = Annotated[
    list[str] | None, typer.Option(help="Label enhancements that models are trained under, such as `none,flem(strategy=s),glle`.")
]
Closures = Annotated[
    list[str] | None,
    typer.Option(help="How scores are made coherent with the hierarchy of the labels after training, such as `none,up,down,product`."),
]
Searches = Annotated[
    list[str] | None,
    typer.Option(
        "--search", help="Values to choose from by the validation rows: enhance.alpha=1e-4,1e-3; also lr, model.*, loss.*, selector.*."
    ),
]
LabelColumns = Annotated[str | None, typer.Option(help="Columns of the labels, separated by commas. [default: all others of 0 and 1]")]
TheirHierarchy = Annotated[
    str | None, typer.Option(help="What the labels of your files form: a file, or the separator of names that are paths, such as /.")
]
ProtocolName = Annotated[str, typer.Option(help="clean, or that of a paper with its quirks: authors-2024, flem-2022, chmcnn-2020.")]
Switches = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Other switches, NAME=VALUE: keep=last, split.valid=0.2, preparation.scale=standard, model.hidden=64, selector.warmup=5, "
        "enhance.alpha=0.1, optimizer=adamw, optimizer.amsgrad=true.",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for records and report; what it already holds is not run again.")]


def compare(
    dataset: Annotated[list[str], typer.Option(help="Data sets: names of `polytag datasets list` or files, separated by commas.")],
    model: Annotated[list[str], typer.Option(help="Models, deep or classical, such as `clif(hidden=256),dela,mlknn`.")] = _MODELS,
    selector: Annotated[list[str], typer.Option(help="Batch selectors, such as `random,d2ace(hardness=code)`.")] = _SELECTORS,
    loss: Losses = None,
    enhance: Enhancers = None,
    closure: Closures = None,
    search: Searches = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the texts, where the data are texts.")] = None,
    image_column: Annotated[str | None, typer.Option(help="Column of the image files' names, where the data are pictures.")] = None,
    label_columns: LabelColumns = None,
    hierarchy: TheirHierarchy = None,
    out: Out = Path("polytag-results"),
    folds: Annotated[int | None, typer.Option(help="Folds of the cross-validation. [default: 5, or what the protocol says]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs. [default: 100, or what the protocol says]")] = None,
    seed: Annotated[str, typer.Option(help="Seeds, separated by commas; one complete cross-validation each.")] = "0",
    batch_size: Annotated[int | None, typer.Option(help="Rows in a batch. [default: 128]")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate. [default: the model's own]")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="L2 penalty. [default: the model's own]")] = None,
    pressure: Annotated[float | None, typer.Option(help="Selection pressure, for selectors that have one. [default: their own]")] = None,
    threshold: Annotated[str | None, typer.Option(help="Cut of the probabilities, or the rule that finds it. [default: 0.5]")] = None,
    protocol: ProtocolName = "clean",
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16. [default: float32]")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Metrics of the tables, separated by commas; records hold all.")] = None,
    published: Annotated[str | None, typer.Option(help="Show a paper's printed values next to ours, for example adaptive-2024.")] = None,
    jobs: Annotated[int, typer.Option(help="Number of processes; the result does not depend on it.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads of each process; last digits may depend on it.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    processes: Annotated[int, typer.Option(help="Processes that train each cell together, one cell after the other.")] = 1,
    launcher: Annotated[str, typer.Option(help="Who starts them: own, or torchrun if it has started this command.")] = "own",
    switch: Switches = None,
) -> None:
    """Compare models, batch selectors and label enhancements; the same command resumes, and never repeats a finished cell."""
    from polytag.bench.notation import read_value, split_names
    from polytag.bench.spec import SHOWN_METRICS, Experiment
    from polytag.cli.together import compare_together
    from polytag.errors import ParameterError
    from polytag.papers import load_paper

    if published is not None:
        load_paper(published)  # an unknown paper is reported before hours of training, not after
    given = {"folds": folds, "epochs": epochs, "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay, "precision": precision}
    switches = parse_switches(switch or [])
    method = {f"{part}_params": values for part, values in switches.items() if part in ("model", "selector", "enhance") and values}
    if threshold is not None:
        method["threshold"] = read_value(threshold)
    rules = {"preset": protocol, "seeds": seeds(seed), **_said(given), **_of_protocol(switches)}
    grid = [split_names(names) for names in (dataset, model, selector)]
    parts = {"losses": loss, "enhancers": enhance, "closures": closure}
    crossed: dict[str, Any] = {name: split_names(texts) if texts else [None] for name, texts in parts.items()}
    crossed |= {"pressure": pressure, "search": parse_search(search or [])}
    columns = {"text_column": text_column, "image_column": image_column, "labels": label_columns and label_columns.split(",")}
    reading, shown = _said({**columns, "hierarchy": hierarchy}) or None, split_names(metric) if metric else SHOWN_METRICS
    experiment = Experiment.grid(*grid, **crossed, method=method, protocol=rules, metrics=shown, reading=reading)
    how: dict[str, Any] = {"threads": threads, "device": device, "published": published}
    if processes == 1 and launcher == "own":
        raise typer.Exit(_run(experiment, out, jobs=jobs, **how))
    if jobs != 1:
        raise ParameterError(f"expected --jobs 1 where several processes train each cell, but got --jobs {jobs}; use one of the two")
    raise typer.Exit(compare_together(experiment, out, processes=processes, launcher=launcher, **how))


def seeds(text: str) -> list[int]:
    """Read whole numbers separated by commas.

    Raises:
        ParameterError: One is not a whole number.
    """
    from polytag.errors import ParameterError

    try:
        return [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise ParameterError(f"expected whole numbers separated by commas for --seed, but got {text!r}") from None


def parse_switches(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Sort ``NAME=VALUE`` by the part they belong to.

    Raises:
        ParameterError: There is no ``=``.

    Example:
        >>> parse_switches(["keep=last", "split.valid=0.2"])["split"]
        {'valid': 0.2}
    """
    from polytag.bench.notation import read_value
    from polytag.errors import ParameterError

    found: dict[str, dict[str, Any]] = {"protocol": {}}
    found |= {part: {} for part in ("split", "preparation", "model", "selector", "enhance", "optimizer")}
    for text in texts:
        name, equals, given = text.partition("=")
        part, dot, rest = name.partition(".")
        if not equals or (dot and part not in found):
            raise ParameterError(
                f"expected NAME=VALUE with a name such as keep, split.valid, preparation.scale or model.hidden, but got {text!r}"
            )
        found[part if dot else "protocol"][rest if dot else name] = read_value(given)
    return found


def parse_search(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Read ``NAME=VALUE,VALUE`` into the values of each name.

    Raises:
        ParameterError: There is no ``=``, no value, or a name comes twice.

    Example:
        >>> parse_search(["enhance.alpha=1e-4,1e-3", "enhance.strategy=s,t,d"])
        {'enhance.alpha': [0.0001, 0.001], 'enhance.strategy': ['s', 't', 'd']}
    """
    from polytag.bench.notation import read_value, split_names
    from polytag.errors import ParameterError

    found: dict[str, list[Any]] = {}
    for text in texts:
        name, _, given = text.partition("=")
        values = [read_value(value) for value in split_names([given])]
        if not name or not values or name in found:
            raise ParameterError(
                f"expected NAME=VALUE,VALUE such as enhance.alpha=1e-4,1e-3 for --search, each name once, but got {text!r}"
            )
        found[name] = values
    return found


def _of_protocol(switches: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the switches that are arguments of ``Protocol``."""
    named = {"split": "split", "preparation": "preparation", "optimizer_params": "optimizer"}
    return {**switches["protocol"], **{name: switches[part] for name, part in named.items() if switches[part]}}


def _said(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _run(*arguments: Any, **options: Any) -> int:
    from polytag.cli.session import run_and_report

    return run_and_report(*arguments, **options)
