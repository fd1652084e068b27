"""``polytag features``: texts or pictures become a folder of features that ``polytag compare`` reads like any data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polytag.cli.session import INTERRUPTED

if TYPE_CHECKING:
    from polytag.data.raw import RawSet

_OWN = {"xml-cnn": "xmlcnn", "xmlcnn": "xmlcnn", "small-cnn": "small_cnn", "small_cnn": "small_cnn"}
"""Encoders that are trained here, as users may write them."""

Switches = Annotated[
    list[str] | None, typer.Option("--set", help="Other settings, NAME=VALUE: model.filters=64, text.max_words=20000, text.max_len=300.")
]


def features(
    encoder: Annotated[
        str,
        typer.Option(help="Trained here on the training part: xml-cnn (texts), small-cnn (pictures); or pretrained: resnet50, a folder."),
    ],
    dataset: Annotated[str | None, typer.Option(help="A set of texts or pictures of the catalogue, such as reuters21578.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of pictures, with a table of their files and labels.")] = None,
    texts: Annotated[Path | None, typer.Option(help="Table (CSV, TSV, Parquet) with texts and labels.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write. [default: NAME-ENCODER]")] = None,
    labels: Annotated[Path | None, typer.Option(help="Table of the pictures, where it is not the only one in their folder.")] = None,
    image_column: Annotated[str, typer.Option(help="Column of the pictures' files; paths start from the folder.")] = "file",
    text_column: Annotated[str | None, typer.Option(help="Column of the texts. [default: text]")] = None,
    label_columns: Annotated[
        str | None, typer.Option(help="Label columns, or one that lists labels. [default: all others of 0 and 1]")
    ] = None,
    part_column: Annotated[str | None, typer.Option(help="Column that says train, valid or test. [default: one piece]")] = None,
    source: Annotated[
        str, typer.Option(help="Library of a pretrained picture encoder: torchvision, timm or transformers.")
    ] = "torchvision",
    pooling: Annotated[str, typer.Option(help="Of a pretrained encoder: mean of places or words, or cls, the first one.")] = "mean",
    download: Annotated[bool, typer.Option("--download", help="Fetch a pretrained encoder that is not on this machine.")] = False,
    resize: Annotated[int | None, typer.Option(help="Pixels of a picture's shorter side. [default: 256; 96 for small-cnn]")] = None,
    crop: Annotated[int | None, typer.Option(help="Pixels of each side of its middle. [default: 224; 96 for small-cnn]")] = None,
    width: Annotated[int, typer.Option(help="Number of features of an encoder that is trained here.")] = 512,
    epochs: Annotated[int | None, typer.Option(help="Epochs of its training at most. [default: the model's own]")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without improvement before it stops. [default: the model's own]")] = None,
    lr: Annotated[float | None, typer.Option(help="Its learning rate. [default: the model's own]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in a batch of its training. [default: the model's own]")] = None,
    monitor: Annotated[str, typer.Option(help="What says which epoch is best: loss, or a metric.")] = "loss",
    valid: Annotated[float, typer.Option(help="Share of the training rows for validation, where no such part is published.")] = 0.25,
    test: Annotated[float, typer.Option(help="Share of the rows for the test part, where no parts are published.")] = 0.25,
    seed: Annotated[int, typer.Option(help="Decides parts, weights and batches of an encoder that is trained here.")] = 0,
    rows: Annotated[int, typer.Option(help="Rows that are encoded at a time.")] = 64,
    threads: Annotated[int, typer.Option(help="Threads; 0 leaves it to torch.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    switch: Switches = None,
) -> None:
    """Turn texts or pictures into features, once: the same command checks a finished folder and continues an unfinished one."""
    from polytag.errors import ParameterError

    if texts is not None and (resize, crop) != (None, None):
        raise ParameterError(f"expected no --resize and no --crop for texts, which have no pixels, but got {resize=}, {crop=}")
    model = _OWN.get(encoder.lower())
    side = (96, 96) if model == "small_cnn" else (256, 224)
    view = {"resize": resize or max(crop or 0, side[0]), "crop": crop or min(resize or side[0], side[1])}
    chosen = None if label_columns is None else [name.strip() for name in label_columns.split(",")]
    how: dict[str, Any] = {"text_column": text_column, "labels": chosen, "part_column": part_column, **view}
    raw = _rows(dataset, images, texts, labels, image_column, how)
    training: dict[str, Any] = {"width": width, "epochs": epochs, "patience": patience, "lr": lr, "batch_size": batch_size}
    training |= {"monitor": monitor, "valid": valid, "test": test, "seed": seed}
    loading = {"source": source, "pooling": pooling, "download": download}
    asked = _encoder(encoder, model, switch or [], training, loading)
    raise typer.Exit(_run(raw, asked, out or Path(f"{raw.name}-{Path(encoder).name}"), rows=rows, threads=threads, device=device))


def _encoder(encoder: str, model: str | None, switches: list[str], training: dict[str, Any], loading: dict[str, Any]) -> Any:
    """Return how rows become numbers."""
    from polytag.errors import ParameterError
    from polytag.estimators.encoders import Pretrained, Trained

    own = [f"--{name.replace('_', '-')}" for name in ("epochs", "patience", "lr", "batch_size") if training[name] is not None]
    if model is None and own:
        raise ParameterError(f"expected no {', '.join(own)} for the pretrained encoder {encoder!r}, which does not learn here")
    params, text = _settings(switches, encoder, texts_of_trained=model == "xmlcnn")
    if model is not None:
        return Trained(model, params=params, text=text, **training)
    return Pretrained(encoder, max_len=params.pop("max_len", 256), params=params, **loading)


def _run(raw: "RawSet", asked: Any, folder: Path, *, rows: int, threads: int, device: str) -> int:
    """Write the features and say so; returns the exit code."""
    from polytag.cli.session import chosen_device
    from polytag.errors import ParameterError
    from polytag.estimators.features import extract_features

    if threads < 0:
        raise ParameterError(f"expected threads >= 0, where 0 leaves them to torch, but got threads={threads}")
    if threads:
        import torch

        torch.set_num_threads(threads)
    try:
        with _Stages() as bar:
            record = extract_features(raw, asked, folder, batch_size=rows, device=chosen_device(device), watch=bar)
    except KeyboardInterrupt:
        typer.echo(f"\nStopped. What is done is kept in {folder}; the same command continues from there.", err=True)
        return INTERRUPTED
    _tell(folder, record)
    return 0


def _rows(
    dataset: str | None, images: Path | None, texts: Path | None, labels: Path | None, image_column: str, how: dict[str, Any]
) -> "RawSet":
    """Read what was named.

    Raises:
        ParameterError: Not exactly one of the three was named, or an option belongs to another one.
    """
    from polytag.data.raw import raw_pictures, raw_set, raw_texts
    from polytag.errors import ParameterError

    if sum(place is not None for place in (dataset, images, texts)) != 1:
        raise ParameterError(f"expected one of --dataset, --images and --texts, but got {dataset=}, images={images}, texts={texts}")
    if labels is not None and images is None:
        raise ParameterError(f"expected --labels together with --images only, but got {labels}")
    view = {"resize": how["resize"], "crop": how["crop"]}
    table = {"labels": how["labels"], "part_column": how["part_column"]}
    if dataset is not None:
        if table != {"labels": None, "part_column": None}:
            raise ParameterError(f"a set of the catalogue knows its labels and parts, but got {table} for {dataset!r}")
        return raw_set(dataset, text_column=how["text_column"], **view)
    if texts is not None:
        return raw_texts(texts, text_column=how["text_column"] or "text", **table)
    if images is None or how["text_column"] is not None:
        raise ParameterError(f"expected no --text-column for pictures, but got {how['text_column']!r}")
    return raw_pictures(images, labels, image_column=image_column, **table, **view)


def _settings(switches: list[str], encoder: str, *, texts_of_trained: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sort NAME=VALUE into parameters of the model and of the tokens.

    Raises:
        ParameterError: A name has another form, or the encoder has no such tokens.
    """
    from polytag.bench.notation import read_value
    from polytag.errors import ParameterError

    found: dict[str, dict[str, Any]] = {"model": {}, "text": {}}
    for text in switches:
        name, equals, value = text.partition("=")
        part, _, rest = name.partition(".")
        if not equals or not rest or part not in found or (part == "text" and not texts_of_trained):
            known = "model.NAME=VALUE" + " or text.NAME=VALUE" * texts_of_trained
            raise ParameterError(f"expected {known} after --set for the encoder {encoder!r}, but got {text!r}")
        found[part][rest] = read_value(value)
    return found["model"], found["text"]


def _tell(folder: Path, record: dict[str, Any]) -> None:
    """Say what is in the folder, how good a trained encoder is, and what to do next."""
    parts = ", ".join(f"{part} {said['rows']:,}" for part, said in record["parts"].items())
    done = "nothing to do, checked" if record["kept"] else "written"
    typer.echo(
        f"{folder}: {done}; {record['width']} features of {record['settings']['encoder']}, {len(record['labels'])} labels; rows: {parts}"
    )
    if record["training"] is not None:
        learnt = record["training"]
        for part, quality in learnt["quality"].items():
            typer.echo(f"{part}: " + ", ".join(f"{name} {value:.4f}" for name, value in quality.items()))
        typer.echo(f"trained {learnt['epochs']} epochs in {learnt['seconds']} s; epoch {learnt['best_epoch'] + 1} is kept")
        typer.echo(
            "note: the encoder has seen the labels of the training part, so cross-validation over all rows would be too kind to every "
            "method; take the parts as they are:"
        )
        typer.echo(f"  polytag compare --dataset {folder} --folds 1 --set split.parts=published --model linear")
    else:
        published = " --folds 1 --set split.parts=published" * ("test" in record["parts"])
        typer.echo(f"  polytag compare --dataset {folder}{published} --model linear")
    typer.echo(f"in Python: polytag.load_parts({str(folder)!r}); what made it: {folder / 'features.json'}")


class _Stages:
    """A bar for each stage, training and then each part; in a file or a pipe, a line for each tenth."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._console = Console(stderr=True)
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, Any] = {}
        self._tenths: dict[str, int] = {}

    def __enter__(self) -> "_Stages":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the bar of a stage."""
        if self._console.is_terminal:
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=total)
            self._progress.update(self._tasks[stage], completed=done)
        elif self._tenths.get(stage) != 10 * done // max(total, 1):
            self._tenths[stage] = 10 * done // max(total, 1)
            typer.echo(f"{stage}: {done:,} of {total:,}", err=True)
